#include "plugins/cpu/ops/elementwise_loops.h"

namespace tenon::cpu {
namespace {

using namespace loops;

struct Add {
  template <class T>
  static T call(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) return x + y;
    else return wrap_add(x, y);
  }
};
struct Sub {
  template <class T>
  static T call(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) return x - y;
    else return wrap_sub(x, y);
  }
};
struct Mul {
  template <class T>
  static T call(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) return x * y;
    else return wrap_mul(x, y);
  }
};
struct FloatDiv {
  template <class T>
  static T call(T x, T y) {
    return x / y;
  }
};
// Integers, towards zero; the lowest number by -1 wraps.
struct IntDiv {
  template <class T>
  static bool valid(T y) {
    return y != 0;
  }
  template <class T>
  static T call(T x, T y) {
    if constexpr (std::is_signed_v<T>)
      if (y == -1) return wrap_neg(x);
    return static_cast<T>(x / y);
  }
};
// fmod = 1: the sign of x.
struct Fmod {
  static float call(float x, float y) { return std::fmod(x, y); }
  static double call(double x, double y) { return std::fmod(x, y); }
};
struct IntFmod : IntDiv {
  template <class T>
  static T call(T x, T y) {
    if constexpr (std::is_signed_v<T>)
      if (y == -1) return 0;
    return static_cast<T>(x % y);
  }
};
// fmod = 0: the sign of y.
struct FloorMod {
  template <class T>
  static T call(T x, T y) {
    const T r = std::fmod(x, y);
    if (r == 0) return std::copysign(T{0}, y);
    return (r < 0) != (y < 0) ? r + y : r;
  }
};
struct IntFloorMod : IntDiv {
  template <class T>
  static T call(T x, T y) {
    const T r = IntFmod::call(x, y);
    return r != 0 && (r < 0) != (y < 0) ? static_cast<T>(r + y) : r;
  }
};
// NaN wins, as in numpy.
struct Maximum {
  template <class T>
  static T call(T x, T y) {
    if constexpr (std::is_floating_point_v<T>)
      if (x != x) return x;
    return x > y ? x : y;
  }
};
struct Minimum {
  template <class T>
  static T call(T x, T y) {
    if constexpr (std::is_floating_point_v<T>)
      if (x != x) return x;
    return x < y ? x : y;
  }
};
struct Prelu {
  template <class T>
  static T call(T x, T y) {
    return x < 0 ? Mul::call(x, y) : x;
  }
};
// Mean: by the number of inputs.
struct Divide {
  template <class T>
  static T call(T x, const LoopArgs& g) {
    return x / static_cast<T>(g.a);
  }
};

template <class F, class... Lists>
Kernel same_types(const NodeView& node, Lists... lists) {
  if (!uniform(node)) return {};
  return {.loop = pick_any(node.dtype(0), []<class T>() -> Loop { return binary<T, T, T, F>; }, lists...)};
}
template <class F>
Kernel numbers(const NodeView& node) {
  return same_types<F>(node, Floats{}, Signed{}, Unsigned{});
}
template <class F>
Kernel variadic(const NodeView& node) {
  Kernel k = numbers<F>(node);
  k.variadic = true;
  return k;
}
Kernel sum(const NodeView& node) {
  Kernel k = same_types<Add>(node, Floats{});
  k.variadic = true;
  return k;
}
Kernel mean(const NodeView& node) {
  Kernel k = sum(node);
  k.finish = pick(node.dtype(0), Floats{}, []<class T>() -> Loop { return unary<T, T, Divide>; });
  return k;
}
// Floats with one operator, integers with another that may fail.
template <class F, class I>
Kernel divided(const NodeView& node, const char* failure) {
  Kernel k = same_types<F>(node, Floats{});
  if (!k.loop) k = same_types<I>(node, Signed{}, Unsigned{});
  k.failure = failure;
  k.ns = 2;
  return k;
}
Kernel division(const NodeView& node) { return divided<FloatDiv, IntDiv>(node, "integer division by zero"); }
Kernel modulo(const NodeView& node) {
  constexpr const char* failure = "integer division by zero";
  return node.int_or("fmod", 0) ? divided<Fmod, IntFmod>(node, failure) : divided<FloorMod, IntFloorMod>(node, failure);
}

constexpr std::uint32_t any = 0x7fffffff;
constexpr TypedRow rows[] = {
    {"", "Add", 2, 2, numbers<Add>},          {"", "Sub", 2, 2, numbers<Sub>},          {"", "Mul", 2, 2, numbers<Mul>},
    {"", "Div", 2, 2, division},              {"", "Mod", 2, 2, modulo},                {"", "Max", 1, any, variadic<Maximum>},
    {"", "Min", 1, any, variadic<Minimum>},   {"", "Sum", 1, any, sum},                 {"", "Mean", 1, any, mean},
    {"", "PRelu", 2, 2, numbers<Prelu>},
};

}  // namespace

std::span<const TypedRow> arithmetic_kernels() { return rows; }

}  // namespace tenon::cpu
