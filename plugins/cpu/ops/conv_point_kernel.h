// Point: products of one pixel with tiles of packed convolution weights, for one instruction set.
//
// Tables are static; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

constexpr std::int64_t kPointTiles = 4;  // at most, side by side: memory likes to be asked for several things at once

// y[t][j] = bias[t][j] + sum over k < inputs of x[k] * weights[t * inputs * channels + k * channels + j] for t < tiles, clamped. Tiles
// have the channels of the widest kind of conv_tiles(isa).
struct PointArgs {
  const float* x;
  std::int64_t inputs, tiles;
  const float *weights, *bias;
  float* y;
  float low, high;
};

using PointFn = void (*)(const PointArgs& args);

// Null without vectors of 8.
PointFn point_products(Isa isa);

}  // namespace tenon::cpu
