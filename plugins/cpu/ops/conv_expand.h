// A 1x1 convolution and the depthwise one that reads it, as one step: the rows between them never leave the second-level cache.
//
// Expanded channels are made a tile at a time, a few rows ahead of the depthwise kernel, into a ring of a worker's scratch. Made
// in plan; plain data that the plan keeps; any number of runs at once. Results do not depend on the number of workers.
#pragma once

#include "plugins/cpu/ops/conv_depthwise.h"
#include "plugins/cpu/ops/conv_fusion.h"

namespace tenon::cpu {

// The depthwise convolution that a 1x1 one has taken over, and what it absorbed since.
class TakenDepthwise {
 public:
  // Null where next is no such convolution, or so small that the value between the two is in the cache anyway. block: of the machine.
  static std::unique_ptr<TakenDepthwise> take(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, std::int32_t block,
                                              CompileContext& context);

  ConvFusion& fusion() { return fusion_; }
  const ConvFusion& fusion() const { return fusion_; }
  // Emits the step. expand: where src, weights and bias are, and what follows each sum; the rest is derived.
  void plan(PlanBuilder& builder, const ConvPacking& packing, const ConvProblem& expand) const;

 private:
  WindowAttributes window_;
  std::int64_t kernel_[2] = {1, 1};
  std::unique_ptr<DepthwiseForm> form_;
  const float* packed_ = nullptr;
  std::uint32_t bias_ = TENON_NO_VALUE;  // input
  ConvFusion fusion_;
};

}  // namespace tenon::cpu
