// Copies between tensors of equal dims and any strides: along the memory where it goes the same way, in tiles where it does not.
// Free function; any thread.
#pragma once

#include "plugins/opencl/op.h"

namespace tenon::opencl {

void launch_copy(PlanBuilder& builder, const Tensor& from, const Tensor& to);

}  // namespace tenon::opencl
