#include "plugins/cpu/gemm/nbits.h"

#include <algorithm>

namespace tenon::cpu::gemm {
namespace {

std::uint32_t bits_at(const std::uint8_t* bytes, std::int64_t index, std::int32_t bits) {
  const std::int64_t at = index * bits;
  return bytes[at / 8] >> (at % 8) & ((1u << bits) - 1);
}

// [n, blocks] to [panels][blocks][lanes]; columns beyond n become 0.
template <class Get>
void spread(const Quantized& q, float* to, const Get& get) {
  for (std::int64_t p = 0; p < q.panels(); ++p)
    for (std::int64_t b = 0; b < q.blocks; ++b)
      for (std::int64_t j = 0; j < q.lanes; ++j) {
        const std::int64_t column = p * q.lanes + j;
        *to++ = column < q.n ? get(column, b) : 0.0f;
      }
}

}  // namespace

void pack_weights(const Quantized& q, const std::uint8_t* from, std::uint32_t* to) {
  const std::int64_t steps = q.blocks * q.block_steps(), row_bytes = steps * 4;
  for (std::int64_t p = 0; p < q.panels(); ++p)
    for (std::int64_t s = 0; s < steps; ++s)
      for (std::int64_t j = 0; j < q.lanes; ++j) {
        const std::int64_t column = p * q.lanes + j;
        std::uint32_t word = 0;
        if (column < q.n) {
          const std::uint8_t* b = from + column * row_bytes + s * 4;
          word = b[0] | std::uint32_t{b[1]} << 8 | std::uint32_t{b[2]} << 16 | std::uint32_t{b[3]} << 24;
        }
        *to++ = word;
      }
}

void pack_scales(const Quantized& q, const float* from, float* to) {
  spread(q, to, [&](std::int64_t column, std::int64_t b) { return from[column * q.blocks + b]; });
}

void pack_zeros(const Quantized& q, const std::uint8_t* from, float* to) {
  const std::int64_t row = (q.blocks * q.bits + 7) / 8;
  spread(q, to, [&](std::int64_t column, std::int64_t b) {
    return static_cast<float>(bits_at(from + column * row, b, q.bits)) - static_cast<float>(1 << (q.bits - 1));
  });
}

void pack_zeros(const Quantized& q, const float* from, float* to) {
  spread(q, to, [&](std::int64_t column, std::int64_t b) { return from[column * q.blocks + b] - static_cast<float>(1 << (q.bits - 1)); });
}

void dequantize_column(const Quantized& q, const std::uint8_t* from, const float* scales, const std::uint8_t* packed_zeros,
                       const float* float_zeros, const std::int32_t* groups, std::int64_t column, float* to) {
  const std::uint8_t* weights = from + column * q.blocks * q.block_steps() * 4;
  for (std::int64_t k = 0; k < q.k; ++k) {
    const std::int64_t b = groups ? groups[k] : k / q.block;
    float zero = static_cast<float>(1 << (q.bits - 1));
    if (float_zeros) zero = float_zeros[column * q.blocks + b];
    else if (packed_zeros) zero = static_cast<float>(bits_at(packed_zeros + column * ((q.blocks * q.bits + 7) / 8), b, q.bits));
    to[k] = (static_cast<float>(bits_at(weights, k, q.bits)) - zero) * scales[column * q.blocks + b];
  }
}

}  // namespace tenon::cpu::gemm
