#include "core/provider/isolate/graph_wire.h"

namespace tenon::isolate {
namespace {

constexpr int deepest = 64;  // graphs in attributes of graphs
enum : std::uint8_t { said_claim, said_refusal, said_malformed };

// Attribute types by what their elements are.
enum class Kind { floats, ints, texts, tensors, graphs, unknown };
Kind kind_of(std::int32_t type) {
  switch (type) {
    case 1: case 6: return Kind::floats;
    case 2: case 7: return Kind::ints;
    case 3: case 8: return Kind::texts;
    case 4: case 9: return Kind::tensors;
    case 5: case 10: return Kind::graphs;
    default: return Kind::unknown;
  }
}

void write_tensor(Writer& out, const tenon_const_tensor& t) {
  out.put(t.dtype);
  out.array(t.dims, t.rank);
  if (t.dtype != TENON_DTYPE_STRING) return out.array(static_cast<const std::byte*>(t.data), t.bytes);
  const auto* strings = static_cast<const tenon_str*>(t.data);
  const std::uint64_t count = t.bytes / sizeof(tenon_str);
  out.put(count);
  for (std::uint64_t i = 0; i < count; ++i) out.text(strings[i]);
}

void write_value(Writer& out, const tenon_value& v) {
  out.put(v.dtype), out.put(v.kind), out.put(v.rank), out.put(v.flags), out.put(v.const_id);
  out.text(v.name);
  if (v.rank <= 0) return;
  const auto rank = static_cast<std::uint64_t>(v.rank);
  out.array(v.dims, rank), out.array(v.dim_symbols, rank), out.array(v.dim_min, rank), out.array(v.dim_max, rank), out.array(v.dim_opt, rank);
}

void write_attribute(Writer& out, const tenon_attr& a) {
  out.put(a.type);
  out.text(a.name);
  switch (kind_of(a.type)) {
    case Kind::floats: return out.array(static_cast<const float*>(a.data), a.count);
    case Kind::ints: return out.array(static_cast<const std::int64_t*>(a.data), a.count);
    case Kind::texts:
      out.put(a.count);
      for (std::uint64_t i = 0; i < a.count; ++i) out.text(static_cast<const tenon_str*>(a.data)[i]);
      return;
    case Kind::tensors:
      out.put(a.count);
      for (std::uint64_t i = 0; i < a.count; ++i) write_tensor(out, static_cast<const tenon_const_tensor*>(a.data)[i]);
      return;
    case Kind::graphs:
      out.put(a.count);
      for (std::uint64_t i = 0; i < a.count; ++i) write_graph(out, static_cast<const tenon_graph*>(a.data)[i]);
      return;
    case Kind::unknown: return out.put<std::uint64_t>(0);
  }
}

}  // namespace

void write_node(Writer& out, const tenon_node& n) {
  out.put(n.form), out.put(n.since_version), out.put(n.flags);
  out.text(n.domain), out.text(n.op_type), out.text(n.name);
  out.array(n.inputs, n.input_count), out.array(n.outputs, n.output_count);
  out.put(n.attributes.count);
  for (std::uint64_t i = 0; i < n.attributes.count; ++i) write_attribute(out, element<tenon_attr>(n.attributes, i));
  out.put(n.sources.count);
  for (std::uint64_t i = 0; i < n.sources.count; ++i) {
    const auto& s = element<tenon_source>(n.sources, i);
    out.put(s.opset), out.text(s.name), out.text(s.op_type);
  }
}

void write_graph(Writer& out, const tenon_graph& g) {
  out.put(g.flags);
  out.text(g.name);
  out.array(g.inputs, g.input_count), out.array(g.outputs, g.output_count);
  out.array(g.outer_values, g.outer_count), out.array(g.outer_parents, g.outer_count);
  out.put(g.values.count);
  for (std::uint64_t i = 0; i < g.values.count; ++i) write_value(out, element<tenon_value>(g.values, i));
  out.put(g.nodes.count);
  for (std::uint64_t i = 0; i < g.nodes.count; ++i) write_node(out, element<tenon_node>(g.nodes, i));
}

void write_part(Writer& out, const tenon_part& part) {
  out.array(part.inputs, part.input_count), out.array(part.outputs, part.output_count);
  out.put(part.claims.count);
  for (std::uint64_t i = 0; i < part.claims.count; ++i) {
    const auto& c = element<tenon_chosen>(part.claims, i);
    out.put(c.token), out.array(c.nodes, c.node_count);
  }
}

template <class T>
T* GraphReader::make(std::uint64_t count) {
  auto* made = static_cast<T*>(arena_.allocate(count * sizeof(T) + 1, alignof(T)));
  std::memset(static_cast<void*>(made), 0, count * sizeof(T));
  return made;
}
template <class T>
const T* GraphReader::array(std::uint64_t* count) {
  const std::span<const std::byte> from = in_.blob(sizeof(T));
  T* made = make<T>(from.size() / sizeof(T));
  if (!from.empty()) std::memcpy(static_cast<void*>(made), from.data(), from.size());
  if (count) *count = from.size() / sizeof(T);
  return made;
}
template <class T>
const T* GraphReader::shorter(std::uint32_t& count) {
  std::uint64_t n = 0;
  const T* made = array<T>(&n);
  count = static_cast<std::uint32_t>(n);
  return made;
}
tenon_str GraphReader::text() {
  std::uint64_t size = 0;
  const char* data = array<char>(&size);
  return {data, size};
}

void GraphReader::tensor(tenon_const_tensor& t) {
  t.struct_size = sizeof t;
  t.dtype = in_.get<std::int32_t>();
  t.dims = array<std::int64_t>(&t.rank);
  if (t.dtype != TENON_DTYPE_STRING) {
    const std::span<const std::byte> from = in_.blob();
    void* to = arena_.allocate(from.size() + 1, 64);
    if (!from.empty()) std::memcpy(to, from.data(), from.size());
    t.data = to, t.bytes = from.size();
    return;
  }
  const std::uint64_t count = in_.count(sizeof(std::uint64_t));
  auto* strings = make<tenon_str>(count);
  for (std::uint64_t i = 0; i < count; ++i) strings[i] = text();
  t.data = strings, t.bytes = count * sizeof(tenon_str);
}

void GraphReader::value(tenon_value& v) {
  v.struct_size = sizeof v;
  v.dtype = in_.get<std::int32_t>(), v.kind = in_.get<std::int32_t>(), v.rank = in_.get<std::int32_t>();
  v.flags = in_.get<std::uint64_t>(), v.const_id = in_.get<std::uint64_t>();
  v.name = text();
  if (v.rank <= 0) return;
  const auto rank = static_cast<std::uint64_t>(v.rank);
  std::uint64_t counts[5];
  v.dims = array<std::int64_t>(&counts[0]), v.dim_symbols = array<std::uint32_t>(&counts[1]);
  v.dim_min = array<std::int64_t>(&counts[2]), v.dim_max = array<std::int64_t>(&counts[3]), v.dim_opt = array<std::int64_t>(&counts[4]);
  for (const std::uint64_t c : counts)
    if (c != rank) in_.fail();
}

void GraphReader::attribute(tenon_attr& a) {
  a.struct_size = sizeof a;
  a.type = in_.get<std::int32_t>();
  a.name = text();
  switch (kind_of(a.type)) {
    case Kind::floats: a.data = array<float>(&a.count); return;
    case Kind::ints: a.data = array<std::int64_t>(&a.count); return;
    case Kind::texts: {
      a.count = in_.count(sizeof(std::uint64_t));
      auto* made = make<tenon_str>(a.count);
      for (std::uint64_t i = 0; i < a.count; ++i) made[i] = text();
      a.data = made;
      return;
    }
    case Kind::tensors: {
      a.count = in_.count(sizeof(std::uint64_t));
      auto* made = make<tenon_const_tensor>(a.count);
      for (std::uint64_t i = 0; i < a.count; ++i) tensor(made[i]);
      a.data = made;
      return;
    }
    case Kind::graphs: {
      a.count = in_.count(sizeof(std::uint64_t));
      auto* made = make<tenon_graph>(a.count);
      for (std::uint64_t i = 0; i < a.count; ++i) graph(made[i]);
      a.data = made;
      return;
    }
    case Kind::unknown: a.count = in_.count(1); return;
  }
}

void GraphReader::node(tenon_node& n) {
  n.struct_size = sizeof n;
  n.form = in_.get<std::int32_t>(), n.since_version = in_.get<std::int32_t>(), n.flags = in_.get<std::uint64_t>();
  n.domain = text(), n.op_type = text(), n.name = text();
  n.inputs = shorter<std::uint32_t>(n.input_count), n.outputs = shorter<std::uint32_t>(n.output_count);
  const std::uint64_t attributes = in_.count(sizeof(std::uint64_t));
  auto* a = make<tenon_attr>(attributes);
  for (std::uint64_t i = 0; i < attributes; ++i) attribute(a[i]);
  n.attributes = {a, attributes, sizeof(tenon_attr), 0};
  const std::uint64_t sources = in_.count(sizeof(std::uint64_t));
  auto* s = make<tenon_source>(sources);
  for (std::uint64_t i = 0; i < sources; ++i) s[i].struct_size = sizeof(tenon_source), s[i].opset = in_.get<std::int32_t>(), s[i].name = text(), s[i].op_type = text();
  n.sources = {s, sources, sizeof(tenon_source), 0};
}

void GraphReader::graph(tenon_graph& g) {
  if (++depth_ > deepest) return in_.fail();
  g.struct_size = sizeof g;
  g.flags = in_.get<std::uint64_t>();
  g.name = text();
  std::uint64_t parents = 0;
  g.inputs = array<std::uint32_t>(&g.input_count), g.outputs = array<std::uint32_t>(&g.output_count);
  g.outer_values = array<std::uint32_t>(&g.outer_count), g.outer_parents = array<std::uint32_t>(&parents);
  if (parents != g.outer_count) in_.fail();
  const std::uint64_t values = in_.count(sizeof(std::uint64_t));
  auto* v = make<tenon_value>(values);
  for (std::uint64_t i = 0; i < values; ++i) value(v[i]);
  g.values = {v, values, sizeof(tenon_value), 0};
  const std::uint64_t nodes = in_.count(sizeof(std::uint64_t));
  auto* n = make<tenon_node>(nodes);
  for (std::uint64_t i = 0; i < nodes; ++i) node(n[i]);
  g.nodes = {n, nodes, sizeof(tenon_node), 0};
  --depth_;
}

const tenon_graph* GraphReader::graph() {
  auto* made = make<tenon_graph>(1);
  graph(*made);
  return in_.ok() ? made : nullptr;
}

const tenon_node* GraphReader::node() {
  auto* made = make<tenon_node>(1);
  node(*made);
  return in_.ok() ? made : nullptr;
}

const tenon_part* GraphReader::part() {
  auto* made = make<tenon_part>(1);
  made->struct_size = sizeof *made;
  made->inputs = array<std::uint32_t>(&made->input_count), made->outputs = array<std::uint32_t>(&made->output_count);
  const std::uint64_t claims = in_.count(sizeof(std::uint64_t));
  auto* c = make<tenon_chosen>(claims);
  for (std::uint64_t i = 0; i < claims; ++i) c[i].struct_size = sizeof(tenon_chosen), c[i].token = in_.get<std::uint64_t>(), c[i].nodes = shorter<std::uint32_t>(c[i].node_count);
  made->claims = {c, claims, sizeof(tenon_chosen), 0};
  return in_.ok() ? made : nullptr;
}

// ---- answers of a query -----------------------------------------------------------------------------------------------------

void write_claim(Writer& out, const tenon_claim& c) {
  out.put(said_claim);
  out.array(c.nodes, c.node_count);
  out.put(c.token), out.put(c.flags), out.put(c.est_ns), out.put(c.est_flops), out.put(c.est_bytes), out.put(c.workspace_bytes), out.put(c.weight_bytes);
  out.put(c.rules.count);
  for (std::uint64_t i = 0; i < c.rules.count; ++i) out.put(element<tenon_operand_rule>(c.rules, i));
}
void write_refusal(Writer& out, std::uint32_t node, std::int32_t reason, std::string_view text) {
  out.put(said_refusal), out.put(node), out.put(reason), out.text(text);
}
void write_malformed(Writer& out, std::string_view text) { out.put(said_malformed), out.text(text); }

bool read_claims(Reader& in, tenon_query_sink& sink) {
  for (std::uint64_t left = in.count(1); left > 0 && in.ok(); --left) {
    switch (in.get<std::uint8_t>()) {
      case said_claim: {
        const auto nodes = in.array<std::uint32_t>();
        tenon_claim c{};
        c.struct_size = sizeof c;
        c.nodes = nodes.data(), c.node_count = static_cast<std::uint32_t>(nodes.size());
        c.token = in.get<std::uint64_t>(), c.flags = in.get<std::uint64_t>();
        c.est_ns = in.get<double>(), c.est_flops = in.get<double>(), c.est_bytes = in.get<double>();
        c.workspace_bytes = in.get<std::uint64_t>(), c.weight_bytes = in.get<std::uint64_t>();
        auto rules = in.array<tenon_operand_rule>();
        for (tenon_operand_rule& r : rules) r.struct_size = sizeof r;
        c.rules = {rules.data(), rules.size(), sizeof(tenon_operand_rule), 0};
        if (in.ok()) host_api().claim(&sink, &c);
        break;
      }
      case said_refusal: {
        const auto node = in.get<std::uint32_t>();
        const auto reason = in.get<std::int32_t>();
        const std::string_view text = in.text();
        if (in.ok()) host_api().reject(&sink, node, reason, str(text));
        break;
      }
      case said_malformed: sink.malformed(std::string(in.text())); break;
      default: in.fail();
    }
  }
  return in.ok();
}

}  // namespace tenon::isolate
