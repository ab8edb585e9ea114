// Kernels: the innermost loops of float32 matrix products for one instruction set.
//
// A tile computes mr × nr elements of C over one stretch of K; everything around it (blocking, packing, splitting over
// workers) is sgemm.h's. Tables are static; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu::gemm {

struct SplitKernels;
struct StrassenKernels;

constexpr std::int64_t kMaxRows = 14;     // rows of the tallest tile of any instruction set
constexpr std::int64_t kMaxColumns = 64;  // columns of the widest

// C[i, j] = alpha * (C[i, j] if accumulate + sum over k of A[i, k] B[k, j]) + bias[j] + addend[i, j]; alpha and what follows it
// only if last.
struct TileArgs {
  const float* a;         // A[i, k] = a[i * a_row + k * a_k]
  std::int64_t a_row, a_k;
  const float* b;         // B[k, j] = b[k * b_k + j]: whole vectors are read
  std::int64_t b_k;
  std::int64_t k;
  float* c;
  std::int64_t c_row;
  const float* bias;      // one value per column, never null
  const float* addend;    // rows as far apart as those of C; may be null, never the memory of C
  float alpha;
  bool accumulate, last;
  const float* prefetch;  // read ahead, prefetch_k floats further per k; may be null
  std::int64_t prefetch_k;
};

using TileFn = void (*)(const TileArgs& args);

struct Kernels {
  std::int64_t lanes;      // floats of a vector
  std::int64_t rows;       // of the tallest tile, <= kMaxRows
  std::int64_t columns;    // of a full tile: 2 vectors; a half tile has 1
  // tiles[half][rows - 1]
  TileFn tiles[2][kMaxRows];
  // One row: the same contract as tiles[half][0], faster where memory is the limit.
  TileFn gemv[2];
  // Interleaves: dst[k * width + i] = src[i * i_stride + k * k_stride] for i < count (0 from count to width), k < depth.
  void (*pack)(float* dst, std::int64_t width, const float* src, std::int64_t i_stride, std::int64_t k_stride, std::int64_t count,
               std::int64_t depth);
  // C[i, j] = alpha * dot(a + i * a_row, b + j * b_row) + bias[i * bias_row + j * bias_column] over k contiguous elements,
  // for small m.
  void (*dots)(const float* a, std::int64_t a_row, const float* b, std::int64_t b_row, std::int64_t m, std::int64_t n, std::int64_t k,
               float alpha, const float* bias, std::int64_t bias_row, std::int64_t bias_column, float* c, std::int64_t c_row,
               std::int64_t c_column);
  const StrassenKernels* strassen = nullptr;  // not null: large products take Strassen's sums
  const SplitKernels* split = nullptr;  // not null: large products are split
};

// Float32 throughout, every sum as it stands.
const Kernels& kernels(Isa isa);
// With parts of bfloat16 where the precision allows them and the instruction set is faster with them, else with Strassen's sums
// where it allows those.
const Kernels& kernels(Isa isa, Precision precision);

}  // namespace tenon::cpu::gemm
