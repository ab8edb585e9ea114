// Inner loops of LSTM with weights of bytes: a row becomes bytes, and is multiplied with a panel of hidden units. Exact sums.
//
// A panel is as many units as recurrent_kernels.h says, with the four gates of each: weights [k / group][gate][lane][group]. Plain
// functions on caller's memory; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu {

inline constexpr std::int64_t byte_gates = 4;
inline constexpr std::int64_t most_byte_group = 4;
// Sums of this many products of bytes fit int32.
inline constexpr std::int64_t most_byte_depth = 32768;

// Weights of a column that one instruction takes: four with VNNI, else two, which it widens to int16.
std::int64_t byte_group(Isa isa);

// How real numbers are bytes: x = scale * (q - zero). 0 is always inside.
struct ByteScale {
  float scale = 1;
  std::int32_t zero = 0;
};
// That of the operator DynamicQuantizeLinear for numbers in [least, greatest]; least <= 0 <= greatest.
ByteScale byte_scale(float least, float greatest);

// A row of bytes, readable up to a multiple of the group.
struct ByteRow {
  const std::uint8_t* q;
  ByteScale scale;
  std::int32_t sum;  // of q - zero
};
// n numbers as bytes; what fills up the last group is 0.
ByteRow quantize_row(const float* x, std::int64_t n, ByteScale scale, std::uint8_t* q);

// Four gates of a panel: [gate][lane] each.
struct BytePanel {
  const std::int8_t* weights;
  const std::int32_t *sums, *zeros;  // of columns: of all their weights, and what stands for 0
  const float *scales, *add;         // add: null, or what is added
};
// out[r * out_row + gate * lanes + lane] = the product of the real numbers that row and column stand for.
void byte_panel_products(const ByteRow* rows, std::int64_t count, const BytePanel& panel, std::int64_t groups, std::int64_t group,
                         float* out, std::int64_t out_row);

}  // namespace tenon::cpu
