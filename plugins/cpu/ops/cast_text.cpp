// Casts to and from strings, as numpy writes and the ONNX specification reads numbers.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

#include "plugins/cpu/ops/cast.h"
#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/number_cast.h"

namespace tenon::cpu {
namespace {

// ---- writing ----------------------------------------------------------------------------------------------------------

// Digits d.ddd and an exponent, as to_chars writes them: "1.25e-05".
void lay_out(std::string_view scientific, std::string& out) {
  const bool negative = scientific[0] == '-';
  if (negative) scientific.remove_prefix(1);
  const std::size_t e = scientific.find('e');
  std::string digits(scientific.substr(0, e));
  std::erase(digits, '.');
  while (digits.size() > 1 && digits.back() == '0') digits.pop_back();
  std::string_view power = scientific.substr(e + 1);
  if (power[0] == '+') power.remove_prefix(1);
  int exponent = 0;
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  out.clear();
  if (negative) out.push_back('-');
  const int n = static_cast<int>(digits.size());
  if (digits != "0" && (exponent < -4 || exponent >= 16)) {
    out += digits[0];
    if (n > 1) out.append(".").append(digits, 1);
    out += exponent < 0 ? "e-" : "e+";
    if (std::abs(exponent) < 10) out += '0';
    out += std::to_string(std::abs(exponent));
  } else if (exponent < 0) {
    out.append("0.").append(static_cast<std::size_t>(-exponent - 1), '0').append(digits);
  } else {
    if (n <= exponent) digits.append(static_cast<std::size_t>(exponent + 1 - n), '0');
    out.append(digits, 0, static_cast<std::size_t>(exponent + 1)).append(".");
    if (n > exponent + 1) out.append(digits, static_cast<std::size_t>(exponent + 1));
    else out += '0';
  }
}

template <class T>
bool write_special(T x, std::string& out) {
  if (std::isfinite(x)) return false;
  out.assign(std::isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
  return true;
}
template <class T>
void write_float(T x, std::string& out) {
  if (write_special(x, out)) return;
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, x, std::chars_format::scientific).ptr;
  lay_out({buffer, static_cast<std::size_t>(end - buffer)}, out);
}
// The fewest digits that the format reads back as the same number.
void write_small(const SmallFloat& f, double x, std::string& out) {
  if (write_special(x, out)) return;
  const std::uint32_t bits = encode(f, x, false);
  char buffer[64];
  for (int precision = 0;; ++precision) {
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, x, std::chars_format::scientific, precision).ptr;
    double back = 0;
    std::from_chars(buffer, end, back);
    if (precision < 17 && encode(f, back, false) != bits) continue;
    return lay_out({buffer, static_cast<std::size_t>(end - buffer)}, out);
  }
}

using Write = void (*)(const void* data, std::int64_t i, std::string& out);

template <class T>
void write(const void* data, std::int64_t i, std::string& out) {
  const T x = static_cast<const T*>(data)[i];
  if constexpr (std::is_same_v<T, bool>) out = x ? "True" : "False";
  else if constexpr (std::is_integral_v<T>) out = std::to_string(x);
  else write_float(x, out);
}
// Half types lie as float32, perhaps not rounded yet.
template <const SmallFloat& f>
void write_half(const void* data, std::int64_t i, std::string& out) {
  write_small(f, decode(f, encode(f, static_cast<const float*>(data)[i], false)), out);
}
template <const SmallFloat& f, std::int32_t dtype>
void write_small_type(const void* data, std::int64_t i, std::string& out) {
  float x;
  small_type(dtype).unpack(data, i, 1, &x);
  write_small(f, x, out);
}
void write_power(const void* data, std::int64_t i, std::string& out) {
  float x;
  small_type(TENON_DTYPE_FLOAT8E8M0).unpack(data, i, 1, &x);
  write_float(x, out);
}
template <std::int32_t dtype>
void write_small_int(const void* data, std::int64_t i, std::string& out) {
  std::int8_t x;
  small_type(dtype).unpack(data, i, 1, &x);
  out = std::to_string(x);
}

Write writer(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return write<float>;
    case TENON_DTYPE_DOUBLE: return write<double>;
    case TENON_DTYPE_BOOL: return write<bool>;
    case TENON_DTYPE_INT8: return write<std::int8_t>;
    case TENON_DTYPE_INT16: return write<std::int16_t>;
    case TENON_DTYPE_INT32: return write<std::int32_t>;
    case TENON_DTYPE_INT64: return write<std::int64_t>;
    case TENON_DTYPE_UINT8: return write<std::uint8_t>;
    case TENON_DTYPE_UINT16: return write<std::uint16_t>;
    case TENON_DTYPE_UINT32: return write<std::uint32_t>;
    case TENON_DTYPE_UINT64: return write<std::uint64_t>;
    case TENON_DTYPE_FLOAT16: return write_half<float16_format>;
    case TENON_DTYPE_BFLOAT16: return write_half<bfloat16_format>;
    case TENON_DTYPE_FLOAT8E4M3FN: return write_small_type<e4m3fn_format, TENON_DTYPE_FLOAT8E4M3FN>;
    case TENON_DTYPE_FLOAT8E4M3FNUZ: return write_small_type<e4m3fnuz_format, TENON_DTYPE_FLOAT8E4M3FNUZ>;
    case TENON_DTYPE_FLOAT8E5M2: return write_small_type<e5m2_format, TENON_DTYPE_FLOAT8E5M2>;
    case TENON_DTYPE_FLOAT8E5M2FNUZ: return write_small_type<e5m2fnuz_format, TENON_DTYPE_FLOAT8E5M2FNUZ>;
    case TENON_DTYPE_FLOAT4E2M1: return write_small_type<e2m1_format, TENON_DTYPE_FLOAT4E2M1>;
    case TENON_DTYPE_FLOAT6E2M3: return write_small_type<e2m3_format, TENON_DTYPE_FLOAT6E2M3>;
    case TENON_DTYPE_FLOAT6E3M2: return write_small_type<e3m2_format, TENON_DTYPE_FLOAT6E3M2>;
    case TENON_DTYPE_FLOAT8E8M0: return write_power;
    case TENON_DTYPE_INT4: return write_small_int<TENON_DTYPE_INT4>;
    case TENON_DTYPE_UINT4: return write_small_int<TENON_DTYPE_UINT4>;
    case TENON_DTYPE_INT2: return write_small_int<TENON_DTYPE_INT2>;
    case TENON_DTYPE_UINT2: return write_small_int<TENON_DTYPE_UINT2>;
    default: return nullptr;
  }
}

struct WriteStep {
  Write write;
  Ref from, to;
  std::int64_t count;

  void operator()(const StepContext& c) const {
    const void* x = count ? c.ptr<const void>(from) : nullptr;
    std::string text;
    for (std::int64_t i = 0; i < count; ++i) {
      write(x, i, text);
      if (!set_text(c, c.addresses[to.operand], i, text)) return;
    }
  }
};
class NumberToText final : public Op {
 public:
  explicit NumberToText(Write write) : write_(write) {}
  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    const WriteStep step{write_, builder.in_ref(0), builder.out_ref(0), builder.out(0).count()};
    builder.step("Cast", step, {.spmd = false, .est_ns = 200.0 * static_cast<double>(step.count)});
  }

 private:
  Write write_;
};

// ---- reading ----------------------------------------------------------------------------------------------------------

bool equals(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}
std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n\f\v";
  const std::size_t first = text.find_first_not_of(space);
  return first == text.npos ? std::string_view{} : text.substr(first, text.find_last_not_of(space) - first + 1);
}

// Without leading + and outer space.
template <class T>
bool read_float(std::string_view text, T& out) {
  const bool negative = text.starts_with('-');
  std::string_view magnitude = text.substr(negative ? 1 : 0);
  if (magnitude.empty() || magnitude[0] == '-' || magnitude[0] == '+') return false;
  T value = 0;
  if (equals(magnitude, "inf") || equals(magnitude, "infinity")) {
    value = std::numeric_limits<T>::infinity();
  } else if (equals(magnitude, "nan")) {
    value = std::numeric_limits<T>::quiet_NaN();
  } else {
    if (!((magnitude[0] >= '0' && magnitude[0] <= '9') || magnitude[0] == '.')) return false;
    const auto [end, error] = std::from_chars(magnitude.data(), magnitude.data() + magnitude.size(), value);
    if (end != magnitude.data() + magnitude.size() || error == std::errc::invalid_argument) return false;
    if (error == std::errc::result_out_of_range) {
      // Too small where the exponent is negative or the number is 0.00...; the exponent decides all others.
      const std::size_t e = magnitude.find_first_of("eE");
      const bool small =
          e != magnitude.npos ? magnitude.substr(e + 1).starts_with('-') : magnitude.find_first_not_of("0") == magnitude.find('.');
      value = small ? T{0} : std::numeric_limits<T>::infinity();
    }
  }
  out = negative ? -value : value;
  return true;
}

using Read = bool (*)(std::string_view text, void* to);

template <class T>
bool read(std::string_view text, void* to) {
  T& out = *static_cast<T*>(to);
  if constexpr (std::is_floating_point_v<T>) {
    return read_float(text, out);
  } else {
    if constexpr (std::is_same_v<T, bool>) {
      if (equals(text, "true") || equals(text, "false")) {
        out = text.size() == 4;
        return true;
      }
    }
    using Whole = std::conditional_t<std::is_same_v<T, std::uint64_t>, std::uint64_t, std::int64_t>;
    Whole whole = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
    if (error == std::errc() && end == text.data() + text.size()) {
      out = number_cast<T>(whole);
      return true;
    }
    double value = 0;
    if (!read_float(text, value)) return false;
    out = number_cast<T>(value);
    return true;
  }
}

Read reader(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return read<float>;
    case TENON_DTYPE_DOUBLE: return read<double>;
    case TENON_DTYPE_BOOL: return read<bool>;
    case TENON_DTYPE_INT8: return read<std::int8_t>;
    case TENON_DTYPE_INT16: return read<std::int16_t>;
    case TENON_DTYPE_INT32: return read<std::int32_t>;
    case TENON_DTYPE_INT64: return read<std::int64_t>;
    case TENON_DTYPE_UINT8: return read<std::uint8_t>;
    case TENON_DTYPE_UINT16: return read<std::uint16_t>;
    case TENON_DTYPE_UINT32: return read<std::uint32_t>;
    case TENON_DTYPE_UINT64: return read<std::uint64_t>;
    default: return nullptr;
  }
}

// One worker: packed elements share bytes, and a failure names the first bad string.
struct ReadStep {
  Read read;
  Pack pack;
  Rounding rounding;
  std::int32_t bytes;
  Ref from, to;
  std::int64_t count;

  void operator()(const StepContext& c) const {
    char* y = count ? c.ptr<char>(to) : nullptr;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::string_view whole = c.text(from, i);
      std::string_view text = trimmed(whole);
      const bool plus = text.starts_with('+');
      if (plus) text.remove_prefix(1);
      alignas(8) char number[8];
      if ((plus && text.starts_with('-')) || !read(text, pack ? number : y + i * bytes))
        return c.fail(TENON_INVALID_ARGUMENT, "not a number: \"" + std::string(whole.substr(0, 40)) + "\"");
      if (pack) pack(number, y, i, 1, rounding);
    }
  }
};
class TextToNumber final : public Op {
 public:
  explicit TextToNumber(const ReadStep& step) : step_(step) {}
  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    ReadStep step = step_;
    step.from = builder.in_ref(0), step.to = builder.out_ref(0), step.count = builder.out(0).count();
    builder.step("Cast", step, {.spmd = false, .est_ns = 100.0 * static_cast<double>(step.count)});
  }

 private:
  ReadStep step_;
};

}  // namespace

std::unique_ptr<Op> make_number_to_text(std::int32_t from) {
  const Write write = writer(from);
  if (!write) return nullptr;
  return std::make_unique<NumberToText>(write);
}

std::unique_ptr<Op> make_text_to_number(std::int32_t to, const Rounding& rounding) {
  ReadStep step{};
  const SmallType small = small_type(to);
  step.read = reader(small.pack ? small.packed_from : to);
  step.pack = small.pack, step.rounding = rounding;
  if (!step.read) return nullptr;
  if (!small.pack) step.bytes = static_cast<std::int32_t>(element_bytes(element_of(to)));
  return std::make_unique<TextToNumber>(step);
}

}  // namespace tenon::cpu
