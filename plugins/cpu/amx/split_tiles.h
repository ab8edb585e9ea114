// Split tiles: products of float32 numbers split into bfloat16 parts (gemm/split.h), on the matrix unit.
// 2 × 2 tiles of C stay in registers over all of k; the thread holds a TileScope. Stateless.
#pragma once

#include "plugins/cpu/gemm/split.h"

namespace tenon::cpu::amx {

namespace detail {
template <int kParts, int kRowTiles, int kColumnTiles>
void split_tile(const gemm::SplitTileArgs& args);
}

// half: a panel of 16 columns, not 32; low: a group of 16 rows, not 32. Null where the compiler's target has no tiles.
constexpr gemm::SplitTileFn split_tile(int parts, bool half, bool low) {
#if defined(__x86_64__)
  switch (parts * 4 + half * 2 + low) {
    case 4: return &detail::split_tile<1, 2, 2>;
    case 5: return &detail::split_tile<1, 1, 2>;
    case 6: return &detail::split_tile<1, 2, 1>;
    case 7: return &detail::split_tile<1, 1, 1>;
    case 8: return &detail::split_tile<2, 2, 2>;
    case 9: return &detail::split_tile<2, 1, 2>;
    case 10: return &detail::split_tile<2, 2, 1>;
    case 11: return &detail::split_tile<2, 1, 1>;
    case 12: return &detail::split_tile<3, 2, 2>;
    case 13: return &detail::split_tile<3, 1, 2>;
    case 14: return &detail::split_tile<3, 2, 1>;
    case 15: return &detail::split_tile<3, 1, 1>;
  }
#endif
  (void)parts, (void)half, (void)low;
  return nullptr;
}

}  // namespace tenon::cpu::amx
