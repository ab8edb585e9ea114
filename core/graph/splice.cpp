#include "core/graph/splice.h"

namespace tenon {
namespace {

// mapped: values of the body that are values of the graph already.
void splice(Graph& graph, const Node call, const Graph& body, std::vector<ValueId> mapped) {
  std::vector<std::pair<ValueId, ValueId>> passed;  // outputs of the node that are no node's output in the body
  for (std::size_t i = 0; i < body.outputs.size() && i < call.outputs.size(); ++i) {
    if (call.outputs[i] == none) continue;
    const ValueId made = body.outputs[i];
    if (mapped[made] == none && body.values[made].producer != none) mapped[made] = call.outputs[i];
    else passed.emplace_back(made, call.outputs[i]);
  }
  for (ValueId v = 0; v < body.values.size(); ++v) {
    if (mapped[v] != none) continue;
    Value value = body.values[v];
    value.name = call.name + "/" + value.name;
    value.producer = none;
    value.is_input = value.is_output = false;
    graph.values.push_back(std::move(value));
    mapped[v] = static_cast<ValueId>(graph.values.size() - 1);
  }
  const auto add = [&](Node node) {
    if (node.sources.empty()) node.sources = call.sources;
    graph.nodes.push_back(std::move(node));
  };
  for (const Node& inner : body.nodes) {
    Node node = inner;
    for (ValueId& v : node.inputs)
      if (v != none) v = mapped[v];
    for (ValueId& v : node.outputs)
      if (v != none) v = mapped[v];
    for (Attribute& a : node.attributes)
      if (auto* g = std::get_if<GraphPtr>(&a.value)) {  // bodies are shared by copies of the node: make them ours
        *g = std::make_shared<Graph>(**g);
        for (OuterValue& o : (*g)->outer) o.parent = mapped[o.parent];
      }
    add(std::move(node));
  }
  for (auto& [from, to] : passed) {
    Node copy;
    copy.op_type = "Identity";
    copy.name = call.name + "/Identity";
    copy.since_version = 1;
    copy.inputs = {mapped[from]};
    copy.outputs = {to};
    add(std::move(copy));
  }
}

}  // namespace

void splice_body(Graph& graph, NodeId id, const Graph& body) {
  Node call = std::move(graph.nodes[id]);
  graph.nodes[id] = Node{};  // dead: an empty op_type
  std::vector<ValueId> mapped(body.values.size(), none);
  std::size_t next = 0;
  for (ValueId v : call.inputs)
    if (v != none && next < body.inputs.size()) mapped[body.inputs[next++]] = v;
  splice(graph, std::move(call), body, std::move(mapped));
}

void splice_branch(Graph& graph, NodeId id, const Graph& branch) {
  Node call = std::move(graph.nodes[id]);
  graph.nodes[id] = Node{};
  std::vector<ValueId> mapped(branch.values.size(), none);
  for (const OuterValue& o : branch.outer) mapped[o.inner] = o.parent;
  splice(graph, std::move(call), branch, std::move(mapped));
}

}  // namespace tenon
