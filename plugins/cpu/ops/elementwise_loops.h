// Loop templates: an operator is a struct with a static function of its operands; a loop runs it along one dimension.
//
// For the kernel files only. Stateless; any thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "plugins/cpu/ops/elementwise.h"

namespace tenon::cpu::loops {

// ---- arithmetic without traps or undefined behaviour ----

// An unsigned type that is not promoted to int.
template <class T>
using Wide = std::conditional_t<(sizeof(T) > 4), std::uint64_t, std::uint32_t>;

template <class T>
constexpr T wrap_add(T x, T y) {
  return static_cast<T>(static_cast<Wide<T>>(x) + static_cast<Wide<T>>(y));
}
template <class T>
constexpr T wrap_sub(T x, T y) {
  return static_cast<T>(static_cast<Wide<T>>(x) - static_cast<Wide<T>>(y));
}
template <class T>
constexpr T wrap_mul(T x, T y) {
  return static_cast<T>(static_cast<Wide<T>>(x) * static_cast<Wide<T>>(y));
}
template <class T>
constexpr T wrap_neg(T x) {
  return wrap_sub(T{0}, x);
}

// ---- loops ----

// Operators that can fail say so in `checked`: bool valid(y).
template <class F, class Y>
concept Checked = requires(Y y) { F::valid(y); };

// Everything of args is read before the first write: bytes written might be those of args, as far as the compiler knows.
template <class T, class R, class F>
std::int32_t unary(const LoopArgs& args) {
  const LoopArgs g = args;
  const T* x = static_cast<const T*>(g.in[0]);
  R* out = static_cast<R*>(g.out);
  if (g.stride[0] == 1) {
    for (std::int64_t i = 0; i < g.n; ++i) out[i] = F::call(x[i], g);
  } else {
    for (std::int64_t i = 0; i < g.n; ++i) out[i] = F::call(x[i * g.stride[0]], g);
  }
  return TENON_OK;
}

template <class T, class U, class R, class F>
std::int32_t binary(const LoopArgs& g) {
  const T* x = static_cast<const T*>(g.in[0]);
  const U* y = static_cast<const U*>(g.in[1]);
  R* out = static_cast<R*>(g.out);
  const std::int64_t sx = g.stride[0], sy = g.stride[1], n = g.n;
  if constexpr (Checked<F, U>) {
    bool valid = true;
    for (std::int64_t i = 0; i < n; ++i) valid = valid && F::valid(y[i * sy]);
    if (!valid) return TENON_INVALID_ARGUMENT;
  }
  if (sx == 1 && sy == 1) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = F::call(x[i], y[i]);
  } else if (sx == 1 && sy == 0) {
    const U v = *y;
    for (std::int64_t i = 0; i < n; ++i) out[i] = F::call(x[i], v);
  } else if (sx == 0 && sy == 1) {
    const T v = *x;
    for (std::int64_t i = 0; i < n; ++i) out[i] = F::call(v, y[i]);
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i] = F::call(x[i * sx], y[i * sy]);
  }
  return TENON_OK;
}

// ---- tables by element type; null where the type is not in the list ----

template <class T>
constexpr std::int32_t number_of() {
  if constexpr (std::is_same_v<T, float>) return TENON_DTYPE_FLOAT;
  else if constexpr (std::is_same_v<T, double>) return TENON_DTYPE_DOUBLE;
  else if constexpr (std::is_same_v<T, bool>) return TENON_DTYPE_BOOL;
  else if constexpr (std::is_same_v<T, std::uint8_t>) return TENON_DTYPE_UINT8;
  else if constexpr (std::is_same_v<T, std::int8_t>) return TENON_DTYPE_INT8;
  else if constexpr (std::is_same_v<T, std::uint16_t>) return TENON_DTYPE_UINT16;
  else if constexpr (std::is_same_v<T, std::int16_t>) return TENON_DTYPE_INT16;
  else if constexpr (std::is_same_v<T, std::uint32_t>) return TENON_DTYPE_UINT32;
  else if constexpr (std::is_same_v<T, std::int32_t>) return TENON_DTYPE_INT32;
  else if constexpr (std::is_same_v<T, std::uint64_t>) return TENON_DTYPE_UINT64;
  else return TENON_DTYPE_INT64;
}

template <class... T>
struct Types {};
using Floats = Types<float, double>;
using Signed = Types<std::int8_t, std::int16_t, std::int32_t, std::int64_t>;
using Unsigned = Types<std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t>;

// The first of loop_of.operator()<T>() whose T is dtype.
template <class... T, class G>
Loop pick(std::int32_t dtype, Types<T...>, G loop_of) {
  Loop found = nullptr;
  (void)((dtype == number_of<T>() && (found = loop_of.template operator()<T>(), true)) || ...);
  return found;
}
template <class G, class... Lists>
Loop pick_any(std::int32_t dtype, G loop_of, Lists... lists) {
  Loop found = nullptr;
  (void)((found = pick(dtype, lists, loop_of)) || ...);
  return found;
}

// All inputs and output 0 of one type.
inline bool uniform(const NodeView& node) {
  if (!node.has_output(0)) return false;
  for (std::uint32_t i = 0; i < node.input_count(); ++i)
    if (node.has_input(i) && node.dtype(i) != node.dtype(0)) return false;
  return compute_dtype(node.output(0).dtype) == node.dtype(0);
}

}  // namespace tenon::cpu::loops
