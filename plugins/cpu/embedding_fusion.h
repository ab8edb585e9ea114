// Embeddings: rows looked up in several tables and joined become one op, which writes each row once.
// Called once in compile.
#pragma once

#include "plugins/cpu/program.h"

namespace tenon::cpu {

// After fuse. Concat of axis 1 over at least two Gathers from float32 tables, with an Unsqueeze of axis 1 between or not; indices may be
// columns that other Gathers take. values say which are outputs of the part.
void fuse_embeddings(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context);

}  // namespace tenon::cpu
