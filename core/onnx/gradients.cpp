#include "core/onnx/gradients.h"

#include <algorithm>

#include "core/onnx/canonical.h"
#include "core/onnx/infer.h"
#include "core/ops/gradient.h"

namespace tenon {
namespace {

// A gradient of a gradient has several times the nodes of it: a short chain would fill all of limits.nodes.
constexpr std::uint64_t share_of_nodes = 16;

struct Expansion {
  const Limits& limits;
  std::uint64_t nodes = 0, visits = limits.nodes * 16;

  // One round over a graph and its bodies: a Gradient of a Gradient's output needs its types first.
  Status round(Graph& graph) {
    bool own = false;
    std::vector<Node> fresh;
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      for (const GraphPtr& body : graph.nodes[n].subgraphs()) TENON_TRY(round(*body));
      if (!is_gradient(graph.nodes[n])) continue;
      const std::size_t before = fresh.size();
      TENON_ASSIGN(const GradientState state, spell_gradient(graph, n, fresh, visits));
      own = own || state != GradientState::waits;
      nodes += fresh.size() - before;
      if (nodes > limits.nodes / share_of_nodes)
        return error(TENON_RESOURCE_EXHAUSTED, "gradients make more nodes than limits.nodes / {} = {}", share_of_nodes,
                     limits.nodes / share_of_nodes);
    }
    if (!own) return {};
    for (Node& node : fresh) {
      fill_from_schema(node);
      graph.nodes.push_back(std::move(node));
    }
    std::erase_if(graph.nodes, [](const Node& node) { return node.op_type.empty(); });
    return graph.sort();
  }
};

bool has_gradient(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) {
    const auto bodies = node.subgraphs();
    return is_gradient(node) || std::any_of(bodies.begin(), bodies.end(), [](const GraphPtr& body) { return has_gradient(*body); });
  });
}

}  // namespace

Status expand_gradients(Model& model, Graph& graph, const CustomOps* custom, const Limits& limits) {
  Expansion expansion{limits};
  for (int depth = 0; has_gradient(graph); ++depth) {
    if (depth > 2 * limits.nesting)  // each may first move to other values
      return error(TENON_RESOURCE_EXHAUSTED, "gradients of gradients are deeper than limits.nesting = {}", limits.nesting);
    TENON_TRY(expansion.round(graph));
    TENON_TRY(infer_types(model, graph, custom));
  }
  return {};
}

}  // namespace tenon
