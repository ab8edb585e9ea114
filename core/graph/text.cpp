#include "core/graph/text.h"

#include "core/graph/elements.h"

namespace tenon {
namespace {

bool bare(std::string_view name) {
  if (name.empty() || name == "_") return false;
  for (char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.' && c != '/' && c != '-') return false;
  return true;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    else out += c;
  }
  return out + "\"";
}

std::string word(std::string_view name) { return bare(name) ? std::string(name) : quoted(name); }

// Shortest text that reads back as the same number and is not taken for an integer.
std::string real_text(double v, bool single) {
  std::string s = single ? fmt::format("{}", static_cast<float>(v)) : fmt::format("{}", v);
  if (s.find_first_not_of("-0123456789") == std::string::npos) s += ".0";
  return s;
}

std::string constant_text(const Constant& c, std::int64_t limit) {
  if (c.count() > limit) return "const";
  std::string out = "{";
  for (std::size_t i = 0; i < static_cast<std::size_t>(c.count()); ++i) {
    if (i) out += ", ";
    if (c.dtype == TENON_DTYPE_STRING) out += quoted(c.strings[i]);
    else if (is_real(c.dtype)) out += real_text(real_element(c.dtype, c.data, i), c.dtype != TENON_DTYPE_DOUBLE);
    else if (const auto v = integer_element(c, i)) out += std::to_string(*v);
    else if (c.dtype == TENON_DTYPE_UINT64) out += std::to_string(load_bits<std::uint64_t>(c.data, i));
    else return "const";
  }
  return out + "}";
}

std::string form_text(const Constant& c) {
  std::string s = std::string(dtype_name(c.dtype)) + "[";
  for (std::size_t d = 0; d < c.dims.size(); ++d) {
    if (d) s += ',';
    s += std::to_string(c.dims[d]);
  }
  return s + "]";
}

template <class T, class F>
std::string list_text(const std::vector<T>& items, F one) {
  std::string s = "[";
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i) s += ", ";
    s += one(items[i]);
  }
  return s + "]";
}

class Writer {
 public:
  Writer(const SymbolTable& symbols, const TextOptions& options) : symbols_(symbols), options_(options) {}

  void graph(const Graph& g, const Graph* around, const std::string& indent) {
    graph_ = &g;
    out_ += "graph " + (g.name.empty() ? std::string("_") : word(g.name)) + "(";
    for (std::size_t i = 0; i < g.inputs.size(); ++i) item(i, typed(g.inputs[i], true));
    out_ += ")";
    for (std::size_t i = 0; i < g.outer.size(); ++i) {
      const auto& [inner, parent] = g.outer[i];
      out_ += i ? ", " : " outer(";
      out_ += name(inner);
      if (around && around->values[parent].name != g.values[inner].name) out_ += " = " + word(around->values[parent].name);
    }
    out_ += g.outer.empty() ? " -> (" : ") -> (";
    for (std::size_t i = 0; i < g.outputs.size(); ++i) item(i, name(g.outputs[i]));
    out_ += ")\n";
    const std::string inner = indent + "  ";
    std::vector<bool> read(g.values.size());
    for (const Node& n : g.nodes) {
      for (ValueId v : n.inputs)
        if (v != none) read[v] = true;
      for (const GraphPtr& body : n.subgraphs())
        for (const OuterValue& o : body->outer) read[o.parent] = true;
    }
    for (ValueId v : g.outputs) read[v] = true;
    for (ValueId v = 0; v < g.values.size(); ++v)
      if (const ConstantPtr& c = g.values[v].constant; c && read[v])
        out_ += inner + name(v) + ": " + form_text(*c) + " = " + constant_text(*c, options_.elements) + "\n";
    for (const Node& n : g.nodes)
      if (!n.op_type.empty()) node(n, g, inner);
    graph_ = &g;
  }

  std::string take() { return std::move(out_); }

 private:
  // Number i of a list.
  void item(std::size_t i, const std::string& text) {
    if (i) out_ += ", ";
    out_ += text;
  }
  std::string name(ValueId v) const {
    if (v == none) return "_";
    const std::string& n = graph_->values[v].name;
    return n.empty() ? fmt::format("%{}", v) : word(n);
  }
  std::string typed(ValueId v, bool always) const {
    if (v == none || (!options_.types && !always)) return name(v);
    const std::string t = type_text(graph_->values[v].type, symbols_);
    return t.empty() ? name(v) : name(v) + ": " + t;
  }

  void node(const Node& n, const Graph& g, const std::string& indent) {
    out_ += indent;
    for (std::size_t i = 0; i < n.outputs.size(); ++i) item(i, typed(n.outputs[i], false));
    out_ += " = " + (n.domain.empty() ? "" : n.domain + ".") + n.op_type + "(";
    for (std::size_t i = 0; i < n.inputs.size(); ++i) item(i, name(n.inputs[i]));
    out_ += ")";
    std::string inside;
    if (options_.attributes)
      for (const Attribute& a : n.attributes)
        if (const std::string v = value_text(a.value); !v.empty()) inside += (inside.empty() ? "" : ", ") + a.name + "=" + v;
    if (!inside.empty()) out_ += " {" + inside + "}";
    if (options_.names && !n.name.empty()) out_ += "  # " + n.name;
    out_ += "\n";
    const auto nested = [&](const std::string& label, const Graph& body, const Graph* around) {
      out_ += indent + "  " + label + ": ";
      graph(body, around, indent + "  ");
      graph_ = &g;
    };
    for (const Attribute& a : n.attributes) {
      if (const auto* body = std::get_if<GraphPtr>(&a.value)) nested(a.name, **body, &g);
      if (const auto* list = std::get_if<std::vector<GraphPtr>>(&a.value))
        for (const GraphPtr& body : *list) nested(a.name, *body, &g);
    }
    if (n.body && options_.bodies) nested("body", *n.body, nullptr);
  }

  // Empty for graphs, which stand on their own lines.
  std::string value_text(const AttributeValue& value) const {
    const auto tensor = [&](const ConstantPtr& c) { return form_text(*c) + constant_text(*c, options_.elements); };
    struct Visit {
      decltype(tensor)& tensor_;
      std::string operator()(float v) const { return real_text(v, true); }
      std::string operator()(std::int64_t v) const { return std::to_string(v); }
      std::string operator()(const std::string& v) const { return quoted(v); }
      std::string operator()(const ConstantPtr& v) const { return tensor_(v); }
      std::string operator()(const GraphPtr&) const { return ""; }
      std::string operator()(const std::vector<GraphPtr>&) const { return ""; }
      std::string operator()(const std::vector<float>& v) const { return list_text(v, [](float x) { return real_text(x, true); }); }
      std::string operator()(const std::vector<std::int64_t>& v) const {
        return list_text(v, [](std::int64_t x) { return std::to_string(x); });
      }
      std::string operator()(const std::vector<std::string>& v) const {
        return list_text(v, [](const std::string& x) { return quoted(x); });
      }
      std::string operator()(const std::vector<ConstantPtr>& v) const { return list_text(v, tensor_); }
    };
    return std::visit(Visit{tensor}, value);
  }

  const SymbolTable& symbols_;
  const TextOptions& options_;
  const Graph* graph_ = nullptr;
  std::string out_;
};

}  // namespace

std::string type_text(const Type& type, const SymbolTable& symbols) {
  if (!type.is_tensor()) return type.text();
  if (type.dtype == TENON_DTYPE_UNDEFINED && !type.dims) return "";
  std::string s(dtype_name(type.dtype));
  if (!type.dims) return s + "[...]";
  s += "[";
  for (std::size_t d = 0; d < type.dims->size(); ++d) {
    const Dim& dim = (*type.dims)[d];
    if (d) s += ",";
    if (dim.fixed()) s += std::to_string(dim.value);
    else s += dim.symbol && dim.symbol < symbols.size() ? symbols.name(dim.symbol) : "?";
  }
  return s + "]";
}

std::string graph_text(const Graph& graph, const SymbolTable& symbols, const TextOptions& options) {
  Writer writer(symbols, options);
  writer.graph(graph, nullptr, "");
  return writer.take();
}

}  // namespace tenon
