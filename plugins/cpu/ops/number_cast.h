// Conversions between number types, defined for every input.
//
// Floats become integers as x86 and numpy do it: towards zero; what does not fit the conversion's width (32 bits for up to 16-bit
// and int32, 64 bits for uint32 and 64-bit types) becomes that width's lowest number, and narrower types take the low bits.
// Stateless; any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace tenon::cpu {

template <class T, class F>
constexpr T to_integer(F x) {
  static_assert(std::is_floating_point_v<F> && std::is_integral_v<T>);
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    constexpr F half = static_cast<F>(9223372036854775808.0);
    if (x >= 2 * half) return 0;
    if (x >= half) return static_cast<T>(static_cast<std::int64_t>(x - half)) + (T{1} << 63);
    return x >= -half ? static_cast<T>(static_cast<std::int64_t>(x)) : T{1} << 63;
  } else if constexpr (sizeof(T) == 8 || std::is_same_v<T, std::uint32_t>) {
    constexpr F half = static_cast<F>(9223372036854775808.0);
    return static_cast<T>(x >= -half && x < half ? static_cast<std::int64_t>(x) : std::numeric_limits<std::int64_t>::min());
  } else {
    constexpr F half = static_cast<F>(2147483648.0);
    // -2147483648.5 still truncates to the lowest number.
    const bool fits = x > -half - 1 && x < half;
    return static_cast<T>(fits ? static_cast<std::int32_t>(x) : std::numeric_limits<std::int32_t>::min());
  }
}

// From any number type to any other; bool is what is not 0, integers wrap.
template <class T, class S>
constexpr T number_cast(S x) {
  if constexpr (std::is_same_v<T, bool>) return x != S{0};
  else if constexpr (std::is_integral_v<T> && std::is_floating_point_v<S>) return to_integer<T>(x);
  else return static_cast<T>(x);
}

}  // namespace tenon::cpu
