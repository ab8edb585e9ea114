// DepthwiseRow: the innermost loops of depthwise convolutions for one instruction set.
//
// Tables are static; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

// What is done to sums on their way out of the registers.
enum class DepthwiseFinish : std::uint8_t { clamp, hard_swish, swish };

// One row of outputs of `block` channels. Output o reads pixels o * stride - pad + k * dilation of each input row.
struct DepthwiseRow {
  const float* const* rows;     // pixel 0 of each input row that the kernel meets
  const float* const* weights;  // of its taps: [kernel][16]
  std::int64_t row_count;
  std::int64_t block;           // channels, and floats between pixels: a multiple of 8
  std::int64_t in, out, kernel, stride, dilation, pad;
  const float* bias;            // [block]
  const float* residual;        // as dst; null: none
  float* dst;
  float low, high;
  DepthwiseFinish finish;       // after the clamp
};

// Two rows of outputs of a vector of channels at once, of a kernel of 3 x 3 that moves by 1: what they share is read once. The same
// bits as from two calls for a row each.
struct DepthwisePair {
  const float* rows[4];         // pixel 0 of the input rows; null: outside
  const float* weights;         // [3][3][16]
  std::int64_t in, out, pad;    // pad 0 or 1; windows reach over the right edge by 1 at most
  const float* bias;            // of the channels
  const float* residual;        // as dst; null: none
  float* dst;                   // the second row follows the first
  float low, high;
  DepthwiseFinish finish;
};

using DepthwiseFn = void (*)(const DepthwiseRow& row);
using DepthwisePairFn = void (*)(const DepthwisePair& pair);

DepthwiseFn depthwise_row(Isa isa);
DepthwisePairFn depthwise_pair(Isa isa, std::int64_t block);  // null where a vector does not hold the block

}  // namespace tenon::cpu
