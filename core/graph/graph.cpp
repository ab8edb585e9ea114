#include "core/graph/graph.h"

#include <algorithm>
#include <queue>

namespace tenon {

const Attribute* Node::find(std::string_view attribute) const {
  auto it = std::lower_bound(attributes.begin(), attributes.end(), attribute,
                             [](const Attribute& a, std::string_view n) { return a.name < n; });
  return it != attributes.end() && it->name == attribute ? &*it : nullptr;
}

std::int64_t Node::int_or(std::string_view attribute, std::int64_t fallback) const {
  const Attribute* a = find(attribute);
  const auto* v = a ? std::get_if<std::int64_t>(&a->value) : nullptr;
  return v ? *v : fallback;
}

float Node::float_or(std::string_view attribute, float fallback) const {
  const Attribute* a = find(attribute);
  const auto* v = a ? std::get_if<float>(&a->value) : nullptr;
  return v ? *v : fallback;
}

std::string Node::string_or(std::string_view attribute, std::string_view fallback) const {
  const Attribute* a = find(attribute);
  const auto* v = a ? std::get_if<std::string>(&a->value) : nullptr;
  return v ? *v : std::string(fallback);
}

const std::vector<std::int64_t>* Node::ints(std::string_view attribute) const {
  const Attribute* a = find(attribute);
  return a ? std::get_if<std::vector<std::int64_t>>(&a->value) : nullptr;
}

GraphPtr Node::graph(std::string_view attribute) const {
  const Attribute* a = find(attribute);
  const auto* v = a ? std::get_if<GraphPtr>(&a->value) : nullptr;
  return v ? *v : nullptr;
}

void Node::set(std::string_view attribute, AttributeValue value) {
  auto it = std::lower_bound(attributes.begin(), attributes.end(), attribute,
                             [](const Attribute& a, std::string_view n) { return a.name < n; });
  if (it != attributes.end() && it->name == attribute)
    it->value = std::move(value);
  else
    attributes.insert(it, {std::string(attribute), std::move(value)});
}

void Node::erase(std::string_view attribute) {
  std::erase_if(attributes, [&](const Attribute& a) { return a.name == attribute; });
}

std::string Node::label() const {
  const std::string op = domain.empty() ? op_type : domain + "." + op_type;
  return name.empty() ? "node " + op : "node \"" + name + "\" (" + op + ")";
}

std::vector<GraphPtr> Node::subgraphs() const {
  std::vector<GraphPtr> out;
  for (const Attribute& a : attributes) {
    if (const auto* g = std::get_if<GraphPtr>(&a.value)) out.push_back(*g);
    if (const auto* gs = std::get_if<std::vector<GraphPtr>>(&a.value)) out.insert(out.end(), gs->begin(), gs->end());
  }
  return out;
}

ValueId Graph::add_value(std::string value_name, Type type) {
  values.push_back({.name = std::move(value_name), .type = std::move(type), .constant = nullptr});
  return static_cast<ValueId>(values.size() - 1);
}

ValueId Graph::add_constant(std::string value_name, ConstantPtr constant) {
  Type type{.kind = TENON_KIND_TENSOR, .dtype = constant->dtype, .dims = std::vector<Dim>{}, .element = nullptr};
  for (std::int64_t d : constant->dims) type.dims->push_back({d, 0});
  const ValueId v = add_value(std::move(value_name), std::move(type));
  values[v].constant = std::move(constant);
  return v;
}

namespace {

// Every value of this graph that a node reads, through its bodies too.
template <class F>
void for_each_read(const Node& node, F f) {
  for (ValueId v : node.inputs)
    if (v != none) f(v);
  for (const GraphPtr& body : node.subgraphs())
    for (const OuterValue& o : body->outer) f(o.parent);
}

}  // namespace

std::vector<std::vector<NodeId>> Graph::readers() const {
  std::vector<std::vector<NodeId>> out(values.size());
  for (NodeId n = 0; n < nodes.size(); ++n)
    for_each_read(nodes[n], [&](ValueId v) {
      if (out[v].empty() || out[v].back() != n) out[v].push_back(n);
    });
  return out;
}

void Graph::index_producers() {
  for (Value& v : values) v.producer = none;
  for (NodeId n = 0; n < nodes.size(); ++n)
    for (ValueId v : nodes[n].outputs)
      if (v != none) values[v].producer = n;
}

Status Graph::sort() {
  index_producers();
  std::vector<std::uint32_t> waiting(nodes.size(), 0);
  std::vector<std::vector<NodeId>> next(nodes.size());
  for (NodeId n = 0; n < nodes.size(); ++n)
    for_each_read(nodes[n], [&](ValueId v) {
      if (const NodeId p = values[v].producer; p != none) next[p].push_back(n), ++waiting[n];
    });
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<>> ready;  // lowest first: stable
  for (NodeId n = 0; n < nodes.size(); ++n)
    if (!waiting[n]) ready.push(n);
  std::vector<Node> sorted;
  sorted.reserve(nodes.size());
  std::vector<bool> done(nodes.size());
  while (!ready.empty()) {
    const NodeId n = ready.top();
    ready.pop();
    done[n] = true;
    sorted.push_back(std::move(nodes[n]));
    for (NodeId m : next[n])
      if (--waiting[m] == 0) ready.push(m);
  }
  if (sorted.size() != nodes.size()) {
    std::string names;
    int listed = 0;
    for (NodeId n = 0; n < nodes.size() && listed < 5; ++n)
      if (!done[n]) names += (listed++ ? ", " : "") + nodes[n].label();
    return invalid("graph \"{}\" has a cycle through {}; ONNX graphs must be acyclic", name, names);
  }
  nodes = std::move(sorted);
  index_producers();
  return {};
}

void Graph::compact() {
  std::erase_if(nodes, [](const Node& n) { return n.op_type.empty(); });
  std::vector<bool> used(values.size());
  for (ValueId v : inputs) used[v] = true;
  for (ValueId v : outputs) used[v] = true;
  for (const Node& n : nodes) {
    for_each_read(n, [&](ValueId v) { used[v] = true; });
    for (ValueId v : n.outputs)
      if (v != none) used[v] = true;
  }
  std::erase_if(outer, [&](const OuterValue& o) { return !used[o.inner]; });
  std::vector<ValueId> renamed(values.size(), none);
  std::vector<Value> kept;
  for (ValueId v = 0; v < values.size(); ++v)
    if (used[v]) renamed[v] = static_cast<ValueId>(kept.size()), kept.push_back(std::move(values[v]));
  values = std::move(kept);
  auto rename = [&](ValueId& v) {
    if (v != none) v = renamed[v];
  };
  for (ValueId& v : inputs) rename(v);
  for (ValueId& v : outputs) rename(v);
  for (OuterValue& o : outer) rename(o.inner);
  for (Node& n : nodes) {
    for (ValueId& v : n.inputs) rename(v);
    for (ValueId& v : n.outputs) rename(v);
    for (const GraphPtr& body : n.subgraphs())
      for (OuterValue& o : body->outer) rename(o.parent);
  }
  std::unordered_map<ValueId, ConstantPtr> defaults;
  for (auto& [v, c] : input_defaults)
    if (renamed[v] != none) defaults.emplace(renamed[v], std::move(c));
  input_defaults = std::move(defaults);
  index_producers();
}

std::string nodes_text(const Graph& graph, const std::vector<NodeId>& nodes) {
  constexpr std::size_t most = 3;
  std::string out;
  for (std::size_t i = 0; i < nodes.size() && i < most; ++i) out += (i ? ", " : "") + graph.nodes[nodes[i]].label();
  if (nodes.size() > most) out += fmt::format(" and {} more", nodes.size() - most);
  return out;
}

}  // namespace tenon
