// Convolutions as plain loops over dense tensors: the oracle, and all there is for float64.
//
// Emits steps; nothing is kept. Any thread.
#pragma once

#include "plugins/cpu/ops/conv_shape.h"

namespace tenon::cpu {

// Sizes of a convolution: channels are per group; spatial dims that are not there have size 1.
struct ConvGeometry {
  std::int64_t n = 0, groups = 1, ic = 0, oc = 0;
  Window d, h, w;

  std::int64_t in_pixels() const { return d.in * h.in * w.in; }
  std::int64_t out_pixels() const { return d.out * h.out * w.out; }
  std::int64_t taps() const { return d.kernel * h.kernel * w.kernel; }
};

// Inputs 0 and 1 of builder are x and weights [oc, ic / groups, kernel]; output 0 is y.
void emit_plain_conv(PlanBuilder& builder, const ConvGeometry& geometry, Ref bias);
// Transposed: the windows are those of the convolution from y (in) back to x (out); weights [ic, oc / groups, kernel].
void emit_plain_conv_transpose(PlanBuilder& builder, const ConvGeometry& geometry, Ref bias);

}  // namespace tenon::cpu
