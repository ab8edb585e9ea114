#include "core/graph/elements.h"
#include "core/passes/derive.h"
#include "core/passes/edit.h"
#include "core/passes/facts.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

// A constant larger than the evaluator takes whose form alone changes; null when the node is not that. Whatever computes
// (and DequantizeLinear, which grows) is left to the providers.
Result<ConstantPtr> reformed(Edit& edit, const Facts& facts, const Node& n) {
  const ConstantPtr* c = n.inputs.empty() ? nullptr : edit.graph.constant(edit.input(n, 0));
  if (!c || !n.domain.empty() || n.outputs.size() != 1 || n.outputs[0] == none) return ConstantPtr();
  if (n.op_type == "Identity") return *c;
  if (n.op_type == "Reshape" || n.op_type == "Squeeze" || n.op_type == "Unsqueeze" || n.op_type == "Flatten") {
    const auto dims = facts.fixed_dims(n.outputs[0]);
    if (!dims || !element_count(*dims).valid() || element_count(*dims).value() != (*c)->count()) return ConstantPtr();
    return with_dims(*c, *dims);
  }
  if (n.op_type == "Transpose") {
    const auto* perm = n.ints("perm");
    if (perm) return transposed(**c, *perm);
    std::vector<std::int64_t> axes;
    for (std::size_t d = (*c)->dims.size(); d-- > 0;) axes.push_back(static_cast<std::int64_t>(d));
    return transposed(**c, axes);
  }
  if (n.op_type == "Cast") return converted(**c, static_cast<DType>(n.int_or("to", 0)));
  return ConstantPtr();
}

}  // namespace

Status constant_folding(PassContext& context) {
  const Facts facts(context.graph, context.is_body);
  Edit edit(context);
  Graph& g = context.graph;
  for (NodeId id = 0; id < g.nodes.size(); ++id) {
    const Node& n = g.nodes[id];
    if (n.op_type.empty() || n.outputs.empty() || !n.subgraphs().empty()) continue;
    bool all = true, any = false;
    for (ValueId v : n.outputs) {
      if (v == none || edit.uses(v) == 0) continue;
      any = true;
      all = all && facts.known(v);
    }
    if (any && all) {
      for (ValueId v : n.outputs)
        if (v != none && edit.uses(v)) edit.make_constant_value(v, facts.known(v));
      edit.remove(id);
      continue;
    }
    TENON_ASSIGN(ConstantPtr c, reformed(edit, facts, n));
    if (!c) continue;
    const ValueId out = n.outputs[0];
    edit.make_constant_value(out, std::move(c));
    edit.remove(id);
  }
  return {};
}

}  // namespace tenon
