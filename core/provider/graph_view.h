// GraphView: a Graph as the ABI's flat tenon_graph.
//
// The arrays belong to the view, the strings and constants to the graph: keep the graph unchanged while the view lives.
// Node and value indices are those of the graph. A provider that knows older operator sets is shown the same graph with the
// nodes it would not understand lowered or hidden. Read-only after build, for any thread; shown() is the loading thread's.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <tenon/types.h>

#include "core/base/config.h"
#include "core/graph/graph.h"
#include "core/provider/load.h"
#include "core/provider/provider.h"

namespace tenon {

// Bounds of one symbolic dim, and the size that estimates are made for. opt -1: 1 in dimension 0, else 128, kept within
// the bounds.
struct DimBound {
  std::int64_t min = 0;
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  std::int64_t opt = -1;
};
using DimBounds = std::unordered_map<std::uint32_t, DimBound>;  // by symbol id

// The bounds that the configuration's shapes give to a model's symbols; names that the model lacks go to unknown.
DimBounds dim_bounds(const std::vector<ShapeEntry>& shapes, const SymbolTable& symbols,
                     std::vector<std::string>* unknown = nullptr);

class GraphView {
 public:
  // constants: everything shown is added to it, so that const_data finds it; may be null.
  static std::unique_ptr<GraphView> build(const Graph& graph, const DimBounds& bounds, ConstantTable* constants);
  // One node alone (inputs and outputs keep their numbers), for the inference of custom operators.
  static std::unique_ptr<GraphView> build_node(const Node& node);

  const tenon_graph* graph() const { return graph_; }

  // The graph for a provider that knows these operator sets (none: all of them), and the nodes that were hidden from it.
  struct Shown {
    const tenon_graph* graph = nullptr;
    std::vector<std::pair<NodeId, std::string>> hidden;  // with what the older form lacks
  };
  const Shown& shown(const std::vector<OpsetRange>& opsets) const;
  const tenon_node* node() const { return node_; }

 private:
  GraphView() = default;
  friend class ViewBuilder;
  mutable std::pmr::monotonic_buffer_resource arena_;
  const Graph* source_ = nullptr;
  const tenon_graph* graph_ = nullptr;
  mutable std::map<std::vector<std::pair<std::string, std::int32_t>>, Shown> shown_;  // by domain and newest opset
  mutable std::deque<Node> lowered_;
  const tenon_node* node_ = nullptr;
};

}  // namespace tenon
