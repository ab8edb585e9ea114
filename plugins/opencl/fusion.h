// Fusion: which nodes share a kernel. Elementwise work joins the producer before it, as text of its kernel, or the elementwise work around it.
// Runs in compile, on one program.
#pragma once

#include "plugins/opencl/program.h"

namespace tenon::opencl {

void fuse(const tenon_graph& graph, Program& program);

}  // namespace tenon::opencl
