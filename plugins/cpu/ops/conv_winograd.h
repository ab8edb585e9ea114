// Winograd's F(4x4, 3x3): 3x3 convolutions of stride 1 with a quarter of the products, for four times the weights. And F(4, 3):
// convolutions of lines by three taps, of any dilation, with half of the products, for twice the weights.
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
  // taps: 9, or 3 of a line.
  WinogradForm(const ConvTiles& tiles, std::int64_t ic, std::int64_t oc, std::int64_t taps)
      : packing_(tiles, 1, ic, oc, 1), points_(taps == 3 ? 6 : 36) {}
  const ConvPacking& packing() const { return packing_; }
  std::int64_t points() const { return points_; }
  std::int64_t floats() const override { return points_ * packing_.floats(); }
  std::int64_t items() const override { return static_cast<std::int64_t>(packing_.channels.size()) * packing_.ic; }
  void pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const override;
  std::string layout_id() const override { return packing_.layout_id(points_ == 6 ? "conv_winograd_line" : "conv_winograd"); }

 private:
  ConvPacking packing_;  // of one point
  std::int64_t points_;
};

// Products of every point of `count` tiles, [point][block of 16 input channels][tile][16] and `point` floats apart, with the weights
// of a tile of output channels: to[point][tile][channel].
struct WinogradProducts {
  std::int64_t points, ic, count, point;
  const float *input, *weights;
  float* to;
};
void multiply_winograd(const ConvTileKind& kind, const WinogradProducts& products);

// Is it worth it for an output of that size?
bool suits_winograd(const ConvGeometry& geometry);

// As emit_direct_conv, for one group.
bool emit_winograd_conv(PlanBuilder& builder, const WinogradForm& form, const ConvGeometry& geometry, const ConvProblem& problem,
                        std::span<const Ref> reads);

// Per tile of channels: whether it is stored straight into an output of that block. False where the tiles do not end where blocks do.
bool winograd_stores(const ConvPacking& packing, std::int64_t dst_block, std::vector<std::uint8_t>& whole);
// For lines; emit_winograd_conv calls it.
bool emit_winograd_line(PlanBuilder& builder, const WinogradForm& form, const ConvGeometry& geometry, const ConvProblem& problem,
                        std::span<const Ref> reads);

}  // namespace tenon::cpu
