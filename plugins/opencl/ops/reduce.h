// Folding a tensor along some of its axes, for the Reduce operators and whoever needs a sum or an extreme on the way.
// Free functions; any thread.
#pragma once

#include "plugins/opencl/op.h"

namespace tenon::opencl {

enum class Reduction : std::uint8_t { sum, mean, max, min, prod, l1, l2, log_sum, log_sum_exp, sum_square };

// Emits y = x folded along the marked axes; y has one element for each index of the others, its dims as with keepdims (size 1) or
// without.
void plan_reduction(PlanBuilder& builder, Reduction kind, const Tensor& x, const std::vector<bool>& folded, const Tensor& y);

}  // namespace tenon::opencl
