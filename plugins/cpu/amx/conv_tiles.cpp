#include "plugins/cpu/amx/conv_tiles.h"

#include "plugins/cpu/amx/tiles.h"

namespace tenon::cpu::amx {

#if defined(__x86_64__)
namespace {

constexpr std::int64_t kTile = tile_bytes / 2;  // numbers of a tile

// Registers: sums in 0 to 3, positions by channels; inputs in 4 and 5, weights in 6 and 7.
template <int kHigh>
inline void load_inputs(const std::uint16_t* a) {
  tile_load<4>(a, tile_row_bytes);
  if constexpr (kHigh == 2) tile_load<5>(a + kTile, tile_row_bytes);
}
template <int kWide>
inline void load_weights(const std::uint16_t* b) {
  tile_load<6>(b, tile_row_bytes);
  if constexpr (kWide == 2) tile_load<7>(b + kTile, tile_row_bytes);
}
template <int kHigh, int kWide>
inline void multiply() {
  dot_bf16<0, 4, 6>();
  if constexpr (kWide == 2) dot_bf16<1, 4, 7>();
  if constexpr (kHigh == 2) dot_bf16<2, 5, 6>();
  if constexpr (kHigh == 2 && kWide == 2) dot_bf16<3, 5, 7>();
}

template <int kParts, int kHigh, int kWide>
void tile(const SplitConvTile& work) {
  constexpr std::int64_t kPart = kWide * kTile;
  const std::int64_t stride = work.c_row * 4;
  float *top = work.c, *bottom = top + tile_rows * work.c_row;
  if (work.accumulate) {
    tile_load<0>(top, stride);
    if constexpr (kWide == 2) tile_load<1>(top + 16, stride);
    if constexpr (kHigh == 2) tile_load<2>(bottom, stride);
    if constexpr (kHigh == 2 && kWide == 2) tile_load<3>(bottom + 16, stride);
  } else {
    tile_zero<0>(), tile_zero<1>(), tile_zero<2>(), tile_zero<3>();
  }
  const std::uint16_t* b = work.b;
  for (std::int64_t s = 0; s < work.steps; ++s, b += kParts * kPart) {
    const std::uint16_t* a = work.a + work.at[s];
    // Small products first, and what is in registers is used before it is loaded anew.
    load_inputs<kHigh>(a);
    if constexpr (kParts == 3) load_weights<kWide>(b + 2 * kPart), multiply<kHigh, kWide>();
    if constexpr (kParts >= 2) load_weights<kWide>(b + kPart), multiply<kHigh, kWide>();
    load_weights<kWide>(b), multiply<kHigh, kWide>();
    if constexpr (kParts >= 2) load_inputs<kHigh>(a + work.part), multiply<kHigh, kWide>();
    if constexpr (kParts == 3) {
      load_weights<kWide>(b + kPart), multiply<kHigh, kWide>();
      load_inputs<kHigh>(a + 2 * work.part), load_weights<kWide>(b), multiply<kHigh, kWide>();
    }
  }
  tile_store<0>(top, stride);
  if constexpr (kWide == 2) tile_store<1>(top + 16, stride);
  if constexpr (kHigh == 2) tile_store<2>(bottom, stride);
  if constexpr (kHigh == 2 && kWide == 2) tile_store<3>(bottom + 16, stride);
}

template <int kParts>
constexpr SplitConvTileFn of_parts(bool low, bool narrow) {
  return low ? narrow ? &tile<kParts, 1, 1> : &tile<kParts, 1, 2> : narrow ? &tile<kParts, 2, 1> : &tile<kParts, 2, 2>;
}

}  // namespace

SplitConvTileFn split_conv_tile(int parts, bool low, bool narrow) {
  return parts == 1 ? of_parts<1>(low, narrow) : parts == 2 ? of_parts<2>(low, narrow) : of_parts<3>(low, narrow);
}
#else
SplitConvTileFn split_conv_tile(int, bool, bool) { return nullptr; }
#endif

}  // namespace tenon::cpu::amx
