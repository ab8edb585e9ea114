// Pool kernels: folding rows of numbers, and whole windows of blocked images, vectorised for one instruction set.
//
// A NaN loses against any number in a maximum, as it does in onnxruntime. Tables are static; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

enum class Pooling : std::uint8_t { max, average, lp };

// Window positions [begin, end) that lie inside, and how many the average counts.
struct PoolSpan {
  std::int32_t begin, end, count;
};

// One row of outputs of `block` channels: out[o * block + c], from rows of in_width pixels.
struct PoolRow {
  const float* const* rows;    // pixel 0 of each input row of the windows
  std::int64_t row_count;
  std::int64_t block, outputs;
  std::int64_t stride, pad, dilation;
  const PoolSpan* spans;       // of each output, along the row
  std::int64_t outer_count;    // positions of the other dims that the average counts
  float* out;
};

// One row of outputs of a dense image. folded: room for left + inside + padding on the right, then dense_slack more; what is not
// written here holds the value that a window ignores.
struct DenseRow {
  const float* const* rows;    // what the windows meet of each input row
  std::int64_t row_count, inside, left;
  float* folded;
  std::int64_t outputs, kernel, stride, dilation;
  const float* counts;         // of each output: positions that the average counts, all dims multiplied; a maximum has none
  float* out;
};
inline constexpr std::int64_t dense_slack = 64;

struct PoolKernels {
  // acc[i] = max(acc[i], x[i]).
  void (*max_u8)(std::uint8_t* acc, const std::uint8_t* x, std::int64_t n);
  void (*max_i8)(std::int8_t* acc, const std::int8_t* x, std::int64_t n);
  void (*max_row)(const PoolRow& row);
  void (*average_row)(const PoolRow& row);
  void (*dense_max)(const DenseRow& row);
  void (*dense_average)(const DenseRow& row);
};

const PoolKernels& pool_kernels(Isa isa);

}  // namespace tenon::cpu
