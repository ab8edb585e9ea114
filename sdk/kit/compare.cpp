#include "sdk/kit/compare.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "sdk/kit/elements.h"

namespace tenon::kit {
namespace {

std::string text(std::span<const std::int64_t> dims) { return fmt::format("[{}]", fmt::join(dims, ",")); }

std::string text(const Value& v) {
  switch (v.kind()) {
    case TENON_KIND_TENSOR: return tenon_dtype_name(v.dtype()) + text(v.dims());
    case TENON_KIND_SEQUENCE: return fmt::format("a sequence of {}", v.count());
    case TENON_KIND_MAP: return fmt::format("a map of {}", v.count());
    default: return v.count() ? "an optional with a value" : "an optional without a value";
  }
}

std::string text(std::complex<double> x) {
  return x.imag() == 0 ? fmt::format("{}", x.real()) : fmt::format("{}{:+}i", x.real(), x.imag());
}

std::string position(std::size_t index, std::span<const std::int64_t> dims) {
  std::vector<std::size_t> at(dims.size());
  for (std::size_t d = dims.size(); d-- > 0; index /= static_cast<std::size_t>(dims[d])) at[d] = index % static_cast<std::size_t>(dims[d]);
  return fmt::format("[{}]", fmt::join(at, ","));
}

bool close(double got, double expected, const Tolerances& t) {
  if (std::isnan(got) || std::isnan(expected)) return std::isnan(got) && std::isnan(expected);
  if (std::isinf(got) || std::isinf(expected)) return got == expected;
  return std::abs(got - expected) <= t.atol + t.rtol * std::abs(expected);
}

bool close(std::complex<double> got, std::complex<double> expected, const Tolerances& t) {
  const bool finite = std::isfinite(std::abs(got)) && std::isfinite(std::abs(expected));
  if (finite) return std::abs(got - expected) <= t.atol + t.rtol * std::abs(expected);
  return close(got.real(), expected.real(), t) && close(got.imag(), expected.imag(), t);
}

std::string tensor_difference(const Value& got, const Value& expected, Tolerances t) {
  if (got.dtype() != expected.dtype() || !std::ranges::equal(got.dims(), expected.dims()))
    return fmt::format("{} is not {}", text(got), text(expected));
  if (expected.dtype() == TENON_DTYPE_STRING) {
    for (std::size_t i = 0; i < expected.count(); ++i)
      if (got.string(i) != expected.string(i))
        return fmt::format("{} at {}: \"{}\", expected \"{}\"", text(got), position(i, got.dims()), got.string(i), expected.string(i));
    return {};
  }
  if (expected.dtype() == TENON_DTYPE_BFLOAT16) t.rtol = std::max(t.rtol, 0x1p-6);  // two units in the last place
  std::size_t wrong = 0, first = 0;
  double largest = 0;
  for (std::size_t i = 0; i < expected.count(); ++i) {
    if (is_exact(expected.dtype())) {
      if (element_bits(got.dtype(), got.bytes(), i) == element_bits(expected.dtype(), expected.bytes(), i)) continue;
    } else if (close(element(got.dtype(), got.bytes(), i), element(expected.dtype(), expected.bytes(), i), t)) {
      continue;
    }
    if (wrong++ == 0) first = i;
    largest = std::fmax(largest, std::abs(element(got.dtype(), got.bytes(), i) - element(expected.dtype(), expected.bytes(), i)));
  }
  if (wrong == 0) return {};
  return fmt::format("{}: {} of {} elements are off, at most by {:.3g}; the first at {}: {}, expected {}", text(got), wrong,
                     expected.count(), largest, position(first, got.dims()), text(element(got.dtype(), got.bytes(), first)),
                     text(element(expected.dtype(), expected.bytes(), first)));
}

}  // namespace

std::string difference(const Value& got, const Value& expected, const Tolerances& tolerances) {
  if (got.kind() != expected.kind()) return fmt::format("{} is not {}", text(got), text(expected));
  if (expected.kind() == TENON_KIND_TENSOR) return tensor_difference(got, expected, tolerances);
  if (got.count() != expected.count() || tenon_datum_key_kind(got.handle()) != tenon_datum_key_kind(expected.handle()))
    return fmt::format("{} is not {}", text(got), text(expected));
  for (std::size_t i = 0; i < expected.count(); ++i) {
    const int keys = tenon_datum_key_kind(expected.handle());
    if ((keys == 1 && got.int_key(i) != expected.int_key(i)) || (keys == 2 && got.string_key(i) != expected.string_key(i)))
      return fmt::format("key {} is another one", i);
    if (const std::string inner = difference(got.item(i), expected.item(i), tolerances); !inner.empty())
      return fmt::format("item {}: {}", i, inner);
  }
  return {};
}

}  // namespace tenon::kit
