#include "sdk/kit/values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

namespace tenon::kit {
namespace {

constexpr std::int32_t dtypes[] = {TENON_DTYPE_FLOAT, TENON_DTYPE_FLOAT16, TENON_DTYPE_BFLOAT16, TENON_DTYPE_DOUBLE,
                                   TENON_DTYPE_INT8,  TENON_DTYPE_UINT8,   TENON_DTYPE_INT16,    TENON_DTYPE_UINT16,
                                   TENON_DTYPE_INT32, TENON_DTYPE_UINT32,  TENON_DTYPE_INT64,    TENON_DTYPE_UINT64,
                                   TENON_DTYPE_BOOL};

bool is_unsigned(std::int32_t dtype) {
  return dtype == TENON_DTYPE_UINT8 || dtype == TENON_DTYPE_UINT16 || dtype == TENON_DTYPE_UINT32 || dtype == TENON_DTYPE_UINT64;
}

float from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25)
                          : std::ldexp(static_cast<float>(mantissa), -24));
}
// Of numbers that float16 holds exactly.
std::uint16_t to_half(float x) {
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (x == 0) return sign;
  int exponent = 0;
  const float fraction = std::frexp(std::fabs(x), &exponent);  // in [0.5, 1)
  return static_cast<std::uint16_t>(sign | (exponent + 14) << 10 | (static_cast<int>(std::lrint(fraction * 2048)) - 1024));
}

template <class Fn>
void with_type(std::int32_t dtype, Fn&& fn) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return fn(float{});
    case TENON_DTYPE_DOUBLE: return fn(double{});
    case TENON_DTYPE_INT8: return fn(std::int8_t{});
    case TENON_DTYPE_UINT8: case TENON_DTYPE_BOOL: return fn(std::uint8_t{});
    case TENON_DTYPE_INT16: return fn(std::int16_t{});
    case TENON_DTYPE_UINT16: case TENON_DTYPE_FLOAT16: case TENON_DTYPE_BFLOAT16: return fn(std::uint16_t{});
    case TENON_DTYPE_INT32: return fn(std::int32_t{});
    case TENON_DTYPE_UINT32: return fn(std::uint32_t{});
    case TENON_DTYPE_INT64: return fn(std::int64_t{});
    case TENON_DTYPE_UINT64: return fn(std::uint64_t{});
    default: throw Error(TENON_UNIMPLEMENTED, fmt::format("the kit has no tensors of {}", tenon_dtype_name(dtype)));
  }
}

std::string dims_text(std::span<const std::int64_t> dims) { return fmt::format("[{}]", fmt::join(dims, ", ")); }

std::string type_difference(const Value& got, const Value& expected) {
  if (got.dtype() != expected.dtype())
    return fmt::format("the output is {}, {} is expected", tenon_dtype_name(got.dtype()), tenon_dtype_name(expected.dtype()));
  if (!std::ranges::equal(got.dims(), expected.dims()))
    return fmt::format("the output has dims {}, {} are expected", dims_text(got.dims()), dims_text(expected.dims()));
  return "";
}

}  // namespace

std::span<const std::int32_t> swept_dtypes() { return dtypes; }
bool is_float(std::int32_t dtype) {
  return dtype == TENON_DTYPE_FLOAT || dtype == TENON_DTYPE_DOUBLE || dtype == TENON_DTYPE_FLOAT16 || dtype == TENON_DTYPE_BFLOAT16;
}

Value tensor_of(std::int32_t dtype, const Dims& dims, const std::vector<double>& elements) {
  Value out = Value::tensor(dtype, dims);
  if (out.count() != elements.size())
    throw Error(TENON_INVALID_ARGUMENT, fmt::format("{} numbers for dims {}", elements.size(), dims_text(dims)));
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    T* to = static_cast<T*>(const_cast<void*>(out.bytes()));
    for (const double x : elements) {
      if (dtype == TENON_DTYPE_FLOAT16) *to = static_cast<T>(to_half(static_cast<float>(x)));
      else if (dtype == TENON_DTYPE_BFLOAT16) *to = static_cast<T>(std::bit_cast<std::uint32_t>(static_cast<float>(x)) >> 16);
      else if (dtype == TENON_DTYPE_BOOL) *to = x != 0;
      else *to = static_cast<T>(x);
      ++to;
    }
  });
  return out;
}

Value random_tensor(Random& random, std::int32_t dtype, const Dims& dims, double lo, double hi) {
  if (is_unsigned(dtype)) lo = std::max(lo, 0.0), hi = std::max(hi, lo);
  const double unit = is_float(dtype) ? 8 : 1;
  std::uniform_int_distribution<std::int64_t> draw(static_cast<std::int64_t>(std::ceil(lo * unit)),
                                                   static_cast<std::int64_t>(std::floor(hi * unit)));
  std::size_t count = 1;
  for (const std::int64_t d : dims) count *= static_cast<std::size_t>(d);
  std::vector<double> elements(count);
  for (double& x : elements)
    x = dtype == TENON_DTYPE_BOOL ? static_cast<double>(random() & 1) : static_cast<double>(draw(random)) / unit;
  return tensor_of(dtype, dims, elements);
}

std::vector<double> numbers_of(const Value& tensor) {
  std::vector<double> out(tensor.count());
  const std::int32_t dtype = tensor.dtype();
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    const T* from = static_cast<const T*>(tensor.bytes());
    for (double& x : out) {
      if (dtype == TENON_DTYPE_FLOAT16) x = from_half(static_cast<std::uint16_t>(*from));
      else if (dtype == TENON_DTYPE_BFLOAT16) x = std::bit_cast<float>(static_cast<std::uint32_t>(*from) << 16);
      else x = static_cast<double>(*from);
      ++from;
    }
  });
  return out;
}

double tolerance_of(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return 1e-4;     // sums in another order, Winograd, approximations of exp and its kin
    case TENON_DTYPE_DOUBLE: return 1e-7;    // some devices take the functions of float32's neighbours
    case TENON_DTYPE_FLOAT16: return 4e-3;   // four units in the last place
    case TENON_DTYPE_BFLOAT16: return 3e-2;  // likewise
    default: return 0;
  }
}

std::string difference(const Value& got, const Value& expected, double tolerance_factor, double whole_steps) {
  if (std::string text = type_difference(got, expected); !text.empty()) return text;
  if (bitwise_difference(got, expected).empty()) return "";
  const std::vector<double> a = numbers_of(got), b = numbers_of(expected);
  double largest = 0;
  for (const double x : b)
    if (std::isfinite(x)) largest = std::max(largest, std::fabs(x));
  const double relative = tolerance_of(got.dtype()) * tolerance_factor;
  const double allowed = is_float(got.dtype()) ? relative * largest : whole_steps;
  std::size_t wrong = 0, worst = 0;
  double by = -1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i]) continue;
    const double d = std::isfinite(a[i]) && std::isfinite(b[i]) ? std::fabs(a[i] - b[i]) : INFINITY;
    if (d <= allowed) continue;
    ++wrong;
    if (d > by) by = d, worst = i;
  }
  if (!wrong) return "";
  return fmt::format("{} of {} elements differ from the oracle's; the worst is element {}: {} is expected within {:.3g}, found {}",
                     wrong, a.size(), worst, b[worst], allowed, a[worst]);
}

std::string bitwise_difference(const Value& got, const Value& expected) {
  if (std::string text = type_difference(got, expected); !text.empty()) return text;
  const auto* a = static_cast<const unsigned char*>(got.bytes());
  const auto* b = static_cast<const unsigned char*>(expected.bytes());
  for (std::size_t i = 0; i < got.size_bytes(); ++i)
    if (a[i] != b[i]) return fmt::format("byte {} of {} is {:#04x}, {:#04x} is expected", i, got.size_bytes(), a[i], b[i]);
  return "";
}

}  // namespace tenon::kit
