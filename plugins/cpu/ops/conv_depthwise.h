// Depthwise convolution of float32 images: each channel with its own kernel, a block of channels in one vector.
//
// Blocked images are read and written as they lie; dense ones pass through a worker's scratch, 16 channels at a time.
// Made in plan; any number of runs at once.
#pragma once

#include "plugins/cpu/ops/conv_depthwise_kernel.h"
#include "plugins/cpu/ops/conv_direct.h"
#include "plugins/cpu/ops/conv_plain.h"
#include "plugins/cpu/ops/conv_weights.h"

namespace tenon::cpu {

// Weights as [channels / 16][taps][16], zeros for channels that are not there.
class DepthwiseForm final : public ConvWeightsForm {
 public:
  DepthwiseForm(std::int64_t channels, std::int64_t taps) : channels_(channels), taps_(taps) {}
  std::int64_t floats() const override { return items() * taps_ * 16; }
  std::int64_t items() const override { return (channels_ + 15) / 16; }
  void pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const override;
  std::string layout_id() const override { return "conv_depthwise/" + std::to_string(channels_) + "x" + std::to_string(taps_); }

 private:
  std::int64_t channels_, taps_;
};

// As emit_direct_conv, for geometry with one input and output channel in each group. The blocks of problem must be equal.
bool emit_depthwise_conv(PlanBuilder& builder, const ConvGeometry& geometry, const ConvProblem& problem, std::span<const Ref> reads);

// The kernel for two rows at once, for images of such blocks; null where there is none.
DepthwisePairFn pair_for(Isa isa, const Window& h, const Window& w, std::int64_t block);
// Takes the first item off an epilogue, where the kernel does it on its own.
DepthwiseFinish take_finish(EpiloguePlan& epilogue);

}  // namespace tenon::cpu
