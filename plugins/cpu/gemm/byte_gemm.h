// byte_gemm: products of unsigned bytes with packed signed bytes, 32-bit sums, exact; and what turns sums into bytes again.
//
// A row of A is `segments` pieces of `quads` * 4 bytes anywhere in memory (the taps of a convolution), so nothing of A is
// packed. B is in panels of 16 columns: [segments * quads][16][4] bytes, then int32 sums of all columns. Free functions on plain
// memory; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu::gemm {

inline constexpr std::int64_t byte_columns = 16;  // of a panel
inline constexpr std::int64_t byte_rows = 6;      // of the tallest tile

// How B is cut up: n columns of `segments` pieces of `piece` numbers each.
struct ByteForm {
  std::int64_t n = 0, segments = 1, piece = 0;

  std::int64_t quads() const { return (piece + 3) / 4; }
  std::int64_t panels() const { return (n + byte_columns - 1) / byte_columns; }
  std::int64_t padded() const { return panels() * byte_columns; }
  std::int64_t panel_bytes() const { return segments * quads() * 4 * byte_columns; }
  // With what a tile reads behind the last panel (byte_tiles.h).
  std::int64_t bytes() const { return (panels() * panel_bytes() + padded() * 4 + 1024 + 63) / 64 * 64; }
  const std::int32_t* sums(const std::int8_t* packed) const {
    return reinterpret_cast<const std::int32_t*>(packed + panels() * panel_bytes());
  }
};

// Number (segment s, k of piece, column j) is w[s * by_segment + k * by_k + j * by_column], its sign bit turned where flip is set
// (uint8 minus 128). What fills up quads and panels is 0.
void pack_byte_weights(const ByteForm& form, const void* w, bool flip, std::int64_t by_segment, std::int64_t by_k, std::int64_t by_column,
                       std::int8_t* to);

struct ByteKernels {
  std::int64_t panels;  // of the widest tile
  // c[r * c_row + j] for r < rows, j < 16 * panels. a[s * rows + r] + offset: piece s of row r.
  void (*tile)(const std::uint8_t* const* a, std::int64_t offset, std::int64_t segments, std::int64_t quads, const std::int8_t* w, std::int64_t panel_bytes,
               std::int64_t rows, std::int64_t panels, std::int32_t* c, std::int64_t c_row);
};
// Null where the instruction set is too small for it to be worth while.
const ByteKernels* byte_kernels(Isa isa);

}  // namespace tenon::cpu::gemm
