#include "plugins/opencl/codegen/conv_tile.h"

#include <algorithm>

namespace tenon::opencl {
namespace {

// Weights that stay in a core's second-level cache while pixels pass by, in numbers.
constexpr std::int64_t kCachedWeights = 64 * 1024;

}  // namespace

ConvTile conv_tile(const Profile& profile, std::int64_t oc, int lanes_of_type) {
  ConvTile tile;
  if (!profile.cpu) {
    // Small tiles leave registers for many groups in flight; neighbours read neighbouring weights and the same pixels.
    tile.vec = 4, tile.cols = 1, tile.rows = 4;
    tile.lanes = 1;
    while (tile.lanes < 16 && tile.lanes * tile.vec < oc) tile.lanes *= 2;
    tile.stack = std::max(1, static_cast<int>(profile.group) / tile.lanes);
    return tile;
  }
  // As many accumulators as registers hold beside the weights and one pixel. Few channels are padded least, then wide tiles win:
  // they read fewer pixels a product.
  const int registers = profile.vector >= 16 ? 32 : 16, most = registers == 32 ? 4 : 2;
  double best = 0;
  for (int vec = lanes_of_type; vec >= std::min(lanes_of_type, 4); vec /= 2)
    for (int cols = most; cols >= 1; --cols) {
      const std::int64_t padded = (oc + vec * cols - 1) / (vec * cols) * (vec * cols);
      const double narrow = cols >= 3 ? 1.0 : cols == 2 ? (registers == 32 ? 1.05 : 1.0) : 1.3;
      const double cost = static_cast<double>(padded) * narrow * (vec == lanes_of_type ? 1.0 : vec * 2 == lanes_of_type ? 1.3 : 2.2);
      if (best != 0 && cost >= best) continue;
      best = cost;
      tile.vec = vec, tile.cols = cols;
      tile.rows = std::min(14, (registers - 1 - cols) / cols);
      if (registers == 32 && cols == 4) tile.rows = 7;  // the weights are operands in memory there
    }
  return tile;
}

ConvTileVariant conv_tile_variant(const ConvTile& tile, int variant) {
  switch (variant) {
    case 1: return {0, true};
    case 2: return {tile.rows > 2 ? tile.rows - 1 : tile.rows + 1, false};
    case 3: return {tile.rows + 2, false};
    default: return {};
  }
}

ConvLaunch conv_launch(const ConvTile& tile, const ConvGeometry& g, bool transposed, bool other_order) {
  ConvLaunch launch;
  std::int64_t each = g.out_pixels();
  if (transposed) {  // of the largest phase
    const auto part = [](const ConvAxis& a) { return (a.out + a.stride - 1) / a.stride; };
    each = part(g.d) * part(g.h) * part(g.w);
    launch.range.global[2] = static_cast<std::uint64_t>(g.d.stride * g.h.stride * g.w.stride);
  }
  const std::uint64_t pixels = static_cast<std::uint64_t>(g.n * each), rows = static_cast<std::uint64_t>(tile.rows * tile.stack);
  const std::uint64_t tiles = (pixels + rows - 1) / rows, panels = static_cast<std::uint64_t>(tile.panels(g.oc) * g.groups);
  launch.range.local = static_cast<std::uint64_t>(tile.local());
  launch.panels_first = g.taps() * g.ic * g.oc * g.groups <= kCachedWeights;
  if (other_order) launch.panels_first = !launch.panels_first;
  launch.range.global[0] = (launch.panels_first ? panels : tiles) * launch.range.local;
  launch.range.global[1] = launch.panels_first ? tiles : panels;
  return launch;
}

}  // namespace tenon::opencl
