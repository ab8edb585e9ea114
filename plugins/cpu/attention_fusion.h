// Attention spelled out: a product, a softmax and a product become one op that keeps no scores.
// Called once in compile.
#pragma once

#include "plugins/cpu/program.h"

namespace tenon::cpu {

// After fuse, which has brought transpositions, factors and masks into the three ops. A Where that hides scores behind a number and
// one that puts zeros for NaN between softmax and product belong to the pattern. values say which are outputs of the part.
void fuse_attention(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context);

}  // namespace tenon::cpu
