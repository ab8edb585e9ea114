// The types of a load: symbols from two runs with different numbers, and a third with ones: a size that is the same for
// large numbers and not for small ones (the first 100 rows, or all) is not fixed.
#include <algorithm>
#include <array>
#include <map>

#include "core/graph/text.h"
#include "core/onnx/infer.h"

namespace tenon {

namespace {

Status infer_graph(Model& model, Graph& graph, const CustomOps* custom, int depth);

void inherit_outer(Graph& body, const Graph& around) {
  for (const OuterValue& o : body.outer) body.values[o.inner].type = around.values[o.parent].type;
}

// Same kind and dtype, dims that agree; the others get fresh symbols.
Type merge(const Type& a, const Type& b, SymbolTable& symbols) {
  Type out = a.dtype || !a.is_tensor() ? a : b;
  if (!a.dims || !b.dims || a.dims->size() != b.dims->size()) {
    out.dims.reset();
    return out;
  }
  for (std::size_t d = 0; d < out.dims->size(); ++d)
    if (!((*a.dims)[d] == (*b.dims)[d]) ) (*out.dims)[d] = {-1, symbols.fresh()};
  return out;
}

// Bodies are given and give values of one type throughout; sizes may differ.
bool same_kind(const Type& a, const Type& b) {
  const bool known = !a.is_tensor() || !b.is_tensor() || (a.dtype && b.dtype);
  return !known || (a.kind == b.kind && a.dtype == b.dtype && (!a.element || !b.element || same_kind(*a.element, *b.element)));
}

Type with_axis(Type t, SymbolTable& symbols) {
  if (t.dims) t.dims->insert(t.dims->begin(), Dim{-1, symbols.fresh()});
  return t;
}

// condition: of an If, where it is known.
Status infer_control_flow(Model& model, Graph& graph, Node& node, const CustomOps* custom, int depth, const Constant* condition) {
  auto set = [&](std::size_t i, Type t) {
    if (i >= node.outputs.size() || node.outputs[i] == none) return;
    Type& own = graph.values[node.outputs[i]].type;
    if (own.is_tensor() && own.dims && t.is_tensor() && !t.dims) t.dims = own.dims;
    own = std::move(t);
  };
  for (const GraphPtr& body : node.subgraphs()) inherit_outer(*body, graph);
  auto run = [&](Graph& body) -> Status {
    if (Status s = infer_graph(model, body, custom, depth + 1); !s.ok()) return std::move(s).at(node.label());
    return {};
  };
  if (node.op_type == "If") {
    const GraphPtr yes = node.graph("then_branch"), no = node.graph("else_branch");
    if (!yes || !no) return invalid("{}: needs then_branch and else_branch", node.label());
    const bool known = condition && condition->dtype == TENON_DTYPE_BOOL && condition->count() == 1;
    const Graph* taken = !known ? nullptr : condition->data[0] != std::byte{0} ? yes.get() : no.get();
    // A branch that is never taken may contradict the sizes of this model.
    for (const GraphPtr& branch : {yes, no})
      if (Status s = run(*branch); !s.ok() && (!taken || branch.get() == taken)) return s;
    if (yes->outputs.size() != node.outputs.size() || no->outputs.size() != node.outputs.size())
      return invalid("{}: {} outputs, the branches make {} and {}", node.label(), node.outputs.size(), yes->outputs.size(), no->outputs.size());
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const Type &a = yes->values[yes->outputs[i]].type, &b = no->values[no->outputs[i]].type;
      if (!taken && !same_kind(a, b)) return invalid("{}: its branches make output {} as {} and as {}", node.label(), i, type_text(a, model.symbols), type_text(b, model.symbols));
      set(i, taken ? taken->values[taken->outputs[i]].type : merge(a, b, model.symbols));
    }
    return {};
  }
  const GraphPtr body = node.graph("body");
  if (!body) return invalid("{}: needs a body", node.label());
  // What every iteration makes is put side by side or into a sequence.
  auto stacked = [&](std::size_t from) -> Status {
    for (std::size_t i = from; i < body->outputs.size(); ++i)
      if (const Type& t = body->values[body->outputs[i]].type; !t.is_tensor())
        return invalid("{}: output {} of its body is collected and must be a tensor, found {}", node.label(), i, type_text(t, model.symbols));
    return {};
  };
  // What a loop begins with may be an optional of what its body makes.
  auto carries = [&](const Type& before, const Type& after, std::size_t i) -> Status {
    if (same_kind(before, after) || (before.kind == TENON_KIND_OPTIONAL && before.element && same_kind(*before.element, after))) return {};
    return invalid("{}: carried value {} is {} before its body and {} after it", node.label(), i, type_text(before, model.symbols), type_text(after, model.symbols));
  };
  for (std::size_t i = node.op_type == "Loop" ? 2 : 0; i < node.inputs.size(); ++i)
    if (node.inputs[i] == none) return invalid("{}: input {} is given to its body and must not be omitted", node.label(), i);
  if (node.op_type == "Loop") {
    const std::size_t carried = node.inputs.size() > 2 ? node.inputs.size() - 2 : 0;
    if (body->inputs.size() != carried + 2 || body->outputs.size() < carried + 1)
      return invalid("{}: carries {} values; its body takes {} inputs and makes {} outputs", node.label(), carried, body->inputs.size(), body->outputs.size());
    if (node.outputs.size() >= body->outputs.size())
      return invalid("{}: has {} outputs; its body makes {} beside the condition", node.label(), node.outputs.size(), body->outputs.size() - 1);
    body->values[body->inputs[0]].type = Type{.dtype = TENON_DTYPE_INT64, .dims = std::vector<Dim>{}, .element = nullptr};
    body->values[body->inputs[1]].type = Type{.dtype = TENON_DTYPE_BOOL, .dims = std::vector<Dim>{}, .element = nullptr};
    std::vector<Type> start(carried);
    for (std::size_t i = 0; i < carried; ++i) {
      start[i] = graph.values[node.inputs[i + 2]].type;
      body->values[body->inputs[i + 2]].type = start[i];
    }
    TENON_TRY(run(*body));
    // A carried value whose size changes in the body has an unknown size from the start.
    bool changed = false;
    for (std::size_t i = 0; i < carried; ++i) {
      const Type after = body->values[body->outputs[i + 1]].type;
      TENON_TRY(carries(start[i], after, i));
      Type merged = merge(start[i], after, model.symbols);
      if (merged.dims != start[i].dims) changed = true, body->values[body->inputs[i + 2]].type = merged;
    }
    if (changed) {
      for (Value& v : body->values)
        if (v.producer != none && v.type.is_tensor()) v.type.dims.reset();
      TENON_TRY(run(*body));
    }
    TENON_TRY(stacked(carried + 1));
    for (std::size_t i = 0; i < carried; ++i) set(i, merge(body->values[body->outputs[i + 1]].type, body->values[body->inputs[i + 2]].type, model.symbols));
    for (std::size_t i = carried; i + 1 < body->outputs.size(); ++i) set(i, with_axis(body->values[body->outputs[i + 1]].type, model.symbols));
    return {};
  }
  if (node.op_type == "Scan") {
    const auto scanned = static_cast<std::size_t>(node.int_or("num_scan_inputs", 0));
    if (scanned > node.inputs.size() || body->inputs.size() != node.inputs.size())
      return invalid("{}: {} inputs of which {} are scanned; its body takes {}", node.label(), node.inputs.size(), scanned, body->inputs.size());
    const std::size_t states = node.inputs.size() - scanned;
    if (scanned == 0 || body->outputs.size() < std::max(states, node.outputs.size()))
      return invalid("{}: {} scanned inputs, {} states and {} outputs; its body makes {} outputs", node.label(), scanned, states, node.outputs.size(), body->outputs.size());
    const auto* axes = node.ints("scan_input_axes");
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      Type t = graph.values[node.inputs[i]].type;
      if (i >= states && t.dims && !t.dims->empty()) {
        std::int64_t axis = axes && i - states < axes->size() ? (*axes)[i - states] : 0;
        if (axis < 0) axis += static_cast<std::int64_t>(t.dims->size());
        if (axis < 0 || axis >= static_cast<std::int64_t>(t.dims->size())) return invalid("{}: scan axis {} is outside the input", node.label(), axis);
        t.dims->erase(t.dims->begin() + axis);
      }
      body->values[body->inputs[i]].type = t;
    }
    TENON_TRY(run(*body));
    TENON_TRY(stacked(states));
    for (std::size_t i = 0; i < body->outputs.size(); ++i) {
      Type t = body->values[body->outputs[i]].type;
      if (i < states) TENON_TRY(carries(graph.values[node.inputs[i]].type, t, i));
      set(i, i < states ? t : with_axis(std::move(t), model.symbols));
    }
    return {};
  }
  if (body->inputs.size() != node.inputs.size() || body->outputs.size() != node.outputs.size())
    return invalid("{}: {} inputs and {} outputs; its body has {} and {}", node.label(), node.inputs.size(), node.outputs.size(), body->inputs.size(), body->outputs.size());
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const Type& t = graph.values[node.inputs[i]].type;
    const bool sequence = t.kind == TENON_KIND_SEQUENCE;
    if (i == 0 && !sequence) return invalid("{}: input 0 must be a sequence, found {}", node.label(), type_text(t, model.symbols));
    Type& inside = body->values[body->inputs[i]].type;
    if (!sequence) inside = t;
    else if (t.element && (!t.element->is_tensor() || t.element->dtype)) inside = *t.element;
  }
  TENON_TRY(run(*body));
  TENON_TRY(stacked(0));
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    Type element = body->values[body->outputs[i]].type;
    element.dims.reset();
    set(i, Type{.kind = TENON_KIND_SEQUENCE, .dtype = TENON_DTYPE_UNDEFINED, .dims = {}, .element = std::make_shared<Type>(std::move(element))});
  }
  return {};
}

// One pair of probing runs; scale makes the numbers larger. out_misfits counts the nodes that the numbers do not suit.
Status probe_graph(Model& model, Graph& graph, const CustomOps* custom, int depth, std::int64_t scale, int& out_misfits) {
  // A number for every symbol, another in the second run: equal symbols stay equal, and others are unlikely to collide.
  std::map<std::pair<std::int64_t, std::int64_t>, std::uint32_t> seen, clamped;
  auto probe = [scale](std::uint32_t symbol, int run) -> std::int64_t {
    return run == 2 ? 1 : scale * (run == 0 ? 16 + 8 * (symbol % 97) : 24 + 16 * (symbol % 89));
  };
  out_misfits = 0;
  ShapeTable first(graph), second(graph), third(graph);
  const std::array tables{&first, &second, &third};
  for (ValueId v = 0; v < graph.values.size(); ++v) {
    Value& value = graph.values[v];
    if (value.constant || value.producer != none || !value.type.is_tensor() || !value.type.dims) continue;
    for (int run = 0; run < 3; ++run) {
      ShapeTable::Entry& e = tables[static_cast<std::size_t>(run)]->values[v];
      e.ranked = true;
      for (Dim& d : *value.type.dims) {
        if (!d.fixed() && !d.symbol) d.symbol = model.symbols.fresh();
        e.dims.push_back(d.fixed() ? d.value : probe(d.symbol, run));
        if (!d.fixed()) seen[{probe(d.symbol, 0), probe(d.symbol, 1)}] = d.symbol;
      }
    }
  }
  GraphInference inference(model, graph, custom);
  for (NodeId n = 0; n < graph.nodes.size(); ++n) {
    Node& node = graph.nodes[n];
    const bool control = node.control_flow();
    if (control) {
      const ValueId condition = node.inputs.empty() ? none : node.inputs[0];
      const ConstantPtr one = condition == none ? nullptr : first.values[condition].known, other = condition == none ? nullptr : second.values[condition].known;
      const ConstantPtr least = condition == none ? nullptr : third.values[condition].known;
      const bool same = one && other && one->bytes == 1 && other->bytes == 1 && *one->data == *other->data &&
                        (!least || (least->bytes == 1 && *least->data == *one->data));
      TENON_TRY(infer_control_flow(model, graph, node, custom, depth, same ? one.get() : nullptr));
    }
    // Sizes that the probe makes impossible are no fault of the model: the declared type stays. Unknown types are.
    const Status a = inference.run_node(n, first), b = inference.run_node(n, second);
    const bool varies = std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
      return v != none && !graph.values[v].constant && (!graph.values[v].type.fixed() || first.values[v].known);
    });
    const bool c = !varies || inference.run_node(n, third).ok();
    for (ValueId v : node.outputs) {
      if (v == none) continue;
      graph.values[v].sized = false;
      Type& type = graph.values[v].type;
      ShapeTable::Entry &x = first.values[v], &y = second.values[v], &z = third.values[v];
      if (!varies) z = x;
      if (!c) z = {};
      if (!control && a.ok() && b.ok() && type.is_tensor() && x.ranked && y.ranked && x.dims.size() == y.dims.size()) {
        std::vector<Dim> dims;
        for (std::size_t d = 0; d < x.dims.size(); ++d) {
          if (x.dims[d] == y.dims[d] && x.dims[d] >= 0 && z.dims.size() == x.dims.size() && z.dims[d] >= 0 && z.dims[d] != x.dims[d]) {
            std::uint32_t& symbol = clamped[{x.dims[d], z.dims[d]}];
            if (!symbol) symbol = model.symbols.fresh();
            dims.push_back({-1, symbol});
          } else if (x.dims[d] == y.dims[d] && x.dims[d] >= 0) {
            dims.push_back({x.dims[d], 0});
          } else if (x.dims[d] < 0) {
            dims.push_back({-1, model.symbols.fresh()});
          } else {
            std::uint32_t& symbol = seen[{x.dims[d], y.dims[d]}];
            if (!symbol) symbol = model.symbols.fresh();
            dims.push_back({-1, symbol});
          }
        }
        type.dims = std::move(dims);
        graph.values[v].sized = true;
      }
      // What follows needs numbers.
      if (type.is_tensor() && type.dims)
        for (int run = 0; run < 3; ++run) {
          ShapeTable::Entry& e = tables[static_cast<std::size_t>(run)]->values[v];
          e.ranked = true;
          e.dims.resize(type.dims->size(), -1);
          for (std::size_t d = 0; d < e.dims.size(); ++d)
            if (const Dim& dim = (*type.dims)[d]; e.dims[d] < 0) {
              e.dims[d] = dim.fixed() ? dim.value : probe(dim.symbol, run);
              if (!dim.fixed()) seen[{probe(dim.symbol, 0), probe(dim.symbol, 1)}] = dim.symbol;
            }
        }
      if (type.is_tensor() && type.dtype == TENON_DTYPE_UNDEFINED) {
        if (!a.ok()) return a.clone();
        return invalid("{}: the type of its output \"{}\" cannot be inferred; declare it in value_info", node.label(), graph.values[v].name);
      }
    }
    out_misfits += !a.ok() || !b.ok();
    if (!a.ok() && !b.ok()) {
      bool fixed = depth == 0;  // sizes that do not depend on a probe contradict each other: the model is wrong
      for (ValueId v : node.inputs) fixed = fixed && (v == none || graph.values[v].constant || graph.values[v].type.fixed());
      if (fixed) return a.clone();
    }
  }
  return {};
}

// An older form of an operator may have outputs that its newest form cannot make.
Status check_producers(const Graph& graph) {
  std::vector<bool> made(graph.values.size());
  for (ValueId v : graph.inputs) made[v] = true;
  for (const OuterValue& o : graph.outer) made[o.inner] = true;
  for (ValueId v = 0; v < made.size(); ++v) made[v] = made[v] || graph.values[v].constant || graph.values[v].producer != none;
  const auto missing = [&](ValueId v) { return v != none && !made[v]; };
  for (const Node& node : graph.nodes)
    for (ValueId v : node.inputs)
      if (missing(v)) return invalid("{}: its input \"{}\" is an output that its operator makes in training only, which is not supported", node.label(), graph.values[v].name);
  for (ValueId v : graph.outputs)
    if (missing(v)) return invalid("output \"{}\" is one that its operator makes in training only, which is not supported", graph.values[v].name);
  return {};
}

Status infer_graph(Model& model, Graph& graph, const CustomOps* custom, int depth) {
  graph.index_producers();
  TENON_TRY(check_producers(graph));
  std::vector<Type> declared;
  for (const Value& v : graph.values) declared.push_back(v.type);
  auto restore = [&] {
    for (ValueId v = 0; v < declared.size(); ++v) graph.values[v].type = declared[v];
  };
  // Small numbers suit most models; those that shrink their input (audio) need large ones.
  int small_misfits = 0, large_misfits = 0;
  Status small = probe_graph(model, graph, custom, depth, 1, small_misfits);
  if (small.ok() && small_misfits == 0) return {};
  restore();
  Status large = probe_graph(model, graph, custom, depth, 1000, large_misfits);
  if (large.ok() && (!small.ok() || large_misfits < small_misfits)) return {};
  restore();
  return probe_graph(model, graph, custom, depth, 1, small_misfits);
}

}  // namespace

Status infer_types(Model& model, Graph& graph, const CustomOps* custom) { return infer_graph(model, graph, custom, 0); }

}  // namespace tenon
