// StrassenKernels: the innermost loops of products of sums of halves, for one instruction set (strassen.cpp has the sums).
//
// Tables are static; any thread.
#pragma once

#include "plugins/cpu/gemm/kernels.h"

namespace tenon::cpu::gemm {

// Where a product goes: to = from + or - the product, and then, only if last, * alpha + bias + addend.
struct StrassenTarget {
  float* to = nullptr;            // null: nowhere
  std::int64_t to_row = 0;
  const float* from = nullptr;    // null: zeros; may be `to`
  std::int64_t from_row = 0;
  std::int64_t rows = 0;          // of the tile: all, or all but the last
  const float* bias = nullptr;    // one value per column, never null if last
  const float* addend = nullptr;  // rows as far apart as `to`'s; may be null, never the memory of `to`
  const float* far = nullptr;     // rows that are fetched while the product is made: not in cache; may be null
  std::int64_t far_row = 0;
  bool subtract = false;          // only with from
  bool last = false;              // only with from
};

struct StrassenTileArgs {
  TileArgs tile;                   // A, B, k, alpha and prefetch; what is C's there is in the targets
  const float* b_other = nullptr;  // B is b plus or minus this; null: b
  float* b_sum = nullptr;          // where that B is kept, for the tiles below
  bool b_subtract = false;
  StrassenTarget to[2];
};

struct StrassenKernels {
  void (*tiles[kMaxRows])(const StrassenTileArgs& args);  // of two vectors, [rows - 1]
  // to = x + y or x - y, whole vectors; `to` may be either.
  void (*combine)(float* to, const float* x, const float* y, std::int64_t n, bool subtract);
  // Whether rows of n elements, a multiple of two vectors, are all finite.
  bool (*finite)(const float* c, std::int64_t c_row, std::int64_t rows, std::int64_t n);
};

const StrassenKernels& strassen_kernels(Isa isa);

}  // namespace tenon::cpu::gemm
