// Concat of quantized images along their channels, which lie last inside. Called once in compile, by fuse_quantized, when products,
// elementwise operators and pools have taken what is theirs.
#pragma once

#include "plugins/cpu/program.h"

namespace tenon::cpu {

void fuse_quantized_concat(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context);

}  // namespace tenon::cpu
