// The reading half of text.h.
#include <charconv>

#include "core/base/text.h"
#include "core/graph/elements.h"
#include "core/graph/text.h"

namespace tenon {
namespace {

struct Line {
  std::size_t number = 0, indent = 0;
  std::string_view text;
};

// The rest of one line.
class Cursor {
 public:
  Cursor(std::string_view text, std::size_t number) : rest_(text), number_(number) {}

  void skip() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t')) rest_.remove_prefix(1);
  }
  bool end() {
    skip();
    return rest_.empty() || rest_[0] == '#';
  }
  bool peek(char c) {
    skip();
    return !rest_.empty() && rest_[0] == c;
  }
  bool eat(std::string_view token) {
    skip();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  Status want(std::string_view token) {
    if (!eat(token)) return fail(fmt::format("expected \"{}\"", token));
    return {};
  }
  Status fail(std::string_view what) const { return invalid("line {}: {}, found \"{}\"", number_, what, rest_.substr(0, 40)); }

  // A bare or quoted word; empty when there is none.
  std::string word() {
    skip();
    std::string out;
    if (!rest_.empty() && rest_[0] == '"') {
      rest_.remove_prefix(1);
      while (!rest_.empty() && rest_[0] != '"') {
        if (rest_[0] == '\\' && rest_.size() > 1) {
          rest_.remove_prefix(1);
          out += rest_[0] == 'n' ? '\n' : rest_[0];
        } else {
          out += rest_[0];
        }
        rest_.remove_prefix(1);
      }
      if (!rest_.empty()) rest_.remove_prefix(1);
      return out;
    }
    std::size_t n = 0;
    const auto part = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("_./-+%?").find(c) != std::string_view::npos;
    };
    while (n < rest_.size() && part(rest_[n])) ++n;
    out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return out;
  }

 private:
  std::string_view rest_;
  std::size_t number_;
};

bool whole_number(const std::string& s, std::int64_t& out) {
  const auto [end, code] = std::from_chars(s.data(), s.data() + s.size(), out);
  return code == std::errc() && end == s.data() + s.size();
}

class Reader {
 public:
  explicit Reader(std::string_view text) {
    std::size_t number = 0;
    while (!text.empty()) {
      const std::size_t n = std::min(text.find('\n'), text.size());
      const std::string_view line = text.substr(0, n);
      text.remove_prefix(std::min(n + 1, text.size()));
      ++number;
      const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
      if (indent < line.size() && line[indent] != '#') lines_.push_back({number, indent, line.substr(indent)});
    }
  }

  Result<std::unique_ptr<Model>> model() {
    auto model = std::make_unique<Model>();
    model_ = model.get();
    model->opsets = {{"", 28}};
    model->ir_version = 10;
    if (lines_.empty()) return invalid("the text holds no graph");
    Scope scope{model->graph, nullptr, {}};
    Cursor head(lines_[0].text, lines_[0].number);
    const std::size_t indent = lines_[next_++].indent;
    TENON_TRY(graph(head, scope, indent));
    if (next_ < lines_.size()) return invalid("line {}: stands outside the graph", lines_[next_].number);
    return model;
  }

 private:
  struct Scope {
    Graph& graph;
    Scope* parent;
    std::unordered_map<std::string, ValueId> names;
  };

  static ValueId lookup(Scope& scope, const std::string& name) {
    if (auto it = scope.names.find(name); it != scope.names.end()) return it->second;
    if (!scope.parent) return none;
    const ValueId parent = lookup(*scope.parent, name);
    if (parent == none) return none;
    const Value& outer = scope.parent->graph.values[parent];
    const ValueId v = scope.graph.add_value(name, outer.type);
    scope.graph.outer.push_back({v, parent});
    return scope.names[name] = v;
  }
  // A value that is read: one made further down gets its entry now.
  static ValueId read(Scope& scope, const std::string& name) {
    const ValueId v = lookup(scope, name);
    return v != none ? v : scope.names[name] = scope.graph.add_value(name);
  }

  // Consumes the head and all lines that are indented deeper.
  Status graph(Cursor& c, Scope& scope, std::size_t indent) {
    Graph& g = scope.graph;
    TENON_TRY(c.want("graph"));
    g.name = c.word();
    if (g.name == "_") g.name.clear();
    TENON_TRY(c.want("("));
    while (!c.eat(")")) {
      const std::string name = c.word();
      if (name.empty()) return c.fail("expected the name of an input");
      const ValueId v = g.add_value(name);
      scope.names[name] = v;
      g.values[v].is_input = true;
      g.inputs.push_back(v);
      if (c.eat(":")) TENON_TRY(type(c, g.values[v].type));
      c.eat(",");
    }
    if (c.eat("outer")) {
      TENON_TRY(c.want("("));
      while (!c.eat(")")) {
        const std::string name = c.word(), source = c.eat("=") ? c.word() : name;
        const ValueId parent = scope.parent ? lookup(*scope.parent, source) : none;
        if (parent == none) return c.fail("expected the name of a value around the body");
        const ValueId v = g.add_value(name, scope.parent->graph.values[parent].type);
        g.outer.push_back({v, parent});
        scope.names[name] = v;
        c.eat(",");
      }
    }
    TENON_TRY(c.want("->"));
    TENON_TRY(c.want("("));
    std::vector<std::string> outputs;
    while (!c.eat(")")) {
      outputs.push_back(c.word());
      if (outputs.back().empty()) return c.fail("expected the name of an output");
      c.eat(",");
    }
    while (next_ < lines_.size() && lines_[next_].indent > indent) TENON_TRY(statement(scope));
    for (const std::string& name : outputs) {
      const ValueId v = lookup(scope, name);
      if (v == none) return invalid("graph \"{}\": nothing makes its output \"{}\"", g.name, name);
      g.values[v].is_output = true;
      g.outputs.push_back(v);
    }
    return g.sort();
  }

  Status statement(Scope& scope) {
    const Line line = lines_[next_++];
    Cursor c(line.text, line.number);
    Graph& g = scope.graph;
    Node n;
    Type first;
    do {
      const std::string name = c.word();
      if (name.empty()) return c.fail("expected the name of a value");
      ValueId v = none;
      if (name != "_") {
        auto it = scope.names.find(name);
        v = it != scope.names.end() ? it->second : scope.names[name] = g.add_value(name);
      }
      Type t;
      if (c.eat(":")) TENON_TRY(type(c, t));
      if (n.outputs.empty()) first = t;
      n.outputs.push_back(v);
      if (v != none) g.values[v].type = std::move(t);
    } while (c.eat(","));
    TENON_TRY(c.want("="));
    if (c.peek('{') || c.eat("const")) {
      ConstantPtr value;
      TENON_TRY(elements(c, first, value));
      if (n.outputs[0] == none) return c.fail("a constant needs a name");
      g.values[n.outputs[0]].constant = std::move(value);
      return {};
    }
    n.op_type = c.word();
    if (const std::size_t dot = n.op_type.rfind('.'); dot != std::string::npos) {
      n.domain = n.op_type.substr(0, dot);
      n.op_type.erase(0, dot + 1);
    }
    if (n.op_type.empty()) return c.fail("expected an operator");
    n.name = g.values[n.outputs[0] == none ? n.outputs.back() : n.outputs[0]].name;
    n.sources.push_back({n.name, n.op_type, 28});
    TENON_TRY(c.want("("));
    while (!c.eat(")")) {
      const std::string name = c.word();
      if (name.empty()) return c.fail("expected the name of an input");
      n.inputs.push_back(name == "_" ? none : read(scope, name));
      c.eat(",");
    }
    if (c.eat("{"))
      while (!c.eat("}")) {
        const std::string name = c.word();
        TENON_TRY(c.want("="));
        AttributeValue value;
        TENON_TRY(attribute(c, value));
        n.set(name, std::move(value));
        c.eat(",");
      }
    if (!c.end()) return c.fail("expected the end of the line");
    while (next_ < lines_.size() && lines_[next_].indent > line.indent) {
      const Line inner = lines_[next_++];
      Cursor b(inner.text, inner.number);
      const std::string label = b.word();
      TENON_TRY(b.want(":"));
      auto body = std::make_shared<Graph>();
      Scope nested{*body, label == "body" && n.op_type != "Loop" && n.op_type != "Scan" ? nullptr : &scope, {}};
      TENON_TRY(graph(b, nested, inner.indent));
      if (nested.parent) n.set(label, GraphPtr(std::move(body)));
      else n.body = std::move(body);
    }
    g.nodes.push_back(std::move(n));
    return {};
  }

  Status type(Cursor& c, Type& out) {
    const std::string name = c.word();
    const auto dtype = dtype_from_name(name);
    if (!dtype && name != "undefined") return c.fail("expected an element type");
    out.dtype = dtype.value_or(TENON_DTYPE_UNDEFINED);
    TENON_TRY(c.want("["));
    if (c.eat("...")) return c.want("]");
    out.dims.emplace();
    while (!c.eat("]")) {
      const std::string d = c.word();
      std::int64_t number = 0;
      if (d.empty()) return c.fail("expected a size");
      if (whole_number(d, number)) out.dims->push_back({number, 0});
      else out.dims->push_back({-1, d == "?" ? 0 : model_->symbols.id(d)});
      c.eat(",");
    }
    return {};
  }

  Status elements(Cursor& c, const Type& t, ConstantPtr& out) {
    if (!t.fixed()) return c.fail("a constant needs a type with fixed sizes");
    Dims dims;
    for (const Dim& d : *t.dims) dims.push_back(d.value);
    std::byte* data = nullptr;
    TENON_ASSIGN(auto made, make_constant(t.dtype, std::move(dims), &data));
    std::vector<std::string> given;
    if (c.eat("{"))
      while (!c.eat("}")) {
        given.push_back(c.word());
        c.eat(",");
      }
    const auto bytes = static_cast<std::size_t>(dtype_bits(t.dtype) / 8);  // 0 for packed types: zeros
    for (std::size_t i = 0; !given.empty() && i < static_cast<std::size_t>(made->count()); ++i) {
      const std::string& s = given[i % given.size()];
      std::int64_t whole = 0;
      if (t.dtype == TENON_DTYPE_STRING) made->strings[i] = s;
      else if (is_real(t.dtype)) store_real(t.dtype, data, i, parse_real(s).value_or(0));
      else if (!whole_number(s, whole)) return c.fail("expected whole numbers");
      else std::memcpy(data + i * bytes, &whole, std::min<std::size_t>(bytes, 8));
    }
    out = std::move(made);
    return {};
  }

  Status attribute(Cursor& c, AttributeValue& out) {
    if (c.peek('"')) return out = c.word(), Status();
    if (c.eat("[")) {
      std::vector<std::string> items;
      bool strings = c.peek('"');
      while (!c.eat("]")) {
        items.push_back(c.word());
        c.eat(",");
      }
      std::vector<std::int64_t> whole(items.size());
      bool all = true;
      for (std::size_t i = 0; i < items.size(); ++i) all = all && whole_number(items[i], whole[i]);
      if (strings) out = items;
      else if (all) out = whole;
      else {
        std::vector<float> reals;
        for (const std::string& s : items) reals.push_back(static_cast<float>(parse_real(s).value_or(0)));
        out = reals;
      }
      return {};
    }
    Cursor back = c;
    const std::string s = c.word();
    std::int64_t whole = 0;
    if (c.peek('[')) {
      Type t;
      TENON_TRY(type(back, t));
      c = back;
      ConstantPtr value;
      c.eat("const");
      TENON_TRY(elements(c, t, value));
      out = value;
    } else if (whole_number(s, whole)) {
      out = whole;
    } else {
      const auto v = parse_real(s);
      if (!v) return c.fail("expected a value");
      out = static_cast<float>(*v);
    }
    return {};
  }

  Model* model_ = nullptr;
  std::vector<Line> lines_;
  std::size_t next_ = 0;
};

}  // namespace

Result<std::unique_ptr<Model>> parse_graph(std::string_view text) { return Reader(text).model(); }

}  // namespace tenon
