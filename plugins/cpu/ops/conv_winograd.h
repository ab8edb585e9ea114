// Winograd's F(4x4, 3x3): 3x3 convolutions of stride 1 with a quarter of the products, for four times the weights. And F(4, 3):
// convolutions of lines by three taps, of any dilation, with half of the products, for twice the weights. Volumes are convolved
// slice by slice: the slices that an output slice reads lie behind each other like further input channels.
//
// The error is that of a different order of sums, about 1e-5 of the largest output; an infinity or NaN of the input spreads
// over the tiles that see it. Made in plan; any number of runs at once.
#pragma once

#include "plugins/cpu/ops/conv_direct.h"
#include "plugins/cpu/ops/conv_plain.h"
#include "plugins/cpu/ops/conv_weights.h"

namespace tenon::cpu {

// Weights as [tile of output channels][point][depth][input channel][channel of the tile]; where there is a depth, zeros fill the
// input channels up to a multiple of 16.
class WinogradForm final : public ConvWeightsForm {
 public:
  // taps: 9 of each of `depth` slices, or 3 of a line.
  WinogradForm(const ConvTiles& tiles, std::int64_t ic, std::int64_t oc, std::int64_t depth, std::int64_t taps)
      : ic_(ic), depth_(depth), points_(taps == 3 ? 6 : 36), packing_(tiles, 1, depth * slice_rows(), oc, 1) {}
  const ConvPacking& packing() const { return packing_; }
  std::int64_t points() const { return points_; }
  // Rows of weights that belong to one slice.
  std::int64_t slice_rows() const { return depth_ == 1 ? ic_ : (ic_ + 15) / 16 * 16; }
  std::int64_t floats() const override { return points_ * packing_.floats(); }
  std::int64_t items() const override { return static_cast<std::int64_t>(packing_.channels.size()) * packing_.ic; }
  void pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const override;
  std::string layout_id() const override {
    return packing_.layout_id(points_ == 6 ? "conv_winograd_line" : "conv_winograd") + (depth_ == 1 ? "" : " depth " + std::to_string(depth_));
  }

 private:
  std::int64_t ic_, depth_, points_;
  ConvPacking packing_;  // of one point
};

// Products of every point of `count` tiles, [point][block of 16 input channels][tile][16] and `point` floats apart, with the weights
// of a tile of output channels, `rows` rows a point: to[point][tile][channel].
struct WinogradProducts {
  std::int64_t points, ic, rows, count, point;
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
