#include "core/graph/splice.h"
#include "core/passes/list.h"

namespace tenon {

Status constant_branches(PassContext& context) {
  Graph& graph = context.graph;
  const std::size_t count = graph.nodes.size();  // an If of the branch itself keeps its form
  for (NodeId n = 0; n < count; ++n) {
    const Node& node = graph.nodes[n];
    if (!node.is("If") || node.inputs.empty()) continue;
    const ConstantPtr* condition = graph.constant(node.inputs[0]);
    if (!condition || (*condition)->dtype != TENON_DTYPE_BOOL || (*condition)->count() != 1) continue;
    const bool yes = (*condition)->data[0] != std::byte{0};
    const GraphPtr branch = node.graph(yes ? "then_branch" : "else_branch");
    if (!branch) continue;
    splice_branch(graph, n, *branch);
    ++context.rewrites;
    context.unsorted = true;
  }
  return {};
}

}  // namespace tenon
