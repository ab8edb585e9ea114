// Convolutions on tiles (amx/): images and weights split into parts of bfloat16, implicit products without copies of windows.
//
// A worker splits a band of input rows once, zeros around it, into [32 channels][phase][part][row][column][32]: rows and columns
// that a stride skips lie in planes of their own, so that for each tap of the kernel the inputs of 16 output pixels are one tile
// that begins somewhere in a plane. Pixels are counted on over the ends of padded rows: what lies between is computed and thrown
// away. Images with few channels have all taps of a kernel row side by side instead. The error is that of the parts (Precision);
// results do not depend on the number of workers. Made in plan; any number of runs at once.
#pragma once

#include "plugins/cpu/gemm/split.h"
#include "plugins/cpu/ops/conv_direct.h"
#include "plugins/cpu/ops/conv_plain.h"
#include "plugins/cpu/ops/conv_split_kernel.h"
#include "plugins/cpu/ops/conv_weights.h"

namespace tenon::cpu {

// Weights as [group][32 output channels][step][part][pairs of 32 inputs ...]: amx/conv_tiles.h. Steps go over 32 input channels at a
// time, and inside over the taps; where there are few channels, over 32 numbers of a kernel row at a time, and over those rows.
class SplitForm final : public ConvWeightsForm {
 public:
  // REQUIRES tiles.
  SplitForm(const Options& options, std::int64_t groups, std::int64_t ic, std::int64_t oc, std::int64_t rows, std::int64_t columns);

  const SplitConvKernels& kernels() const { return *kernels_; }
  bool lines() const { return lines_; }
  std::int64_t chunks() const { return (inputs() + 31) / 32; }
  std::int64_t steps() const { return chunks() * taps(); }
  std::int64_t taps() const { return lines_ ? rows_ : rows_ * columns_; }  // of a chunk
  std::int64_t panels() const { return (oc_ + 31) / 32; }
  // Output channels of a panel, filled up to 32 or 16.
  std::int64_t width(std::int64_t panel) const { return oc_ - panel * 32 > 16 ? 32 : 16; }
  // Numbers from the start of the weights.
  std::int64_t at(std::int64_t group, std::int64_t panel, std::int64_t step) const {
    return (group * group_width() + panel * 32) * steps() * kernels_->parts * 32 + step * kernels_->parts * 32 * width(panel);
  }
  // The weight of a group's output channel and input channel.
  float weight(const std::uint16_t* packed, std::int64_t group, std::int64_t oc, std::int64_t ic, std::int64_t row, std::int64_t column) const;

  std::int64_t floats() const override { return groups_ * group_width() * steps() * kernels_->parts * 32 / 2; }
  std::int64_t items() const override { return groups_ * panels(); }
  void pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const override;
  std::string layout_id() const override;

 private:
  std::int64_t inputs() const { return lines_ ? columns_ * ic_ : ic_; }
  std::int64_t group_width() const { return (panels() - 1) * 32 + width(panels() - 1); }

  const SplitConvKernels* kernels_;
  const gemm::SplitKernels* products_;
  std::int64_t groups_, ic_, oc_, rows_, columns_;  // channels of a group; the kernel
  bool lines_;
};

// Is it faster than the others for an output of that size? winograd: could that be done.
bool suits_split_conv(const ConvGeometry& geometry, Precision precision, bool winograd);

// As emit_direct_conv; in_place: whether the output may be the memory of the residual.
bool emit_split_conv(PlanBuilder& builder, const SplitForm& form, const ConvGeometry& geometry, const ConvProblem& problem,
                     std::span<const Ref> reads, bool& in_place);

}  // namespace tenon::cpu
