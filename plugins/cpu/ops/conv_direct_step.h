// DirectConvStep: one direct convolution with all that its plan decided, as the step that runs it.
//
// Made by conv_direct.cpp, run by conv_direct_run.cpp. Plain data that the plan keeps; any number of runs at once.
#pragma once

#include "plugins/cpu/ops/conv_direct.h"

namespace tenon::cpu {

// Output columns that the same taps of a kernel row reach: [low, high) of those in use, the others meet padding there.
struct ColumnSpan {
  std::int64_t begin, end, low, high;
};

struct DirectConvStep {
  const ConvTiles* tiles;
  std::int64_t n, groups, ic, oc;
  ConvDim d, h, w;
  ImageLayout src, dst;
  std::int64_t src_image, dst_image;
  std::int64_t block, blocks, last;         // input channels of a block of weights; products of the last block
  std::int64_t side, parts;                 // channels side by side in what tiles read; of these there are parts to a block
  bool unpacked, flat, merged, prunes, separate;
  bool even;                                // workers take equal parts of tiles and rows, not a grid of them
  bool chained;                             // packed rows follow each other without gaps: tiles reach over their ends
  std::int64_t last_row;                    // columns of the last row of a flat image
  const ColumnSpan* spans;                  // null: all columns have all taps
  std::int64_t span_count;
  const ConvChannels* channels;
  std::int64_t channel_count, group_floats;
  const std::uint8_t* whole;                // per tile of channels: stores straight into dst
  std::int64_t rows_per_band, blocks_per_chunk;
  Ref in, weights, bias, out, residual, scale, scratch;
  std::int64_t weights_offset, scale_image;
  float low, high;
  EpiloguePlan all, rest;
  std::uint64_t scratch_bytes, taps_at, results_at, scaled_at;
  double cost, cost_row, cost_tile;

  std::int64_t rows() const { return d.out * h.out; }
  std::int64_t columns(std::int64_t row) const { return flat && row + 1 == rows() ? last_row : w.out; }
  // Where the first column of a row is stored.
  std::int64_t pixel(std::int64_t row) const {
    const std::int64_t od = row / h.out, oh = row % h.out;
    return ((od * d.dst_step + d.dst_first) * h.dst_size + oh * h.dst_step + h.dst_first) * w.dst_size + w.dst_first;
  }
  // Where the share of a worker begins: rows of this tile from row on, then the tiles behind it.
  struct Share {
    std::int64_t tile, row;
  };
  Share share(std::int64_t worker, std::int64_t workers) const {
    if (worker == workers) return {channel_count, 0};
    const std::int64_t at = (channels[channel_count - 1].begin + channels[channel_count - 1].width) * rows() * worker / workers;
    std::int64_t t = 0;
    while ((channels[t].begin + channels[t].width) * rows() <= at) ++t;
    return {t, (at - channels[t].begin * rows()) / channels[t].width};
  }
  std::int64_t packed_width() const { return w.reach(w.out); }
  std::int64_t taps_per_row() const { return (merged ? 1 : w.used()) * parts; }

  void operator()(const StepContext& context) const;
  void share_evenly(const StepContext& context) const;
};

}  // namespace tenon::cpu
