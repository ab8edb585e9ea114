// GroupedRow: the innermost loops of convolutions with eight output channels in a group, for one instruction set.
//
// Tables are static; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

// One row of outputs of 8 channels: sums over `count` stretches of 8 input channels of one input row each, three columns wide.
// Output o reads the pixels o * stride - pad + k, k < 3; of those only the first and the last may lie outside.
struct GroupedRow {
  const float* const* inputs;   // pixel 0 of each stretch
  const float* const* weights;  // of each: [8 inputs][3 columns][8 outputs]
  std::int64_t count;
  std::int64_t src_block, dst_block;  // floats between pixels; src_block 8 or 16
  std::int64_t in, out, stride, pad;  // stride 1 or 2; pad 0 or 1
  const float* bias;            // [8]
  const float* residual;        // as dst; null: none
  float* dst;
  float low, high;
};

using GroupedFn = void (*)(const GroupedRow& row);

// Null without vectors of 8.
GroupedFn grouped_row(Isa isa);

}  // namespace tenon::cpu
