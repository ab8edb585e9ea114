// Elementwise operators between DequantizeLinear and QuantizeLinear: tables of 256 entries where all that varies is one tensor of
// bytes, sums, differences and products of two. Called once in compile, by fuse_quantized, when products have taken what is theirs.
#pragma once

#include "plugins/cpu/program.h"

namespace tenon::cpu {

void fuse_quantized_elementwise(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context);

}  // namespace tenon::cpu
