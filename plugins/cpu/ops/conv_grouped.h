// Convolutions of blocked float32 images with eight output channels in each group and kernels three columns wide.
//
// The general tiles would have one vector of outputs, and fetch an input for every product. Made in plan; any number of runs at
// once.
#pragma once

#include "plugins/cpu/ops/conv_direct.h"
#include "plugins/cpu/ops/conv_plain.h"
#include "plugins/cpu/ops/conv_weights.h"

namespace tenon::cpu {

// Weights as [group][row of the kernel][input channels / 8][8][column][8 outputs].
class GroupedForm final : public ConvWeightsForm {
 public:
  GroupedForm(std::int64_t groups, std::int64_t ic, std::int64_t rows) : groups_(groups), ic_(ic), rows_(rows) {}
  std::int64_t in_channels() const { return groups_ * ic_; }
  std::int64_t floats() const override { return groups_ * ic_ * rows_ * 24; }
  std::int64_t items() const override { return groups_; }
  void pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const override;
  std::string layout_id() const override;

 private:
  std::int64_t groups_, ic_, rows_;
};

// Channels are those of one group.
bool suits_grouped(Isa isa, const WindowAttributes& window, std::int64_t groups, std::int64_t ic, std::int64_t oc, const std::int64_t* kernel);

// As emit_direct_conv. False, and nothing is emitted, where the images are not blocked or windows reach further over an edge.
bool emit_grouped_conv(PlanBuilder& builder, const ConvGeometry& geometry, const ConvProblem& problem, std::span<const Ref> reads);

}  // namespace tenon::cpu
