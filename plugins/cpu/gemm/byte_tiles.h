// byte_tiles: the products of byte_gemm on the matrix unit (amx/tiles.h), exact like the others.
//
// Rows are copied into the order of tiles first, 16 rows of 64 bytes at a time, zeros behind their ends: windows of images have no
// fixed distance. Weights lie as byte_gemm packs them: 16 quads of a panel are a tile. The thread holds a TileScope. Any thread.
#pragma once

#include "plugins/cpu/gemm/byte_gemm.h"

namespace tenon::cpu::gemm {

inline constexpr std::int64_t byte_tile_rows = 16;  // of a group

inline std::int64_t byte_tile_steps(const ByteForm& form) { return (form.segments * form.quads() + 15) / 16; }
inline std::int64_t byte_group_bytes(const ByteForm& form) { return byte_tile_steps(form) * 1024; }

// At most 16 rows as a group: [step][16][64]. a[s * rows + r]: piece s of row r. Rows that are not there are left as they are.
void gather_byte_rows(const ByteForm& form, const std::uint8_t* const* a, std::int64_t rows, std::uint8_t* to);

// Whole groups and panels: c[16 * groups][16 * panels] = add[column] + products. groups and panels: 1 or 2; the second group follows.
struct ByteTiles {
  const std::uint8_t* a;
  std::int64_t groups;
  const std::int8_t* w;        // the first panel
  std::int64_t panels;
  const std::int32_t* add;     // null: 0
  std::int32_t* c;
  std::int64_t c_row;
};
void multiply_byte_tiles(const ByteForm& form, const ByteTiles& work);

}  // namespace tenon::cpu::gemm
