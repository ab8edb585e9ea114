#include "sdk/kit/elements.h"

#include <tenon/tenon.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

namespace tenon::kit {
namespace {

// What the largest exponent means.
enum class Top {
  ieee,      // infinity, NaN
  one_nan,   // numbers, but for all ones: NaN
  none,      // numbers
  negative_zero_is_nan,
};

struct Float {
  std::int32_t dtype;
  int sign_bits, exponent_bits, mantissa_bits, bias;
  Top top;
};
constexpr Float floats[] = {
    {TENON_DTYPE_FLOAT16, 1, 5, 10, 15, Top::ieee},
    {TENON_DTYPE_BFLOAT16, 1, 8, 7, 127, Top::ieee},
    {TENON_DTYPE_FLOAT8E4M3FN, 1, 4, 3, 7, Top::one_nan},
    {TENON_DTYPE_FLOAT8E4M3FNUZ, 1, 4, 3, 8, Top::negative_zero_is_nan},
    {TENON_DTYPE_FLOAT8E5M2, 1, 5, 2, 15, Top::ieee},
    {TENON_DTYPE_FLOAT8E5M2FNUZ, 1, 5, 2, 16, Top::negative_zero_is_nan},
    {TENON_DTYPE_FLOAT4E2M1, 1, 2, 1, 1, Top::none},
    {TENON_DTYPE_FLOAT6E2M3, 1, 2, 3, 1, Top::none},
    {TENON_DTYPE_FLOAT6E3M2, 1, 3, 2, 3, Top::none},
    {TENON_DTYPE_FLOAT8E8M0, 0, 8, 0, 127, Top::one_nan},
};

double value(const Float& f, std::uint64_t bits) {
  const std::uint64_t mantissa_ones = (1ull << f.mantissa_bits) - 1, exponent_ones = (1ull << f.exponent_bits) - 1;
  const std::uint64_t mantissa = bits & mantissa_ones, exponent = bits >> f.mantissa_bits & exponent_ones;
  const bool negative = f.sign_bits && bits >> (f.exponent_bits + f.mantissa_bits) & 1;
  const double sign = negative ? -1 : 1, nan = std::numeric_limits<double>::quiet_NaN();
  if (f.top == Top::negative_zero_is_nan && negative && exponent == 0 && mantissa == 0) return nan;
  if (exponent == exponent_ones && f.top == Top::ieee) return mantissa ? nan : sign * std::numeric_limits<double>::infinity();
  if (exponent == exponent_ones && f.top == Top::one_nan && mantissa == mantissa_ones) return nan;
  const bool subnormal = exponent == 0 && f.mantissa_bits > 0;
  const double significand = static_cast<double>(mantissa + (subnormal ? 0 : mantissa_ones + 1));
  return sign * std::ldexp(significand, static_cast<int>(subnormal ? 1 : exponent) - f.bias - f.mantissa_bits);
}

template <class T>
T at(const void* data, std::size_t index) {
  T out;
  std::memcpy(&out, static_cast<const char*>(data) + index * sizeof(T), sizeof(T));
  return out;
}

bool is_signed(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_INT2: case TENON_DTYPE_INT4: case TENON_DTYPE_INT8: case TENON_DTYPE_INT16: case TENON_DTYPE_INT32:
    case TENON_DTYPE_INT64: return true;
    default: return false;
  }
}

}  // namespace

bool is_exact(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_BOOL: case TENON_DTYPE_UINT2: case TENON_DTYPE_UINT4: case TENON_DTYPE_UINT8: case TENON_DTYPE_UINT16:
    case TENON_DTYPE_UINT32: case TENON_DTYPE_UINT64: return true;
    default: return is_signed(dtype);
  }
}

std::uint64_t element_bits(std::int32_t dtype, const void* data, std::size_t index) {
  const auto bits = static_cast<std::size_t>(tenon_dtype_bits(dtype));
  if (bits < 8) {
    const std::size_t in_byte = 8 / bits;
    return static_cast<std::uint64_t>(at<std::uint8_t>(data, index / in_byte)) >> (index % in_byte * bits) & ((1u << bits) - 1);
  }
  std::uint64_t out = 0;
  std::memcpy(&out, static_cast<const char*>(data) + index * (bits / 8), bits / 8);
  return out;
}

std::complex<double> element(std::int32_t dtype, const void* data, std::size_t index) {
  if (dtype == TENON_DTYPE_FLOAT) return at<float>(data, index);
  if (dtype == TENON_DTYPE_DOUBLE) return at<double>(data, index);
  if (dtype == TENON_DTYPE_COMPLEX64) return at<std::complex<float>>(data, index);
  if (dtype == TENON_DTYPE_COMPLEX128) return at<std::complex<double>>(data, index);
  if (is_exact(dtype)) {
    const std::uint64_t bits = element_bits(dtype, data, index);
    if (!is_signed(dtype)) return static_cast<double>(bits);
    const int unused = 64 - tenon_dtype_bits(dtype);
    return static_cast<double>(static_cast<std::int64_t>(bits << unused) >> unused);
  }
  for (const Float& f : floats)
    if (f.dtype == dtype) return value(f, element_bits(dtype, data, index));
  throw std::runtime_error(std::string("no numbers are known for elements of type ") + tenon_dtype_name(dtype));
}

}  // namespace tenon::kit
