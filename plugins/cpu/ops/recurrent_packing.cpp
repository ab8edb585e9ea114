#include "plugins/cpu/ops/recurrent_packing.h"

#include <algorithm>

namespace tenon::cpu {

void RecurrentPacking::pack_input(const float* w, std::int64_t input, float* to) const {
  std::fill(to, to + input * columns(), 0.0f);
  for (std::int64_t d = 0; d < directions; ++d) {
    for (std::int64_t g = 0; g < gates; ++g) {
      for (std::int64_t u = 0; u < hidden; ++u) {
        const float* row = w + ((d * gates + g) * hidden + u) * input;
        float* out = to + column(d, u / lanes) + g * lanes + u % lanes;
        for (std::int64_t k = 0; k < input; ++k) out[k * columns()] = row[k];
      }
    }
  }
}

void RecurrentPacking::pack_recurrent(const float* r, float* to) const {
  std::fill(to, to + directions * recurrent_floats(), 0.0f);
  const std::int64_t first = split_hidden_gate ? 2 : gates;  // gates of the first set of panels
  for (std::int64_t d = 0; d < directions; ++d) {
    float* base = to + d * recurrent_floats();
    for (std::int64_t g = 0; g < gates; ++g) {
      const bool apart = g >= first;
      const std::int64_t width = (apart ? gates - first : first) * lanes;
      float* set = base + (apart ? panels() * first * lanes * hidden : 0);
      for (std::int64_t u = 0; u < hidden; ++u) {
        const float* row = r + ((d * gates + g) * hidden + u) * hidden;
        float* out = set + u / lanes * width * hidden + (apart ? g - first : g) * lanes + u % lanes;
        for (std::int64_t k = 0; k < hidden; ++k) out[k * width] = row[k];
      }
    }
  }
}

void RecurrentPacking::pack_bias(const float* b, float* to) const {
  std::fill(to, to + bias_floats(), 0.0f);
  float* apart = to + columns();
  for (std::int64_t d = 0; d < directions; ++d) {
    const float *wb = b + d * 2 * gates * hidden, *rb = wb + gates * hidden;
    for (std::int64_t g = 0; g < gates; ++g) {
      const bool keep = keeps_hidden_bias && g == 2;
      for (std::int64_t u = 0; u < hidden; ++u) {
        to[column(d, u / lanes) + g * lanes + u % lanes] = wb[g * hidden + u] + (keep ? 0.0f : rb[g * hidden + u]);
        if (keep) apart[d * padded() + u] = rb[g * hidden + u];
      }
    }
  }
}

void RecurrentPacking::pack_peepholes(const float* p, float* to) const {
  std::fill(to, to + peephole_floats(), 0.0f);
  for (std::int64_t i = 0; i < directions * 3; ++i) std::copy(p + i * hidden, p + (i + 1) * hidden, to + i * padded());
}

}  // namespace tenon::cpu
