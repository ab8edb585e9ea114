// Convolution tiles: the innermost loops of float32 convolutions for one instruction set.
//
// A tile is a few neighbouring output columns times a few vectors of output channels, kept in registers over all taps and
// input channels. Everything around it (padding, blocking, splitting over workers) is conv_direct's. Tables are static;
// any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

// One stretch of products: where its inputs and weights begin, in floats.
struct ConvTap {
  std::int64_t src, weight;
};

// y[t][j] = bias[j] + sum over blocks, taps and k < length of src[block * block_src + tap.src + t * column + k] *
// weights[block * block_weight + tap.weight + k * channels + j]; the last block has last_length products a tap.
struct ConvTileArgs {
  const float* src;
  std::int64_t column;
  const ConvTap* taps;
  std::int64_t tap_count;
  std::int64_t blocks, block_src, block_weight;
  std::int64_t length, last_length;
  const float* weights;
  float* dst[4];            // of each vector of channels, for column 0
  std::int64_t dst_column;  // floats between columns
  const float* bias;        // [channels]; null: what dst holds is added instead
  const float* residual[4]; // added as well, with the strides of dst; null: none
  float low, high;          // the result is clamped, NaN stays
  const char* prefetch;     // what is needed next: read ahead, prefetch_step bytes further with each product
  std::int64_t prefetch_step;
  bool far;                 // the results lie outside the nearer caches: fetched while the products are made
};

using ConvTileFn = void (*)(const ConvTileArgs& args);

constexpr std::int64_t kConvMaxColumns = 14;

// Tiles of one width: channels = vectors * lanes.
struct ConvTileKind {
  std::int64_t lanes, channels;
  std::int64_t columns;  // of the largest tile
  ConvTileFn tiles[kConvMaxColumns];  // [columns - 1]
};

// out[r][j] = weights[r][j] * scale[r] for rows r of a tile's channels.
using ScaleRowsFn = void (*)(const float* weights, const float* scale, std::int64_t rows, std::int64_t channels, float* out);

struct ConvTiles {
  std::int64_t kind_count;
  ConvTileKind kinds[4];  // the first is the one to use while there are enough channels
  ScaleRowsFn scale_rows;

  // The kind for what is left of the output channels.
  std::int64_t kind_for(std::int64_t channels) const {
    std::int64_t best = 0;
    for (std::int64_t i = 1; i < kind_count; ++i)
      if (kinds[i].channels >= channels && kinds[i].channels < kinds[best].channels) best = i;
    return best;
  }
};

const ConvTiles& conv_tiles(Isa isa);

}  // namespace tenon::cpu
