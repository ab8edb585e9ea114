// Types that are rare: float8, float4 and integers of 2 and 4 bits in QuantizeLinear and DequantizeLinear; narrow integers in
// Einsum and Col2Im.
#include "tests/unit/cpu/family_check.h"

namespace tenon::cpu::test {
namespace {

using testing::ElementsAre;
using Bytes = std::vector<std::uint8_t>;

// One QuantizeLinear with a scalar scale unless given.
struct Quantize {
  std::int32_t to;
  std::vector<float> x;
  Tensor scale = tensor<float>({}, {1.0f});
  std::vector<std::int64_t> dims = {};
  std::vector<Attr> attributes = {};

  Bytes run(std::uint32_t workers = 1) const {
    OpTest t({quantize_rows});
    const std::vector<std::int64_t> shape = dims.empty() ? std::vector<std::int64_t>{static_cast<std::int64_t>(x.size())} : dims;
    t.input("x", tensor<float>(shape, x));
    t.constant("s", scale);
    t.value("y", to, shape);
    t.node("QuantizeLinear", {"x", "s"}, {"y"}, attributes);
    const Results r = t.run({.isa = detect_isa(), .workers = workers});
    EXPECT_EQ(r.error, "");
    return r.error.empty() ? r["y"].as<std::uint8_t>() : Bytes{};
  }
};

TEST(SmallTypes, QuantizeToFloat8) {
  const float inf = INFINITY;
  const std::vector<float> x{0, -0.0f, 1, -1, 1000, -inf, 0.5f, NAN};
  EXPECT_THAT((Quantize{TENON_DTYPE_FLOAT8E4M3FN, x}.run()), ElementsAre(0, 0x80, 0x38, 0xb8, 0x7e, 0xfe, 0x30, 0x7f));
  EXPECT_THAT((Quantize{TENON_DTYPE_FLOAT8E5M2, x}.run()), ElementsAre(0, 0x80, 0x3c, 0xbc, 0x64, 0xfb, 0x38, 0x7e));
  EXPECT_THAT((Quantize{TENON_DTYPE_FLOAT8E4M3FNUZ, x}.run()), ElementsAre(0, 0, 0x40, 0xc0, 0x7f, 0xff, 0x38, 0x80));
  // Without saturation what is too large becomes NaN, or infinity where there is one.
  const Quantize without{.to = TENON_DTYPE_FLOAT8E4M3FN, .x = {1000, -inf}, .attributes = {{"saturate", 0}}};
  EXPECT_THAT(without.run(), ElementsAre(0x7f, 0xff));
  const Quantize infinite{.to = TENON_DTYPE_FLOAT8E5M2, .x = {1e6f, -inf}, .attributes = {{"saturate", 0}}};
  EXPECT_THAT(infinite.run(), ElementsAre(0x7c, 0xfc));
}

TEST(SmallTypes, QuantizePacks) {
  EXPECT_THAT((Quantize{TENON_DTYPE_FLOAT4E2M1, {0.5f, 6, -100, 1.25f, 3}}.run()), ElementsAre(0x71, 0x2f, 0x05));
  EXPECT_THAT((Quantize{TENON_DTYPE_INT2, {0, 1, -2, -9, 9}}.run()), ElementsAre(0xa4, 0x01));
  EXPECT_THAT((Quantize{TENON_DTYPE_UINT2, {0, 1, 2, 9, -9, 3}}.run()), ElementsAre(0xe4, 0x0c));
  EXPECT_THAT((Quantize{TENON_DTYPE_INT4, {7, -8, 100}}.run()), ElementsAre(0x87, 0x07));
}

TEST(SmallTypes, ScalesOfBlocksAndAxes) {
  // Blocks that end inside a byte.
  const Quantize blocked{TENON_DTYPE_INT4, {3, 3, 3, 4, 4, 4}, tensor<float>({1, 2}, {1, 2}), {1, 6}, {{"axis", 1}, {"block_size", 3}}};
  EXPECT_THAT(blocked.run(), ElementsAre(0x33, 0x23, 0x22));
  const Quantize columns{TENON_DTYPE_UINT2, {2, 2, 3, 3}, tensor<float>({2}, {1, 2}), {2, 2}, {{"axis", 1}}};
  EXPECT_THAT(columns.run(), ElementsAre(0xb6));
  const Quantize power{TENON_DTYPE_FLOAT8E4M3FN, {4, -4}, tensor<std::uint8_t>({}, {128}, TENON_DTYPE_FLOAT8E8M0)};
  EXPECT_THAT(power.run(), ElementsAre(0x40, 0xc0));  // divided by 2
}

TEST(SmallTypes, WorkersShareNoByte) {
  std::vector<float> x(10001);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
  for (const std::int32_t type : {TENON_DTYPE_INT4, TENON_DTYPE_INT2, TENON_DTYPE_FLOAT4E2M1, TENON_DTYPE_FLOAT8E5M2FNUZ}) {
    const Quantize q{type, x};
    const Bytes one = q.run();
    EXPECT_EQ(one, q.run(3));
    EXPECT_EQ(one, q.run(7));
  }
}

TEST(SmallTypes, Dequantize) {
  struct Given {
    std::int32_t from;
    Bytes x, zero;
    std::vector<float> y;
  };
  const Given cases[] = {
      {TENON_DTYPE_FLOAT8E4M3FN, {0x38, 0xb8, 0x7e}, {}, {2, -2, 896}},
      {TENON_DTYPE_FLOAT8E5M2FNUZ, {0x40, 0x00, 0xc0}, {}, {2, 0, -2}},
      {TENON_DTYPE_FLOAT4E2M1, {0x71, 0x0f}, {}, {1, 12, -12}},
      {TENON_DTYPE_INT2, {0xe4}, {0x01}, {-2, 0, -6}},
      {TENON_DTYPE_UINT2, {0xe4}, {0x01}, {-2, 0, 2}},
      {TENON_DTYPE_UINT4, {0xf0, 0x05}, {0x05}, {-10, 20, 0}},
  };
  for (const Given& given : cases) {
    OpTest t({quantize_rows});
    t.input("x", tensor<std::uint8_t>({3}, given.x, given.from));
    t.constant("s", tensor<float>({}, {2.0f}));
    if (!given.zero.empty()) t.constant("z", tensor<std::uint8_t>({}, given.zero, given.from));
    t.value("y", TENON_DTYPE_FLOAT, {3});
    t.node("DequantizeLinear", {"x", "s", given.zero.empty() ? "" : "z"}, {"y"});
    const Results r = t.run({.isa = detect_isa()});
    ASSERT_EQ(r.error, "") << given.from;
    EXPECT_EQ(r["y"].as<float>(), given.y) << given.from;
  }
}

TEST(SmallTypes, EmptyTensors) {
  for (const std::int32_t type : {TENON_DTYPE_INT2, TENON_DTYPE_FLOAT4E2M1, TENON_DTYPE_FLOAT8E4M3FN}) {
    EXPECT_THAT((Quantize{.to = type, .x = {}, .dims = {2, 0}}.run()), ElementsAre());
  }
}

TEST(NarrowIntegers, EinsumWrapsAround) {
  OpTest t({matmul_rows});
  t.input("a", tensor<std::uint16_t>({2}, {65535, 2}));
  t.input("b", tensor<std::uint16_t>({2}, {65535, 3}));
  t.value("y", TENON_DTYPE_UINT16, {});
  t.node("Einsum", {"a", "b"}, {"y"}, {{"equation", "i,i->"}});
  const Results r = t.run({.isa = detect_isa()});
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["y"].as<std::uint16_t>(), ElementsAre(7));  // 1 + 6
}

TEST(NarrowIntegers, Col2Im) {
  OpTest t({conv_rows});
  t.input("x", tensor<std::int8_t>({1, 2, 2}, {100, 1, 2, 3}));
  t.constant("image", tensor<std::int64_t>({1}, {3}));
  t.constant("block", tensor<std::int64_t>({1}, {2}));
  t.value("y", TENON_DTYPE_INT8, {1, 1, 3});
  t.node("Col2Im", {"x", "image", "block"}, {"y"}, {{"strides", std::vector<std::int64_t>{1}}});
  const Results r = t.run({.isa = detect_isa()});
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["y"].as<std::int8_t>(), ElementsAre(100, 3, 3));
}

}  // namespace
}  // namespace tenon::cpu::test
