// Winograd's F(4x4, 3x3) from bytes to bytes, exact: 3x3 convolutions of stride 1 with a quarter of the products, in int16.
//
// Weights are transformed panel by panel while it runs, so they stay bytes in memory. Emits steps; nothing is kept. Any thread.
#pragma once

#include "plugins/cpu/ops/byte_conv.h"

namespace tenon::cpu {

// Whether weights of this form can be transformed: what is asked before they are packed.
bool suits_byte_winograd(const ByteConvSpec& spec, Isa isa);
// What the transforms need to know of packed weights: [0] whether sums fit, and behind 16 of them the column terms of all points
// (short_gemm.h), where the kernels want them. Entries, and what fills them.
std::int64_t byte_winograd_entries(const ByteConvSpec& spec, Isa isa);
void fill_byte_winograd(const ByteConvSpec& spec, Isa isa, std::int32_t* to);

// Inputs and outputs as ByteConvOp has them. False, and nothing emitted, where it would take longer than products of bytes.
bool emit_byte_winograd(PlanBuilder& builder, const ByteConvSpec& spec);

}  // namespace tenon::cpu
