// The kernel of Resize: copies (nearest) or blends (linear, cubic) the elements that tables name.
// Free function; any thread.
#pragma once

#include "plugins/opencl/codegen/resize_table.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {

// How one axis changes.
struct AxisChange {
  std::int64_t in = 1, out = 1, taps = 1, lead = 0;
  double scale = 1, begin = 0, end = 1, stretch = 1;
  bool same = true;
  Tensor index, weight;
};

// changes: one for each axis of x, with tables where they are not `same`. real: the type in which elements are blended. extrapolation: what
// stands where an index is -1.
void launch_resize(PlanBuilder& builder, const ResizeRule& rule, const std::vector<AxisChange>& changes, const Tensor& x, const Tensor& y,
                   std::int32_t real, float extrapolation);

}  // namespace tenon::opencl
