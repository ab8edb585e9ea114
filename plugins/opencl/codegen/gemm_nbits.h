// Weights of 2, 4 or 8 bits in blocks along K, packed on the host for products (GemmConfig::bits).
//
// A panel has `columns` columns and, for each k, columns * bits / 8 bytes: column c stands in byte c % bytes at bit c / bytes * bits. For
// each panel and block there are `columns` scales and then as many shifts: a weight is q * scale + shift. Pure functions; any thread.
#pragma once

#include <cstdint>

namespace tenon::opencl {

struct QuantizedB {
  std::int64_t k = 0, n = 0, block = 32;
  int bits = 4, columns = 64;

  std::int64_t blocks() const { return (k + block - 1) / block; }
  std::int64_t panels() const { return (n + columns - 1) / columns; }
  std::int64_t panel_bytes() const { return k * columns * bits / 8; }
  std::int64_t weight_bytes() const { return panels() * panel_bytes(); }
  std::int64_t scale_floats() const { return panels() * blocks() * 2 * columns; }
};

// from: [n, blocks, block * bits / 8] bytes, the first weight in the lowest bits.
void pack_quantized_weights(const QuantizedB& q, const std::uint8_t* from, std::uint8_t* to);
// scales: [n, blocks]. zeros: [n, ceil(blocks * bits / 8)] bytes, or [n, blocks] floats, or neither: half of the range.
void pack_quantized_scales(const QuantizedB& q, const float* scales, const std::uint8_t* zeros, const float* float_zeros, float* to);

}  // namespace tenon::opencl
