// Convolution tiles: products of float32 images and weights split into bfloat16 parts, on the matrix unit.
//
// A step multiplies 32 input numbers of each of up to 32 neighbouring positions, which lie side by side in each part, with 32 × 32
// weights. 2 × 2 tiles of sums stay in registers over a run of steps. The thread holds a TileScope. Stateless; any thread.
#pragma once

#include <cstdint>

namespace tenon::cpu::amx {

inline constexpr std::int64_t conv_step = 32;       // input numbers of a step
inline constexpr std::int64_t conv_positions = 32;  // of the tallest tile
inline constexpr std::int64_t conv_channels = 32;   // of the widest

// c[position][channel] (+)= sums over steps. Inputs of step s begin at a + at[s], those of the next part at[s] + part, [position][32].
// Weights follow each other: [step][part][channels / 16][16 pairs][16 channels][2].
struct SplitConvTile {
  const std::uint16_t* a;
  const std::int64_t* at;
  std::int64_t steps, part;
  const std::uint16_t* b;
  float* c;
  std::int64_t c_row;
  bool accumulate;
};
using SplitConvTileFn = void (*)(const SplitConvTile& work);

// parts: 1 to 3; low: at most 16 positions; narrow: 16 channels. Null where the compiler's target has no tiles.
SplitConvTileFn split_conv_tile(int parts, bool low, bool narrow);

}  // namespace tenon::cpu::amx
