// Gemm: kernels for C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], written for a device and a tile. Sizes and strides are arguments.
//
// A is read through two strides. B stands in panels of `columns` columns: element (k, n) is at
// (n / columns) * b_panel + k * b_k + n % columns. Packed B has b_k = columns and b_panel = K * columns, its last panel filled up with
// zeros; a row-major B is the same with b_panel = columns and b_k = its row stride, and must have at least `columns` columns, since the
// last panel moves left to stay inside it. Other forms of B are packed first (gemm_pack.h). The result goes to the epilogue and nowhere else.
//
// Pure functions: configuration in, text out; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "plugins/opencl/codegen/epilogue.h"
#include "plugins/opencl/codegen/types.h"
#include "plugins/opencl/device/kernels.h"

namespace tenon::opencl {

struct GemmConfig {
  enum class Skeleton : std::uint8_t {
    registers,  // no barrier: a work item holds a tile in registers; on CPU-like devices a group is one item
    local,      // a group shares tiles of A and B in local memory
    split,      // few rows: a group splits K, and sums through local memory
    dots,       // few rows and B given as [n, k]: b_k is 1 and b_panel / columns the stride of a column; nothing is packed
  };
  Skeleton skeleton = Skeleton::registers;
  Compute compute = Compute::f32;
  std::int32_t a = 1, b = 1;  // storage types
  int rows = 6;               // of a work item's tile
  int columns = 64;           // of a panel
  int item_columns = 64;      // of a work item's tile; divides columns
  int vector = 16;            // lanes of the vectors that a tile consists of; divides item_columns
  int group = 1;              // work items of a group
  int depth = 16;             // local: k of the tiles in local memory
  bool batched = false;       // batch dims as arguments; else one matrix
  bool scaled = false;        // an argument alpha multiplies the result
  // Bytes: B is int8 or uint8 as it stands, A float32 that holds differences of bytes, the result int32 and exact. Arguments: sums of A's
  // rows, one int32 for each [b, m] of dense A, and B's zero points.
  bool bytes = false;
  // 2, 4 or 8: B has this many bits a weight in blocks along K (gemm_nbits.h), only in registers; b_panel is the bytes of a panel. Arguments:
  // scales, block.
  int bits = 0;

  bool operator==(const GemmConfig&) const = default;
};

// Sizes and strides, in elements.
struct GemmProblem {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t a_row = 0, a_k = 1;
  std::int64_t b_panel = 0, b_k = 0;
  // Outermost first; unused dims are 1. Strides of 0 broadcast.
  std::array<std::int64_t, 4> batch{1, 1, 1, 1}, a_batch{0, 0, 0, 0}, b_batch{0, 0, 0, 0};
  std::int64_t batch_count() const { return batch[0] * batch[1] * batch[2] * batch[3]; }
};

// The kernel. Its parameters, each buffer as base and byte offset (ulong), all else int:
//   a, b, M, N, K, a_row, a_k, b_panel, b_k, row_tiles,
//   batched: batch1, batch2, batch3 (dims 1 to 3; dim 0 is what remains), a_batch0..3, b_batch0..3
//   scaled: float alpha (of the compute type)
//   bits: scales, block
//   bytes: sums, zeros, zero_step (1: one for each column, 0: one for all; zeros are stored as B is)
//   and the epilogue's.
KernelText gemm_kernel(const GemmConfig& config, const Epilogue& epilogue);

struct GemmRange {
  std::array<std::size_t, 3> global{1, 1, 1}, local{1, 1, 1};
  int row_tiles = 1;  // the argument of this name
};
GemmRange gemm_range(const GemmConfig& config, const GemmProblem& problem, std::uint32_t compute_units);

// The int arguments from M to the last batch stride, in order; returns how many there are.
inline constexpr std::size_t kGemmSizes = 8, kGemmBatchSizes = 11;
int gemm_sizes(const GemmConfig& config, const GemmProblem& problem, int row_tiles, std::array<std::int32_t, kGemmSizes + kGemmBatchSizes>& out);

}  // namespace tenon::opencl
