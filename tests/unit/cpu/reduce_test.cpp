// Reductions, ArgMax, cumulative sums, TopK and small mathematics.
#include "plugins/cpu/ops/reduce_kernels.h"
#include "tests/unit/cpu/family_check.h"

namespace tenon::cpu::test {
namespace {

using Dims = std::vector<std::int64_t>;
using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

constexpr float inf = INFINITY;

Tensor ints(const Dims& v) { return tensor<std::int64_t>({static_cast<std::int64_t>(v.size())}, v); }

Dims reduced(const Dims& dims, const Dims& axes, bool keep) {
  Dims out;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    const bool goes = axes.empty() || std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    if (!goes) out.push_back(dims[i]);
    else if (keep) out.push_back(1);
  }
  return out;
}

void reduce_test(OpTest& t, const std::string& op, const Tensor& x, const Dims& axes, bool keep = true) {
  t.input("x", x);
  if (!axes.empty()) t.constant("axes", ints(axes));
  t.value("y", x.dtype, reduced(x.dims, axes, keep));
  t.node(op, {"x", axes.empty() ? "" : "axes"}, {"y"}, {{"keepdims", keep ? 1 : 0}});
}

const std::vector<std::string> all_kinds = {"ReduceSum",  "ReduceMean", "ReduceMax",    "ReduceMin",       "ReduceProd",
                                            "ReduceL1",   "ReduceL2",   "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"};

TEST(Reduce, Numbers) {
  const Tensor x = tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const std::map<std::string, std::vector<float>> expected = {
      {"ReduceSum", {6, 15}},      {"ReduceMean", {2, 5}},      {"ReduceMax", {3, 6}},
      {"ReduceMin", {1, 4}},       {"ReduceProd", {6, 120}},    {"ReduceL1", {6, 15}},
      {"ReduceL2", {3.7416575f, 8.7749643f}},                   {"ReduceLogSum", {1.7917595f, 2.7080503f}},
      {"ReduceLogSumExp", {3.4076059f, 6.4076061f}},            {"ReduceSumSquare", {14, 77}}};
  for (const auto& [op, values] : expected) {
    OpTest t({reduce_rows});
    reduce_test(t, op, x, {1});
    const Results r = t.run({.isa = detect_isa()});
    ASSERT_EQ(r.error, "") << op;
    EXPECT_THAT(r["y"].as<float>(), Pointwise(FloatNear(1e-5f), values)) << op;
  }
}

TEST(Reduce, EveryPathAgrees) {
  const std::vector<std::pair<Dims, Dims>> shapes = {
      {{7, 5}, {1}},        {{7, 5}, {0}},          {{2, 3, 65}, {2}},       {{2, 67, 33}, {1}},     {{3, 4, 5, 6}, {1, 3}},
      {{3, 4, 5, 6}, {0, 2}}, {{2, 20, 7, 7}, {2, 3}}, {{1, 1, 1}, {}},       {{5}, {}},              {{70000}, {}},
      {{3, 50000}, {1}},    {{40000, 3}, {0}},      {{2, 1000, 70}, {0, 1}}, {{2, 3, 1, 40}, {1, 2}}};
  for (const std::string& op : all_kinds) {
    if (op == "ReduceLogSum") continue;  // of numbers around 0: not comparable
    for (const auto& [dims, axes] : shapes) {
      OpTest t({reduce_rows});
      reduce_test(t, op, random_tensor(dims, 7), axes, dims.size() % 2 == 0);
      check_paths(t, {"y"}, 3e-5);
    }
  }
}

// In double: exp(2 - 3) counts although it is no integer.
TEST(Reduce, LogSumExpOfIntegers) {
  OpTest t({reduce_rows});
  reduce_test(t, "ReduceLogSumExp", tensor<std::int32_t>({3, 4}, {3, 3, 3, 0, -2, -30, -30, -30, 1, 1, 1, 1}), {1}, false);
  const Results r = t.run({.isa = detect_isa()});
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["y"].as<std::int32_t>(), ElementsAre(4, -1, 2));
}

TEST(Reduce, NothingAndInfinities) {
  const std::map<std::string, float> expected = {{"ReduceSum", 0},  {"ReduceProd", 1}, {"ReduceMax", -inf},    {"ReduceMin", inf},
                                                 {"ReduceL1", 0},   {"ReduceL2", 0},   {"ReduceLogSum", -inf}, {"ReduceLogSumExp", -inf},
                                                 {"ReduceSumSquare", 0}};
  for (const auto& [op, value] : expected) {
    for (bool plain : {true, false}) {
      OpTest t({reduce_rows});
      reduce_test(t, op, tensor<float>({2, 0, 2}, {}), {1}, false);
      const Results r = t.run({.isa = detect_isa(), .plain = plain});
      ASSERT_EQ(r.error, "") << op;
      EXPECT_THAT(r["y"].as<float>(), ElementsAre(value, value, value, value)) << op;
    }
  }
  for (const std::string& op : all_kinds) {
    OpTest t({reduce_rows});
    reduce_test(t, op, tensor<float>({3, 3}, {NAN, 1, 2, -inf, -inf, -inf, 1, inf, 2}), {1});
    check_paths(t, {"y"});
  }
}

// Rows as short as a part of a vector, which is how images of few channels in a block are reduced.
TEST(Reduce, ShortRows) {
  const std::vector<float> x = random_tensor({101 * 16}, 1).as<float>(), shifts = random_tensor({16}, 2).as<float>();
  for (Fold fold : {Fold::sum, Fold::sum_abs, Fold::sum_square, Fold::max, Fold::min, Fold::sum_exp})
    for (std::int64_t cols : {2, 4, 8, 16})
      for (std::int64_t rows : {0, 1, 2, 3, 16, 101})
        for (const float* shift : {static_cast<const float*>(nullptr), shifts.data()}) {
          std::vector<float> found(static_cast<std::size_t>(cols), fold_start(fold));
          fold_rows(fold, x.data(), rows, cols, cols, shift, found.data());
          for (std::int64_t c = 0; c < cols; ++c) {
            double expected = fold_start(fold);
            for (std::int64_t r = 0; r < rows; ++r) {
              const double v = x[static_cast<std::size_t>(r * cols + c)], t = v - (shift ? shift[c] : 0.0f);
              if (fold == Fold::sum) expected += v;
              else if (fold == Fold::sum_abs) expected += std::abs(v);
              else if (fold == Fold::sum_square) expected += t * t;
              else if (fold == Fold::max) expected = std::max(expected, v);
              else if (fold == Fold::min) expected = std::min(expected, v);
              else expected += std::exp(t);
            }
            const float got = found[static_cast<std::size_t>(c)];
            const double bound = std::isinf(expected) ? 0 : 1e-5 * (1 + std::abs(expected));
            ASSERT_TRUE(got == expected || std::abs(got - expected) <= bound)
                << static_cast<int>(fold) << ": " << rows << " rows of " << cols << " give " << got << ", expected " << expected;
          }
        }
}
TEST(Reduce, OtherTypes) {
  const auto run = [](const std::string& op, const Tensor& x) {
    OpTest t({reduce_rows});
    reduce_test(t, op, x, {1}, false);
    const Results r = t.run();
    EXPECT_EQ(r.error, "");
    return r.values.at("y");
  };
  EXPECT_THAT(run("ReduceMean", tensor<std::int32_t>({2, 2}, {1, 2, -1, -2})).as<std::int32_t>(), ElementsAre(1, -1));
  EXPECT_THAT(run("ReduceSum", tensor<std::int64_t>({1, 2}, {INT64_MAX, 1})).as<std::int64_t>(), ElementsAre(INT64_MIN));
  EXPECT_THAT(run("ReduceMax", tensor<std::int8_t>({1, 3}, {-5, -3, -9})).as<std::int8_t>(), ElementsAre(-3));
  EXPECT_THAT(run("ReduceMin", tensor<std::uint8_t>({2, 2}, {1, 1, 0, 1}, TENON_DTYPE_BOOL)).as<std::uint8_t>(), ElementsAre(1, 0));
  EXPECT_THAT(run("ReduceL2", tensor<double>({1, 2}, {3, 4})).as<double>(), ElementsAre(5));
  EXPECT_THAT(run("ReduceL1", tensor<std::int32_t>({1, 2}, {INT32_MIN, -1})).as<std::int32_t>(), ElementsAre(INT32_MIN + 1));
}

TEST(Reduce, EmptyAxesMayMeanNothing) {
  OpTest t({reduce_rows});
  t.input("x", tensor<float>({2}, {2, -3}));
  t.value("y", TENON_DTYPE_FLOAT, {2});
  t.node("ReduceSumSquare", {"x"}, {"y"}, {{"noop_with_empty_axes", 1}});
  EXPECT_THAT(t.run({.isa = detect_isa()})["y"].as<float>(), ElementsAre(4, 9));
}

TEST(ArgMax, TiesNansAndAxes) {
  const auto run = [](const std::string& op, const Tensor& x, std::int64_t axis, bool last, bool plain) {
    OpTest t({reduce_rows});
    t.input("x", x);
    Dims dims = x.dims;
    dims[static_cast<std::size_t>(axis)] = 1;
    t.value("y", TENON_DTYPE_INT64, dims);
    t.node(op, {"x"}, {"y"}, {{"axis", axis}, {"select_last_index", last ? 1 : 0}});
    const Results r = t.run({.isa = detect_isa(), .plain = plain});
    EXPECT_EQ(r.error, "");
    return r.values.at("y").as<std::int64_t>();
  };
  const Tensor x = tensor<float>({2, 3}, {1, 5, 5, -1, -7, -7});
  for (bool plain : {true, false}) {
    EXPECT_THAT(run("ArgMax", x, 1, false, plain), ElementsAre(1, 0));
    EXPECT_THAT(run("ArgMax", x, 1, true, plain), ElementsAre(2, 0));
    EXPECT_THAT(run("ArgMin", x, 1, true, plain), ElementsAre(0, 2));
    EXPECT_THAT(run("ArgMax", x, 0, false, plain), ElementsAre(0, 0, 0));
    EXPECT_THAT(run("ArgMax", tensor<float>({1, 4}, {1, NAN, 9, NAN}), 1, false, plain), ElementsAre(1));
    EXPECT_THAT(run("ArgMin", tensor<float>({4, 1}, {1, NAN, 9, NAN}), 0, true, plain), ElementsAre(3));
    EXPECT_THAT(run("ArgMax", tensor<std::uint8_t>({1, 3}, {1, 200, 3}), 1, false, plain), ElementsAre(1));
  }
  for (std::int64_t axis : {0, 1, 2}) {
    OpTest t({reduce_rows});
    t.input("x", random_tensor({5, 70, 37}, 3));
    Dims dims = {5, 70, 37};
    dims[static_cast<std::size_t>(axis)] = 1;
    t.value("y", TENON_DTYPE_INT64, dims);
    t.node("ArgMax", {"x"}, {"y"}, {{"axis", axis}});
    check_paths(t, {"y"});
  }
}

TEST(CumSum, DirectionsAndAxes) {
  const auto run = [](const std::string& op, std::int64_t axis, int exclusive, int reverse) {
    OpTest t({reduce_rows});
    t.input("x", tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
    t.input("axis", tensor<std::int64_t>({}, {axis}));
    t.value("y", TENON_DTYPE_FLOAT, {2, 3});
    t.node(op, {"x", "axis"}, {"y"}, {{"exclusive", exclusive}, {"reverse", reverse}});
    const Results r = t.run();
    return r.error.empty() ? r["y"].as<float>() : std::vector<float>{};
  };
  EXPECT_THAT(run("CumSum", 1, 0, 0), ElementsAre(1, 3, 6, 4, 9, 15));
  EXPECT_THAT(run("CumSum", 1, 1, 0), ElementsAre(0, 1, 3, 0, 4, 9));
  EXPECT_THAT(run("CumSum", -1, 0, 1), ElementsAre(6, 5, 3, 15, 11, 6));
  EXPECT_THAT(run("CumSum", 0, 1, 1), ElementsAre(4, 5, 6, 0, 0, 0));
  EXPECT_THAT(run("CumProd", 1, 0, 0), ElementsAre(1, 2, 6, 4, 20, 120));
  EXPECT_THAT(run("CumSum", 2, 0, 0), testing::IsEmpty());
}

TEST(TopK, OrderTiesAndNans) {
  const auto run = [](const Tensor& x, std::int64_t k, std::int64_t axis, int largest) {
    OpTest t({reduce_rows});
    t.input("x", x);
    t.known_input("k", ints({k}));
    Dims dims = x.dims;
    dims[static_cast<std::size_t>(axis)] = k;
    t.value("v", x.dtype, dims);
    t.value("i", TENON_DTYPE_INT64, dims);
    t.node("TopK", {"x", "k"}, {"v", "i"}, {{"axis", axis}, {"largest", largest}});
    const Results r = t.run({.isa = detect_isa()});
    EXPECT_EQ(r.error, "");
    return r.values.at("i").as<std::int64_t>();
  };
  EXPECT_THAT(run(tensor<float>({1, 5}, {1, 3, 3, 0, 2}), 3, 1, 1), ElementsAre(1, 2, 4));
  EXPECT_THAT(run(tensor<float>({1, 5}, {1, 3, 3, 0, 0}), 3, 1, 0), ElementsAre(3, 4, 0));
  EXPECT_THAT(run(tensor<float>({1, 4}, {1, NAN, 2, -0.0f}), 2, 1, 1), ElementsAre(1, 2));
  EXPECT_THAT(run(tensor<float>({3, 2}, {1, 6, 2, 5, 3, 4}), 1, 0, 1), ElementsAre(2, 0));
  EXPECT_THAT(run(tensor<std::int64_t>({1, 3}, {INT64_MIN, INT64_MAX, 0}), 3, 1, 1), ElementsAre(1, 2, 0));
  EXPECT_THAT(run(tensor<std::uint8_t>({1, 3}, {5, 250, 7}), 2, 1, 0), ElementsAre(0, 2));
  for (std::int64_t k : {1, 5, 40, 299, 300}) {
    OpTest t({reduce_rows});
    t.input("x", random_tensor({7, 300}, 11));
    t.known_input("k", ints({k}));
    t.value("v", TENON_DTYPE_FLOAT, {7, k});
    t.value("i", TENON_DTYPE_INT64, {7, k});
    t.node("TopK", {"x", "k"}, {"v", "i"}, {});
    check_paths(t, {"v", "i"}, 0);
  }
}

TEST(TopK, MoreThanThereAreIsRefused) {
  OpTest t({reduce_rows});
  t.input("x", random_tensor({3}));
  t.known_input("k", ints({4}));
  t.value("v", TENON_DTYPE_FLOAT, {4});
  t.value("i", TENON_DTYPE_INT64, {4});
  t.node("TopK", {"x", "k"}, {"v", "i"}, {});
  EXPECT_EQ(t.run().code, TENON_INVALID_ARGUMENT);
}

TEST(MiscMath, DetAndHardmax) {
  OpTest t({reduce_rows});
  t.input("x", tensor<float>({2, 2, 2}, {1, 2, 3, 4, 0, 1, 1, 0}));
  t.value("d", TENON_DTYPE_FLOAT, {2});
  t.value("h", TENON_DTYPE_FLOAT, {2, 2, 2});
  t.node("Det", {"x"}, {"d"});
  t.node("Hardmax", {"x"}, {"h"}, {{"axis", -1}});
  const Results r = t.run();
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["d"].as<float>(), Pointwise(FloatNear(1e-6f), {-2.0f, -1.0f}));
  EXPECT_THAT(r["h"].as<float>(), ElementsAre(0, 1, 0, 1, 0, 1, 1, 0));
}

}  // namespace
}  // namespace tenon::cpu::test
