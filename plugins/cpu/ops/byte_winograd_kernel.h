// The transforms of Winograd's F(4x4, 3x3) in whole numbers, exact: G without its fractions, and 576 times the output modulo 2^32.
//
// The 36 points of a tile are `point` numbers apart. Compiled once per target; plain memory; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

inline constexpr std::int64_t winograd_points = 36;
// The largest sum of |weights| of an output: what 576 times the sum over bytes less 128 leaves of 32 bits.
inline constexpr std::int64_t winograd_most_weights = (std::int64_t{1} << 25) / 128 - 1;

struct ByteWinogradKernels {
  // pixels: [6][6] of a tile, `channels` bytes each, a multiple of 16; taken less 128.
  void (*input)(const std::uint8_t* const* pixels, std::int64_t channels, std::int16_t* to, std::int64_t point);
  // 3x3 weights, [9] `tap` numbers apart, of `count` numbers, a multiple of 64.
  void (*weights)(const std::int16_t* taps, std::int64_t tap, std::int64_t count, std::int16_t* to, std::int64_t point);
  // Sums of a tile's points for a multiple of 16 columns to those of its 4x4 pixels, `row` and `columns` numbers apart; add of each
  // column is added.
  void (*output)(const std::int32_t* sums, std::int64_t point, const std::int32_t* add, std::int64_t columns, std::int32_t* to, std::int64_t row);
};
const ByteWinogradKernels& byte_winograd_kernels(Isa isa);

}  // namespace tenon::cpu
