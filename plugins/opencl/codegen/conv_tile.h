// ConvTile: how much of a convolution's result one work item makes, and how work items share a panel of weights.
//
// Chosen from the device's profile and the channels; part of the source text. Plain data; any thread.
#pragma once

#include <cstdint>

#include "plugins/opencl/codegen/conv_geometry.h"
#include "plugins/opencl/device/profile.h"

namespace tenon::opencl {

// A work item makes `rows` output pixels times `cols` vectors of `vec` output channels, all in registers. Of a work group, `lanes`
// items stand side by side in the panel's columns and `stack` below each other in pixels.
struct ConvTile {
  int vec = 16, cols = 4, rows = 7, lanes = 1, stack = 1;

  int width() const { return vec * cols * lanes; }
  int local() const { return lanes * stack; }
  std::int64_t panels(std::int64_t oc) const { return (oc + width() - 1) / width(); }
  bool operator==(const ConvTile&) const = default;
};

// oc: output channels of a group. lanes_of_type: how many numbers of the compute type fill a vector register, profile.vector for float.
ConvTile conv_tile(const Profile& profile, std::int64_t oc, int lanes_of_type);

// The start of a dense convolution or of any product of pixels with packed panels. panels_first is its argument of that name: whether
// neighbouring work groups share their pixels (few weights) or their weights (many).
struct ConvLaunch {
  ConvRange range;
  std::int32_t panels_first = 0;
};
// other_order: the order that would not have been chosen.
ConvLaunch conv_launch(const ConvTile& tile, const ConvGeometry& g, bool transposed = false, bool other_order = false);

// What else a device that measures may try over the same packed weights; variant 0 changes nothing.
struct ConvTileVariant {
  int rows = 0;  // of the tile; 0: as chosen
  bool other_order = false;
};
inline constexpr int kConvTileVariants = 4;
ConvTileVariant conv_tile_variant(const ConvTile& tile, int variant);

}  // namespace tenon::opencl
