#include <algorithm>
#include <array>

#include "plugins/cpu/ops/cast.h"
#include "plugins/cpu/ops/elementwise_loops.h"
#include "plugins/cpu/ops/number_cast.h"

namespace tenon::cpu {
namespace {

// ---- plain numbers ----------------------------------------------------------------------------------------------------

template <class S, class T>
void convert(const void* from, void* to, std::int64_t n) {
  const S* x = static_cast<const S*>(from);
  T* y = static_cast<T*>(to);
  for (std::int64_t i = 0; i < n; ++i) y[i] = number_cast<T>(x[i]);
}
template <class S>
void convert_sticky(const void* from, void* to, std::int64_t n) {
  const S* x = static_cast<const S*>(from);
  double* y = static_cast<double*>(to);
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (sizeof(S) == 8 && std::is_integral_v<S>) y[i] = sticky_double(x[i]);
    else y[i] = static_cast<double>(x[i]);
  }
}

// Bools are bytes of 0 or 1 where they are read.
using Sources = loops::Types<float, double, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t,
                             std::uint32_t, std::uint64_t>;
using Targets = loops::Types<bool, float, double, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t,
                             std::uint32_t, std::uint64_t>;

template <class S, class... T>
Convert to_any(std::int32_t to, bool sticky, loops::Types<T...>) {
  if (sticky) return to == TENON_DTYPE_DOUBLE ? convert_sticky<S> : nullptr;
  Convert found = nullptr;
  (void)((to == loops::number_of<T>() && (found = convert<S, T>, true)) || ...);
  return found;
}
template <class... S>
Convert from_any(std::int32_t from, std::int32_t to, bool sticky, loops::Types<S...>) {
  Convert found = nullptr;
  (void)((from == loops::number_of<S>() && (found = to_any<S>(to, sticky, Targets{}), true)) || ...);
  return found;
}

// ---- small types ------------------------------------------------------------------------------------------------------

template <const SmallFloat& f>
void unpack_bytes(const void* from, std::int64_t first, std::int64_t n, void* to) {
  static const auto table = [] {
    std::array<float, 256> t;
    for (std::uint32_t i = 0; i < 256; ++i) t[i] = static_cast<float>(decode(f, i));
    return t;
  }();
  const std::uint8_t* x = static_cast<const std::uint8_t*>(from) + first;
  for (std::int64_t i = 0; i < n; ++i) static_cast<float*>(to)[i] = table[x[i]];
}
// always: what is too large becomes the largest number whatever the node says, where a format has nothing else.
template <const SmallFloat& f, bool always = false>
void pack_bytes(const void* from, void* to, std::int64_t first, std::int64_t n, const Rounding& rounding) {
  std::uint8_t* y = static_cast<std::uint8_t*>(to) + first;
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<std::uint8_t>(encode(f, static_cast<const double*>(from)[i], always || rounding.saturate));
}
void unpack_power(const void* from, std::int64_t first, std::int64_t n, void* to) {
  const std::uint8_t* x = static_cast<const std::uint8_t*>(from) + first;
  for (std::int64_t i = 0; i < n; ++i) static_cast<float*>(to)[i] = static_cast<float>(decode_power(x[i]));
}
void pack_power(const void* from, void* to, std::int64_t first, std::int64_t n, const Rounding& rounding) {
  std::uint8_t* y = static_cast<std::uint8_t*>(to) + first;
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] =
        static_cast<std::uint8_t>(encode_power(static_cast<float>(static_cast<const double*>(from)[i]), rounding.saturate, rounding.power));
  }
}

// Half types inside a program are float32: only rounded.
template <const SmallFloat& f>
void pack_half(const void* from, void* to, std::int64_t first, std::int64_t n, const Rounding&) {
  float* y = static_cast<float*>(to) + first;
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(decode(f, encode(f, static_cast<const double*>(from)[i], false)));
}

// Elements of `bits` bits, the first in the lowest.
template <int bits>
std::uint32_t bits_at(const std::uint8_t* x, std::int64_t i) {
  constexpr int per_byte = 8 / bits;
  return x[i / per_byte] >> (i % per_byte * bits) & ((1u << bits) - 1);
}
template <int bits, class Code>
void put_bits(std::uint8_t* y, std::int64_t first, std::int64_t n, Code&& code) {
  constexpr int per_byte = 8 / bits;
  for (std::int64_t i = first; i < first + n; ++i) {
    const int shift = static_cast<int>(i % per_byte) * bits;
    const auto value = static_cast<std::uint8_t>((code(i - first) & ((1u << bits) - 1)) << shift);
    // The first element of a byte clears the rest of it.
    y[i / per_byte] = shift == 0 ? value : static_cast<std::uint8_t>(y[i / per_byte] | value);
  }
}
template <int bits, bool is_signed>
void unpack_int(const void* from, std::int64_t first, std::int64_t n, void* to) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t v = bits_at<bits>(static_cast<const std::uint8_t*>(from), first + i);
    static_cast<std::int8_t*>(to)[i] =
        static_cast<std::int8_t>(is_signed && v >> (bits - 1) ? static_cast<int>(v) - (1 << bits) : static_cast<int>(v));
  }
}
template <int bits>
void pack_int(const void* from, void* to, std::int64_t first, std::int64_t n, const Rounding&) {
  put_bits<bits>(static_cast<std::uint8_t*>(to), first, n,
                 [&](std::int64_t i) { return static_cast<std::uint32_t>(static_cast<const std::int8_t*>(from)[i]); });
}
void unpack_float4(const void* from, std::int64_t first, std::int64_t n, void* to) {
  for (std::int64_t i = 0; i < n; ++i)
    static_cast<float*>(to)[i] = static_cast<float>(decode(e2m1_format, bits_at<4>(static_cast<const std::uint8_t*>(from), first + i)));
}
void pack_float4(const void* from, void* to, std::int64_t first, std::int64_t n, const Rounding&) {
  put_bits<4>(static_cast<std::uint8_t*>(to), first, n,
              [&](std::int64_t i) { return encode(e2m1_format, static_cast<const double*>(from)[i], true); });
}

}  // namespace

bool is_plain_number(std::int32_t dtype) { return converter(dtype, TENON_DTYPE_DOUBLE) != nullptr; }

Convert converter(std::int32_t from, std::int32_t to, bool sticky) {
  return from_any(from == TENON_DTYPE_BOOL ? TENON_DTYPE_UINT8 : from, to, sticky, Sources{});
}

SmallType small_type(std::int32_t dtype) {
  constexpr std::int32_t f32 = TENON_DTYPE_FLOAT, f64 = TENON_DTYPE_DOUBLE, i8 = TENON_DTYPE_INT8;
  switch (dtype) {
    case TENON_DTYPE_FLOAT8E4M3FN: return {unpack_bytes<e4m3fn_format>, f32, pack_bytes<e4m3fn_format>, f64};
    case TENON_DTYPE_FLOAT8E4M3FNUZ: return {unpack_bytes<e4m3fnuz_format>, f32, pack_bytes<e4m3fnuz_format>, f64};
    case TENON_DTYPE_FLOAT8E5M2: return {unpack_bytes<e5m2_format>, f32, pack_bytes<e5m2_format>, f64};
    case TENON_DTYPE_FLOAT8E5M2FNUZ: return {unpack_bytes<e5m2fnuz_format>, f32, pack_bytes<e5m2fnuz_format>, f64};
    case TENON_DTYPE_FLOAT8E8M0: return {unpack_power, f32, pack_power, f64};
    case TENON_DTYPE_FLOAT6E2M3: return {unpack_bytes<e2m3_format>, f32, pack_bytes<e2m3_format, true>, f64};
    case TENON_DTYPE_FLOAT6E3M2: return {unpack_bytes<e3m2_format>, f32, pack_bytes<e3m2_format, true>, f64};
    case TENON_DTYPE_FLOAT4E2M1: return {unpack_float4, f32, pack_float4, f64};
    case TENON_DTYPE_INT4: return {unpack_int<4, true>, i8, pack_int<4>, i8};
    case TENON_DTYPE_UINT4: return {unpack_int<4, false>, i8, pack_int<4>, i8};
    case TENON_DTYPE_INT2: return {unpack_int<2, true>, i8, pack_int<2>, i8};
    case TENON_DTYPE_UINT2: return {unpack_int<2, false>, i8, pack_int<2>, i8};
    case TENON_DTYPE_FLOAT16: return {nullptr, f32, pack_half<float16_format>, f64};
    case TENON_DTYPE_BFLOAT16: return {nullptr, f32, pack_half<bfloat16_format>, f64};
    default: return {};
  }
}

}  // namespace tenon::cpu
