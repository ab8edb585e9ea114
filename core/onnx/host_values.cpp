// What core evaluates itself, and what it must be told of values that a provider makes.
#include "core/graph/elements.h"
#include "core/onnx/infer.h"
#include "core/ops/evaluator.h"
#include "core/ops/value_reads.h"

namespace tenon {

namespace {

// blocked: nodes that turned out to be beyond the evaluator.
std::vector<bool> mark_nodes(Graph& graph, const std::vector<bool>& blocked) {
  // What inference needs, backwards through what could be evaluated.
  std::vector<bool> needed(graph.values.size()), host(graph.values.size()), on_host(graph.values.size());
  for (const Node& node : graph.nodes)
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i] != none && inference_reads(node, i)) needed[node.inputs[i]] = true;
  for (std::size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    if (!evaluable(node)) continue;
    for (ValueId v : node.outputs)
      if (v != none && needed[v])
        for (ValueId in : node.inputs)
          if (in != none) needed[in] = true;
  }
  auto small_fixed = [&](ValueId v) {
    const Type& t = graph.values[v].type;
    return t.is_tensor() && t.fixed() && t.element_count().valid() && t.element_count().value() <= small_elements;
  };
  for (ValueId v = 0; v < graph.values.size(); ++v) {
    const Value& value = graph.values[v];
    const bool kind = host_reads(value.type.dtype);
    if (value.constant) host[v] = value.constant->count() <= small_elements;
    else if (value.producer == none && needed[v] && kind && value.type.is_tensor() && value.type.dims && (value.type.dims->size() <= 1 || small_fixed(v)))
      host[v] = true;  // an input, or a value of the graph around this one
  }
  for (Node& node : graph.nodes) {
    node.host_evaluated = false;
    const bool shape = node.domain.empty() && (node.op_type == "Shape" || node.op_type == "Size");
    bool ready = (shape || evaluable(node)) && !blocked[static_cast<std::size_t>(&node - graph.nodes.data())];
    if (!shape)
      for (ValueId v : node.inputs) ready = ready && (v == none || host[v]);
    for (ValueId v : node.outputs) ready = ready && v != none && (needed[v] || small_fixed(v));
    if (!ready) continue;
    node.host_evaluated = true;
    for (ValueId v : node.outputs) host[v] = true;
  }
  // Needed, but made by a provider: fetched when its segment has run.
  for (const Node& node : graph.nodes)
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      if (v != none && inference_reads(node, i) && !host[v]) on_host[v] = true;
    }
  return on_host;
}

// Values for a trial: what an input may hold says nothing about whether an operator and its types can be evaluated.
ConstantPtr trial_value(const Value& value) {
  const std::int64_t count = value.type.fixed() ? value.type.element_count().value() : 1;
  Dims dims;
  for (const Dim& d : *value.type.dims) dims.push_back(d.fixed() ? d.value : 1);
  std::byte* data = nullptr;
  auto c = make_constant(value.type.dtype, dims, &data);
  if (!c.ok()) return nullptr;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    if (is_real(value.type.dtype)) store_real(value.type.dtype, data, i, 1);
    else store_integer(value.type.dtype, data, i, 1);
  }
  return *c;
}

}  // namespace

std::vector<bool> mark_host_evaluated(const Model& model, Graph& graph, const CustomOps* custom) {
  std::vector<bool> blocked(graph.nodes.size());
  for (;;) {
    std::vector<bool> on_host = mark_nodes(graph, blocked);
    // A trial run: a node whose inputs are known and whose outputs are not is beyond the evaluator.
    GraphInference inference(model, graph, custom);
    ShapeTable shapes(graph);
    for (ValueId v = 0; v < graph.values.size(); ++v) {
      const Value& value = graph.values[v];
      if (value.constant || value.producer != none || !value.type.is_tensor() || !value.type.dims) continue;
      shapes.values[v].ranked = true;
      for (const Dim& d : *value.type.dims) shapes.values[v].dims.push_back(d.fixed() ? d.value : 16 + 8 * (d.symbol % 97));
      if (host_reads(value.type.dtype) && value.type.dims->size() <= 1 && (!value.type.fixed() || value.type.element_count().value() <= small_elements)) shapes.values[v].known = trial_value(value);
    }
    bool again = false;
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      const Node& node = graph.nodes[n];
      const bool ran = inference.run_node(n, shapes).ok();
      for (ValueId v : node.outputs)  // what the trial leaves open has the sizes of the load
        if (v != none && !shapes.values[v].ranked && graph.values[v].type.is_tensor() && graph.values[v].type.fixed()) {
          shapes.values[v].ranked = true;
          shapes.values[v].dims.clear();
          for (const Dim& d : *graph.values[v].type.dims) shapes.values[v].dims.push_back(d.value);
        }
      if (!node.host_evaluated || node.is("Shape") || node.is("Size")) continue;
      bool known = ran, made = true;
      for (ValueId v : node.inputs) known = known && (v == none || shapes.values[v].known);
      for (ValueId v : node.outputs) made = made && (v == none || shapes.values[v].known);
      if (known && !made) blocked[n] = again = true;
    }
    if (!again) return on_host;
  }
}

}  // namespace tenon
