#include "plugins/cpu/ops/conv_pack.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/ops/conv_layout.h"

namespace tenon::cpu {
namespace {

// Input channels that are kept together. 16 fills a cache line; where that does not divide, a size that wastes nothing.
std::int64_t block_for(std::int64_t ic, std::int64_t taps) {
  if (ic % 16 == 0 || taps == 1) return std::min<std::int64_t>(16, ic);
  if (ic <= 32) return ic;
  for (std::int64_t b = 32; b >= 8; --b)
    if (ic % b == 0) return b;
  return 16;
}

}  // namespace

ConvPacking::ConvPacking(const ConvTiles& t, std::int64_t groups_, std::int64_t ic_, std::int64_t oc_, std::int64_t taps_)
    : tiles(&t), groups(groups_), ic(ic_), oc(oc_), taps(taps_), block(block_for(ic_, taps_)) {
  if (block == 0) return;
  blocks = (ic + block - 1) / block;
  last = taps == 1 ? ic - (blocks - 1) * block : block;
  const std::int64_t depth = ((blocks - 1) * block + last) * taps;
  for (std::int64_t c = 0; c < oc;) {
    const std::int64_t kind = tiles->kind_for(oc - c), width = tiles->kinds[kind].channels;
    channels.push_back({kind, c, std::min(width, oc - c), width, group_floats});
    group_floats += depth * width;
    c += width;
  }
}

std::string ConvPacking::layout_id(const char* what) const {
  return std::string(what) + "/" + std::to_string(tiles->kinds[0].channels) + "x" + std::to_string(tiles->kinds[0].lanes) + "/" +
         std::to_string(groups) + "x" + std::to_string(ic) + "x" + std::to_string(oc) + "x" + std::to_string(taps) + "/" +
         std::to_string(block);
}

void ConvPacking::pack(const Source& source, float* dst, std::int64_t begin, std::int64_t end) const {
  const auto count = static_cast<std::int64_t>(channels.size());
  std::int64_t low = 0, high = 0;
  for (std::int64_t t = 0; t < taps; ++t) low = std::min(low, source.taps[t]), high = std::max(high, source.taps[t]);
  const std::int64_t span = high - low + 1;  // 1 tap, or a kernel that lies in one piece
  const bool in_one_piece = source.ic == span && low == 0 && (taps == 1 ? high == 0 : span * block <= 4096);
  std::vector<float> rows;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t group = i / count;
    const ConvChannels& c = channels[static_cast<std::size_t>(i % count)];
    const float* from = source.data + group * source.group + c.begin * source.oc;
    float* to = dst + group * group_floats + c.offset;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t wide = b + 1 == blocks ? last : block, real = std::min(wide, ic - b * block);
      const float* piece = from + b * block * source.ic;
      if (c.count < c.width || real < wide) std::memset(to, 0, static_cast<std::size_t>(taps * wide * c.width) * sizeof(float));
      if (in_one_piece) {
        // All of the block's weights of one output channel are neighbours: turn them as a matrix, then put rows in order.
        if (taps == 1) {
          transpose_rows(piece, source.oc, c.count, real, to, c.width);
        } else {
          rows.resize(static_cast<std::size_t>(real * span * c.width));
          transpose_rows(piece, source.oc, c.count, real * span, rows.data(), c.width);
          for (std::int64_t t = 0; t < taps; ++t)
            for (std::int64_t k = 0; k < real; ++k)
              std::memcpy(to + (t * wide + k) * c.width, rows.data() + (k * span + source.taps[t]) * c.width,
                          static_cast<std::size_t>(c.count) * sizeof(float));
        }
      } else {
        for (std::int64_t t = 0; t < taps; ++t)
          for (std::int64_t k = 0; k < real; ++k)
            for (std::int64_t o = 0; o < c.count; ++o)
              to[(t * wide + k) * c.width + o] = piece[o * source.oc + k * source.ic + source.taps[t]];
      }
      to += taps * wide * c.width;
    }
  }
}

}  // namespace tenon::cpu
