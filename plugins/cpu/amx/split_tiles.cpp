#include "plugins/cpu/amx/split_tiles.h"

#include "plugins/cpu/amx/tiles.h"

namespace tenon::cpu::amx {

#if defined(__x86_64__)
namespace {

// Registers: C in 0 to 3, row by row; A in 4 and 5; B in 6 and 7. The rows of a tile lie side by side in A and in B.
template <int kRowTiles>
inline void load_a(const std::uint16_t* a) {
  tile_load<4>(a, tile_row_bytes);
  if constexpr (kRowTiles == 2) tile_load<5>(a + tile_bytes / 2, tile_row_bytes);
}
template <int kColumnTiles>
inline void load_b(const std::uint16_t* b) {
  tile_load<6>(b, tile_row_bytes);
  if constexpr (kColumnTiles == 2) tile_load<7>(b + tile_bytes / 2, tile_row_bytes);
}
template <int kRowTiles, int kColumnTiles>
inline void multiply() {
  dot_bf16<0, 4, 6>();
  if constexpr (kColumnTiles == 2) dot_bf16<1, 4, 7>();
  if constexpr (kRowTiles == 2) dot_bf16<2, 5, 6>();
  if constexpr (kRowTiles == 2 && kColumnTiles == 2) dot_bf16<3, 5, 7>();
}

}  // namespace

namespace detail {

template <int kParts, int kRowTiles, int kColumnTiles>
void split_tile(const gemm::SplitTileArgs& args) {
  constexpr std::int64_t kA = kRowTiles * tile_bytes / 2, kB = kColumnTiles * tile_bytes / 2;  // elements of a part
  const std::int64_t c_stride = args.c_row * 4;
  float *top = args.c, *bottom = args.c + tile_rows * args.c_row;
  if (args.accumulate) {
    tile_load<0>(top, c_stride);
    if constexpr (kColumnTiles == 2) tile_load<1>(top + 16, c_stride);
    if constexpr (kRowTiles == 2) tile_load<2>(bottom, c_stride);
    if constexpr (kRowTiles == 2 && kColumnTiles == 2) tile_load<3>(bottom + 16, c_stride);
  } else {
    tile_zero<0>(), tile_zero<1>(), tile_zero<2>(), tile_zero<3>();
  }
  const std::uint16_t *a = args.a, *b = args.b;
  const char* ahead = args.prefetch;
  for (std::int64_t step = 0; step < args.steps; ++step, a += kParts * kA, b += kParts * kB) {
    if (ahead)
      for (std::int64_t l = 0; l < args.prefetch_lines; ++l, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    // Small products first; each operand that is in its registers is used before another is loaded.
    load_a<kRowTiles>(a);
    if constexpr (kParts == 3) {
      load_b<kColumnTiles>(b + 2 * kB);
      multiply<kRowTiles, kColumnTiles>();
    }
    if constexpr (kParts >= 2) {
      load_b<kColumnTiles>(b + kB);
      multiply<kRowTiles, kColumnTiles>();
    }
    load_b<kColumnTiles>(b);
    multiply<kRowTiles, kColumnTiles>();
    if constexpr (kParts >= 2) {
      load_a<kRowTiles>(a + kA);
      multiply<kRowTiles, kColumnTiles>();
    }
    if constexpr (kParts == 3) {
      load_b<kColumnTiles>(b + kB);
      multiply<kRowTiles, kColumnTiles>();
      load_a<kRowTiles>(a + 2 * kA);
      load_b<kColumnTiles>(b);
      multiply<kRowTiles, kColumnTiles>();
    }
  }
  tile_store<0>(top, c_stride);
  if constexpr (kColumnTiles == 2) tile_store<1>(top + 16, c_stride);
  if constexpr (kRowTiles == 2) tile_store<2>(bottom, c_stride);
  if constexpr (kRowTiles == 2 && kColumnTiles == 2) tile_store<3>(bottom + 16, c_stride);
}

template void split_tile<1, 2, 2>(const gemm::SplitTileArgs&);
template void split_tile<1, 1, 2>(const gemm::SplitTileArgs&);
template void split_tile<1, 2, 1>(const gemm::SplitTileArgs&);
template void split_tile<1, 1, 1>(const gemm::SplitTileArgs&);
template void split_tile<2, 2, 2>(const gemm::SplitTileArgs&);
template void split_tile<2, 1, 2>(const gemm::SplitTileArgs&);
template void split_tile<2, 2, 1>(const gemm::SplitTileArgs&);
template void split_tile<2, 1, 1>(const gemm::SplitTileArgs&);
template void split_tile<3, 2, 2>(const gemm::SplitTileArgs&);
template void split_tile<3, 1, 2>(const gemm::SplitTileArgs&);
template void split_tile<3, 2, 1>(const gemm::SplitTileArgs&);
template void split_tile<3, 1, 1>(const gemm::SplitTileArgs&);

}  // namespace detail
#endif

}  // namespace tenon::cpu::amx
