#include <cmath>

#include "core/graph/elements.h"
#include "core/passes/edit.h"
#include "core/passes/facts.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

bool all_are(const std::optional<std::vector<std::int64_t>>& list, std::int64_t value) {
  if (!list) return false;
  for (std::int64_t v : *list)
    if (v != value) return false;
  return true;
}

// A constant of one element whose shape does not widen x.
const Constant* scalar_beside(Edit& edit, const Node& n, std::size_t i, ValueId x) {
  const Constant* c = edit.constant(n, i);
  if (!c || c->count() != 1) return nullptr;
  return static_cast<std::int64_t>(c->dims.size()) <= std::max<std::int64_t>(0, rank_of(edit.graph, x)) ? c : nullptr;
}

// x + c is x. For floats only -0 leaves every x as it is, and for x - c only +0.
bool is_zero(const Constant& c, bool negative) {
  const auto v = single_number(c);
  return v && *v == 0 && (!is_real(c.dtype) || std::signbit(*v) == negative);
}

bool full_slice(Edit& edit, const Facts& facts, const Node& n, ValueId x) {
  const ValueId starts_value = edit.input(n, 1);
  if (starts_value == none) return false;
  const auto starts = ints_of(edit.graph, starts_value);
  const ValueId steps_value = edit.input(n, 4), axes_value = edit.input(n, 3);
  if (steps_value != none && !all_are(ints_of(edit.graph, steps_value), 1)) return false;
  if (facts.same_dims(n.outputs[0], x)) return true;
  const ValueId ends_value = edit.input(n, 2);
  if (!starts || ends_value == none || !all_are(starts, 0)) return false;
  const auto ends = ints_of(edit.graph, ends_value);
  if (!ends) return false;
  const auto axes = axes_value == none ? std::nullopt : ints_of(edit.graph, axes_value);
  if (axes_value != none && !axes) return false;
  const std::int64_t rank = rank_of(edit.graph, x);
  for (std::size_t i = 0; i < ends->size(); ++i) {
    std::int64_t axis = axes ? (i < axes->size() ? (*axes)[i] : -rank - 1) : static_cast<std::int64_t>(i);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return false;
    const auto size = facts.fixed(x, static_cast<std::size_t>(axis));
    if ((*ends)[i] < (size ? *size : std::int64_t{INT32_MAX})) return false;
  }
  return true;
}

// The types agree everywhere and at most one size is not certain: then the element count fixes it.
bool same_but_one(const Graph& g, const Facts& facts, ValueId a, ValueId b) {
  const Type &x = g.values[a].type, &y = g.values[b].type;
  if (!x.dims || !y.dims || *x.dims != *y.dims) return false;
  int uncertain = 0;
  for (std::size_t d = 0; d < x.dims->size(); ++d) {
    if (!(*x.dims)[d].fixed() && !(*x.dims)[d].symbol) return false;
    uncertain += facts.size(a, d) != facts.size(b, d);
  }
  return uncertain <= 1;
}

// The input that output 0 always equals; -1 when there is none.
int passed_input(Edit& edit, const Facts& facts, const Node& n) {
  const Graph& g = edit.graph;
  const ValueId x = edit.input(n, 0), out = n.outputs[0];
  if (!n.domain.empty() || x == none) return -1;
  const std::string& op = n.op_type;
  const std::int64_t rank = rank_of(g, x);
  const auto list = [&](std::size_t i) { return edit.input(n, i) == none ? std::nullopt : ints_of(g, edit.input(n, i)); };
  if (op == "Identity") return 0;
  if (op == "Cast") return g.values[x].type.dtype != TENON_DTYPE_UNDEFINED && n.int_or("to", 0) == g.values[x].type.dtype ? 0 : -1;
  if (op == "Transpose") {
    const auto* perm = n.ints("perm");
    if (!perm) return rank == 0 || rank == 1 ? 0 : -1;
    for (std::size_t d = 0; d < perm->size(); ++d)
      if ((*perm)[d] != static_cast<std::int64_t>(d)) return -1;
    return 0;
  }
  if (op == "Reshape") return facts.same_dims(out, x) || same_but_one(g, facts, out, x) ? 0 : -1;
  if (op == "Flatten") return rank == 2 && n.int_or("axis", 1) == 1 ? 0 : -1;
  if (op == "Squeeze" || op == "Unsqueeze") {
    const auto axes = list(1);
    return axes && axes->empty() ? 0 : -1;
  }
  if (op == "Expand") {
    if (facts.same_dims(out, x)) return 0;
    const auto shape = list(1);
    return shape && all_are(shape, 1) && static_cast<std::int64_t>(shape->size()) <= rank ? 0 : -1;
  }
  if (op == "Slice") return rank >= 0 && n.inputs.size() >= 3 && full_slice(edit, facts, n, x) ? 0 : -1;
  if (op == "Pad") return all_are(list(1), 0) ? 0 : -1;
  if (op == "Tile") return all_are(list(1), 1) ? 0 : -1;
  if (op == "Concat" || op == "Sum" || op == "Mean" || op == "Max" || op == "Min") return n.inputs.size() == 1 ? 0 : -1;
  if (op == "Split") return n.outputs.size() == 1 ? 0 : -1;
  if (op == "Clip") return n.inputs.size() == 1 ? 0 : -1;
  if (op == "Dropout") {
    if (n.outputs.size() > 1 && n.outputs[1] != none && edit.uses(n.outputs[1])) return -1;
    const ValueId training = edit.input(n, 2);
    return training == none || scalar_of(g, training) == 0.0 ? 0 : -1;
  }
  if (op == "Mul" || op == "Add") {
    for (std::size_t i = 0; i < 2 && n.inputs.size() == 2; ++i) {
      const ValueId other = edit.input(n, 1 - i);
      const Constant* c = other == none ? nullptr : scalar_beside(edit, n, i, other);
      if (c && (op == "Mul" ? single_number(*c) == 1.0 : is_zero(*c, true))) return static_cast<int>(1 - i);
    }
    return -1;
  }
  if (op == "Div" || op == "Sub" || op == "Pow") {
    const Constant* c = scalar_beside(edit, n, 1, x);
    return c && (op == "Sub" ? is_zero(*c, false) : single_number(*c) == 1.0) ? 0 : -1;
  }
  return -1;
}

// f(f(x)) is x.
bool undone(Edit& edit, const Node& n, ValueId& out) {
  if (!n.is("Not") && !n.is("Neg") && !n.is("BitwiseNot")) return false;
  const Node* inner = edit.producer(n.inputs[0], n.op_type);
  if (!inner) return false;
  out = edit.input(*inner, 0);
  return true;
}

}  // namespace

Status identities(PassContext& context) {
  const Facts facts(context.graph, context.is_body);
  Edit edit(context);
  for (NodeId id = 0; id < context.graph.nodes.size(); ++id) {
    const Node& n = context.graph.nodes[id];
    if (n.op_type.empty() || n.outputs.empty() || n.outputs[0] == none || n.inputs.empty()) continue;
    ValueId same = none;
    if (const int i = passed_input(edit, facts, n); i >= 0) same = edit.input(n, static_cast<std::size_t>(i));
    else if (!undone(edit, n, same)) continue;
    const Type &from = context.graph.values[n.outputs[0]].type, &to = context.graph.values[same].type;
    if (from.kind != to.kind || from.dtype != to.dtype) continue;  // what inference could not type stays
    if (edit.replace(n.outputs[0], same)) edit.remove(id);
  }
  return {};
}

}  // namespace tenon
