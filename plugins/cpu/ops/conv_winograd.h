// Winograd's F(4x4, 3x3): 3x3 convolutions of stride 1 with a quarter of the products, for four times the weights.
//
// The error is that of a different order of sums, about 1e-5 of the largest output; an infinity or NaN of the input spreads
// over the tiles that see it. Made in plan; any number of runs at once.
#pragma once

#include "plugins/cpu/ops/conv_direct.h"
#include "plugins/cpu/ops/conv_plain.h"
#include "plugins/cpu/ops/conv_weights.h"

namespace tenon::cpu {

// Weights as [tile of output channels][point][input channel][channel of the tile].
class WinogradForm final : public ConvWeightsForm {
 public:
  WinogradForm(const ConvTiles& tiles, std::int64_t ic, std::int64_t oc) : packing_(tiles, 1, ic, oc, 1) {}
  const ConvPacking& packing() const { return packing_; }
  std::int64_t floats() const override { return 36 * packing_.floats(); }
  std::int64_t items() const override { return static_cast<std::int64_t>(packing_.channels.size()) * packing_.ic; }
  void pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const override;
  std::string layout_id() const override { return packing_.layout_id("conv_winograd"); }

 private:
  ConvPacking packing_;  // of one point
};

// Is it worth it for an output of that size?
bool suits_winograd(const ConvGeometry& geometry);

// As emit_direct_conv, for one group.
bool emit_winograd_conv(PlanBuilder& builder, const WinogradForm& form, const ConvGeometry& geometry, const ConvProblem& problem,
                        std::span<const Ref> reads);

}  // namespace tenon::cpu
