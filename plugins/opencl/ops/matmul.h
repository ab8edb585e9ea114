// What the operators of matrix products share.
// Pure functions; any thread.
#pragma once

#include "plugins/opencl/op.h"

namespace tenon::opencl {

// Of a product of inputs 0 and 1, at the sizes of estimates.
double product_flops(const Node& node);

}  // namespace tenon::opencl
