// DirectConv: one convolution of float32 images as a step: padded bands of the input, tiles in registers, any layout.
//
// A worker packs a band of input rows (zeros around it, a block of channels together) into its scratch, unless the input can
// be read as it lies, and computes all its output channels for the band. Transposed convolutions are several of these, one
// for each phase of the output. Made in plan; plain data that the plan keeps; any number of runs at once.
#pragma once

#include <cstdint>

#include "plugins/cpu/epilogue.h"
#include "plugins/cpu/ops/conv_layout.h"
#include "plugins/cpu/ops/conv_pack.h"

namespace tenon::cpu {

// One spatial dim: output o reads the inputs o * stride + first + t * step for t < taps and is stored at
// o * dst_step + dst_first of dst_size.
struct ConvDim {
  std::int64_t in = 1, out = 1, stride = 1, first = 0, step = 1, taps = 1;
  std::int64_t dst_first = 0, dst_step = 1, dst_size = 1;
  // Taps that some output can reach; the others only ever meet padding.
  std::int64_t tap_begin = 0, tap_end = 1;

  void find_taps();
  std::int64_t used() const { return tap_end - tap_begin; }
  // First input that output 0 reads.
  std::int64_t origin() const { return first + tap_begin * step; }
  // Inputs between the first and the last that n neighbouring outputs read, both included.
  std::int64_t reach(std::int64_t n) const { return used() == 1 ? n : (n - 1) * stride + (used() - 1) * step + 1; }
  bool inside() const { return origin() >= 0 && (out - 1) * stride + origin() + (used() - 1) * step < in; }
};

// What the caller knows; the rest is derived.
struct ConvProblem {
  std::int64_t n = 1;
  ConvDim d, h, w;
  std::int64_t src_block = 0, dst_block = 0;
  Ref src, weights, bias, dst;
  std::int64_t weights_offset = 0;  // floats
  Ref scale;                        // of input channels: weights are multiplied with it; for one group and one tap only
  std::int64_t scale_image = 0;     // floats between the images of scale
  Ref residual;                     // as dst, added before anything else
  float low, high;                  // clamps next; infinities where there is nothing to clamp
  EpiloguePlan all, rest;           // the whole epilogue; what is left of it after residual and clamp
  bool separate = false;            // out: the epilogue `all` was not applied, it needs a step of its own
};

// What a step computes: convolutions that write different places of the same output.
struct ConvPart {
  const ConvPacking* packing;
  ConvProblem problem;
};

// Emits the step. Returns true where residual or epilogue could not be applied on the way: then `all` is to be applied to dst
// afterwards and residual and clamp were ignored.
bool emit_direct_conv(PlanBuilder& builder, const char* name, std::span<const ConvPart> parts, std::span<const Ref> reads,
                      std::span<const Ref> writes);

// May dst be the memory of residual? Asked before emit, with the same arguments.
bool direct_conv_reads_in_place(const ConvPacking& packing, std::int64_t dst_block);

// How a gang shares a step of rows × tiles: workers / by_rows take different rows, by_tiles different tiles.
struct WorkGrid {
  std::int64_t by_rows = 1, by_tiles = 1;
};
// cost_row: of one row in addition to its tiles (packing); cost_tile: of one tile in addition to its rows (reading weights).
WorkGrid share_work(std::int64_t workers, std::int64_t rows, std::int64_t tiles, double cost, double cost_row, double cost_tile);

}  // namespace tenon::cpu
