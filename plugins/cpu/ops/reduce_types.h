// Small things that the reducing and normalising families share: visiting an element type, axes, small known inputs.
//
// Plain functions without state; any thread. They throw Failure where the model is wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

[[noreturn]] inline void invalid_argument(std::string text) { throw Failure{TENON_INVALID_ARGUMENT, std::move(text)}; }

template <class T>
struct TypeTag {
  using type = T;
};

// Calls f(TypeTag<T>{}) for float and double; false for another type.
template <class F>
bool visit_float(std::int32_t dtype, F&& f) {
  if (dtype == TENON_DTYPE_FLOAT) return f(TypeTag<float>{}), true;
  if (dtype == TENON_DTYPE_DOUBLE) return f(TypeTag<double>{}), true;
  return false;
}

// Also the 32- and 64-bit integers.
template <class F>
bool visit_wide(std::int32_t dtype, F&& f) {
  switch (dtype) {
    case TENON_DTYPE_INT32: return f(TypeTag<std::int32_t>{}), true;
    case TENON_DTYPE_INT64: return f(TypeTag<std::int64_t>{}), true;
    case TENON_DTYPE_UINT32: return f(TypeTag<std::uint32_t>{}), true;
    case TENON_DTYPE_UINT64: return f(TypeTag<std::uint64_t>{}), true;
    default: return visit_float(dtype, f);
  }
}

// Every number; bool as uint8_t.
template <class F>
bool visit_number(std::int32_t dtype, F&& f) {
  switch (dtype) {
    case TENON_DTYPE_BOOL:
    case TENON_DTYPE_UINT8: return f(TypeTag<std::uint8_t>{}), true;
    case TENON_DTYPE_INT8: return f(TypeTag<std::int8_t>{}), true;
    case TENON_DTYPE_UINT16: return f(TypeTag<std::uint16_t>{}), true;
    case TENON_DTYPE_INT16: return f(TypeTag<std::int16_t>{}), true;
    default: return visit_wide(dtype, f);
  }
}

inline bool is_float(std::int32_t dtype) { return dtype == TENON_DTYPE_FLOAT || dtype == TENON_DTYPE_DOUBLE; }
inline bool is_wide(std::int32_t dtype) {
  return visit_wide(dtype, [](auto) {});
}
inline bool is_number(std::int32_t dtype) {
  return dtype != TENON_DTYPE_BOOL && visit_number(dtype, [](auto) {});
}

inline Support refuse_dtype(std::int32_t dtype) {
  return Support::no(TENON_REJECT_DTYPE, "element type " + std::to_string(dtype));
}
inline Support supports_float(const NodeView& node) {
  return is_float(node.dtype(0)) ? Support::yes() : refuse_dtype(node.dtype(0));
}

// axis in [0, rank).
inline std::int64_t normal_axis(std::int64_t axis, std::int64_t rank) {
  if (axis < -rank || axis >= rank) {
    invalid_argument("axis " + std::to_string(axis) + " is outside a tensor of rank " + std::to_string(rank));
  }
  return axis < 0 ? axis + rank : axis;
}

// Element i of an int32 or int64 buffer.
inline std::int64_t integer_at(const void* data, std::int32_t dtype, std::int64_t i) {
  return dtype == TENON_DTYPE_INT32 ? static_cast<const std::int32_t*>(data)[i] : static_cast<const std::int64_t*>(data)[i];
}

// The elements of a small integer input, where plan knows them.
inline std::optional<std::vector<std::int64_t>> known_integers(const Shape& shape) {
  if (!shape.known || (shape.dtype != TENON_DTYPE_INT32 && shape.dtype != TENON_DTYPE_INT64)) return std::nullopt;
  std::vector<std::int64_t> values(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = integer_at(shape.known, shape.dtype, static_cast<std::int64_t>(i));
  return values;
}

inline std::optional<std::int64_t> known_integer(const Shape& shape) {
  auto values = known_integers(shape);
  if (!values || values->size() != 1) return std::nullopt;
  return values->front();
}

// a + b and a * b of integers wrap without undefined behaviour.
template <class T>
T wrapping_add(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
  } else {
    return a + b;
  }
}
template <class T>
T wrapping_mul(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
  } else {
    return a * b;
  }
}

}  // namespace tenon::cpu
