#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "plugins/cpu/ops/cast.h"
#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();

Results cast(const Tensor& x, std::int32_t to, const std::vector<Attr>& attributes = {}, const std::string& op = "Cast",
             RunOptions options = {}) {
  OpTest t({elementwise_rows});
  t.input("x", x);
  t.value("y", to, x.dims);
  std::vector<Attr> all = attributes;
  if (op != "CastLike") all.emplace_back("to", to);
  if (op == "CastLike") t.input("like", Tensor{to, {0}, {}, {}});
  t.node(op, op == "CastLike" ? std::vector<std::string>{"x", "like"} : std::vector<std::string>{"x"}, {"y"}, all);
  return t.run(options);
}
template <class T, class S>
std::vector<T> casted(const std::vector<S>& x, std::int32_t to = dtype_of<T>(), const std::vector<Attr>& attributes = {}) {
  const Results r = cast(tensor<S>({static_cast<std::int64_t>(x.size())}, x), to, attributes);
  EXPECT_EQ(r.error, "");
  return r.error.empty() ? r["y"].as<T>() : std::vector<T>{};
}

// ---- plain numbers ----------------------------------------------------------------------------------------------------

TEST(Cast, FloatToIntegerTruncatesAndIsDefinedEverywhere) {
  const std::vector<float> x = {-1.9f, 300.5f, 3e9f, -3e9f, nan, inf, 1e20f};
  EXPECT_THAT(casted<std::uint8_t>(x), ElementsAre(255, 44, 0, 0, 0, 0, 0));
  EXPECT_THAT(casted<std::int8_t>(x), ElementsAre(-1, 44, 0, 0, 0, 0, 0));
  EXPECT_THAT(casted<std::int32_t>(x), ElementsAre(-1, 300, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN));
  EXPECT_THAT(casted<std::uint32_t>(x), ElementsAre(4294967295u, 300u, 3000000000u, static_cast<std::uint32_t>(-3000000000ll), 0u, 0u, 0u));
  EXPECT_THAT(casted<std::int64_t>(x), ElementsAre(-1, 300, 3000000000ll, -3000000000ll, INT64_MIN, INT64_MIN, INT64_MIN));
  EXPECT_THAT(casted<std::uint64_t>(std::vector<float>{-1, 300.5f, 1e19f, 1e20f, nan}),
              ElementsAre(UINT64_MAX, 300u, 9999999980506447872u, 0u, std::uint64_t{1} << 63));
  EXPECT_THAT(casted<std::int32_t>(std::vector<double>{-2147483648.9, 2147483647.9, 2147483648.0}),
              ElementsAre(INT32_MIN, INT32_MAX, INT32_MIN));
}

TEST(Cast, IntegersWrapAndBoolsAreNotZero) {
  EXPECT_THAT(casted<std::int8_t>(std::vector<std::int16_t>{200, -200, 5}), ElementsAre(-56, 56, 5));
  EXPECT_THAT(casted<std::uint64_t>(std::vector<std::int32_t>{-1}), ElementsAre(UINT64_MAX));
  EXPECT_THAT(casted<bool>(std::vector<float>{0, -0.0f, 0.1f, nan}), ElementsAre(false, false, true, true));
  EXPECT_THAT(casted<bool>(std::vector<std::int64_t>{0, 256}), ElementsAre(false, true));
  EXPECT_THAT(casted<float>(std::vector<bool>{true, false}), ElementsAre(1, 0));
  EXPECT_THAT(casted<float>(std::vector<std::int64_t>{(1ll << 53) + 1, 16777217}), ElementsAre(9007199254740992.0f, 16777216.0f));
  EXPECT_THAT(casted<float>(std::vector<double>{1e300, 0.1}), ElementsAre(inf, 0.1f));
}

TEST(Cast, EmptyManyWorkersAndSameType) {
  for (const RunOptions& way : {RunOptions{}, RunOptions{.isa = detect_isa(), .workers = 3, .inplace = true}, RunOptions{.plain = true}}) {
    const Results none = cast(tensor<float>({0, 3}, {}), TENON_DTYPE_INT32, {}, "Cast", way);
    EXPECT_EQ(none.error, "");
    const auto x = random_tensor({3, 5000}, 1);
    const auto y = cast(x, TENON_DTYPE_DOUBLE, {}, "Cast", way)["y"].as<double>();
    const auto h = cast(x, TENON_DTYPE_FLOAT16, {}, "CastLike", way)["y"].as<std::uint16_t>();
    const auto p = cast(x, TENON_DTYPE_INT4, {}, "Cast", way)["y"].as<std::uint8_t>();
    EXPECT_THAT(y, ElementsAreArray(x.as<float>()));
    EXPECT_EQ(h.size(), y.size());
    EXPECT_EQ(p.size(), y.size() / 2);
    EXPECT_EQ(cast(x, TENON_DTYPE_FLOAT, {}, "Cast", way)["y"].as<float>(), x.as<float>());
  }
}

// ---- half types -------------------------------------------------------------------------------------------------------

std::vector<float> hard_floats() {
  std::vector<float> x = {
      0,       -0.0f, 1,        65504,   65519.996f, 65520, 1e-8f, 2.98e-8f, 2.9802322e-8f, 2.9802326e-8f, 5.9604645e-8f,
      6.1e-5f, 1e38f, 3.39e38f, 3.4e38f, inf,        -inf,  1e-40f};
  std::uint32_t seed = 1;
  for (int i = 0; i < 30000; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const float f = std::bit_cast<float>(seed ^ (seed << 13));
    if (f == f) x.push_back(f);
  }
  for (std::uint32_t i = 0; i < 0x7c00; i += 13) x.push_back(std::bit_cast<float>((i << 13) + 0x38000000u + 0x1000u));  // ties
  return x;
}

TEST(Cast, HalfTypesRoundToNearestEven) {
  const auto x = hard_floats();
  const auto n = static_cast<std::int64_t>(x.size());
  for (const Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    const HalfKernels& k = half_kernels(isa);
    std::vector<std::uint16_t> f16(x.size()), bf16(x.size());
    std::vector<float> r16(x.size()), rb16(x.size()), wide(x.size());
    k.narrow_float16(x.data(), f16.data(), n), k.narrow_bfloat16(x.data(), bf16.data(), n);
    k.round_float16(x.data(), r16.data(), n), k.round_bfloat16(x.data(), rb16.data(), n);
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(f16[i], std::bit_cast<std::uint16_t>(static_cast<_Float16>(x[i]))) << x[i];
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(x[i]);
      ASSERT_EQ(bf16[i], static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)) << x[i];
      ASSERT_EQ(r16[i], static_cast<float>(static_cast<_Float16>(x[i])));
    }
    k.widen_float16(f16.data(), wide.data(), n);
    EXPECT_EQ(wide, r16);
    k.widen_bfloat16(bf16.data(), wide.data(), n);
    EXPECT_EQ(wide, rb16);
    const float not_a_number[] = {nan};
    std::uint16_t h;
    k.narrow_float16(not_a_number, &h, 1);
    EXPECT_GT(h & 0x7fff, 0x7c00);
    k.narrow_bfloat16(not_a_number, &h, 1);
    EXPECT_GT(h & 0x7fff, 0x7f80);
  }
}

TEST(Cast, HalfTypesRoundOnceFromWiderTypes) {
  // To float32 first, the doubles would end in a tie.
  EXPECT_THAT(casted<std::uint16_t>(std::vector<double>{1 + std::ldexp(1.0, -11) + std::ldexp(1.0, -40), 1 + std::ldexp(1.0, -11)},
                                    TENON_DTYPE_FLOAT16),
              ElementsAre(0x3c01, 0x3c00));
  EXPECT_THAT(
      casted<std::uint16_t>(std::vector<std::int64_t>{(1ll << 60) + (1ll << 52) + 1, (1ll << 60) + (1ll << 52)}, TENON_DTYPE_BFLOAT16),
      ElementsAre(0x5d81, 0x5d80));
  EXPECT_THAT(casted<std::uint16_t>(std::vector<std::int32_t>{2049, 70000, -3}, TENON_DTYPE_FLOAT16), ElementsAre(0x6800, 0x7c00, 0xc200));
}

TEST(Cast, FromHalfTypes) {
  const Tensor h = tensor<std::uint16_t>({3}, {0x3c00, 0xc500, 0x7c00}, TENON_DTYPE_FLOAT16);
  EXPECT_THAT(cast(h, TENON_DTYPE_FLOAT)["y"].as<float>(), ElementsAre(1, -5, inf));
  EXPECT_THAT(cast(h, TENON_DTYPE_DOUBLE)["y"].as<double>(), ElementsAre(1, -5, inf));
  EXPECT_THAT(cast(h, TENON_DTYPE_BFLOAT16)["y"].as<std::uint16_t>(), ElementsAre(0x3f80, 0xc0a0, 0x7f80));
}

// ---- 8-bit floats and less ---------------------------------------------------------------------------------------------

const std::vector<float> mixed = {nan, inf, -inf, 7, 5, 2.5f, 0.25f, -0.25f, -0.2f, 0.75f, 1e9f, -1e9f, -0.0f};

TEST(Cast, Float8Saturates) {
  EXPECT_THAT(casted<std::uint8_t>(mixed, TENON_DTYPE_FLOAT8E4M3FN),
              ElementsAre(0x7f, 0x7e, 0xfe, 0x4e, 0x4a, 0x42, 0x28, 0xa8, 0xa5, 0x34, 0x7e, 0xfe, 0x80));
  EXPECT_THAT(casted<std::uint8_t>(mixed, TENON_DTYPE_FLOAT8E5M2),
              ElementsAre(0x7e, 0x7b, 0xfb, 0x47, 0x45, 0x41, 0x34, 0xb4, 0xb2, 0x3a, 0x7b, 0xfb, 0x80));
  EXPECT_THAT(casted<std::uint8_t>(mixed, TENON_DTYPE_FLOAT8E4M3FNUZ),
              ElementsAre(0x80, 0x7f, 0xff, 0x56, 0x52, 0x4a, 0x30, 0xb0, 0xad, 0x3c, 0x7f, 0xff, 0));
  EXPECT_THAT(casted<std::uint8_t>(mixed, TENON_DTYPE_FLOAT8E5M2FNUZ),
              ElementsAre(0x80, 0x7f, 0xff, 0x4b, 0x49, 0x45, 0x38, 0xb8, 0xb6, 0x3e, 0x7f, 0xff, 0));
}

TEST(Cast, Float8WithoutSaturation) {
  const std::vector<Attr> no = {{"saturate", 0}};
  EXPECT_THAT(casted<std::uint8_t>(mixed, TENON_DTYPE_FLOAT8E4M3FN, no),
              ElementsAre(0x7f, 0x7f, 0xff, 0x4e, 0x4a, 0x42, 0x28, 0xa8, 0xa5, 0x34, 0x7f, 0xff, 0x80));
  EXPECT_THAT(casted<std::uint8_t>(mixed, TENON_DTYPE_FLOAT8E5M2, no),
              ElementsAre(0x7e, 0x7c, 0xfc, 0x47, 0x45, 0x41, 0x34, 0xb4, 0xb2, 0x3a, 0x7c, 0xfc, 0x80));
  EXPECT_THAT(casted<std::uint8_t>(mixed, TENON_DTYPE_FLOAT8E4M3FNUZ, no),
              ElementsAre(0x80, 0x80, 0x80, 0x56, 0x52, 0x4a, 0x30, 0xb0, 0xad, 0x3c, 0x80, 0x80, 0));
}

TEST(Cast, SmallFloatsComeBack) {
  for (const SmallFloat& f : {float16_format, bfloat16_format, e4m3fn_format, e4m3fnuz_format, e5m2_format, e5m2fnuz_format, e2m1_format})
    for (std::uint32_t bits = 0; bits < 1u << f.bits; ++bits) {
      const double x = decode(f, bits);
      if (std::isnan(x)) continue;
      ASSERT_EQ(encode(f, x, false), bits);
      ASSERT_EQ(encode(f, x, true), std::isfinite(x) ? bits : bits - 1);
    }
  EXPECT_EQ(decode(e4m3fn_format, 0x7e), 448);
  EXPECT_EQ(decode(e4m3fnuz_format, 0x7f), 240);
  EXPECT_EQ(decode(e5m2_format, 0x7b), 57344);
  EXPECT_EQ(decode(e5m2fnuz_format, 0x01), std::ldexp(1.0, -17));
  EXPECT_EQ(decode(e2m1_format, 0xf), -6);
}

TEST(Cast, Float8OverflowIsDecidedAfterRounding) {
  EXPECT_THAT(casted<std::uint8_t>(std::vector<float>{463, 464, 465}, TENON_DTYPE_FLOAT8E4M3FN, {{"saturate", 0}}),
              ElementsAre(0x7e, 0x7e, 0x7f));
  EXPECT_THAT(casted<std::uint8_t>(std::vector<float>{61439, 61440}, TENON_DTYPE_FLOAT8E5M2, {{"saturate", 0}}), ElementsAre(0x7b, 0x7c));
}

TEST(Cast, PowersOfTwo) {
  const std::vector<float> x = {1, 1.5f, 1.25f, 3, inf, nan, 1e-45f, 3.4e38f};
  EXPECT_THAT(casted<std::uint8_t>(x, TENON_DTYPE_FLOAT8E8M0), ElementsAre(127, 128, 128, 129, 255, 255, 1, 254));
  EXPECT_THAT(casted<std::uint8_t>(x, TENON_DTYPE_FLOAT8E8M0, {{"round_mode", "down"}}), ElementsAre(127, 127, 127, 128, 255, 255, 0, 254));
  EXPECT_THAT(casted<std::uint8_t>(x, TENON_DTYPE_FLOAT8E8M0, {{"round_mode", "nearest"}, {"saturate", 0}}),
              ElementsAre(127, 128, 127, 129, 255, 255, 0, 255));
  const auto back = cast(tensor<std::uint8_t>({3}, {127, 0, 254}, TENON_DTYPE_FLOAT8E8M0), TENON_DTYPE_FLOAT)["y"].as<float>();
  EXPECT_THAT(back, ElementsAre(1, std::ldexp(1.0f, -127), std::ldexp(1.0f, 127)));
}

TEST(Cast, PackedTypes) {
  const std::vector<float> x = {200.7f, -3.9f, 7.6f, 8.2f, -9, 15.9f, nan};
  EXPECT_THAT(casted<std::uint8_t>(x, TENON_DTYPE_INT4), ElementsAre(0xd8, 0x87, 0xf7, 0x00));
  EXPECT_THAT(casted<std::uint8_t>(x, TENON_DTYPE_UINT4), ElementsAre(0xd8, 0x87, 0xf7, 0x00));
  EXPECT_THAT(casted<std::uint8_t>(x, TENON_DTYPE_UINT2), ElementsAre(0b00110100, 0b00001111));
  const Tensor i4 = tensor<std::uint8_t>({3}, {0xd8, 0x07}, TENON_DTYPE_INT4),
               u2 = tensor<std::uint8_t>({5}, {0b11100100, 2}, TENON_DTYPE_UINT2);
  EXPECT_THAT(cast(i4, TENON_DTYPE_INT32)["y"].as<std::int32_t>(), ElementsAre(-8, -3, 7));
  EXPECT_THAT(cast(u2, TENON_DTYPE_FLOAT)["y"].as<float>(), ElementsAre(0, 1, 2, 3, 2));
  EXPECT_THAT(cast(tensor<std::uint8_t>({5}, {0b11100100, 2}, TENON_DTYPE_INT2), TENON_DTYPE_INT8)["y"].as<std::int8_t>(),
              ElementsAre(0, 1, -2, -1, -2));
  EXPECT_THAT(cast(i4, TENON_DTYPE_UINT4)["y"].as<std::uint8_t>(), ElementsAre(0xd8, 0x07));
  EXPECT_THAT(casted<std::uint8_t>(std::vector<float>{nan, inf, -inf, 7, 5, 2.5f, 0.25f, -0.2f, 0.75f}, TENON_DTYPE_FLOAT4E2M1),
              ElementsAre(0x78, 0x7f, 0x46, 0x80, 0x02));
  EXPECT_THAT(cast(tensor<std::uint8_t>({3}, {0x7f, 0x01}, TENON_DTYPE_FLOAT4E2M1), TENON_DTYPE_FLOAT16)["y"].as<std::uint16_t>(),
              ElementsAre(0xc600, 0x4600, 0x3800));
}

// ---- strings ----------------------------------------------------------------------------------------------------------

std::vector<std::string> texts(const Tensor& x) { return cast(x, TENON_DTYPE_STRING)["y"].strings; }

TEST(Cast, NumbersAsText) {
  EXPECT_THAT(texts(tensor<float>({11}, {0.1f, 1, -0.0f, inf, -inf, nan, 123.25f, 1e-5f, 3.4e38f, 1.0f / 3, 1234567.8f})),
              ElementsAre("0.1", "1.0", "-0.0", "inf", "-inf", "nan", "123.25", "1e-05", "3.4e+38", "0.33333334", "1234567.8"));
  EXPECT_THAT(texts(tensor<double>({5}, {0.1, 1e16, 1e15, 0.0001, 1.5e-7})),
              ElementsAre("0.1", "1e+16", "1000000000000000.0", "0.0001", "1.5e-07"));
  EXPECT_THAT(texts(tensor<std::int64_t>({2}, {INT64_MIN, 5})), ElementsAre("-9223372036854775808", "5"));
  EXPECT_THAT(texts(tensor<bool>({2}, {true, false})), ElementsAre("True", "False"));
  EXPECT_THAT(texts(tensor<std::uint16_t>({3}, {0x2e66, 0x3555, 0x7bff}, TENON_DTYPE_FLOAT16)), ElementsAre("0.1", "0.3333", "65500.0"));
  EXPECT_THAT(texts(tensor<std::uint8_t>({2}, {0x7e, 0x1d}, TENON_DTYPE_FLOAT8E4M3FN)), ElementsAre("450.0", "0.1"));
  EXPECT_THAT(texts(tensor<std::uint8_t>({2}, {0xd8}, TENON_DTYPE_INT4)), ElementsAre("-8", "-3"));
}

TEST(Cast, TextAsNumbers) {
  const Tensor x = tensor<std::string>({10}, {"3.14", "1e-5", "1E8", "+INF", "-inf", "NaN", " 7 ", "1e400", "1e-400", "-0.5"});
  const auto y = cast(x, TENON_DTYPE_FLOAT)["y"].as<float>();
  EXPECT_EQ(y[5] != y[5], true);
  EXPECT_THAT(std::vector<float>(y.begin(), y.begin() + 5), ElementsAre(3.14f, 1e-5f, 1e8f, inf, -inf));
  EXPECT_THAT(std::vector<float>(y.begin() + 6, y.end()), ElementsAre(7, inf, 0, -0.5f));
  const Tensor whole = tensor<std::string>({4}, {"9223372036854775807", "-5", "100.5", "+12"});
  EXPECT_THAT(cast(whole, TENON_DTYPE_INT64)["y"].as<std::int64_t>(), ElementsAre(INT64_MAX, -5, 100, 12));
  EXPECT_THAT(cast(tensor<std::string>({4}, {"True", "0", "2", "false"}), TENON_DTYPE_BOOL)["y"].as<bool>(),
              ElementsAre(true, false, true, false));
  EXPECT_THAT(cast(tensor<std::string>({2}, {"0.1", "65520"}), TENON_DTYPE_FLOAT16)["y"].as<std::uint16_t>(), ElementsAre(0x2e66, 0x7c00));
  EXPECT_THAT(cast(tensor<std::string>({3}, {"1", "-2", "7"}), TENON_DTYPE_INT4)["y"].as<std::uint8_t>(), ElementsAre(0xe1, 0x07));
  EXPECT_THAT(texts(tensor<std::string>({2}, {"a", ""})), ElementsAre("a", ""));
}

TEST(Cast, TextThatIsNoNumberFails) {
  for (const char* bad : {"Hello World!", "", "1.2.3", "--1", "+-1", "0x10", "e5", "."}) {
    const Results r = cast(tensor<std::string>({1}, {bad}), TENON_DTYPE_FLOAT);
    EXPECT_EQ(r.code, TENON_INVALID_ARGUMENT) << bad;
  }
}

// ---- BitCast ----------------------------------------------------------------------------------------------------------

TEST(BitCast, SameBits) {
  EXPECT_THAT(cast(tensor<float>({2}, {1, -2}), TENON_DTYPE_UINT32, {}, "BitCast")["y"].as<std::uint32_t>(),
              ElementsAre(0x3f800000u, 0xc0000000u));
  EXPECT_THAT(
      cast(tensor<std::uint16_t>({2}, {0x3c00, 0xfbff}, TENON_DTYPE_FLOAT16), TENON_DTYPE_UINT16, {}, "BitCast")["y"].as<std::uint16_t>(),
      ElementsAre(0x3c00, 0xfbff));
  EXPECT_THAT(cast(tensor<std::uint16_t>({2}, {0x3c00, 0xfbff}), TENON_DTYPE_BFLOAT16, {}, "BitCast")["y"].as<std::uint16_t>(),
              ElementsAre(0x3c00, 0xfbff));
  EXPECT_THAT(
      cast(tensor<std::uint16_t>({2}, {0x3c00, 0xfbff}, TENON_DTYPE_FLOAT16), TENON_DTYPE_BFLOAT16, {}, "BitCast")["y"].as<std::uint16_t>(),
      ElementsAre(0x3c00, 0xfbff));
  EXPECT_THAT(cast(tensor<bool>({2}, {true, false}), TENON_DTYPE_UINT8, {}, "BitCast")["y"].as<std::uint8_t>(), ElementsAre(1, 0));
  EXPECT_THAT(cast(tensor<float>({1}, {1}), TENON_DTYPE_DOUBLE, {}, "BitCast").error, testing::StartsWith("refused"));
}

TEST(Convert, AtTheBorder) {
  EXPECT_NE(make_convert(TENON_DTYPE_FLOAT16, TENON_DTYPE_FLOAT), nullptr);
  EXPECT_NE(make_convert(TENON_DTYPE_FLOAT, TENON_DTYPE_BFLOAT16), nullptr);
}

}  // namespace
}  // namespace tenon::cpu::test
