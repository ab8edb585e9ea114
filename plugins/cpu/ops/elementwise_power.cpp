#include "plugins/cpu/ops/elementwise_loops.h"
#include "plugins/cpu/ops/number_cast.h"

namespace tenon::cpu {
namespace {

using namespace loops;

// Exact and wrapping; a negative exponent leaves the integer part of the fraction.
template <class T, class E>
T integer_power(T x, E e) {
  if constexpr (std::is_signed_v<E>) {
    if (e < 0) return x == 1 ? T{1} : x == -1 ? (e & 1 ? T{-1} : T{1}) : T{0};
  }
  T result = 1;
  for (auto left = static_cast<std::uint64_t>(e); left; left >>= 1) {
    if (left & 1) result = wrap_mul(result, x);
    x = wrap_mul(x, x);
  }
  return result;
}

template <class T, class E>
std::int32_t power(const LoopArgs& g) {
  const T* x = static_cast<const T*>(g.in[0]);
  const E* y = static_cast<const E*>(g.in[1]);
  T* out = static_cast<T*>(g.out);
  for (std::int64_t i = 0; i < g.n; ++i) {
    const T b = x[i * g.stride[0]];
    const E e = y[i * g.stride[1]];
    if constexpr (std::is_integral_v<T> && std::is_integral_v<E>) {
      if constexpr (std::is_signed_v<E>)
        if (b == 0 && e < 0) return TENON_INVALID_ARGUMENT;
      out[i] = integer_power(b, e);
    } else if constexpr (std::is_same_v<T, float> && std::is_same_v<E, float>) {
      out[i] = std::pow(b, e);
    } else {
      const double p = std::pow(static_cast<double>(b), static_cast<double>(e));
      if constexpr (std::is_integral_v<T>) out[i] = to_integer<T>(p);
      else out[i] = static_cast<T>(p);
    }
  }
  return TENON_OK;
}

template <class T>
Loop for_exponent(std::int32_t dtype) {
  return pick_any(dtype, []<class E>() -> Loop { return power<T, E>; }, Floats{}, Signed{}, Unsigned{});
}

Kernel pow(const NodeView& node) {
  if (!node.has_output(0) || compute_dtype(node.output(0).dtype) != node.dtype(0)) return {};
  Kernel k{.failure = "0 to a negative power", .ns = 10};
  switch (node.dtype(0)) {
    case TENON_DTYPE_FLOAT: k.loop = for_exponent<float>(node.dtype(1)); break;
    case TENON_DTYPE_DOUBLE: k.loop = for_exponent<double>(node.dtype(1)); break;
    case TENON_DTYPE_INT32: k.loop = for_exponent<std::int32_t>(node.dtype(1)); break;
    case TENON_DTYPE_INT64: k.loop = for_exponent<std::int64_t>(node.dtype(1)); break;
    default: break;
  }
  return k;
}

constexpr TypedRow rows[] = {{"", "Pow", 2, 2, pow}};

}  // namespace

std::span<const TypedRow> power_kernels() { return rows; }

}  // namespace tenon::cpu
