// ResizeKernels: the loops over float32 rows in which Resize spends its time, for each instruction set.
// Read-only tables; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

struct ResizeKernels {
  // line = weight * s, and line += weight * s.
  void (*weigh)(const float* s, float weight, float* line, std::int64_t n);
  void (*add)(const float* s, float weight, float* line, std::int64_t n);
  // out[i] = line[left[i]] * left_weight[i] + line[right[i]] * right_weight[i].
  void (*pairs)(const float* line, const std::int32_t* left, const std::int32_t* right, const float* left_weight, const float* right_weight,
                float* out, std::int64_t n);
  // The same where each `lanes` neighbouring outputs read no more than `lanes` neighbouring numbers, those from line[first[i / lanes]]
  // on: left and right count from there. Numbers behind the line are read, too; all arrays but out are whole vectors.
  void (*windows)(const float* line, const std::int32_t* first, const std::int32_t* left, const std::int32_t* right,
                  const float* left_weight, const float* right_weight, float* out, std::int64_t n);
  // out[i, :] = sum over t of line[offsets[i, t] + :] * weights[i, t], for vectors of `inner` elements.
  void (*vectors)(const float* line, const std::int64_t* offsets, const float* weights, std::int64_t taps, std::int64_t inner, float* out,
                  std::int64_t n);
  std::int64_t lanes;  // of windows
};

const ResizeKernels& resize_kernels(Isa isa);

}  // namespace tenon::cpu
