// 1x1 convolutions of images of one pixel, as squeeze-excite has them: memory decides, so several tiles of weights are read at once.
//
// Made in plan; any number of runs at once.
#pragma once

#include "plugins/cpu/ops/conv_direct.h"
#include "plugins/cpu/ops/conv_plain.h"

namespace tenon::cpu {

// As emit_direct_conv. False, and nothing is emitted, for any other convolution.
bool emit_point_conv(PlanBuilder& builder, const ConvPacking& packing, const ConvGeometry& geometry, const ConvProblem& problem,
                     std::span<const Ref> reads);

}  // namespace tenon::cpu
