// SmallFloat: formats of 4, 6, 8 and 16 bits, exactly to and from double.
//
// Rounds once, to the nearest, ties to even, from a double; every number of these formats, float32 included, is a double.
// Constants and pure functions; any thread.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace tenon::cpu {

struct SmallFloat {
  int bits, mantissa_bits, bias;
  std::uint32_t max;       // the largest finite number's bits, without the sign
  std::uint32_t infinity;  // 0: has none
  std::uint32_t nan;       // without the sign, unless unsigned_zero
  bool unsigned_zero;      // the bits of -0 are the only NaN
};

inline constexpr SmallFloat float16_format{16, 10, 15, 0x7bff, 0x7c00, 0x7e00, false};
inline constexpr SmallFloat bfloat16_format{16, 7, 127, 0x7f7f, 0x7f80, 0x7fc0, false};
inline constexpr SmallFloat e4m3fn_format{8, 3, 7, 0x7e, 0, 0x7f, false};
inline constexpr SmallFloat e4m3fnuz_format{8, 3, 8, 0x7f, 0, 0x80, true};
inline constexpr SmallFloat e5m2_format{8, 2, 15, 0x7b, 0x7c, 0x7e, false};
inline constexpr SmallFloat e5m2fnuz_format{8, 2, 16, 0x7f, 0, 0x80, true};
// These have no NaN: it becomes -0, as in ml_dtypes.
inline constexpr SmallFloat e2m1_format{4, 1, 1, 0x7, 0, 0, false};
inline constexpr SmallFloat e2m3_format{6, 3, 1, 0x1f, 0, 0, false};
inline constexpr SmallFloat e3m2_format{6, 2, 3, 0x1f, 0, 0, false};

// saturate: what is too large, infinities included, becomes the largest number; otherwise infinity, or NaN where there is none.
constexpr std::uint32_t encode(const SmallFloat& f, double x, bool saturate) {
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x), magnitude = bits & ~(std::uint64_t{1} << 63);
  const std::uint32_t sign = static_cast<std::uint32_t>(bits >> 63) << (f.bits - 1);
  constexpr std::uint64_t infinite = std::uint64_t{0x7ff} << 52;
  if (magnitude > infinite) return f.unsigned_zero ? f.nan : f.nan == 0 ? 1u << (f.bits - 1) : sign | f.nan;
  const int exponent = static_cast<int>(magnitude >> 52) - 1023 + f.bias;
  std::uint32_t code;
  if (magnitude == infinite || exponent >= 1 << (f.bits - 1 - f.mantissa_bits)) {
    code = f.max + 1;
  } else {
    const int drop = 52 - f.mantissa_bits + (exponent < 1 ? 1 - exponent : 0);
    if (drop > 53) {
      code = 0;  // below half of the smallest number
    } else {
      const std::uint64_t whole = (magnitude & ((std::uint64_t{1} << 52) - 1)) | std::uint64_t{1} << 52;
      std::uint64_t kept = whole >> drop;
      const std::uint64_t rest = whole & ((std::uint64_t{1} << drop) - 1), half = std::uint64_t{1} << (drop - 1);
      kept += rest > half || (rest == half && (kept & 1));
      code = static_cast<std::uint32_t>(kept) + (exponent < 1 ? 0 : static_cast<std::uint32_t>(exponent - 1) << f.mantissa_bits);
    }
  }
  if (code > f.max) code = saturate ? f.max : f.infinity ? f.infinity : f.nan;
  if (f.unsigned_zero && (code == 0 || code == f.nan)) return code;
  return sign | code;
}

constexpr double decode(const SmallFloat& f, std::uint32_t bits) {
  const std::uint32_t code = bits & ((1u << (f.bits - 1)) - 1), mantissa = code & ((1u << f.mantissa_bits) - 1);
  const bool negative = bits >> (f.bits - 1) & 1;
  const int exponent = static_cast<int>(code >> f.mantissa_bits);
  constexpr double nan = std::bit_cast<double>(std::uint64_t{0x7ff8} << 48), infinity = std::bit_cast<double>(std::uint64_t{0x7ff0} << 48);
  if (f.unsigned_zero && bits == f.nan) return nan;
  if (code > f.max) return code != f.infinity || !f.infinity ? nan : negative ? -infinity : infinity;
  const int power = (exponent ? exponent : 1) - f.bias - f.mantissa_bits;
  const double scale = std::bit_cast<double>(static_cast<std::uint64_t>(power + 1023) << 52);
  const double value = static_cast<double>(exponent ? mantissa | 1u << f.mantissa_bits : mantissa) * scale;
  return negative ? -value : value;
}

// An 8-bit exponent and nothing else: 2^(bits - 127); 255 is NaN.
enum class PowerRounding : std::uint8_t { up, down, nearest };
constexpr std::uint32_t encode_power(float x, bool saturate, PowerRounding rounding) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x), exponent = bits >> 23 & 0xff, fraction = bits & 0x7fffff;
  if (exponent == 0xff) return 0xff;
  bool up = false;
  if (rounding == PowerRounding::up) up = fraction != 0;
  if (rounding == PowerRounding::nearest) up = (fraction & 0x400000) && ((fraction & 0x3fffff) || exponent > 0);
  return up && !(saturate && exponent == 0xfe) ? exponent + 1 : exponent;
}
constexpr double decode_power(std::uint32_t bits) {
  if (bits == 0xff) return std::bit_cast<double>(std::uint64_t{0x7ff8} << 48);
  return std::bit_cast<double>(static_cast<std::uint64_t>(bits + 1023 - 127) << 52);
}

// An integer of 64 bits as a double that rounds to fewer than 50 bits as the integer would: lost bits are kept as one sticky bit.
template <class T>
constexpr double sticky_double(T x) {
  const bool negative = x < 0;
  const auto u = static_cast<std::uint64_t>(x);
  std::uint64_t magnitude = negative ? 0 - u : u;
  if (magnitude >> 53) magnitude = (magnitude & ~std::uint64_t{0xfff}) | (magnitude & 0xfff ? 0x1000 : 0);
  return negative ? -static_cast<double>(magnitude) : static_cast<double>(magnitude);
}

}  // namespace tenon::cpu
