// Pools as plain loops over dense tensors of any type: the oracle, the indices of MaxPool, and what has no faster way.
//
// Emits steps; nothing is kept. Any thread.
#pragma once

#include "plugins/cpu/ops/conv_shape.h"
#include "plugins/cpu/ops/pool_kernels.h"

namespace tenon::cpu {

struct PoolGeometry {
  std::int64_t planes = 0;            // batch times channels
  Window d, h, w;                     // size 1 where there is no such dim
  std::int64_t end_d = 0, end_h = 0, end_w = 0;  // padding after the last input
  bool include_pad = false;           // the average counts padding
  bool column_major = false;          // of the indices of MaxPool
  std::int64_t p = 2;                 // of LpPool

  std::int64_t in_pixels() const { return d.in * h.in * w.in; }
  std::int64_t out_pixels() const { return d.out * h.out * w.out; }
  // The window of output o along one dim.
  PoolSpan span(const Window& window, std::int64_t pad_end, std::int64_t o) const;
};

// Input 0 to output 0 of builder; output 1, where wanted, gets the indices of the maxima.
void emit_plain_pool(PlanBuilder& builder, Pooling pooling, const PoolGeometry& geometry);

}  // namespace tenon::cpu
