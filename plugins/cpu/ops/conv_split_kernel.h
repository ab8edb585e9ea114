// Vector code around convolutions on tiles: numbers split into bfloat16 parts, sums finished. Needs AVX-512 and AVX512_BF16.
//
// Plain functions on caller's memory; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

// Results of one pixel after the other: y = clamp(sum + bias + residual).
struct SplitFinish {
  const float* sums;
  std::int64_t sums_row, pixels;
  const float* bias;      // [16]
  const float* residual;  // as out; null: none
  float low, high;        // NaN stays
  float* out;
  std::int64_t out_pixel;
};

struct SplitConvKernels {
  int parts;
  // 16 numbers from low and 16 from high, `step` apart for each pixel, as parts to[part * part_step + pixel * 32 + k], each the nearest
  // to what those before it leave. What is not finite, or rounds to none, has a part that is not finite.
  void (*split)(const float* low, const float* high, std::int64_t step, std::int64_t pixels, std::uint16_t* to, std::int64_t part_step);
  // One vector of channels of each pixel.
  void (*finish)(const SplitFinish& work);
  // Whether all of rows × columns are finite; columns in vectors of 16.
  bool (*finite)(const float* x, std::int64_t x_row, std::int64_t rows, std::int64_t columns);
};

// Null where convolutions are computed in float32.
const SplitConvKernels* split_conv_kernels(Isa isa, Precision precision);

// The sum of the parts of weight k of column j in a step of that many columns (gemm::SplitKernels::split_columns).
float split_weight(const std::uint16_t* step, int parts, std::int64_t columns, std::int64_t k, std::int64_t j);

}  // namespace tenon::cpu
