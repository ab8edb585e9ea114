#include "plugins/cpu/ops/recurrent_packing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

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

bool RecurrentPacking::compactable(const float* r) const {
  constexpr std::int64_t cached = 128 << 10;  // bytes of one direction: about what the first cache keeps up with
  const std::int64_t count = gates * hidden * hidden;
  if (lanes % compact_depth != 0 || count * static_cast<std::int64_t>(sizeof(float)) < cached) return false;
  for (std::int64_t i = 0; i < directions * count; ++i) {
    if (!(std::abs(r[i]) < 1e30f)) return false;
  }
  return true;
}

void RecurrentPacking::pack_recurrent(const float* r, float* to) const {
  const std::int64_t first = split_hidden_gate ? 2 : gates;  // gates of the first set of panels
  std::vector<float> plain(static_cast<std::size_t>(compact ? lanes * gates * depth() : 0));
  for (std::int64_t d = 0; d < directions; ++d) {
    for (std::int64_t from = 0; from < gates; from += first) {
      const std::int64_t count = from == 0 ? first : gates - first, width = count * lanes, floats = panel_floats(count);
      for (std::int64_t p = 0; p < panels(); ++p, to += floats) {
        float* panel = compact ? plain.data() : to;
        std::fill(panel, panel + width * depth(), 0.0f);
        const std::int64_t units = std::min(lanes, hidden - p * lanes);
        for (std::int64_t g = 0; g < count; ++g) {
          for (std::int64_t u = 0; u < units; ++u) {
            const float* row = r + ((d * gates + from + g) * hidden + p * lanes + u) * hidden;
            float* out = panel + g * lanes + u;
            for (std::int64_t k = 0; k < hidden; ++k) out[k * width] = row[k];
          }
        }
        if (compact) pack_compact(panel, width, to);
      }
    }
  }
}

// panel: [depth][width]
void RecurrentPacking::pack_compact(const float* panel, std::int64_t width, float* to) const {
  for (std::int64_t j = 0; j < width; ++j) {
    float largest = 0;
    for (std::int64_t k = 0; k < depth(); ++k) largest = std::max(largest, std::abs(panel[k * width + j]));
    to[j] = compact_scale(largest);
  }
  const float* scales = to;
  to += width;
  for (std::int64_t i = 0; i < depth() * width; i += 4 * lanes, to += 3 * lanes) {
    for (std::int64_t u = 0; u < lanes; ++u) {
      float w[4], stored[3];
      for (std::int64_t v = 0; v < 4; ++v) {
        const std::int64_t at = i + v * lanes + u;
        w[v] = panel[at] / scales[at % width];
      }
      encode_compact(w, stored);
      for (int v = 0; v < 3; ++v) std::memcpy(to + v * lanes + u, &stored[v], sizeof(float));  // not a float: any bits
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
