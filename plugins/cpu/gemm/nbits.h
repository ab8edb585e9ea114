// Quantized B: weights of 2, 4 or 8 bits in blocks along K with a scale (and a zero point) each, as MatMulNBits has them.
//
// Packed once: a panel holds one vector's worth of columns; 32-bit lane j of step s has the next 32 / bits weights of column
// j along K, the first in the lowest bits. Few rows of A read it directly; for many a block becomes float32 for sgemm.h.
// Plain data and static tables; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu::gemm {

struct Quantized {
  std::int32_t bits = 4;
  std::int64_t k = 0, n = 0, block = 32, blocks = 0;  // blocks: along K, the last may be partly beyond it
  std::int64_t lanes = 0;                // columns of a panel
  const std::uint32_t* weights = nullptr;  // [panels][blocks * block * bits / 32][lanes]
  const float* scales = nullptr;         // [panels][blocks][lanes]
  const float* zeros = nullptr;          // zero point less 2^(bits - 1), like scales; null: all zero

  std::int64_t panels() const { return (n + lanes - 1) / lanes; }
  std::int64_t block_steps() const { return block * bits / 32; }
  std::uint64_t weight_bytes() const { return static_cast<std::uint64_t>(panels() * blocks * block_steps() * lanes) * 4; }
  std::uint64_t scale_bytes() const { return static_cast<std::uint64_t>(panels() * blocks * lanes) * 4; }
};

// from: [n, blocks, block * bits / 8] bytes, the first weight in the lowest bits. Columns beyond n become zero.
void pack_weights(const Quantized& q, const std::uint8_t* from, std::uint32_t* to);
// from: [n, blocks].
void pack_scales(const Quantized& q, const float* from, float* to);
// from: [n, ceil(blocks * bits / 8)] bytes, or [n, blocks] floats.
void pack_zeros(const Quantized& q, const std::uint8_t* from, float* to);
void pack_zeros(const Quantized& q, const float* from, float* to);
// The weights of column n, scaled: k floats. groups: the block of each k instead of k / block; may be null.
void dequantize_column(const Quantized& q, const std::uint8_t* from, const float* scales, const std::uint8_t* packed_zeros,
                       const float* float_zeros, const std::int32_t* groups, std::int64_t column, float* to);

struct QuantizedKernels {
  std::int64_t lanes;
  // out[r * lanes + j] = sum over k of a[r * a_row + k] * B[k, panel * lanes + j]; rows 1 to 4. sums: of A per row and block,
  // [rows][blocks], read only where there are zero points.
  void (*rows)(const Quantized& q, std::int64_t panel, const float* a, std::int64_t a_row, std::int64_t rows, const float* sums,
               float* out);
  // dst[i * width + j] = B[k0 + i, panel * lanes + j] for i < depth; k0 is a multiple of 16.
  void (*fill)(const Quantized& q, std::int64_t panel, std::int64_t k0, std::int64_t depth, float* dst, std::int64_t width);
};

const QuantizedKernels& quantized_kernels(Isa isa);

}  // namespace tenon::cpu::gemm
