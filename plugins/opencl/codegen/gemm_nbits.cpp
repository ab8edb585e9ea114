#include "plugins/opencl/codegen/gemm_nbits.h"

#include <algorithm>
#include <cstring>

namespace tenon::opencl {

void pack_quantized_weights(const QuantizedB& q, const std::uint8_t* from, std::uint8_t* to) {
  const std::int64_t blob = q.block * q.bits / 8, line = q.columns * q.bits / 8;
  const auto mask = static_cast<unsigned>((1 << q.bits) - 1);
  std::memset(to, 0, static_cast<std::size_t>(q.weight_bytes()));
  for (std::int64_t n = 0; n < q.n; ++n) {
    const std::int64_t c = n % q.columns;
    std::uint8_t* column = to + n / q.columns * q.panel_bytes() + c % line;
    const int shift = static_cast<int>(c / line) * q.bits;
    const std::uint8_t* row = from + n * q.blocks() * blob;
    for (std::int64_t k = 0; k < q.k; ++k) {
      const std::int64_t bit = k * q.bits;
      const unsigned weight = static_cast<unsigned>(row[bit / 8]) >> (bit % 8) & mask;
      column[k * line] = static_cast<std::uint8_t>(column[k * line] | weight << shift);
    }
  }
}

void pack_quantized_scales(const QuantizedB& q, const float* scales, const std::uint8_t* zeros, const float* float_zeros, float* to) {
  const std::int64_t blocks = q.blocks(), zero_line = (blocks * q.bits + 7) / 8;
  const auto mask = static_cast<unsigned>((1 << q.bits) - 1);
  std::fill_n(to, q.scale_floats(), 0.0f);
  for (std::int64_t n = 0; n < q.n; ++n)
    for (std::int64_t b = 0; b < blocks; ++b) {
      float* pair = to + (n / q.columns * blocks + b) * 2 * q.columns + n % q.columns;
      float zero = static_cast<float>(1 << (q.bits - 1));
      if (zeros) zero = static_cast<float>(static_cast<unsigned>(zeros[n * zero_line + b * q.bits / 8]) >> (b * q.bits % 8) & mask);
      if (float_zeros) zero = float_zeros[n * blocks + b];
      pair[0] = scales[n * blocks + b];
      pair[q.columns] = -zero * pair[0];
    }
}

}  // namespace tenon::opencl
