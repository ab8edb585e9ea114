#include "core/graph/elements.h"
#include "core/passes/list.h"
#include "core/passes/outline.h"

namespace tenon {
namespace {

class Activation {
 public:
  Activation(Edit& edit, NodeId last) : pattern_(edit), edit_(edit), last_(last) {}

  bool run() {
    const Node& n = edit_.graph.nodes[last_];
    type_ = &edit_.graph.values[n.outputs[0]].type;
    if (!is_real(type_->dtype)) return false;
    const auto top = pattern_.product(n.outputs[0], *type_);
    const std::size_t start = pattern_.mark();
    Node node;
    if (top.factors.size() == 1 && near(top.number, 1.0 / 6)) {
      const ValueId x = clipped(top.factors[0]);
      if (x == none || !same_rank(x)) return false;
      node.op_type = "HardSigmoid";
      node.set("alpha", 1.0f / 6);
      node.set("beta", 0.5f);
      return pattern_.replace(last_, std::move(node), {{x, x}});
    }
    for (std::size_t i = 0; i < 2 && top.factors.size() == 2; ++i) {
      const ValueId x = top.factors[i], gate = top.factors[1 - i];
      if (!same_rank(x)) continue;
      if (near(top.number, 1) && one(x, gate, node)) return pattern_.replace(last_, std::move(node), {{x, x}});
      pattern_.back_to(start);
      if (near(top.number, 1.0 / 6) && clipped(gate) == x) {
        node.op_type = "HardSwish";
        return pattern_.replace(last_, std::move(node), {{x, x}});
      }
      pattern_.back_to(start);
    }
    return false;
  }

 private:
  // No number of the pattern widens x.
  bool same_rank(ValueId x) const { return rank_of(edit_.graph, x) == rank_of(edit_.graph, edit_.graph.nodes[last_].outputs[0]); }
  bool near(double a, double b) const { return pattern_.near(a, b, type_->dtype); }

  // gate is a function of x that makes x * gate a known operator.
  bool one(ValueId x, ValueId gate, Node& node) {
    if (const Node* sigmoid = pattern_.take(gate, "Sigmoid")) {
      const ValueId z = edit_.input(*sigmoid, 0);
      node.op_type = "Swish";
      if (z == x) return node.set("alpha", 1.0f), true;
      const auto scaled = pattern_.product(z, *type_);
      if (scaled.factors.size() != 1 || scaled.factors[0] != x) return false;
      node.set("alpha", static_cast<float>(scaled.number));
      return true;
    }
    if (const Node* hard = pattern_.take(gate, "HardSigmoid")) {
      node.op_type = "HardSwish";
      return edit_.input(*hard, 0) == x && near(hard->float_or("alpha", 0.2f), 1.0 / 6) && near(hard->float_or("beta", 0.5f), 0.5);
    }
    if (const Node* tanh = pattern_.take(gate, "Tanh")) {
      node.op_type = "Mish";
      if (const Node* soft = pattern_.take(tanh->inputs[0], "Softplus")) return edit_.input(*soft, 0) == x;
      const Node* log = pattern_.take(tanh->inputs[0], "Log");
      const ValueId e = log ? pattern_.beside(log->inputs[0], "Add", 1) : none;
      const Node* exp = e == none ? nullptr : pattern_.take(e, "Exp");
      return exp && edit_.input(*exp, 0) == x;
    }
    return false;
  }

  // v = min(max(x + 3, 0), 6): x, or none.
  ValueId clipped(ValueId v) {
    const Node* clip = pattern_.take(v, "Clip");
    if (!clip || clip->inputs.size() != 3 || edit_.input(*clip, 1) == none || edit_.input(*clip, 2) == none) return none;
    const Graph& g = edit_.graph;
    if (scalar_of(g, edit_.input(*clip, 1)) != 0.0 || scalar_of(g, edit_.input(*clip, 2)) != 6.0) return none;
    return pattern_.beside(clip->inputs[0], "Add", 3);
  }

  Pattern pattern_;
  Edit& edit_;
  NodeId last_;
  const Type* type_ = nullptr;
};

}  // namespace

Status outline_activation(PassContext& context) {
  Edit edit(context);
  // Backwards: a HardSwish is found before the HardSigmoid inside it.
  for (NodeId n = static_cast<NodeId>(context.graph.nodes.size()); n-- > 0;) {
    const Node& node = context.graph.nodes[n];
    if ((node.is("Mul") || node.is("Div")) && node.outputs[0] != none) Activation(edit, n).run();
  }
  return {};
}

}  // namespace tenon
