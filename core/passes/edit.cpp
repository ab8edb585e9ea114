#include "core/passes/edit.h"

#include <cmath>
#include <cstring>

#include "core/graph/elements.h"

namespace tenon {

Edit::Edit(PassContext& c)
    : context(c), graph(c.graph), uses_(graph.values.size()), replaced_(graph.values.size()), makers_(graph.values.size(), none) {
  for (ValueId v = 0; v < replaced_.size(); ++v) replaced_[v] = v;
  for (NodeId n = 0; n < graph.nodes.size(); ++n) {
    count(graph.nodes[n], 1);
    for (ValueId v : graph.nodes[n].outputs)
      if (v != none) makers_[v] = n;
  }
  for (ValueId v : graph.outputs) ++uses_[v];
}

void Edit::count(const Node& node, int step) {
  for (ValueId v : node.inputs)
    if (v != none) uses_[now(v)] += static_cast<std::uint32_t>(step);
  for (const Attribute& a : node.attributes) {
    const auto outer = [&](const Graph& body) {
      for (const OuterValue& o : body.outer) uses_[now(o.parent)] += static_cast<std::uint32_t>(step);
    };
    if (const auto* g = std::get_if<GraphPtr>(&a.value)) outer(**g);
    if (const auto* gs = std::get_if<std::vector<GraphPtr>>(&a.value))
      for (const GraphPtr& g : *gs) outer(*g);
  }
}

ValueId Edit::now(ValueId v) {
  if (v == none) return none;
  while (replaced_[v] != v) v = replaced_[v] = replaced_[replaced_[v]];
  return v;
}

const Constant* Edit::constant(const Node& node, std::size_t i) {
  const ValueId v = input(node, i);
  return v == none ? nullptr : graph.values[v].constant.get();
}

Node* Edit::producer(ValueId v) {
  v = now(v);
  return v == none || makers_[v] == none ? nullptr : &graph.nodes[makers_[v]];
}

Node* Edit::producer(ValueId v, std::string_view op) {
  Node* n = producer(v);
  return n && n->is(op) ? n : nullptr;
}

bool Edit::can_replace(ValueId from, ValueId to) {
  from = now(from), to = now(to);
  if (from == to) return false;
  if (!is_output(from)) return true;
  const Value& v = graph.values[to];
  return makers_[to] != none && !v.is_output && !v.is_input && !v.constant;
}

bool Edit::replace(ValueId from, ValueId to) {
  if (!can_replace(from, to)) return false;
  from = now(from), to = now(to);
  if (is_output(from)) {
    for (ValueId& v : graph.nodes[makers_[to]].outputs)
      if (v == to) v = from;
    makers_[from] = makers_[to];
    makers_[to] = none;
    std::swap(from, to);
  }
  replaced_[from] = to;
  uses_[to] += uses_[from];
  uses_[from] = 0;
  dirty_ = true;
  ++context.rewrites;
  return true;
}

void Edit::make_constant_value(ValueId v, ConstantPtr constant) {
  Value& value = graph.values[v];
  value.type = tensor_type(constant->dtype, constant->dims);
  value.constant = std::move(constant);
  makers_[v] = none;
  ++context.rewrites;
}

void Edit::remove(NodeId n) {
  Node& node = graph.nodes[n];
  count(node, -1);
  for (ValueId v : node.outputs)
    if (v != none && makers_[v] == n) makers_[v] = none;
  node = Node{};
  dirty_ = true;
}

void Edit::set_input(Node& node, std::size_t i, ValueId v) {
  if (i < node.inputs.size() && node.inputs[i] != none) --uses_[now(node.inputs[i])];
  if (i >= node.inputs.size()) node.inputs.resize(i + 1, none);
  node.inputs[i] = v;
  if (v != none) ++uses_[now(v)];
  while (!node.inputs.empty() && node.inputs.back() == none) node.inputs.pop_back();
}

void Edit::put(NodeId at, Node node) {
  count(node, 1);
  remove(at);
  for (ValueId v : node.outputs)
    if (v != none) makers_[v] = at;
  graph.nodes[at] = std::move(node);
}

ValueId Edit::add_value(std::string name, Type type) {
  const ValueId v = graph.add_value(std::move(name), std::move(type));
  uses_.push_back(0);
  replaced_.push_back(v);
  makers_.push_back(none);
  return v;
}

ValueId Edit::add_constant(std::string name, ConstantPtr constant) {
  const ValueId v = graph.add_constant(std::move(name), std::move(constant));
  uses_.push_back(0);
  replaced_.push_back(v);
  makers_.push_back(none);
  return v;
}

void Edit::commit() {
  if (!dirty_) return;
  for (Node& n : graph.nodes) {
    for (ValueId& v : n.inputs) v = now(v);
    for (Attribute& a : n.attributes) {
      const auto outer = [&](Graph& body) {
        for (OuterValue& o : body.outer) o.parent = now(o.parent);
      };
      if (auto* g = std::get_if<GraphPtr>(&a.value)) outer(**g);
      if (auto* gs = std::get_if<std::vector<GraphPtr>>(&a.value))
        for (GraphPtr& g : *gs) outer(*g);
    }
  }
  dirty_ = false;
}

std::optional<double> scalar_of(const Graph& graph, ValueId v) {
  const ConstantPtr* c = graph.constant(v);
  return c ? single_number(**c) : std::nullopt;
}

bool is_scalar(const Graph& graph, ValueId v, double expected, const Type& type) {
  const auto number = scalar_of(graph, v);
  if (!number) return false;
  const Constant& c = **graph.constant(v);
  const std::size_t rank = type.dims ? type.dims->size() : 0;
  if (c.dims.size() > rank) return false;
  const double tolerance = c.dtype == TENON_DTYPE_BFLOAT16 ? 4e-3 : c.dtype == TENON_DTYPE_FLOAT16 ? 1e-3 : 1e-5;
  return std::fabs(*number - expected) <= tolerance * std::fabs(expected);
}

std::optional<std::vector<std::int64_t>> ints_of(const Graph& graph, ValueId v) {
  const ConstantPtr* c = graph.constant(v);
  return c ? integer_list(**c) : std::nullopt;
}

std::int64_t rank_of(const Graph& graph, ValueId v) {
  const Type& t = graph.values[v].type;
  return t.is_tensor() && t.dims ? static_cast<std::int64_t>(t.dims->size()) : -1;
}

Type tensor_type(DType dtype, const Dims& dims) {
  Type t{.kind = TENON_KIND_TENSOR, .dtype = dtype, .dims = std::vector<Dim>{}, .element = nullptr};
  for (std::int64_t d : dims) t.dims->push_back({d, 0});
  return t;
}

bool same_constant(const Constant& a, const Constant& b) {
  constexpr std::uint64_t compared_bytes = 8192;
  if (&a == &b) return true;
  if (a.dtype != b.dtype || a.dims != b.dims) return false;
  if (a.dtype == TENON_DTYPE_STRING) return a.strings == b.strings;
  if (a.bytes != b.bytes) return false;
  if (a.recipe || b.recipe) return a.recipe == b.recipe;
  return a.data == b.data || (a.bytes <= compared_bytes && std::memcmp(a.data, b.data, a.bytes) == 0);
}

bool same_attributes(const Node& a, const Node& b) {
  if (a.attributes.size() != b.attributes.size()) return false;
  const auto same = [](const ConstantPtr& x, const ConstantPtr& y) { return same_constant(*x, *y); };
  for (std::size_t i = 0; i < a.attributes.size(); ++i) {
    const Attribute &x = a.attributes[i], &y = b.attributes[i];
    if (x.name != y.name || x.value.index() != y.value.index()) return false;
    if (std::holds_alternative<GraphPtr>(x.value) || std::holds_alternative<std::vector<GraphPtr>>(x.value)) return false;
    if (const auto* c = std::get_if<ConstantPtr>(&x.value)) {
      if (!same(*c, std::get<ConstantPtr>(y.value))) return false;
    } else if (const auto* list = std::get_if<std::vector<ConstantPtr>>(&x.value)) {
      const auto& other = std::get<std::vector<ConstantPtr>>(y.value);
      if (!std::equal(list->begin(), list->end(), other.begin(), other.end(), same)) return false;
    } else if (x.value != y.value) {  // NaN attributes differ from themselves, which is safe
      return false;
    }
  }
  return true;
}

}  // namespace tenon
