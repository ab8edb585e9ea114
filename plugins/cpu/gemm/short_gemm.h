// short_gemm: products of int16 with int16, 32-bit sums modulo 2^32: what bytes become where no instruction multiplies them exactly,
// or where they were transformed (Winograd).
//
// A row of A is [quads][4]. A panel of B is 16 columns, [quads][2][16][2]: numbers 0 and 1 of each column's quad, then 2 and 3. Free
// functions on plain memory; any thread.
//
// The AVX2 form multiplies crosswise (Winograd 1968): (a0 + b2)(a2 + b0) + (a1 + b3)(a3 + b1) is the product of both quads, and
// a0 a2 + a1 a3 of the row, and b0 b2 + b1 b3 of the column. Half of the multiplications become additions, which have more ports; the
// terms of rows and columns are taken off once. REQUIRES of such forms: any number of A plus any of B fits int16.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu::gemm {

inline constexpr std::int64_t short_columns = 16;                  // of a panel
inline constexpr std::int64_t short_quad = 4 * short_columns;      // numbers of a panel's quad

// c[r * c_row + j] = row_add[r] + add[j] + sum over k of a[r * a_row + k] b[k, j], for j < 16 * panels. Where add is null, the sum is
// added to c.
struct ShortTile {
  const std::int16_t* a;
  std::int64_t a_row;
  const std::int16_t* b;
  std::int64_t b_panel, quads, rows, panels;
  const std::int32_t* row_add;  // null: 0
  const std::int32_t* add;
  std::int32_t* c;
  std::int64_t c_row;
};

struct ShortKernels {
  std::int64_t rows, panels;  // of the largest tile
  void (*tile)(const ShortTile& tile);
  // Whether row_add and add have to hold what follows.
  bool crossed;
  // -(a0 a2 + a1 a3) of each row, and the same of a panel's columns.
  void (*row_terms)(const std::int16_t* a, std::int64_t a_row, std::int64_t quads, std::int64_t rows, std::int32_t* row_add);
  void (*column_terms)(const std::int16_t* b, std::int64_t quads, std::int32_t* add);
  // to[i] = x[i] - 128.
  void (*widen_row)(const std::uint8_t* x, std::int64_t n, std::int16_t* to);
  // A panel [quads][16][4] of bytes less zeros[j] of each column (null: 0).
  void (*widen_panel)(const std::int8_t* w, std::int64_t quads, const std::int32_t* zeros, std::int16_t* to);
};
// Null where the instruction set is too small for it to be worth while.
const ShortKernels* short_kernels(Isa isa);

}  // namespace tenon::cpu::gemm
