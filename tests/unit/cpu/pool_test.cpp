// Pools: fast paths against plain loops, and the numbers of the ONNX operator documentation.
#include <cmath>

#include <gtest/gtest.h>

#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {
namespace {

struct Case {
  std::vector<std::int64_t> x, y, kernel, strides, dilations, pads;
  bool ceil = false, include_pad = false;
};

std::vector<Attr> attributes(const Case& c, const char* op) {
  std::vector<Attr> a{{"kernel_shape", c.kernel}, {"ceil_mode", c.ceil ? 1 : 0}};
  if (!c.strides.empty()) a.emplace_back("strides", c.strides);
  if (!c.dilations.empty()) a.emplace_back("dilations", c.dilations);
  if (!c.pads.empty()) a.emplace_back("pads", c.pads);
  if (c.include_pad && std::string(op) == "AveragePool") a.emplace_back("count_include_pad", 1);
  return a;
}

void expect_near(const Tensor& got, const Tensor& expected, const std::string& what) {
  const auto a = got.as<float>(), b = expected.as<float>();
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-5) << what << " element " << i;
}

template <class Check>
void on_all(OpTest& t, Check check) {
  for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    for (std::int32_t block : {0, 8, 16})
      for (std::uint32_t workers : {1u, 3u}) {
        const Results r = t.run({.isa = isa, .workers = workers, .block = block});
        ASSERT_EQ(r.error, "");
        check(r,
              "isa " + std::to_string(static_cast<int>(isa)) + " block " + std::to_string(block) + " workers " + std::to_string(workers));
        if (testing::Test::HasFatalFailure()) return;
      }
  }
}

// Blocked input comes from a 1x1 convolution that changes nothing.
void check(const char* op, const Case& c) {
  OpTest t({pool_rows, conv_rows});
  const std::int64_t channels = c.x[1];
  std::vector<float> identity(static_cast<std::size_t>(channels * channels));
  for (std::int64_t i = 0; i < channels; ++i) identity[static_cast<std::size_t>(i * channels + i)] = 1;
  std::vector<std::int64_t> w(c.x.size(), 1);
  w[0] = w[1] = channels;
  t.input("x", random_tensor(c.x, 5));
  t.constant("w", tensor<float>(w, identity));
  t.value("a", TENON_DTYPE_FLOAT, c.x);
  t.value("y", TENON_DTYPE_FLOAT, c.y);
  t.node("Conv", {"x", "w"}, {"a"});
  t.node(op, {"a"}, {"y"}, attributes(c, op));
  const Results expected = t.run({.plain = true});
  ASSERT_EQ(expected.error, "");
  on_all(t, [&](const Results& r, const std::string& what) { expect_near(r["y"], expected["y"], std::string(op) + " " + what); });
}

TEST(Pool, FastPathsAgreeWithPlainLoops) {
  for (const char* op : {"MaxPool", "AveragePool", "LpPool"}) {
    check(op, {{1, 16, 9, 11}, {1, 16, 5, 6}, {3, 3}, {2, 2}, {}, {1, 1, 1, 1}});
    check(op, {{2, 8, 20, 20}, {2, 8, 20, 20}, {5, 5}, {1, 1}, {}, {2, 2, 2, 2}});
    check(op, {{1, 32, 13, 13}, {1, 32, 6, 6}, {3, 3}, {2, 2}, {}, {}, true});
    check(op, {{1, 32, 14, 14}, {1, 32, 7, 7}, {3, 3}, {2, 2}, {}, {}, true, true});
    check(op, {{1, 16, 12, 12}, {1, 16, 12, 12}, {3, 3}, {1, 1}, {}, {1, 1, 1, 1}, false, true});
    check(op, {{1, 24, 12, 9}, {1, 24, 8, 3}, {3, 2}, {1, 3}, {2, 2}, {0, 0, 0, 0}});
    check(op, {{1, 5, 31}, {1, 5, 15}, {4}, {2}, {}, {0, 1}});
    check(op, {{1, 16, 4, 5, 6}, {1, 16, 2, 4, 3}, {2, 3, 2}, {2, 1, 2}, {}, {0, 1, 0, 0, 0, 0}});
    if (HasFatalFailure()) return;
  }
}

TEST(Pool, Global) {
  for (const char* op : {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"}) {
    OpTest t({pool_rows, conv_rows});
    t.input("x", random_tensor({2, 16, 7, 5}));
    t.constant("w", random_tensor({32, 16, 1, 1}, 2));
    t.value("a", TENON_DTYPE_FLOAT, {2, 32, 7, 5});
    t.value("y", TENON_DTYPE_FLOAT, {2, 32, 1, 1});
    t.node("Conv", {"x", "w"}, {"a"});
    t.node(op, {"a"}, {"y"});
    const Results expected = t.run({.plain = true});
    ASSERT_EQ(expected.error, "");
    on_all(t, [&](const Results& r, const std::string& what) { expect_near(r["y"], expected["y"], std::string(op) + " " + what); });
  }
}

TEST(Pool, BytesAndDoubles) {
  std::vector<std::uint8_t> u(3 * 7 * 7);
  std::vector<std::int8_t> s(u.size());
  std::vector<double> d(u.size());
  for (std::size_t i = 0; i < u.size(); ++i)
    u[i] = static_cast<std::uint8_t>(i * 37), s[i] = static_cast<std::int8_t>(i * 91), d[i] = std::sin(static_cast<double>(i));
  const std::vector<Attr> a{{"kernel_shape", std::vector<std::int64_t>{3, 3}},
                            {"strides", std::vector<std::int64_t>{2, 2}},
                            {"pads", std::vector<std::int64_t>{1, 1, 1, 1}}};
  OpTest t({pool_rows});
  t.input("u", tensor<std::uint8_t>({1, 3, 7, 7}, u));
  t.input("s", tensor<std::int8_t>({1, 3, 7, 7}, s));
  t.input("d", tensor<double>({1, 3, 7, 7}, d));
  t.value("yu", TENON_DTYPE_UINT8, {1, 3, 4, 4});
  t.value("ys", TENON_DTYPE_INT8, {1, 3, 4, 4});
  t.value("yd", TENON_DTYPE_DOUBLE, {1, 3, 4, 4});
  t.node("MaxPool", {"u"}, {"yu"}, a);
  t.node("MaxPool", {"s"}, {"ys"}, a);
  t.node("AveragePool", {"d"}, {"yd"}, a);
  const Results expected = t.run({.plain = true});
  ASSERT_EQ(expected.error, "");
  on_all(t, [&](const Results& r, const std::string& what) {
    for (const char* y : {"yu", "ys", "yd"}) ASSERT_EQ(r[y].bytes, expected[y].bytes) << what;
  });
}

TEST(Pool, IndicesOfMaxima) {
  OpTest t({pool_rows});
  std::vector<float> x(25);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i + 1);
  t.input("x", tensor<float>({1, 1, 5, 5}, x));
  for (int order : {0, 1}) {
    const std::string y = "y" + std::to_string(order), z = "z" + std::to_string(order);
    t.value(y, TENON_DTYPE_FLOAT, {1, 1, 2, 2});
    t.value(z, TENON_DTYPE_INT64, {1, 1, 2, 2});
    t.node("MaxPool", {"x"}, {y, z},
           {{"kernel_shape", std::vector<std::int64_t>{2, 2}}, {"strides", std::vector<std::int64_t>{2, 2}}, {"storage_order", order}});
  }
  const Results r = t.run({.isa = detect_isa(), .workers = 2});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r["y0"].as<float>(), (std::vector<float>{7, 9, 17, 19}));
  EXPECT_EQ(r["z0"].as<std::int64_t>(), (std::vector<std::int64_t>{6, 8, 16, 18}));
  EXPECT_EQ(r["z1"].as<std::int64_t>(), (std::vector<std::int64_t>{6, 16, 8, 18}));
}

TEST(Pool, AverageCountsWhatItShould) {
  OpTest t({pool_rows});
  std::vector<float> x(16);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i + 1);
  t.input("x", tensor<float>({1, 1, 4, 4}, x));
  t.value("y", TENON_DTYPE_FLOAT, {1, 1, 2, 2});
  t.node("AveragePool", {"x"}, {"y"},
         {{"kernel_shape", std::vector<std::int64_t>{3, 3}}, {"strides", std::vector<std::int64_t>{2, 2}}, {"ceil_mode", 1}});
  for (bool plain : {true, false}) {
    const Results r = t.run({.isa = detect_isa(), .plain = plain});
    ASSERT_EQ(r.error, "");
    EXPECT_EQ(r["y"].as<float>(), (std::vector<float>{6, 7.5, 12, 13.5}));
  }
}

TEST(MaxUnpool, PutsValuesWhereTheyWere) {
  OpTest t({pool_rows});
  t.input("x", tensor<float>({1, 1, 2, 2}, {1, 2, 3, 4}));
  t.input("i", tensor<std::int64_t>({1, 1, 2, 2}, {5, 7, 13, 15}));
  t.constant("shape", tensor<std::int64_t>({4}, {1, 1, 5, 5}));
  const std::vector<Attr> a{{"kernel_shape", std::vector<std::int64_t>{2, 2}}, {"strides", std::vector<std::int64_t>{2, 2}}};
  t.value("y", TENON_DTYPE_FLOAT, {1, 1, 4, 4});
  t.value("z", TENON_DTYPE_FLOAT, {1, 1, 5, 5});
  t.node("MaxUnpool", {"x", "i"}, {"y"}, a);
  t.node("MaxUnpool", {"x", "i", "shape"}, {"z"}, a);
  const Results r = t.run({.isa = detect_isa(), .workers = 2});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r["y"].as<float>(), (std::vector<float>{0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4}));
  EXPECT_EQ(r["z"].as<float>(), (std::vector<float>{0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0}));
}

TEST(MaxUnpool, IndexOutOfRangeFails) {
  OpTest t({pool_rows});
  t.input("x", tensor<float>({1, 1, 1, 1}, {1}));
  t.input("i", tensor<std::int64_t>({1, 1, 1, 1}, {-1}));
  t.value("y", TENON_DTYPE_FLOAT, {1, 1, 2, 2});
  t.node("MaxUnpool", {"x", "i"}, {"y"}, {{"kernel_shape", std::vector<std::int64_t>{2, 2}}, {"strides", std::vector<std::int64_t>{2, 2}}});
  EXPECT_EQ(t.run().code, TENON_OUT_OF_RANGE);
}

TEST(RoiAlign, SamplesAndRefusesWrongBatches) {
  for (std::int64_t batch : {0, 1, -1}) {
    OpTest t({pool_rows});
    std::vector<float> x(16);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
    t.input("x", tensor<float>({1, 1, 4, 4}, x));
    t.input("r", tensor<float>({1, 4}, {0, 0, 4, 4}));
    t.input("b", tensor<std::int64_t>({1}, {batch}));
    t.value("y", TENON_DTYPE_FLOAT, {1, 1, 2, 2});
    t.node("RoiAlign", {"x", "r", "b"}, {"y"}, {{"output_height", 2}, {"output_width", 2}, {"sampling_ratio", 2}});
    const Results r = t.run({.workers = 2});
    if (batch != 0) {
      EXPECT_EQ(r.code, TENON_OUT_OF_RANGE);
      continue;
    }
    ASSERT_EQ(r.error, "");
    EXPECT_EQ(r["y"].as<float>(), (std::vector<float>{2.5, 4.5, 10.5, 12.5}));
  }
}

TEST(RoiAlign, HugeRegionsEnd) {
  OpTest t({pool_rows});
  t.input("x", random_tensor({1, 2, 4, 4}));
  t.input("r", tensor<float>({3, 4}, {-9e8f, -9e8f, 9e8f, 9e8f, NAN, 0, 1, 1, 3, 3, 1, 1}));
  t.input("b", tensor<std::int64_t>({3}, {0, 0, 0}));
  t.value("y", TENON_DTYPE_FLOAT, {3, 2, 2, 2});
  t.node("RoiAlign", {"x", "r", "b"}, {"y"}, {{"output_height", 2}, {"output_width", 2}});
  EXPECT_EQ(t.run({.workers = 2}).error, "");
}

TEST(MaxRoiPool, TakesMaximaOfBins) {
  OpTest t({pool_rows});
  std::vector<float> x(36);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  t.input("x", tensor<float>({1, 1, 6, 6}, x));
  t.input("r", tensor<float>({2, 5}, {0, 0, 0, 5, 5, 0, 2, 2, 3, 3}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 1, 2, 2});
  t.node("MaxRoiPool", {"x", "r"}, {"y"}, {{"pooled_shape", std::vector<std::int64_t>{2, 2}}});
  const Results r = t.run({.workers = 2});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r["y"].as<float>(), (std::vector<float>{14, 17, 32, 35, 14, 15, 20, 21}));
}

}  // namespace
}  // namespace tenon::cpu::test
