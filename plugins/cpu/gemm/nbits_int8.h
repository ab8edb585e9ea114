// Products of quantized weights with activations that are rounded to 8 bits: one scale for each block of each row of A.
//
// Only where a model allows it (MatMulNBits with accuracy_level 4) and the machine multiplies bytes (AVX-512 VNNI): three
// times as fast as float32, with errors of about 1/250 of the largest activation of a block. A block that holds an infinity
// or no number makes its row NaN. Plain data and static tables; any thread.
#pragma once

#include "plugins/cpu/gemm/nbits.h"

namespace tenon::cpu::gemm {

// Rows of A of one tile, in memory of bytes(): [blocks * block / 4][rows][4] int8, in the order in which the weights of a
// 32-bit lane are taken out, then [blocks][rows] float scales, int32 sums times -2^(bits - 1), float sums.
struct Int8Rows {
  std::int64_t rows;
  std::uint8_t* memory;

  static std::int64_t row_bytes(const Quantized& q) { return q.blocks * (q.block + 12); }
  std::int32_t* numbers() const { return reinterpret_cast<std::int32_t*>(memory); }
  float* scales(const Quantized& q) const { return reinterpret_cast<float*>(memory + rows * q.blocks * q.block); }
  std::int32_t* offsets(const Quantized& q) const { return reinterpret_cast<std::int32_t*>(scales(q) + rows * q.blocks); }
  float* sums(const Quantized& q) const { return scales(q) + 2 * rows * q.blocks; }
};

struct Int8Kernels {
  std::int64_t rows;  // of the tallest tile
  void (*quantize)(const Quantized& q, const float* a, std::int64_t a_row, const Int8Rows& to);
  // c[r * c_row + j] = alpha * product + bias[j] for the columns of `panels` panels (1 or 2) from panel on.
  void (*tile)(const Quantized& q, std::int64_t panel, std::int64_t panels, const Int8Rows& a, float alpha, const float* bias, float* c,
               std::int64_t c_row);
};

// Null where the instruction set has none.
const Int8Kernels* int8_kernels(Isa isa);

}  // namespace tenon::cpu::gemm
