// Fusion: lets ops take over the work of their neighbours.
// Called once in compile.
#pragma once

#include <vector>

#include "plugins/cpu/program.h"

namespace tenon::cpu {

// Units in topological order, one node each; what is taken over disappears, and a fused unit stands where the last node that
// it absorbed stood. values say which are outputs of the part.
void fuse(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context);

}  // namespace tenon::cpu
