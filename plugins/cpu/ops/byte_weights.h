// What the patterns of quantized.cpp read of constants: scales, zero points, weights in the form of byte products.
// Free functions, called in compile; one thread.
#pragma once

#include <optional>
#include <vector>

#include "plugins/cpu/ops/byte_conv.h"
#include "plugins/cpu/ops/quantize.h"

namespace tenon::cpu {

// One scale and zero point for a whole tensor of bytes.
struct Quantization {
  float scale;
  std::int32_t zero;
  bool is_signed;

  std::int32_t unsigned_zero() const { return zero + (is_signed ? 128 : 0); }
  std::uint8_t flip() const { return is_signed ? 0x80 : 0; }
  // As DequantizeLinear and QuantizeLinear have them.
  float real(std::uint8_t byte) const { return static_cast<float>((byte ^ flip()) - unsigned_zero()) * scale; }
  std::uint8_t byte(float x) const {
    return static_cast<std::uint8_t>(quantize(x, scale, zero, is_signed ? QuantizedRange{-128, 127} : QuantizedRange{0, 255}));
  }
  bool operator==(const Quantization&) const = default;
};

// A node's inputs that say how a tensor is quantized.
struct Places {
  std::uint32_t scale, zero;
};
inline constexpr Places linear_places{1, 2};

// Nothing where they are not constant, not for a whole tensor or not fit for bytes.
std::optional<Quantization> byte_quantization(CompileContext& context, const NodeView& n, Places at, std::int32_t dtype);
// Scales of `count` columns, one or one for each. False where they are not constant or not fit.
bool column_scales(CompileContext& context, const NodeView& n, std::uint32_t at, std::int64_t count, std::vector<float>& out);
// Zero points of weights in `count` columns, one or one for each, less 128 for unsigned ones; nothing where all are 0. False where
// they are not constant or not fit.
bool weight_zeros(CompileContext& context, const NodeView& n, std::uint32_t at, std::int32_t dtype, std::int64_t count,
                  std::vector<std::int32_t>& out);
// The form of constant weights w for an operator: false where it is not for bytes.
bool product_form(const NodeView& op, const tenon_value& x, const tenon_value& w, ByteConvSpec& s);
// The axis of w along which the columns of the product lie.
std::int64_t weights_column_axis(const NodeView& op, const ByteConvSpec& s);
// Packs the weights that are input `at` of owner, with spec's zero points.
void pack_product(CompileContext& context, const NodeView& op, const NodeView& owner, std::uint32_t at, ByteConvSpec& s);

}  // namespace tenon::cpu
