#include "core/provider/graph_view.h"

#include <algorithm>
#include <limits>
#include <new>

#include "core/ops/forms.h"
#include "core/provider/host.h"

namespace tenon {

DimBounds dim_bounds(const std::vector<ShapeEntry>& shapes, const SymbolTable& symbols, std::vector<std::string>* unknown) {
  DimBounds out;
  for (const ShapeEntry& entry : shapes) {
    std::uint32_t id = 0;
    for (std::uint32_t i = 1; i < symbols.size() && !id; ++i)
      if (symbols.name(i) == entry.name) id = i;
    if (!id) {
      if (unknown) unknown->push_back(entry.name);
      continue;
    }
    DimBound bound;
    if (entry.min) bound.min = *entry.min;
    if (entry.max) bound.max = *entry.max;
    if (entry.opt) bound.opt = *entry.opt;
    out[id] = bound;
  }
  return out;
}

// Builds a view's arrays in its arena. Bodies are views inside the view.
class ViewBuilder {
 public:
  ViewBuilder(std::pmr::monotonic_buffer_resource& arena, const DimBounds& bounds, ConstantTable* constants)
      : arena_(arena), bounds_(bounds), constants_(constants) {}

  const tenon_graph* graph(const Graph& g) {
    auto* out = make<tenon_graph>(1);
    out->struct_size = sizeof(tenon_graph);
    out->name = str(g.name);
    auto* values = make<tenon_value>(g.values.size());
    for (std::size_t v = 0; v < g.values.size(); ++v) value(g.values[v], values[v]);
    for (ValueId v : g.inputs) values[v].flags |= TENON_VALUE_GRAPH_INPUT;
    for (ValueId v : g.outputs) values[v].flags |= TENON_VALUE_GRAPH_OUTPUT;
    auto* nodes = make<tenon_node>(g.nodes.size());
    for (std::size_t n = 0; n < g.nodes.size(); ++n) node(g.nodes[n], nodes[n]);
    auto* outer = make<std::uint32_t>(g.outer.size());
    auto* parents = make<std::uint32_t>(g.outer.size());
    for (std::size_t i = 0; i < g.outer.size(); ++i) outer[i] = g.outer[i].inner, parents[i] = g.outer[i].parent;
    out->nodes = {nodes, g.nodes.size(), sizeof(tenon_node), 0};
    out->values = {values, g.values.size(), sizeof(tenon_value), 0};
    out->inputs = g.inputs.data();
    out->outputs = g.outputs.data();
    out->outer_values = outer;
    out->outer_parents = parents;
    out->input_count = g.inputs.size();
    out->output_count = g.outputs.size();
    out->outer_count = g.outer.size();
    return out;
  }

  // The graph with some nodes replaced (by lowered ones) or hidden (null), and no version above what is known of its domain.
  const tenon_graph* changed(const tenon_graph& g, const std::vector<std::pair<NodeId, const Node*>>& changes, const std::vector<std::int32_t>& newest) {
    auto* out = make<tenon_graph>(1);
    *out = g;
    const auto* from = static_cast<const tenon_node*>(g.nodes.data);
    auto* nodes = make<tenon_node>(g.nodes.count);
    std::copy(from, from + g.nodes.count, nodes);
    for (const auto& [n, lowered] : changes) {
      if (lowered) {
        const std::uint64_t flags = nodes[n].flags;
        node(*lowered, nodes[n]);
        nodes[n].flags = flags;
        continue;
      }
      nodes[n].flags |= TENON_NODE_HIDDEN;
      nodes[n].op_type = {nullptr, 0};
      nodes[n].attributes = {nullptr, 0, sizeof(tenon_attr), 0};
    }
    for (std::size_t n = 0; n < g.nodes.count; ++n) nodes[n].since_version = std::min(nodes[n].since_version, newest[n]);
    out->nodes.data = nodes;
    return out;
  }

  void node(const Node& n, tenon_node& out) {
    out.struct_size = sizeof(tenon_node);
    out.form = n.form;
    out.since_version = n.since_version;
    out.flags = n.host_evaluated ? TENON_NODE_HOST_EVALUATED : 0;
    out.domain = str(n.domain);
    out.op_type = str(n.op_type);
    out.name = str(n.name);
    out.inputs = n.inputs.data();
    out.outputs = n.outputs.data();
    out.input_count = static_cast<std::uint32_t>(n.inputs.size());
    out.output_count = static_cast<std::uint32_t>(n.outputs.size());
    auto* attributes = make<tenon_attr>(n.attributes.size());
    for (std::size_t i = 0; i < n.attributes.size(); ++i) attribute(n.attributes[i], attributes[i]);
    out.attributes = {attributes, n.attributes.size(), sizeof(tenon_attr), 0};
    auto* sources = make<tenon_source>(n.sources.size());
    for (std::size_t i = 0; i < n.sources.size(); ++i)
      sources[i] = {sizeof(tenon_source), n.sources[i].opset, str(n.sources[i].name), str(n.sources[i].op_type)};
    out.sources = {sources, n.sources.size(), sizeof(tenon_source), 0};
  }

 private:
  template <class T>
  T* make(std::size_t count) {
    if (count == 0) return nullptr;
    T* out = static_cast<T*>(arena_.allocate(count * sizeof(T), alignof(T)));
    for (std::size_t i = 0; i < count; ++i) new (out + i) T{};
    return out;
  }

  void value(const Value& v, tenon_value& out) {
    out.struct_size = sizeof(tenon_value);
    out.dtype = v.type.dtype;
    out.kind = v.type.kind;
    out.rank = -1;
    out.name = str(v.name);
    if (v.constant) {
      out.const_id = v.constant->id;
      if (constants_) constants_->add(v.constant);
    }
    if (!v.type.is_tensor() || !v.type.dims) return;
    const std::size_t rank = v.type.dims->size();
    out.rank = static_cast<std::int32_t>(rank);
    if (rank == 0) return;
    auto* numbers = make<std::int64_t>(rank * 4);
    auto* symbols = make<std::uint32_t>(rank);
    std::int64_t *dims = numbers, *min = numbers + rank, *max = numbers + 2 * rank, *opt = numbers + 3 * rank;
    for (std::size_t d = 0; d < rank; ++d) {
      const Dim& dim = (*v.type.dims)[d];
      dims[d] = dim.value;
      symbols[d] = dim.fixed() ? 0 : dim.symbol;
      DimBound bound;
      if (dim.fixed()) bound = {dim.value, dim.value, dim.value};
      else if (auto it = bounds_.find(dim.symbol); it != bounds_.end()) bound = it->second;
      if (bound.opt < 0) bound.opt = std::clamp<std::int64_t>(d == 0 ? 1 : 128, bound.min, std::max(bound.min, bound.max));
      min[d] = bound.min, max[d] = bound.max, opt[d] = bound.opt;
    }
    out.dims = dims;
    out.dim_symbols = symbols;
    out.dim_min = min;
    out.dim_max = max;
    out.dim_opt = opt;
  }

  tenon_const_tensor tensor(const Constant& c) {
    tenon_const_tensor out{};
    out.struct_size = sizeof out;
    out.dtype = c.dtype;
    out.dims = c.dims.data();
    out.rank = c.dims.size();
    out.bytes = c.bytes;
    out.data = c.data;
    if (c.dtype == TENON_DTYPE_STRING) {
      auto* strings = make<tenon_str>(c.strings.size());
      for (std::size_t i = 0; i < c.strings.size(); ++i) strings[i] = str(c.strings[i]);
      out.data = strings;
      out.bytes = c.strings.size() * sizeof(tenon_str);
    }
    return out;
  }

  void attribute(const Attribute& a, tenon_attr& out) {
    out.struct_size = sizeof(tenon_attr);
    out.type = attribute_type(a.value);
    out.name = str(a.name);
    out.count = 1;
    std::visit([&](const auto& v) { fill(v, out); }, a.value);
  }
  void fill(const float& v, tenon_attr& out) { out.data = &v; }
  void fill(const std::int64_t& v, tenon_attr& out) { out.data = &v; }
  void fill(const std::string& v, tenon_attr& out) {
    auto* s = make<tenon_str>(1);
    *s = str(v);
    out.data = s;
  }
  void fill(const ConstantPtr& v, tenon_attr& out) {
    auto* t = make<tenon_const_tensor>(1);
    *t = tensor(*v);
    out.data = t;
  }
  void fill(const GraphPtr& v, tenon_attr& out) { out.data = graph(*v); }
  void fill(const std::vector<float>& v, tenon_attr& out) { out.data = v.data(), out.count = v.size(); }
  void fill(const std::vector<std::int64_t>& v, tenon_attr& out) { out.data = v.data(), out.count = v.size(); }
  void fill(const std::vector<std::string>& v, tenon_attr& out) {
    auto* s = make<tenon_str>(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) s[i] = str(v[i]);
    out.data = s, out.count = v.size();
  }
  void fill(const std::vector<ConstantPtr>& v, tenon_attr& out) {
    auto* t = make<tenon_const_tensor>(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) t[i] = tensor(*v[i]);
    out.data = t, out.count = v.size();
  }
  void fill(const std::vector<GraphPtr>& v, tenon_attr& out) {
    auto* g = make<tenon_graph>(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) g[i] = *graph(*v[i]);
    out.data = g, out.count = v.size();
  }

  std::pmr::monotonic_buffer_resource& arena_;
  const DimBounds& bounds_;
  ConstantTable* constants_;
};

std::unique_ptr<GraphView> GraphView::build(const Graph& graph, const DimBounds& bounds, ConstantTable* constants) {
  std::unique_ptr<GraphView> view(new GraphView);
  view->graph_ = ViewBuilder(view->arena_, bounds, constants).graph(graph);
  view->source_ = &graph;
  return view;
}

const GraphView::Shown& GraphView::shown(const std::vector<OpsetRange>& opsets) const {
  std::vector<std::pair<std::string, std::int32_t>> key;
  for (const OpsetRange& o : opsets) key.emplace_back(o.domain, o.max_opset);
  const auto [at, fresh] = shown_.try_emplace(std::move(key));
  Shown& out = at->second;
  if (!fresh) return out;
  out.graph = graph_;
  std::vector<std::pair<NodeId, const Node*>> changes;
  std::vector<std::int32_t> newest(source_->nodes.size(), std::numeric_limits<std::int32_t>::max());
  bool same = true;
  for (NodeId n = 0; n < source_->nodes.size(); ++n) {
    const Node& node = source_->nodes[n];
    const auto known = std::find_if(opsets.begin(), opsets.end(), [&](const OpsetRange& o) { return o.domain == node.domain; });
    if (known == opsets.end()) continue;
    newest[n] = known->max_opset;
    same = same && node.since_version <= known->max_opset;
    if (node.host_evaluated || !newer_form(node, known->max_opset)) continue;
    Result<Node> lowered = lower_node(*source_, node, known->max_opset);
    if (lowered.ok()) changes.emplace_back(n, &lowered_.emplace_back(*std::move(lowered)));
    else changes.emplace_back(n, nullptr), out.hidden.emplace_back(n, lowered.status().text());
  }
  static const DimBounds no_values;
  if (!same) out.graph = ViewBuilder(arena_, no_values, nullptr).changed(*graph_, changes, newest);
  return out;
}

std::unique_ptr<GraphView> GraphView::build_node(const Node& node) {
  static const DimBounds none_known;
  std::unique_ptr<GraphView> view(new GraphView);
  auto* out = new (view->arena_.allocate(sizeof(tenon_node), alignof(tenon_node))) tenon_node{};
  ViewBuilder(view->arena_, none_known, nullptr).node(node, *out);
  view->node_ = out;
  return view;
}

}  // namespace tenon
