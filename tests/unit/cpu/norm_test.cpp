// Normalizations, softmax, attention, rotary embeddings, transforms and losses.
#include "tests/unit/cpu/family_check.h"

namespace tenon::cpu::test {
namespace {

using Dims = std::vector<std::int64_t>;
using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

constexpr float inf = INFINITY;

TEST(LayerNorm, Numbers) {
  OpTest t({norm_rows});
  t.input("x", tensor<float>({2, 3}, {1, 2, 3, 2, 4, 9}));
  t.constant("s", tensor<float>({3}, {1, 2, 3}));
  t.constant("b", tensor<float>({3}, {0, 1, 0}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 3});
  t.value("m", TENON_DTYPE_FLOAT, {2, 1});
  t.value("i", TENON_DTYPE_FLOAT, {2, 1});
  t.node("LayerNormalization", {"x", "s", "b"}, {"y", "m", "i"}, {{"axis", -1}, {"epsilon", 0.0f}});
  const Results r = t.run({.isa = detect_isa()});
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["y"].as<float>(),
              Pointwise(FloatNear(1e-5f), {-1.2247449f, 1.0f, 3.6742346f, -1.0190493f, 0.3206338f, 4.0761972f}));
  EXPECT_THAT(r["m"].as<float>(), Pointwise(FloatNear(1e-6f), {2.0f, 5.0f}));
  EXPECT_THAT(r["i"].as<float>(), Pointwise(FloatNear(1e-6f), {1.2247449f, 0.3396831f}));
}

TEST(LayerNorm, EveryPathAgrees) {
  for (std::int64_t n : {1, 3, 16, 33, 64, 200}) {
    for (const Dims& scale : {Dims{n}, Dims{1, 1, n}, Dims{5, n}, Dims{5, 1}, Dims{1}}) {
      OpTest t({norm_rows});
      t.input("x", random_tensor({3, 5, n}, 1));
      t.input("s", random_tensor(scale, 2));
      t.input("b", random_tensor(scale, 3));
      t.value("y", TENON_DTYPE_FLOAT, {3, 5, n});
      t.value("m", TENON_DTYPE_FLOAT, {3, 5, 1});
      t.node("LayerNormalization", {"x", "s", "b"}, {"y", "m"}, {{"axis", -1}});
      check_paths(t, {"y", "m"}, 2e-4, {.inplace = true});
    }
    OpTest t({norm_rows});
    t.input("x", random_tensor({4, n}, 1));
    t.input("s", random_tensor({n}, 2));
    t.value("y", TENON_DTYPE_FLOAT, {4, n});
    t.node("RMSNormalization", {"x", "s"}, {"y"});
    check_paths(t, {"y"}, 1e-4);
  }
}

TEST(LayerNorm, Residual) {
  for (const char* op : {"SkipLayerNormalization", "SkipSimplifiedLayerNormalization"}) {
    const bool simplified = std::string(op) == "SkipSimplifiedLayerNormalization";
    OpTest t({norm_rows});
    t.input("x", random_tensor({2, 7, 50}, 1));
    t.input("skip", random_tensor({7, 50}, 2));
    t.input("gamma", random_tensor({50}, 3));
    t.input("beta", random_tensor({50}, 4));
    t.input("bias", random_tensor({50}, 5));
    t.value("y", TENON_DTYPE_FLOAT, {2, 7, 50});
    t.value("sum", TENON_DTYPE_FLOAT, {2, 7, 50});
    if (simplified) t.node(op, {"x", "skip", "gamma", "bias"}, {"y", "", "", "sum"}, {}, "com.microsoft");
    else t.node(op, {"x", "skip", "gamma", "beta", "bias"}, {"y", "", "", "sum"}, {}, "com.microsoft");
    check_paths(t, {"y", "sum"}, 1e-4);
  }
}

TEST(LayerNorm, EpilogueMayReadTheInputAgain) {
  OpTest t({norm_rows, elementwise_rows});
  t.input("x", random_tensor({6, 40}, 1));
  t.input("s", random_tensor({40}, 2));
  t.value("n", TENON_DTYPE_FLOAT, {6, 40});
  t.value("y", TENON_DTYPE_FLOAT, {6, 40});
  t.node("LayerNormalization", {"x", "s"}, {"n"}, {{"axis", -1}});
  t.node("Add", {"n", "x"}, {"y"});
  check_paths(t, {"y"}, 1e-4, {.fuse = true, .inplace = true});
}

TEST(Softmax, NumbersAndExtremes) {
  for (bool plain : {true, false}) {
    OpTest t({norm_rows});
    t.input("x", tensor<float>({4, 3}, {0, 1, 2, 1000, 1001, 1002, -inf, 0, 0, NAN, 0, 1}));
    t.value("y", TENON_DTYPE_FLOAT, {4, 3});
    t.value("l", TENON_DTYPE_FLOAT, {4, 3});
    t.node("Softmax", {"x"}, {"y"}, {{"axis", -1}});
    t.node("LogSoftmax", {"x"}, {"l"}, {{"axis", -1}});
    const Results r = t.run({.isa = detect_isa(), .plain = plain});
    ASSERT_EQ(r.error, "");
    const std::vector<float> y = r["y"].as<float>(), l = r["l"].as<float>();
    EXPECT_THAT(std::vector<float>(y.begin(), y.begin() + 9),
                Pointwise(FloatNear(1e-6f), {0.0900306f, 0.2447285f, 0.6652410f, 0.0900306f, 0.2447285f, 0.6652410f, 0.0f, 0.5f, 0.5f}));
    EXPECT_EQ(y[6], 0);
    EXPECT_TRUE(std::isnan(y[9]) && std::isnan(y[11]));
    EXPECT_NEAR(l[0], -2.407606f, 1e-5);
    EXPECT_EQ(l[6], -inf);
  }
}

// The logarithm of the sum is not lost beside a large element.
TEST(Softmax, LogOfLargeNumbers) {
  for (bool plain : {true, false}) {
    OpTest t({norm_rows});
    t.input("x", tensor<double>({2}, {1e300, 1e300}));
    t.input("f", tensor<float>({2}, {1e30f, 1e30f}));
    t.value("y", TENON_DTYPE_DOUBLE, {2});
    t.value("g", TENON_DTYPE_FLOAT, {2});
    t.node("LogSoftmax", {"x"}, {"y"});
    t.node("LogSoftmax", {"f"}, {"g"});
    const Results r = t.run({.isa = detect_isa(), .plain = plain});
    ASSERT_EQ(r.error, "");
    for (const double y : r["y"].as<double>()) EXPECT_NEAR(y, -0.6931471805599453, 1e-15);
    for (const float y : r["g"].as<float>()) EXPECT_NEAR(y, -0.6931472f, 1e-6);
  }
}

TEST(Softmax, EveryAxisAndPath) {
  for (std::int64_t axis : {0, 1, 2}) {
    for (const char* op : {"Softmax", "LogSoftmax"}) {
      for (const Dims& dims : {Dims{5, 7, 3}, Dims{2, 70, 130}, Dims{40, 3, 65}}) {
        OpTest t({norm_rows});
        t.input("x", random_tensor(dims, 5));
        t.value("y", TENON_DTYPE_FLOAT, dims);
        t.node(op, {"x"}, {"y"}, {{"axis", axis}});
        check_paths(t, {"y"}, 2e-6, {.inplace = true});
      }
    }
  }
}

TEST(Softmax, TakesScaleAndMask) {
  for (const Dims& mask : {Dims{2, 1, 1, 33}, Dims{2, 1, 9, 33}, Dims{33}, Dims{1, 4, 9, 33}}) {
    OpTest t({norm_rows, elementwise_rows});
    t.input("x", random_tensor({2, 4, 9, 33}, 1));
    t.input("mask", random_tensor(mask, 2));
    t.constant("eight", tensor<float>({}, {8}));
    for (const char* name : {"scaled", "masked", "y"}) t.value(name, TENON_DTYPE_FLOAT, {2, 4, 9, 33});
    t.node("Div", {"x", "eight"}, {"scaled"});
    t.node("Add", {"mask", "scaled"}, {"masked"});
    t.node("Softmax", {"masked"}, {"y"}, {{"axis", -1}});
    check_paths(t, {"y"}, 2e-6, {.fuse = true});
    EXPECT_THAT(t.run({.isa = detect_isa(), .fuse = true}).steps, ElementsAre("Softmax"));
  }
}

TEST(BatchNorm, DenseBlockedAndTraining) {
  for (const Dims& dims : {Dims{3, 32, 5, 7}, Dims{2, 32, 50}, Dims{4, 32}}) {
    for (bool constant : {true, false}) {
      OpTest t({norm_rows, elementwise_rows});
      t.input("x", random_tensor(dims, 1));
      for (const char* name : {"s", "b", "m", "v"}) {
        Tensor p = random_tensor({32}, static_cast<std::uint32_t>(name[0]));
        if (name[0] == 'v') p = tensor<float>({32}, std::vector<float>(32, 0.7f));
        constant ? t.constant(name, p) : t.input(name, p);
      }
      t.value("n", TENON_DTYPE_FLOAT, dims);
      t.value("y", TENON_DTYPE_FLOAT, dims);
      t.node("BatchNormalization", {"x", "s", "b", "m", "v"}, {"n"}, {});
      t.node("Relu", {"n"}, {"y"});
      check_paths(t, {"y"}, 1e-5, {.fuse = true, .inplace = true});
    }
  }
  OpTest t({norm_rows});
  t.input("x", tensor<float>({2, 1, 2}, {1, 2, 3, 4}));
  for (const char* name : {"s", "b", "m", "v"}) t.input(name, tensor<float>({1}, {name[0] == 's' ? 1.0f : 0.0f}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 1, 2});
  t.value("nm", TENON_DTYPE_FLOAT, {1});
  t.value("nv", TENON_DTYPE_FLOAT, {1});
  t.node("BatchNormalization", {"x", "s", "b", "m", "v"}, {"y", "nm", "nv"}, {{"training_mode", 1}, {"momentum", 0.5f}, {"epsilon", 0.0f}});
  const Results r = t.run();
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["nm"].as<float>(), ElementsAre(1.25f));
  EXPECT_THAT(r["nv"].as<float>(), ElementsAre(0.625f));
  EXPECT_NEAR(r["y"].as<float>()[0], -1.3416408f, 1e-5);
}

TEST(GroupNorm, EveryPathAgrees) {
  for (std::int64_t groups : {0, 1, 4, 32}) {
    for (const Dims& dims : {Dims{2, 32, 5, 7}, Dims{1, 32, 9000}}) {
      OpTest t({norm_rows});
      t.input("x", random_tensor(dims, 1));
      t.input("s", random_tensor({32}, 2));
      t.input("b", random_tensor({32}, 3));
      t.value("y", TENON_DTYPE_FLOAT, dims);
      if (groups == 0) t.node("InstanceNormalization", {"x", "s", "b"}, {"y"}, {});
      else t.node("GroupNormalization", {"x", "s", "b"}, {"y"}, {{"num_groups", groups}});
      check_paths(t, {"y"}, 1e-4, {.inplace = true});
    }
  }
}

TEST(Lrn, EveryPathAgrees) {
  for (float beta : {0.75f, 0.6f}) {
    for (std::int64_t size : {1, 2, 5, 40}) {
      OpTest t({norm_rows});
      t.input("x", random_tensor({2, 9, 5, 7}, 1));
      t.value("y", TENON_DTYPE_FLOAT, {2, 9, 5, 7});
      t.node("LRN", {"x"}, {"y"}, {{"size", size}, {"beta", beta}, {"alpha", 0.5f}, {"bias", 2.0f}});
      check_paths(t, {"y"}, 1e-5);
    }
  }
  OpTest t({norm_rows});
  t.input("x", tensor<float>({3, 2}, {3, 4, 0, 0, -1, 1}));
  t.value("y", TENON_DTYPE_FLOAT, {3, 2});
  t.node("LpNormalization", {"x"}, {"y"}, {{"axis", -1}, {"p", 2}});
  EXPECT_THAT(t.run({.isa = detect_isa()})["y"].as<float>(),
              Pointwise(FloatNear(1e-6f), {0.6f, 0.8f, 0.0f, 0.0f, -0.70710678f, 0.70710678f}));
}

struct AttentionCase {
  std::int64_t heads, kv_heads, queries, keys, past, depth;
  bool causal, mask, flat;
};

void attention(const AttentionCase& a) {
  const std::int64_t batch = 2, total = a.past + a.keys;
  OpTest t({attention_rows});
  const auto operand = [&](const char* name, std::int64_t heads, std::int64_t rows, std::uint32_t seed) {
    t.input(name, a.flat ? random_tensor({batch, rows, heads * a.depth}, seed) : random_tensor({batch, heads, rows, a.depth}, seed));
  };
  operand("q", a.heads, a.queries, 1);
  operand("k", a.kv_heads, a.keys, 2);
  operand("v", a.kv_heads, a.keys, 3);
  if (a.mask) t.input("mask", random_tensor({a.queries, total}, 4));
  std::vector<std::string> outputs = {"y"};
  if (a.past > 0) {
    for (const char* name : {"pk", "pv"}) t.input(name, random_tensor({batch, a.kv_heads, a.past, a.depth}, 5));
    for (const char* name : {"nk", "nv"}) t.value(name, TENON_DTYPE_FLOAT, {batch, a.kv_heads, total, a.depth});
    outputs = {"y", "nk", "nv"};
  }
  t.value("y", TENON_DTYPE_FLOAT, a.flat ? Dims{batch, a.queries, a.heads * a.depth} : Dims{batch, a.heads, a.queries, a.depth});
  std::vector<Attr> attributes = {{"is_causal", a.causal ? 1 : 0}};
  if (a.flat) attributes.insert(attributes.end(), {{"q_num_heads", a.heads}, {"kv_num_heads", a.kv_heads}});
  const bool past = a.past > 0;
  t.node("Attention", {"q", "k", "v", a.mask ? "mask" : "", past ? "pk" : "", past ? "pv" : ""},
         past ? std::vector<std::string>{"y", "nk", "nv"} : std::vector<std::string>{"y"}, attributes);
  check_paths(t, outputs, 2e-5);
}

TEST(Attention, EveryPathAgrees) {
  attention({4, 4, 9, 9, 0, 16, false, false, false});
  attention({4, 4, 9, 9, 0, 16, true, false, true});
  attention({4, 2, 7, 12, 0, 8, false, true, true});
  attention({4, 2, 1, 1, 40, 32, true, false, false});
  attention({6, 2, 5, 5, 3, 20, true, true, false});
  attention({2, 1, 300, 300, 0, 16, true, false, false});
}

TEST(Attention, RowsWithoutKeysAreZero) {
  OpTest t({attention_rows});
  for (const char* name : {"q", "k", "v"}) t.input(name, random_tensor({1, 1, 2, 4}, 1));
  t.input("mask", tensor<std::uint8_t>({2, 2}, {0, 0, 1, 0}, TENON_DTYPE_BOOL));
  t.value("y", TENON_DTYPE_FLOAT, {1, 1, 2, 4});
  t.node("Attention", {"q", "k", "v", "mask"}, {"y"});
  check_paths(t, {"y"});
  const std::vector<float> y = t.run({.isa = detect_isa()})["y"].as<float>();
  EXPECT_THAT(std::vector<float>(y.begin(), y.begin() + 4), ElementsAre(0, 0, 0, 0));
}

TEST(Rotary, PositionOutOfTheTableFails) {
  OpTest t({attention_rows});
  t.input("x", random_tensor({1, 1, 2, 4}));
  for (const char* name : {"cos", "sin"}) t.input(name, random_tensor({3, 2}));
  t.input("at", tensor<std::int64_t>({1, 2}, {2, 3}));
  t.value("y", TENON_DTYPE_FLOAT, {1, 1, 2, 4});
  t.node("RotaryEmbedding", {"x", "cos", "sin", "at"}, {"y"});
  EXPECT_EQ(t.run().code, TENON_OUT_OF_RANGE);
}

TEST(Dft, LengthsOfEveryKind) {
  // An impulse at 1: X[k] = exp(-2 pi i k / n).
  for (std::int64_t n : {1, 2, 3, 8, 12, 30, 34, 47, 289}) {
    std::vector<float> x(static_cast<std::size_t>(n), 0.0f);
    x[static_cast<std::size_t>(1 % n)] = 1;
    OpTest t({signal_rows});
    t.input("x", tensor<float>({1, n, 1}, x));
    t.value("y", TENON_DTYPE_FLOAT, {1, n, 2});
    t.value("z", TENON_DTYPE_FLOAT, {1, n, 2});
    t.node("DFT", {"x"}, {"y"});
    t.node("DFT", {"y"}, {"z"}, {{"inverse", 1}});
    const Results r = t.run();
    ASSERT_EQ(r.error, "");
    const std::vector<float> y = r["y"].as<float>(), z = r["z"].as<float>();
    for (std::int64_t k = 0; k < n; ++k) {
      const double angle = -2 * M_PI * static_cast<double>(k * (1 % n)) / static_cast<double>(n);
      ASSERT_NEAR(y[static_cast<std::size_t>(2 * k)], std::cos(angle), 1e-6) << n;
      ASSERT_NEAR(y[static_cast<std::size_t>(2 * k + 1)], std::sin(angle), 1e-6) << n;
      ASSERT_NEAR(z[static_cast<std::size_t>(2 * k)], x[static_cast<std::size_t>(k)], 1e-6) << n;
    }
  }
}

TEST(Loss, IgnoresWeightsAndRange) {
  OpTest t({signal_rows});
  t.input("x", tensor<float>({3, 2}, {-1, -2, -3, -4, -5, -6}));
  t.input("t", tensor<std::int64_t>({3}, {0, 1, -7}));
  t.input("w", tensor<float>({2}, {1, 3}));
  t.value("y", TENON_DTYPE_FLOAT, {});
  t.node("NegativeLogLikelihoodLoss", {"x", "t", "w"}, {"y"}, {{"ignore_index", -7}});
  EXPECT_THAT(t.run()["y"].as<float>(), ElementsAre(3.25f));
  OpTest bad({signal_rows});
  bad.input("x", tensor<float>({1, 2}, {-1, -2}));
  bad.input("t", tensor<std::int64_t>({1}, {2}));
  bad.value("y", TENON_DTYPE_FLOAT, {});
  bad.node("SoftmaxCrossEntropyLoss", {"x", "t"}, {"y"});
  EXPECT_EQ(bad.run().code, TENON_OUT_OF_RANGE);
}

}  // namespace
}  // namespace tenon::cpu::test
