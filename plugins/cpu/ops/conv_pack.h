// ConvPacking: how the weights of a convolution lie in memory, so that tiles read them front to back.
//
// [group][tile of output channels][block of input channels][tap][channel of the block][channel of the tile], the tile's
// channels padded with zeros to whole vectors. Made in compile from sizes alone; immutable; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plugins/cpu/ops/conv_tile.h"

namespace tenon::cpu {

// One tile of output channels: begin and count are channels of the group, offset is in floats from the group's weights.
struct ConvChannels {
  std::int64_t kind, begin, count, width, offset;
};

struct ConvPacking {
  const ConvTiles* tiles = nullptr;
  std::int64_t groups = 1, ic = 0, oc = 0, taps = 1;  // channels per group
  std::int64_t block = 0, blocks = 0;  // input channels of a block; the last may have fewer products, see last
  std::int64_t last = 0;               // products of the last block: == block, unless there is one tap
  std::vector<ConvChannels> channels;
  std::int64_t group_floats = 0;

  ConvPacking() = default;
  ConvPacking(const ConvTiles& tiles, std::int64_t groups, std::int64_t ic, std::int64_t oc, std::int64_t taps);
  std::int64_t floats() const { return groups * group_floats; }
  std::string layout_id(const char* what) const;

  // Where the unpacked weights are: of group, output and input channel and tap (an offset each; no more than taps).
  struct Source {
    const float* data;
    std::int64_t group, oc, ic;
    const std::int64_t* taps;
  };
  // Packs tiles [begin, end) of groups * channels.size().
  void pack(const Source& source, float* dst, std::int64_t begin, std::int64_t end) const;
};

}  // namespace tenon::cpu
