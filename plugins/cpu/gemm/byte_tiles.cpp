#include "plugins/cpu/gemm/byte_tiles.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/amx/tiles.h"

namespace tenon::cpu::gemm {

void gather_byte_rows(const ByteForm& form, const std::uint8_t* const* a, std::int64_t rows, std::uint8_t* to) {
  const std::int64_t piece = form.quads() * 4, depth = form.segments * piece;
  for (std::int64_t r = 0; r < rows; ++r) {
    std::uint8_t* row = to + r * 64;
    std::int64_t k = 0;  // of the row
    for (std::int64_t s = 0; s < form.segments; ++s) {
      const std::uint8_t* from = a[s * rows + r];
      for (std::int64_t left = piece; left > 0;) {
        const std::int64_t some = std::min(left, 64 - k % 64);
        std::uint8_t* out = row + k / 64 * 1024 + k % 64;
        if (some == 64) std::memcpy(out, from, 64);
        else std::memcpy(out, from, static_cast<std::size_t>(some));
        from += some, left -= some, k += some;
      }
    }
    if (depth % 64 != 0) std::memset(row + depth / 64 * 1024 + depth % 64, 0, static_cast<std::size_t>(64 - depth % 64));
  }
}

#if defined(__x86_64__)
namespace {

// Registers: sums in 0 to 3, groups by panels; rows in 4 and 5, weights in 6 and 7.
template <int kGroups, int kPanels>
void multiply(const ByteForm& form, const ByteTiles& work) {
  using namespace amx;
  const std::int64_t stride = work.c_row * 4, group = byte_group_bytes(form), panel = form.panel_bytes();
  if (work.add) {
    // The same 16 numbers for every row.
    tile_load<0>(work.add, 0);
    if constexpr (kPanels == 2) tile_load<1>(work.add + byte_columns, 0);
    if constexpr (kGroups == 2) tile_load<2>(work.add, 0);
    if constexpr (kGroups == 2 && kPanels == 2) tile_load<3>(work.add + byte_columns, 0);
  } else {
    tile_zero<0>(), tile_zero<1>(), tile_zero<2>(), tile_zero<3>();
  }
  const std::uint8_t* a = work.a;
  const std::int8_t* w = work.w;
  for (std::int64_t s = 0, steps = byte_tile_steps(form); s < steps; ++s, a += tile_bytes, w += tile_bytes) {
    tile_load<4>(a, tile_row_bytes);
    tile_load<6>(w, tile_row_bytes);
    dot_u8s8<0, 4, 6>();
    if constexpr (kPanels == 2) tile_load<7>(w + panel, tile_row_bytes), dot_u8s8<1, 4, 7>();
    if constexpr (kGroups == 2) tile_load<5>(a + group, tile_row_bytes), dot_u8s8<2, 5, 6>();
    if constexpr (kGroups == 2 && kPanels == 2) dot_u8s8<3, 5, 7>();
  }
  std::int32_t *top = work.c, *bottom = top + tile_rows * work.c_row;
  tile_store<0>(top, stride);
  if constexpr (kPanels == 2) tile_store<1>(top + byte_columns, stride);
  if constexpr (kGroups == 2) tile_store<2>(bottom, stride);
  if constexpr (kGroups == 2 && kPanels == 2) tile_store<3>(bottom + byte_columns, stride);
}

}  // namespace

void multiply_byte_tiles(const ByteForm& form, const ByteTiles& work) {
  if (work.groups == 2) return work.panels == 2 ? multiply<2, 2>(form, work) : multiply<2, 1>(form, work);
  return work.panels == 2 ? multiply<1, 2>(form, work) : multiply<1, 1>(form, work);
}
#else
void multiply_byte_tiles(const ByteForm&, const ByteTiles&) {}
#endif

}  // namespace tenon::cpu::gemm
