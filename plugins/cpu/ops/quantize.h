// The quantization family: what its files share.
// Free functions; any thread.
#pragma once

#include "plugins/cpu/families.h"

namespace tenon::cpu {

std::span<const OpRow> linear_quantize_rows();  // QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear: quantize_linear.cpp
std::span<const OpRow> integer_product_rows();  // MatMulInteger, ConvInteger, QLinearMatMul, QLinearConv: integer_products.cpp

// Numbers that quantized types hold; the reader takes packed types too.
constexpr bool is_integer8(std::int32_t dtype) { return dtype == TENON_DTYPE_INT8 || dtype == TENON_DTYPE_UINT8; }
constexpr bool is_quantized(std::int32_t dtype) {
  return is_integer8(dtype) || dtype == TENON_DTYPE_INT16 || dtype == TENON_DTYPE_UINT16 || dtype == TENON_DTYPE_INT4 || dtype == TENON_DTYPE_UINT4;
}
constexpr bool is_float8(std::int32_t dtype) { return dtype >= TENON_DTYPE_FLOAT8E4M3FN && dtype <= TENON_DTYPE_FLOAT8E5M2FNUZ; }
// Types that go through an array of plain numbers: cast.h's stages.
constexpr bool is_staged(std::int32_t dtype) {
  return is_float8(dtype) || dtype == TENON_DTYPE_FLOAT4E2M1 || dtype == TENON_DTYPE_FLOAT6E2M3 || dtype == TENON_DTYPE_FLOAT6E3M2 || dtype == TENON_DTYPE_INT4 || dtype == TENON_DTYPE_UINT4 ||
         dtype == TENON_DTYPE_INT2 || dtype == TENON_DTYPE_UINT2;
}
struct QuantizedRange {
  std::int32_t least, greatest;
};
constexpr QuantizedRange range_of(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_INT8: return {-128, 127};
    case TENON_DTYPE_UINT8: return {0, 255};
    case TENON_DTYPE_INT16: return {-32768, 32767};
    case TENON_DTYPE_UINT16: return {0, 65535};
    case TENON_DTYPE_INT4: return {-8, 7};
    case TENON_DTYPE_INT2: return {-2, 1};
    case TENON_DTYPE_UINT2: return {0, 3};
    default: return {0, 15};
  }
}
inline std::int32_t read_quantized(const void* p, std::int32_t dtype, std::int64_t i) {
  switch (dtype) {
    case TENON_DTYPE_INT8: return static_cast<const std::int8_t*>(p)[i];
    case TENON_DTYPE_UINT8: return static_cast<const std::uint8_t*>(p)[i];
    case TENON_DTYPE_INT16: return static_cast<const std::int16_t*>(p)[i];
    case TENON_DTYPE_UINT16: return static_cast<const std::uint16_t*>(p)[i];
    case TENON_DTYPE_INT32: return static_cast<const std::int32_t*>(p)[i];
    default: {
      const std::int32_t nibble = static_cast<const std::uint8_t*>(p)[i / 2] >> (i % 2 * 4) & 15;
      return dtype == TENON_DTYPE_INT4 && nibble > 7 ? nibble - 16 : nibble;
    }
  }
}

// Rounds half to even; for |x| < 2^22.
inline float round_even(float x) {
  constexpr float magic = 12582912.0f;
  return (x + magic) - magic;
}
// x to a quantized number; NaN becomes the zero point.
inline std::int32_t quantize(float x, float scale, std::int32_t zero, QuantizedRange range) {
  float q = x / scale;
  q = q > 100000.0f ? 100000.0f : q < -100000.0f ? -100000.0f : q;
  const auto n = static_cast<std::int32_t>(q == q ? round_even(q) : 0.0f) + zero;
  return n < range.least ? range.least : n > range.greatest ? range.greatest : n;
}

}  // namespace tenon::cpu
