// Depthwise convolution from bytes to bytes: a channel for each group.
//
// Products are float32, which holds their sums exactly, or of bytes (byte_depthwise_line.h). Emits steps; nothing is kept. Any thread.
#pragma once

#include "plugins/cpu/ops/byte_conv.h"

namespace tenon::cpu {

// Weights [channel][tap], less their zero points, as spec.depthwise has them, the sign bit turned where flip is set.
void pack_byte_depthwise(const ByteConvSpec& spec, const void* weights, bool flip, void* to);

// Inputs and outputs as ByteConvOp has them. REQUIRES at most 256 taps.
void emit_byte_depthwise(PlanBuilder& builder, const ByteConvSpec& spec);

}  // namespace tenon::cpu
