// Split: float32 numbers as sums of one, two or three bfloat16 parts, and products of such numbers.
//
// The processor multiplies bfloat16 far faster than float32 and adds the products in float32. Each part is the rounding of what
// the parts before it leave: x = x1 + x2 + x3 keeps all 24 bits. Products of parts whose size is below the result's precision are
// left out: with two parts 2·2, with three all beyond 1·3, 2·2 and 3·1. Parts below 2^-126 count as zero.
//
// Operands come in steps of 32 along k, zeros beyond the end, all that a step reads side by side:
//   A, a group of rows:  [k / 32][part][rows][32]
//   B, a panel of columns: [k / 32][part][width / 16][16 pairs of k][16 columns][2], width 32 or 16
// A number that is not finite, or that rounds to none, makes sums that are not finite: finish finds the rows, and they are
// computed again as plain float32 products. Tables are static; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu::gemm {

constexpr std::int64_t kSplitStep = 32;     // elements of k
constexpr std::int64_t kSplitColumns = 32;  // of a full panel
constexpr std::int64_t kSplitRows = 32;     // of the tallest group
constexpr std::int64_t kVectorRows = 14;    // of the tallest group without tiles

constexpr std::int64_t split_steps(std::int64_t k) { return (k + kSplitStep - 1) / kSplitStep; }

// C[rows][width] = (C if accumulate) + sum of the parts' products; whole rows and columns are written.
struct SplitTileArgs {
  const std::uint16_t *a, *b;
  std::int64_t steps;
  float* c;
  std::int64_t c_row;
  bool accumulate;
  const char* prefetch;         // lines that will be read next, prefetch_lines of them for each step; may be null
  std::int64_t prefetch_lines;
};
using SplitTileFn = void (*)(const SplitTileArgs& args);

struct SplitKernels {
  std::int32_t parts;
  std::int64_t vector_rows;                 // of the tallest group that vectors take
  SplitTileFn vectors[2][kVectorRows];      // [half a panel][rows - 1]
  SplitTileFn tiles[2][2];                  // [half a panel][16 rows, not 32]; null without tiles
  // Rows of A, contiguous in k, as a group of `height` rows: those beyond `rows` and k are zeros.
  void (*split_rows)(const float* a, std::int64_t a_row, std::int64_t k, std::int64_t rows, std::int64_t height, std::uint16_t* to);
  // One step of a panel, 32 rows of width. Constants keep what is not finite, so that plain_row finds it.
  void (*split_constant)(const float* b, std::int64_t b_k, std::int64_t width, std::uint16_t* to);
  void (*split_columns)(const float* b, std::int64_t b_k, std::int64_t width, std::uint16_t* to);
  // x = alpha * x + bias (null: none) over rows × at most 32 columns; bit r is set where row r had sums that are not finite.
  std::uint32_t (*finish)(float* x, std::int64_t x_row, std::int64_t rows, std::int64_t columns, float alpha, const float* bias);
  // sums[width] of one row of A and the parts of a panel, in float32.
  void (*plain_row)(const float* a, std::int64_t a_k, const std::uint16_t* b, std::int64_t width, std::int64_t k, float* sums);
};

// Null where products are computed in float32.
const SplitKernels* split_kernels(Isa isa, Precision precision);

}  // namespace tenon::cpu::gemm
