// layout: places for the nodes of a directed graph, in layers from top to bottom.
//
// Each node one layer below the lowest that it depends on; in a layer, nodes are ordered by where their neighbours are, to
// cross few edges. Linear in nodes and edges but for sorting. Pure function; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace tenon {

struct LayoutNode {
  double x = 0, y = 0;     // of the top left corner
  std::uint32_t layer = 0;
};

struct Layout {
  std::vector<LayoutNode> nodes;
  double width = 0, height = 0;
};

struct LayoutSizes {
  double node_width = 150, node_height = 36, gap_x = 18, gap_y = 34;
};

// edges: from a lower index to a higher one, as in a topological order; others are ignored.
Layout lay_out_layers(std::size_t nodes, std::span<const std::pair<std::uint32_t, std::uint32_t>> edges, const LayoutSizes& sizes = {});

}  // namespace tenon
