// Quantized patterns: DequantizeLinear in front and QuantizeLinear behind become operators from bytes to bytes.
// Called once in compile, before fusion: a pattern is taken as a whole or left as it is.
#pragma once

#include "plugins/cpu/program.h"

namespace tenon::cpu {

// Rewrites units: Conv, Gemm and MatMul between dequantized operands and a QuantizeLinear, QLinearConv, QLinearMatMul, each with a
// quantized Add, Relu or Clip behind it; elementwise operators and Concat between DequantizeLinear and QuantizeLinear; MaxPool of a
// quantized image. What is no pattern, or one whose numbers no byte kernel
// gets right, stays.
void fuse_quantized(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context);

}  // namespace tenon::cpu
