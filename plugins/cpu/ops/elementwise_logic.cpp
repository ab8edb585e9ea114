#include <string_view>

#include "plugins/cpu/ops/elementwise_loops.h"

namespace tenon::cpu {
namespace {

using namespace loops;

struct And {
  template <class T>
  static T call(T x, T y) {
    return static_cast<T>(x & y);
  }
};
struct Or {
  template <class T>
  static T call(T x, T y) {
    return static_cast<T>(x | y);
  }
};
struct Xor {
  template <class T>
  static T call(T x, T y) {
    return static_cast<T>(x ^ y);
  }
};
struct Not {
  static std::uint8_t call(std::uint8_t x, const LoopArgs&) { return x ^ 1; }
};
struct BitwiseNot {
  template <class T>
  static T call(T x, const LoopArgs&) {
    return static_cast<T>(~x);
  }
};
// Shifts by less than 0 or by all bits leave what the sign would fill in.
struct ShiftLeft {
  template <class T>
  static T call(T x, T y) {
    constexpr int bits = 8 * sizeof(T);
    return y >= 0 && y < bits ? static_cast<T>(static_cast<Wide<T>>(x) << y) : T{0};
  }
};
struct ShiftRight {
  template <class T>
  static T call(T x, T y) {
    constexpr int bits = 8 * sizeof(T);
    return static_cast<T>(y >= 0 && y < bits ? x >> y : x < 0 ? -1 : 0);
  }
};

// Bools are bytes of 0 or 1.
template <class F>
Kernel of_bools(const NodeView& node) {
  if (!uniform(node) || node.dtype(0) != TENON_DTYPE_BOOL) return {};
  return {.loop = binary<std::uint8_t, std::uint8_t, std::uint8_t, F>, .ns = 0.1};
}
Kernel negation(const NodeView& node) {
  if (!uniform(node) || node.dtype(0) != TENON_DTYPE_BOOL) return {};
  return {.loop = unary<std::uint8_t, std::uint8_t, Not>, .ns = 0.1};
}
// Signed numbers have the bits of unsigned ones.
template <class F>
Kernel of_bits(const NodeView& node) {
  if (!uniform(node)) return {};
  const auto loop = []<class T>() -> Loop {
    using U = std::make_unsigned_t<T>;
    return binary<U, U, U, F>;
  };
  return {.loop = pick_any(node.dtype(0), loop, Signed{}, Unsigned{})};
}
Kernel bitwise_not(const NodeView& node) {
  if (!uniform(node)) return {};
  const auto loop = []<class T>() -> Loop {
    using U = std::make_unsigned_t<T>;
    return unary<U, U, BitwiseNot>;
  };
  return {.loop = pick_any(node.dtype(0), loop, Signed{}, Unsigned{})};
}
template <class F>
Kernel shift_by(const NodeView& node) {
  return {.loop = pick_any(node.dtype(0), []<class T>() -> Loop { return binary<T, T, T, F>; }, Signed{}, Unsigned{})};
}
Kernel bit_shift(const NodeView& node) {
  const std::string_view direction = node.string_or("direction", "");
  if (!uniform(node)) return {};
  if (direction == "LEFT") return shift_by<ShiftLeft>(node);
  if (direction == "RIGHT") return shift_by<ShiftRight>(node);
  return {};
}

constexpr TypedRow rows[] = {
    {"", "And", 2, 2, of_bools<And>},       {"", "Or", 2, 2, of_bools<Or>},       {"", "Xor", 2, 2, of_bools<Xor>},
    {"", "Not", 1, 1, negation},            {"", "BitwiseAnd", 2, 2, of_bits<And>}, {"", "BitwiseOr", 2, 2, of_bits<Or>},
    {"", "BitwiseXor", 2, 2, of_bits<Xor>}, {"", "BitwiseNot", 1, 1, bitwise_not}, {"", "BitShift", 2, 2, bit_shift},
};

}  // namespace

std::span<const TypedRow> logic_kernels() { return rows; }

}  // namespace tenon::cpu
