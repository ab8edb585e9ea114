#include "core/passes/outline.h"

#include <algorithm>
#include <cmath>

#include "core/onnx/canonical.h"

namespace tenon {

const Node* Pattern::take(ValueId v, std::string_view op) {
  const Node* n = edit_.producer(v, op);
  if (!n || n->outputs.size() != 1) return nullptr;
  const NodeId id = edit_.id_of(*n);
  if (std::find(nodes_.begin(), nodes_.end(), id) == nodes_.end()) nodes_.push_back(id);
  return n;
}

ValueId Pattern::beside(ValueId v, std::string_view op, double number) {
  const std::size_t start = mark();
  const Node* n = take(v, op);
  if (!n || n->inputs.size() != 2) return back_to(start), none;
  const bool either = op == "Add" || op == "Mul";
  for (std::size_t i = 0; i < (either ? 2u : 1u); ++i) {
    const ValueId x = edit_.input(*n, i), c = edit_.input(*n, 1 - i);
    if (x != none && c != none && is_scalar(graph_, c, number, graph_.values[x].type)) return x;
  }
  return back_to(start), none;
}

ValueId Pattern::squared(ValueId v) {
  if (const ValueId x = beside(v, "Pow", 2); x != none) return x;
  const std::size_t start = mark();
  const Node* n = take(v, "Mul");
  if (n && n->inputs.size() == 2 && edit_.input(*n, 0) == edit_.input(*n, 1)) return edit_.input(*n, 0);
  return back_to(start), none;
}

Pattern::Product Pattern::product(ValueId v, const Type& like) {
  Product out;
  factors_of(v, true, like, out);
  return out;
}

void Pattern::factors_of(ValueId v, bool top, const Type& like, Product& out) {
  v = edit_.now(v);
  const auto number = [&](ValueId c) {
    const auto n = scalar_of(graph_, c);
    return n && is_scalar(graph_, c, *n, like) ? n : std::nullopt;
  };
  if (const auto n = number(v)) {
    out.number *= *n;
    return;
  }
  const Node* n = edit_.producer(v);
  if (n && n->domain.empty() && n->inputs.size() == 2 && out.factors.size() < 8 && (top || (edit_.uses(v) == 1 && !edit_.is_output(v)))) {
    const ValueId a = edit_.input(*n, 0), b = edit_.input(*n, 1);
    if (n->op_type == "Mul" && a != none && b != none) {
      take(v, "Mul");
      factors_of(a, false, like, out);
      factors_of(b, false, like, out);
      return;
    }
    if (const auto by = n->op_type == "Div" && b != none ? number(b) : std::nullopt; by && *by != 0) {
      take(v, "Div");
      factors_of(a, false, like, out);
      out.number /= *by;
      return;
    }
  }
  out.factors.push_back(v);
}

bool Pattern::near(double number, double expected, DType dtype) const {
  const double tolerance = dtype == TENON_DTYPE_BFLOAT16 ? 8e-3 : dtype == TENON_DTYPE_FLOAT16 ? 2e-3 : 1e-5;
  return std::fabs(number - expected) <= tolerance * std::fabs(expected);
}

bool Pattern::replace(NodeId last, Node node, const std::vector<Input>& inputs) {
  std::sort(nodes_.begin(), nodes_.end());
  nodes_.erase(std::unique(nodes_.begin(), nodes_.end()), nodes_.end());
  // Nothing outside reads what is inside.
  std::vector<std::pair<ValueId, std::uint32_t>> inner;  // value made inside, and how often it is read inside
  for (NodeId n : nodes_) {
    for (std::size_t i = 0; i < graph_.nodes[n].inputs.size(); ++i)
      for (auto& [v, reads] : inner)
        if (v == edit_.input(graph_.nodes[n], i)) ++reads;
    if (n != last) inner.emplace_back(graph_.nodes[n].outputs[0], 0);
  }
  for (const auto& [v, reads] : inner)
    if (edit_.uses(v) != reads || edit_.is_output(v)) return false;

  auto body = std::make_shared<Graph>();
  body->name = node.op_type;
  std::vector<std::pair<ValueId, ValueId>> mapped;
  for (const Input& in : inputs) {
    const Value& outside = graph_.values[in.given];
    const ValueId v = body->add_value(outside.name, outside.type);
    body->values[v].is_input = true;
    body->inputs.push_back(v);
    if (in.inside != none) mapped.emplace_back(edit_.now(in.inside), v);
  }
  const auto inside = [&](ValueId v) {
    v = edit_.now(v);
    if (v == none) return none;
    for (const auto& [from, to] : mapped)
      if (from == v) return to;
    const Value& value = graph_.values[v];
    const ValueId made = value.constant ? body->add_constant(value.name, value.constant) : body->add_value(value.name, value.type);
    mapped.emplace_back(v, made);
    return made;
  };
  for (NodeId n : nodes_) {
    Node copy = graph_.nodes[n];
    for (ValueId& v : copy.inputs) v = inside(v);
    for (ValueId& v : copy.outputs) v = inside(v);
    node.sources.insert(node.sources.end(), copy.sources.begin(), copy.sources.end());
    body->nodes.push_back(std::move(copy));
  }
  body->outputs = body->nodes.back().outputs;
  body->values[body->outputs[0]].is_output = true;
  body->index_producers();

  node.name = graph_.nodes[last].name;
  node.outputs = graph_.nodes[last].outputs;
  for (const Input& in : inputs) node.inputs.push_back(in.given);
  node.body = std::move(body);
  fill_from_schema(node);
  for (NodeId n : nodes_)
    if (n != last) edit_.remove(n);
  edit_.put(last, std::move(node));
  ++edit_.context.rewrites;
  return true;
}

}  // namespace tenon
