// Steps of the reductions, shared with other families (norms use them for sums over blocks).
//
// Owned by the plan; immutable; each worker runs its slice.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plugins/cpu/op.h"
#include "plugins/cpu/ops/reduce_kernels.h"

namespace tenon::cpu {

enum class ReduceKind : std::uint8_t { sum, mean, max, min, prod, l1, l2, log_sum, log_sum_exp, sum_square };

// One loop over the input, in elements.
struct ReduceLoop {
  std::int64_t size, stride;
};

// A dense tensor cut into loops over what stays and what goes; neighbours of one kind are merged.
struct ReduceShape {
  std::vector<ReduceLoop> kept;     // outermost first; without the row of `cols` that is last in the tensor
  std::vector<ReduceLoop> reduced;  // outermost first; never empty
  std::int64_t cols = 1;            // kept elements beside each other
  std::int64_t units() const;       // product of kept
  std::int64_t folded() const;      // product of reduced
};

// axes: which dims go. Sizes of 1 do not count.
ReduceShape make_reduce_shape(std::span<const std::int64_t> dims, const std::vector<bool>& axes);

// Emits the steps for y = kind(x), dtype of both; big reductions over few results are cut by their size, so results do not
// depend on the number of workers.
void plan_reduce(PlanBuilder& builder, ReduceKind kind, std::int32_t dtype, const ReduceShape& shape, Ref x, Ref y);

}  // namespace tenon::cpu
