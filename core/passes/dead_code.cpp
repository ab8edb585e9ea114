#include "core/passes/edit.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

// Outputs from this one on may be omitted; -1 when all must stay.
int first_optional(const Node& n) {
  struct Row {
    std::string_view op;
    int first;
  };
  static constexpr Row rows[] = {{"MaxPool", 1}, {"LayerNormalization", 1}, {"Dropout", 1}, {"LSTM", 0}, {"GRU", 0}, {"RNN", 0}};
  if (n.domain.empty())
    for (const Row& r : rows)
      if (r.op == n.op_type) return r.first;
  return n.domain == "com.microsoft" && n.op_type.starts_with("Skip") ? 1 : -1;
}

}  // namespace

Status dead_code(PassContext& context) {
  Edit edit(context);
  Graph& g = context.graph;
  for (NodeId n = static_cast<NodeId>(g.nodes.size()); n-- > 0;) {
    Node& node = g.nodes[n];
    if (node.op_type.empty()) continue;
    bool read = false;
    for (ValueId v : node.outputs) read = read || (v != none && edit.uses(v) > 0);
    if (!read) {
      edit.remove(n);
      ++context.rewrites;
      continue;
    }
    const int first = first_optional(node);
    for (std::size_t i = static_cast<std::size_t>(first); first >= 0 && i < node.outputs.size(); ++i)
      if (node.outputs[i] != none && edit.uses(node.outputs[i]) == 0) node.outputs[i] = none, ++context.rewrites;
    while (node.outputs.size() > 1 && node.outputs.back() == none) node.outputs.pop_back();
  }
  return {};
}

}  // namespace tenon
