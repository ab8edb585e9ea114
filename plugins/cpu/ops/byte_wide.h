// Convolutions and products from bytes to bytes in int16, for processors whose 8-bit products would saturate (no VNNI).
//
// Rows and panels of weights are widened block by block, so weights stay bytes in memory. Emits steps; nothing is kept. Any thread.
#pragma once

#include "plugins/cpu/ops/byte_conv.h"

namespace tenon::cpu {

// What int16 products have to add to the columns of a product whose rows are less 128: ByteColumns::add and the zero points of inputs
// and weights. And those of weights; both with entries as ByteColumns has them, kept by the builder.
struct ShortColumns {
  const std::int32_t *add, *zeros;  // zeros: null where all are 0
};
ShortColumns short_columns(PlanBuilder& builder, const ByteConvSpec& spec);

// Inputs and outputs as ByteConvOp has them. REQUIRES not depthwise.
void emit_byte_wide(PlanBuilder& builder, const ByteConvSpec& spec);

}  // namespace tenon::cpu
