#include "sdk/kit/values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <cstring>

#include <fmt/format.h>

#include "sdk/kit/elements.h"

namespace tenon::kit {
namespace {

constexpr std::int32_t dtypes[] = {
    TENON_DTYPE_FLOAT,        TENON_DTYPE_FLOAT16,        TENON_DTYPE_BFLOAT16,   TENON_DTYPE_DOUBLE,         TENON_DTYPE_INT8,
    TENON_DTYPE_UINT8,        TENON_DTYPE_INT16,          TENON_DTYPE_UINT16,     TENON_DTYPE_INT32,          TENON_DTYPE_UINT32,
    TENON_DTYPE_INT64,        TENON_DTYPE_UINT64,         TENON_DTYPE_BOOL,       TENON_DTYPE_STRING,         TENON_DTYPE_COMPLEX64,
    TENON_DTYPE_COMPLEX128,   TENON_DTYPE_FLOAT8E4M3FN,   TENON_DTYPE_FLOAT8E5M2, TENON_DTYPE_FLOAT8E4M3FNUZ, TENON_DTYPE_FLOAT8E5M2FNUZ,
    TENON_DTYPE_FLOAT8E8M0,   TENON_DTYPE_FLOAT4E2M1,     TENON_DTYPE_INT4,       TENON_DTYPE_UINT4,          TENON_DTYPE_INT2,
    TENON_DTYPE_UINT2};
constexpr const char* words[] = {"", "a", "b", "Ab", "ab", "10", "-2.5", "zwölf", "東京", "a text that is longer than any that is kept in place"};

// The smallest and the largest number of an integer type.
std::pair<double, double> range_of(std::int32_t dtype) {
  const int bits = tenon_dtype_bits(dtype);
  const std::uint64_t ones = ~std::uint64_t{0};
  const bool with_sign = element(dtype, &ones, 0).real() < 0;
  return with_sign ? std::pair{-std::ldexp(1.0, bits - 1), std::ldexp(1.0, bits - 1) - 1} : std::pair{0.0, std::ldexp(1.0, bits) - 1};
}

// Every number that a float of at most eight bits can be, with its bits.
std::vector<std::pair<double, std::uint8_t>> numbers_of_small_float(std::int32_t dtype) {
  std::vector<std::pair<double, std::uint8_t>> all;
  for (unsigned code = 0; code < 1u << tenon_dtype_bits(dtype); ++code) {
    const auto bits = static_cast<std::uint8_t>(code);
    if (const double x = element(dtype, &bits, 0).real(); std::isfinite(x)) all.emplace_back(x, bits);
  }
  return all;
}

// Of numbers that float16 holds exactly.
std::uint16_t to_half(float x) {
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (x == 0) return sign;
  int exponent = 0;
  const float fraction = std::frexp(std::fabs(x), &exponent);  // in [0.5, 1)
  return static_cast<std::uint16_t>(sign | (exponent + 14) << 10 | (static_cast<int>(std::lrint(fraction * 2048)) - 1024));
}

// The bits of x, of the nearest number where a small float has no such one.
std::uint64_t bits_of(std::int32_t dtype, double x) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return std::bit_cast<std::uint32_t>(static_cast<float>(x));
    case TENON_DTYPE_DOUBLE: return std::bit_cast<std::uint64_t>(x);
    case TENON_DTYPE_FLOAT16: return to_half(static_cast<float>(x));
    case TENON_DTYPE_BFLOAT16: return std::bit_cast<std::uint32_t>(static_cast<float>(x)) >> 16;
    case TENON_DTYPE_BOOL: return x != 0;
    default: break;
  }
  if (is_exact(dtype)) return static_cast<std::uint64_t>(x < 0 ? static_cast<std::uint64_t>(static_cast<std::int64_t>(x)) : static_cast<std::uint64_t>(x));
  const auto all = numbers_of_small_float(dtype);
  return std::ranges::min_element(all, {}, [&](const auto& n) { return std::fabs(n.first - x); })->second;
}

void store(std::int32_t dtype, void* data, std::size_t index, std::uint64_t bits) {
  const auto width = static_cast<std::size_t>(tenon_dtype_bits(dtype));
  if (width >= 8) {
    std::memcpy(static_cast<char*>(data) + index * (width / 8), &bits, width / 8);
    return;
  }
  const std::size_t in_byte = 8 / width, shift = index % in_byte * width;
  auto& byte = static_cast<std::uint8_t*>(data)[index / in_byte];
  const auto mask = static_cast<std::uint8_t>((1u << width) - 1);
  byte = static_cast<std::uint8_t>((byte & ~(mask << shift)) | (bits & mask) << shift);
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
  if (dtype == TENON_DTYPE_STRING) {
    std::vector<std::string> texts;
    for (const double x : elements) texts.push_back(fmt::format("{}", x));
    return Value::strings(texts, dims);
  }
  void* const data = const_cast<void*>(out.bytes());
  if (out.size_bytes()) std::memset(data, 0, out.size_bytes());
  for (std::size_t i = 0; i < elements.size(); ++i) {
    if (dtype == TENON_DTYPE_COMPLEX64) static_cast<std::complex<float>*>(data)[i] = static_cast<float>(elements[i]);
    else if (dtype == TENON_DTYPE_COMPLEX128) static_cast<std::complex<double>*>(data)[i] = elements[i];
    else store(dtype, data, i, bits_of(dtype, elements[i]));
  }
  return out;
}

Value random_tensor(Random& random, std::int32_t dtype, const Dims& dims, double lo, double hi) {
  std::size_t count = 1;
  for (const std::int64_t d : dims) count *= static_cast<std::size_t>(d);
  if (dtype == TENON_DTYPE_STRING) {
    std::vector<std::string> texts(count);
    for (std::string& text : texts) text = words[random() % std::size(words)];
    return Value::strings(texts, dims);
  }
  if (is_exact(dtype)) {
    const auto [least, most] = range_of(dtype);
    lo = std::clamp(lo, least, most), hi = std::clamp(hi, lo, most);
  }
  const double unit = is_exact(dtype) ? 1 : 8;
  std::uniform_int_distribution<std::int64_t> draw(static_cast<std::int64_t>(std::ceil(lo * unit)),
                                                   static_cast<std::int64_t>(std::floor(hi * unit)));
  std::vector<double> elements(count);
  for (double& x : elements)
    x = dtype == TENON_DTYPE_BOOL ? static_cast<double>(random() & 1) : static_cast<double>(draw(random)) / unit;
  Value out = tensor_of(dtype, dims, elements);
  if (dtype == TENON_DTYPE_COMPLEX64)
    for (std::size_t i = 0; i < count; ++i)
      static_cast<std::complex<float>*>(const_cast<void*>(out.bytes()))[i].imag(static_cast<float>(static_cast<double>(draw(random)) / unit));
  if (dtype == TENON_DTYPE_COMPLEX128)
    for (std::size_t i = 0; i < count; ++i)
      static_cast<std::complex<double>*>(const_cast<void*>(out.bytes()))[i].imag(static_cast<double>(draw(random)) / unit);
  return out;
}

std::vector<double> numbers_of(const Value& tensor) {
  const auto all = tensor.data<double>();
  return {all.begin(), all.end()};
}

void sprinkle_specials(Random& random, const Value& tensor) {
  const std::int32_t dtype = tensor.dtype();
  if (!is_float(dtype)) return;
  const auto width = static_cast<unsigned>(tenon_dtype_bits(dtype));
  const unsigned mantissa = dtype == TENON_DTYPE_FLOAT ? 23 : dtype == TENON_DTYPE_DOUBLE ? 52 : dtype == TENON_DTYPE_FLOAT16 ? 10 : 7;
  const std::uint64_t sign = std::uint64_t{1} << (width - 1), infinity = (sign - 1) >> mantissa << mantissa;
  const std::uint64_t specials[] = {infinity, sign | infinity, infinity | 1ull << (mantissa - 1), sign, infinity - 1, sign | (infinity - 1)};
  for (std::size_t i = 0; i < tensor.count(); ++i)
    if (random() % 3 == 0) store(dtype, const_cast<void*>(tensor.bytes()), i, specials[random() % std::size(specials)]);
}

double tolerance_of(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return 1e-4;     // sums in another order, Winograd, approximations of exp and its kin
    case TENON_DTYPE_DOUBLE: return 1e-7;    // some devices take the functions of float32's neighbours
    case TENON_DTYPE_FLOAT16: return 4e-3;   // four units in the last place
    case TENON_DTYPE_BFLOAT16: return 3e-2;  // likewise
    case TENON_DTYPE_COMPLEX64: return 1e-4;
    case TENON_DTYPE_COMPLEX128: return 1e-7;
    // One unit in the last place: results are rounded once, and may have lain in the middle.
    case TENON_DTYPE_FLOAT8E4M3FN: case TENON_DTYPE_FLOAT8E4M3FNUZ: return 0.125;
    case TENON_DTYPE_FLOAT8E5M2: case TENON_DTYPE_FLOAT8E5M2FNUZ: return 0.25;
    default: return 0;
  }
}

std::string same_type(const Value& got, const Value& expected) {
  if (got.kind() != expected.kind()) return "the output is another kind of value than is expected";
  return got.kind() == TENON_KIND_TENSOR ? type_difference(got, expected) : "";
}

std::string difference(const Value& got, const Value& expected, double tolerance_factor, double whole_steps) {
  if (std::string text = type_difference(got, expected); !text.empty()) return text;
  const std::int32_t dtype = got.dtype();
  if (dtype == TENON_DTYPE_STRING) return bitwise_difference(got, expected);
  const auto at = [dtype](const Value& v, std::size_t i) { return element(dtype, v.bytes(), i); };
  const auto finite = [](std::complex<double> x) { return std::isfinite(x.real()) && std::isfinite(x.imag()); };
  double largest = 0;
  for (std::size_t i = 0; i < expected.count(); ++i)
    if (const std::complex<double> x = at(expected, i); finite(x)) largest = std::max(largest, std::abs(x));
  const double allowed = is_exact(dtype) ? whole_steps : tolerance_of(dtype) * tolerance_factor * largest;
  std::size_t wrong = 0, worst = 0;
  double by = -1;
  for (std::size_t i = 0; i < expected.count(); ++i) {
    if (is_exact(dtype) && element_bits(dtype, got.bytes(), i) == element_bits(dtype, expected.bytes(), i)) continue;
    const std::complex<double> a = at(got, i), b = at(expected, i);
    const auto same = [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); };
    if (!is_exact(dtype) && same(a.real(), b.real()) && same(a.imag(), b.imag())) continue;
    const double d = finite(a) && finite(b) ? std::abs(a - b) : INFINITY;
    if (d <= allowed && d > 0) continue;
    ++wrong;
    if (d > by) by = d, worst = i;
  }
  if (!wrong) return "";
  const auto text = [](std::complex<double> x) {
    return x.imag() == 0 ? fmt::format("{}", x.real()) : fmt::format("{}{:+}i", x.real(), x.imag());
  };
  return fmt::format("{} of {} elements differ from the oracle's; the worst is element {}: {} is expected within {:.3g}, found {}",
                     wrong, expected.count(), worst, text(at(expected, worst)), allowed, text(at(got, worst)));
}

std::string bitwise_difference(const Value& got, const Value& expected) {
  if (std::string text = type_difference(got, expected); !text.empty()) return text;
  if (got.dtype() == TENON_DTYPE_STRING) {
    for (std::size_t i = 0; i < got.count(); ++i)
      if (got.string(i) != expected.string(i))
        return fmt::format("string {} of {} is \"{}\", \"{}\" is expected", i, got.count(), got.string(i), expected.string(i));
    return "";
  }
  const auto* a = static_cast<const unsigned char*>(got.bytes());
  const auto* b = static_cast<const unsigned char*>(expected.bytes());
  for (std::size_t i = 0; i < got.size_bytes(); ++i)
    if (a[i] != b[i]) return fmt::format("byte {} of {} is {:#04x}, {:#04x} is expected", i, got.size_bytes(), a[i], b[i]);
  return "";
}

}  // namespace tenon::kit
