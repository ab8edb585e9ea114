// Convolutions on tiles against plain loops, at every precision; the emulator runs the tiles where the processor has none.
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/cpu/ops/conv_family.h"
#include "tests/unit/cpu/amx_emulator.h"
#include "tests/unit/cpu/op_harness.h"
#include "tests/unit/cpu/program_harness.h"

namespace tenon::cpu::test {
namespace {

using Dims = std::vector<std::int64_t>;

struct Case {
  const char* name;
  Dims x, w, y;
  std::vector<Attr> attributes = {};
  bool tiles = true;  // whether tiles pay at the default precision
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

enum class Tail { none, residual_relu, swish_mul };

class SplitConv : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (detect_isa() < Isa::avx512_bf16) GTEST_SKIP() << "numbers are split with AVX512_BF16, which this processor lacks";
  }
  static void build(OpTest& t, const Case& c, Tail tail, const Tensor& x) {
    t.input("x", x);
    t.constant("w", random_tensor(c.w, 2));
    t.constant("b", random_tensor({c.w[0]}, 3));
    for (const char* v : {"a", "m", "y"}) t.value(v, TENON_DTYPE_FLOAT, c.y);
    t.node("Conv", {"x", "w", "b"}, {tail == Tail::none ? "y" : "a"}, c.attributes);
    if (tail != Tail::none) t.input("r", random_tensor(c.y, 4));
    if (tail == Tail::residual_relu) t.node("Add", {"r", "a"}, {"m"}), t.node("Relu", {"m"}, {"y"});
    if (tail == Tail::swish_mul) t.node("HardSwish", {"a"}, {"m"}), t.node("Mul", {"m", "r"}, {"y"});
  }
  // The largest error over the largest output; outputs that are not finite must be the same.
  static double error(const Tensor& found, const Tensor& expected) {
    const std::vector<float> a = found.as<float>(), b = expected.as<float>();
    EXPECT_EQ(a.size(), b.size());
    double most = 0, largest = 1e-30;
    for (std::size_t i = 0; i < b.size(); ++i) {
      if (!std::isfinite(b[i])) {
        EXPECT_TRUE(std::isnan(b[i]) ? std::isnan(a[i]) : a[i] == b[i]) << i << ": " << a[i] << ", expected " << b[i];
        continue;
      }
      if (!std::isfinite(a[i])) return INFINITY;
      most = std::max<double>(most, std::abs(a[i] - b[i]));
      largest = std::max<double>(largest, std::abs(b[i]));
    }
    return most / largest;
  }
  // Plain loops round as well.
  static double tolerance(Precision precision) {
    return precision == Precision::highest ? 2e-6 : precision == Precision::high ? 2e-5 : 1e-2;
  }

  AmxEmulator emulator_;
};

TEST_P(SplitConv, AgreesWithPlainLoops) {
  for (Tail tail : {Tail::none, Tail::residual_relu, Tail::swish_mul}) {
    OpTest t({plain_conv_rows, elementwise_rows});
    build(t, GetParam(), tail, random_tensor(GetParam().x, 1));
    const Results expected = t.run({.plain = true});
    ASSERT_EQ(expected.error, "");
    for (Precision precision : {Precision::highest, Precision::high, Precision::medium})
      for (std::int32_t block : {0, 16}) {
        // One shape of what follows is enough for each precision.
        if (precision != Precision::high && block == 0 && tail != Tail::none) continue;
        Results first;
        for (std::uint32_t workers : {1u, 3u}) {
          const Results r = t.run({.isa = Isa::amx, .workers = workers, .fuse = true, .block = block, .inplace = workers == 3, .precision = precision});
          ASSERT_EQ(r.error, "");
          if (precision == Precision::high) {
            EXPECT_EQ(r.steps[0] == "conv.split", GetParam().tiles) << r.steps[0];
          }
          EXPECT_LE(error(r["y"], expected["y"]), tolerance(precision))
              << "tail " << static_cast<int>(tail) << " block " << block << " precision " << static_cast<int>(precision) << " " << r.steps[0];
          if (workers == 1) first = r;
          else EXPECT_EQ(r["y"].bytes, first["y"].bytes) << "workers change the result";
        }
      }
  }
}

const Attr pads("pads", Dims{1, 1, 1, 1});
INSTANTIATE_TEST_SUITE_P(
    Cpu, SplitConv,
    testing::Values(Case{"pointwise", {1, 64, 4, 8}, {48, 64, 1, 1}, {1, 48, 4, 8}},
                    Case{"pointwise_strided", {2, 32, 7, 9}, {32, 32, 1, 1}, {2, 32, 4, 5}, {{"strides", Dims{2, 2}}}},
                    Case{"padded", {1, 32, 6, 14}, {48, 32, 3, 3}, {1, 48, 6, 14}, {pads}},
                    Case{"some_channels", {1, 40, 5, 15}, {20, 40, 3, 3}, {1, 20, 5, 15}, {pads}, false},
                    Case{"strided", {1, 32, 9, 29}, {32, 32, 3, 3}, {1, 32, 5, 15}, {pads, {"strides", Dims{2, 2}}}},
                    Case{"uneven", {1, 32, 6, 31}, {16, 32, 2, 4}, {1, 16, 2, 15}, {{"strides", Dims{3, 2}}, {"pads", Dims{1, 1, 0, 1}}}},
                    Case{"spread", {1, 32, 8, 14}, {32, 32, 3, 3}, {1, 32, 8, 14}, {{"pads", Dims{2, 2, 2, 2}}, {"dilations", Dims{2, 2}}}},
                    Case{"groups", {1, 64, 4, 14}, {64, 32, 3, 3}, {1, 64, 4, 14}, {pads, {"group", 2}}},
                    Case{"colours", {1, 3, 9, 34}, {32, 3, 7, 7}, {1, 32, 5, 17}, {{"pads", Dims{3, 3, 3, 3}}, {"strides", Dims{2, 2}}}},
                    Case{"few_channels", {1, 10, 6, 15}, {16, 10, 3, 3}, {1, 16, 6, 15}, {pads}},
                    Case{"line", {2, 32, 40}, {32, 32, 3}, {2, 32, 40}, {{"pads", Dims{1, 1}}}},
                    Case{"small_image", {1, 32, 3, 3}, {32, 32, 3, 3}, {1, 32, 3, 3}, {pads}}),
    [](const auto& info) { return std::string(info.param.name); });

// Numbers from 2^-60 to 2^60, and what is close to the largest: no part may overflow, and nothing but what float32 loses is lost.
TEST_P(SplitConv, WideRangesKeepTheirPrecision) {
  Tensor x = random_tensor(GetParam().x, 5);
  std::vector<float> numbers = x.as<float>();
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = std::ldexp(numbers[i], static_cast<int>(i * 37 % 121) - 60);
  OpTest t({plain_conv_rows, elementwise_rows});
  build(t, GetParam(), Tail::none, tensor<float>(GetParam().x, numbers));
  const Results expected = t.run({.plain = true});
  for (Precision precision : {Precision::highest, Precision::high}) {
    const Results r = t.run({.isa = Isa::amx, .fuse = true, .block = 16, .precision = precision});
    ASSERT_EQ(r.error, "");
    EXPECT_LE(error(r["y"], expected["y"]), tolerance(precision));
  }
}

TEST_P(SplitConv, InfinitiesReachTheirWindowsOnly) {
  std::vector<float> numbers = random_tensor(GetParam().x, 1).as<float>();
  numbers[3] = NAN, numbers[numbers.size() / 2] = INFINITY, numbers[numbers.size() - 2] = -std::numeric_limits<float>::max();
  OpTest t({plain_conv_rows, elementwise_rows});
  build(t, GetParam(), Tail::none, tensor<float>(GetParam().x, numbers));
  const Results expected = t.run({.plain = true});
  const Results r = t.run({.isa = Isa::amx, .fuse = true, .block = 16, .precision = Precision::high});
  ASSERT_EQ(r.error, "");
  EXPECT_LE(error(r["y"], expected["y"]), 1e-4);
}

// A residual block, a strided one and a classifier, through compile and plan as the session has them.
TEST(SplitNetwork, AgreesWithThePlainProgram) {
  if (detect_isa() < Isa::avx512_bf16) GTEST_SKIP() << "numbers are split with AVX512_BF16, which this processor lacks";
  const AmxEmulator emulator;
  OpTest t({});
  t.input("x", random_tensor({1, 3, 16, 28}, 1));
  std::uint32_t seed = 10;
  const auto conv = [&](const char* from, const char* to, Dims w, Dims y, std::vector<Attr> attributes) {
    Tensor weights = random_tensor(w, ++seed);
    std::vector<float> numbers = weights.as<float>();
    for (float& v : numbers) v /= std::sqrt(static_cast<float>(w[1] * w[2] * w[3]));
    t.constant(std::string(to) + "_w", tensor<float>(w, numbers));
    t.constant(std::string(to) + "_b", random_tensor({w[0]}, ++seed));
    t.value(to, TENON_DTYPE_FLOAT, y);
    t.node("Conv", {from, std::string(to) + "_w", std::string(to) + "_b"}, {to}, std::move(attributes));
  };
  const auto relu = [&](const char* from, const char* to, Dims y) {
    t.value(to, TENON_DTYPE_FLOAT, y);
    t.node("Relu", {from}, {to});
  };
  conv("x", "c0", {32, 3, 3, 3}, {1, 32, 8, 14}, {pads, {"strides", Dims{2, 2}}});
  relu("c0", "r0", {1, 32, 8, 14});
  conv("r0", "c1", {32, 32, 3, 3}, {1, 32, 8, 14}, {pads});
  relu("c1", "r1", {1, 32, 8, 14});
  conv("r1", "c2", {32, 32, 1, 1}, {1, 32, 8, 14}, {});
  t.value("sum", TENON_DTYPE_FLOAT, {1, 32, 8, 14});
  t.node("Add", {"c2", "r0"}, {"sum"});
  relu("sum", "r2", {1, 32, 8, 14});
  conv("r2", "c3", {48, 32, 3, 3}, {1, 48, 4, 7}, {pads, {"strides", Dims{2, 2}}});
  t.value("pooled", TENON_DTYPE_FLOAT, {1, 48, 1, 1});
  t.node("GlobalAveragePool", {"c3"}, {"pooled"});
  t.value("flat", TENON_DTYPE_FLOAT, {1, 48});
  t.node("Flatten", {"pooled"}, {"flat"});
  t.constant("fc", random_tensor({48, 10}, 30));
  t.value("y", TENON_DTYPE_FLOAT, {1, 10});
  t.node("MatMul", {"flat", "fc"}, {"y"});

  const std::vector<float> expected = run_program(t, {"y"}, {.plain = true})["y"].as<float>();
  float largest = 0;
  for (float v : expected) largest = std::max(largest, std::abs(v));
  for (Precision precision : {Precision::highest, Precision::high, Precision::medium}) {
    std::vector<char> first;
    for (std::uint32_t workers : {1u, 3u}) {
      const ProgramResults found = run_program(t, {"y"}, {.isa = Isa::amx, .workers = workers, .precision = precision});
      ASSERT_EQ(found.error, "");
      EXPECT_THAT(found.step_names(), testing::HasSubstr("conv.split"));
      const std::vector<float> y = found["y"].as<float>();
      const float tolerance = precision == Precision::highest ? 2e-6f : precision == Precision::high ? 2e-5f : 2e-2f;
      for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], expected[i], tolerance * largest) << static_cast<int>(precision);
      if (workers == 1) first = found["y"].bytes;
      else EXPECT_EQ(found["y"].bytes, first);
    }
  }
}

}  // namespace
}  // namespace tenon::cpu::test
