#include "core/onnx/import.h"

#include <algorithm>
#include <map>
#include <cstring>
#include <filesystem>
#include <unordered_set>

#include "core/onnx/canonical.h"
#include "core/onnx/proto.h"
#include "core/onnx/schemas.h"
#include "core/onnx/slim.h"
#include "core/onnx/sparse.h"
#include "core/ops/gradient.h"
#include "core/ops/upgrade.h"

namespace tenon {
namespace {

struct Scope {
  Graph& graph;
  Scope* parent = nullptr;
  std::unordered_map<std::string, ValueId> names;
};

// Names and attributes that a function body sees in place of its formal ones.
struct FunctionFrame {
  const onnx::NodeProto* call = nullptr;
  const onnx::FunctionProto* function = nullptr;
  std::string prefix;
  std::unordered_map<std::string, std::string> renamed;
};

class Importer {
 public:
  Importer(Model& model, const ImportOptions& options, Payloads& payloads) : model_(model), options_(options), payloads_(payloads) {}

  Status run(const onnx::ModelProto& proto) {
    for (const auto& import : proto.opset_import()) {
      const std::string domain = import.domain() == "ai.onnx" ? "" : import.domain();
      auto [known, fresh] = versions_.emplace(domain, import.version());
      if (!fresh && known->second != import.version())  // exporters do write the same import twice
        return invalid("opset_import gives the domain \"{}\" two versions, {} and {}", import.domain(), known->second, import.version());
      if (!fresh) continue;
      model_.opsets.push_back({domain, import.version()});
    }
    if (!proto.has_graph()) return error(TENON_DATA_LOSS, "the file holds no graph: it is not an ONNX model, or it is empty");
    if (versions_.empty() && proto.functions().empty()) {
      if (proto.ir_version() >= 3) return invalid("the model has no opset_import; it must name at least the version of ai.onnx");
      versions_[""] = 1;
    }
    const auto& known = onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
    for (auto& [domain, version] : versions_)
      if (auto it = known.find(domain); it != known.end() && (version < 1 || version > it->second.second))
        return error(TENON_UNIMPLEMENTED, "the model uses opset {} of \"{}\"; this build knows 1 to {}", version,
                     domain.empty() ? "ai.onnx" : domain, it->second.second);
    for (const auto& f : proto.functions()) functions_[f.domain() + "\n" + f.name()] = &f;
    model_.ir_version = proto.ir_version();
    model_.producer_name = proto.producer_name();
    model_.producer_version = proto.producer_version();
    model_.domain = proto.domain();
    model_.description = proto.doc_string();
    model_.graph_description = proto.graph().doc_string();
    model_.model_version = proto.model_version();
    for (const auto& p : proto.metadata_props()) model_.metadata.emplace_back(p.key(), p.value());
    Scope scope{model_.graph, nullptr, {}};
    Status s = graph(proto.graph(), scope, 0);
    return unknown_.empty() ? std::move(s) : unknown_operators();
  }

  // A schema function's body as a graph whose inputs and outputs stand in the node's order.
  Status function_graph(const onnx::FunctionProto& f, const Node& node, const Graph& around, const onnx::NodeProto& call, Graph& out) {
    for (const auto& import : f.opset_import()) versions_[import.domain() == "ai.onnx" ? "" : import.domain()] = import.version();
    Scope scope{out, nullptr, {}};
    FunctionFrame frame{&call, &f, node.name + "/", {}};
    for (int i = 0; i < f.input_size(); ++i) {
      const bool given = static_cast<std::size_t>(i) < node.inputs.size() && node.inputs[static_cast<std::size_t>(i)] != none;
      frame.renamed[f.input(i)] = given ? f.input(i) : "";
      if (!given) continue;
      const Value& outer = around.values[node.inputs[static_cast<std::size_t>(i)]];
      const ValueId v = out.add_value(f.input(i), outer.type);
      out.values[v].is_input = true;
      out.inputs.push_back(v);
      scope.names[f.input(i)] = v;
    }
    for (const std::string& name : f.output()) frame.renamed[name] = name;
    std::vector<Node> nodes;
    for (const auto& n : f.node()) TENON_TRY(this->node(n, scope, 1, nodes, &frame));
    out.nodes = std::move(nodes);
    for (int i = 0; i < f.output_size() && static_cast<std::size_t>(i) < node.outputs.size(); ++i) {
      auto it = scope.names.find(f.output(i));
      if (it == scope.names.end()) return invalid("the body of {} makes no output \"{}\"", node.label(), f.output(i));
      out.outputs.push_back(it->second);
      out.values[it->second].is_output = true;
    }
    return out.sort();
  }

  std::unordered_map<std::string, std::int64_t> versions_;

 private:
  Status graph(const onnx::GraphProto& proto, Scope& scope, int depth, const FunctionFrame* frame = nullptr) {
    Graph& g = scope.graph;
    if (depth > options_.limits.nesting)
      return error(TENON_RESOURCE_EXHAUSTED, "graph \"{}\" is nested deeper than limits.nesting = {}", proto.name(), options_.limits.nesting);
    g.name = proto.name();
    for (const auto& input : proto.input()) {
      const std::string key = local_name(input.name(), frame);
      if (scope.names.count(key)) return invalid("graph \"{}\" has two inputs named \"{}\"", g.name, input.name());
      const ValueId v = g.add_value(key, type_from_proto(input.type(), model_.symbols));
      if (g.values[v].type.dims && static_cast<int>(g.values[v].type.dims->size()) > options_.limits.rank)
        return error(TENON_RESOURCE_EXHAUSTED, "input \"{}\": rank {} is over limits.rank = {}", input.name(),
                     g.values[v].type.dims->size(), options_.limits.rank);
      g.values[v].is_input = true;
      g.inputs.push_back(v);
      scope.names[key] = v;
    }
    const auto initializer = [&](const std::string& name, ConstantPtr c) -> Status {
      const std::string key = local_name(name, frame);
      if (auto it = scope.names.find(key); it != scope.names.end()) {
        if (!g.values[it->second].is_input) return invalid("graph \"{}\" has two initializers named \"{}\"", g.name, name);
        // Up to IR 3 every initializer had to be listed as an input; those are plain constants.
        if (model_.ir_version < 4 && depth == 0) {
          const ValueId v = it->second;
          std::erase(g.inputs, v);
          g.values[v].is_input = false;
          g.values[v].constant = std::move(c);
        } else {
          g.input_defaults[it->second] = std::move(c);
        }
        return {};
      }
      scope.names[key] = g.add_constant(key, std::move(c));
      return {};
    };
    for (const auto& tensor : proto.initializer()) {
      TENON_ASSIGN(ConstantPtr c, constant_from_proto(tensor, payloads_));
      TENON_TRY(initializer(tensor.name(), std::move(c)));
    }
    for (const auto& tensor : proto.sparse_initializer()) {
      TENON_ASSIGN(ConstantPtr c, dense_from_sparse(tensor, payloads_));
      TENON_TRY(initializer(tensor.values().name(), std::move(c)));
    }
    // Declared types help inference and are checked against it.
    for (const auto* list : {&proto.value_info(), &proto.output()})
      for (const auto& info : *list) declared_[&g][local_name(info.name(), frame)] = type_from_proto(info.type(), model_.symbols);
    // Producers first, so that nodes may stand in any order.
    for (const auto& n : proto.node())
      for (const std::string& name : n.output()) {
        if (name.empty()) continue;
        const std::string key = local_name(name, frame);
        if (scope.names.count(key)) return invalid("graph \"{}\": two things are named \"{}\"; names must be unique", g.name, key);
        make_value(scope, key);
      }
    std::vector<Node> nodes;
    for (const auto& n : proto.node()) TENON_TRY(node(n, scope, depth, nodes, frame));
    g.nodes = std::move(nodes);
    for (const auto& output : proto.output()) {
      const ValueId v = lookup(scope, local_name(output.name(), frame));
      if (v == none) return invalid("graph \"{}\": nothing makes its output \"{}\"", g.name, output.name());
      g.values[v].is_output = true;
      g.outputs.push_back(v);
    }
    return g.sort();
  }

  static std::string local_name(const std::string& name, const FunctionFrame* frame) {
    if (!frame) return name;
    auto it = frame->renamed.find(name);
    return it != frame->renamed.end() ? it->second : frame->prefix + name;
  }

  ValueId make_value(Scope& scope, const std::string& name) {
    Type type;
    if (auto it = declared_.find(&scope.graph); it != declared_.end())
      if (auto t = it->second.find(name); t != it->second.end()) type = t->second;
    return scope.names[name] = scope.graph.add_value(name, std::move(type));
  }

  // The value of a name here or in a graph around this one; outer values are entered at every level on the way.
  ValueId lookup(Scope& scope, const std::string& name) {
    if (auto it = scope.names.find(name); it != scope.names.end()) return it->second;
    if (!scope.parent) return none;
    const ValueId parent = lookup(*scope.parent, name);
    if (parent == none) return none;
    const Value& outer = scope.parent->graph.values[parent];
    const ValueId v = outer.constant ? scope.graph.add_constant(name, outer.constant) : scope.graph.add_value(name, outer.type);
    if (!outer.constant) scope.graph.outer.push_back({v, parent});
    return scope.names[name] = v;
  }

  Status node(const onnx::NodeProto& proto, Scope& scope, int depth, std::vector<Node>& nodes, const FunctionFrame* frame) {
    if (++node_count_ > options_.limits.nodes)
      return error(TENON_RESOURCE_EXHAUSTED, "the model has more nodes than limits.nodes = {}", options_.limits.nodes);
    Node n;
    n.domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
    n.op_type = proto.op_type();
    n.name = (frame ? frame->prefix : "") + proto.name();
    if (n.op_type.empty()) return invalid("node \"{}\" has no op_type", n.name);
    auto version = versions_.find(n.domain);
    if (version == versions_.end() && !n.domain.empty() && functions_.count(proto.domain() + "\n" + n.op_type)) version = versions_.find("");
    if (version == versions_.end())
      return invalid("{}: the model does not import its domain; opset_import must name \"{}\"", n.label(), n.domain.empty() ? "ai.onnx" : n.domain);
    n.sources.push_back({n.name, n.op_type, static_cast<std::int32_t>(version->second)});
    for (const std::string& name : proto.input()) {
      const std::string key = name.empty() ? "" : local_name(name, frame);
      if (key.empty()) {
        n.inputs.push_back(none);
        continue;
      }
      const ValueId v = lookup(scope, key);
      if (v == none) return invalid("{}: nothing makes its input \"{}\"", n.label(), name);
      n.inputs.push_back(v);
    }
    while (!n.inputs.empty() && n.inputs.back() == none) n.inputs.pop_back();
    for (const std::string& name : proto.output()) {
      const std::string key = name.empty() ? "" : local_name(name, frame);
      if (key.empty()) {
        n.outputs.push_back(none);
        continue;
      }
      auto it = scope.names.find(key);
      n.outputs.push_back(it != scope.names.end() ? it->second : make_value(scope, key));
    }
    while (n.outputs.size() > 1 && n.outputs.back() == none) n.outputs.pop_back();
    if (auto f = functions_.find(proto.domain() + "\n" + proto.op_type()); f != functions_.end())
      return inline_function(proto, *f->second, scope, depth, nodes, frame);
    std::unordered_set<std::string> seen;
    for (const auto& a : proto.attribute()) {
      if (!seen.insert(a.name()).second) return invalid("{}: attribute \"{}\" is given twice", n.label(), a.name());
      TENON_TRY(attribute(a, n, scope, depth, frame));
    }
    std::sort(n.attributes.begin(), n.attributes.end(), [](auto& a, auto& b) { return a.name < b.name; });
    if (n.is("Constant")) return constant_node(n, scope);
    if (Status s = check_schema(n, version->second); !s.ok()) {
      if (s.code() != TENON_UNIMPLEMENTED) return s;
      // All such operators are named at once, when the whole model has been read.
      auto [it, fresh] = unknown_.try_emplace(n.domain + "." + n.op_type, std::string(s.text()), 0);
      ++it->second.second;
      return {};
    }
    if (is_gradient(n)) TENON_TRY(gradient_tensors(n, scope, frame));
    name_outputs(n, scope, version->second);
    const std::size_t before = nodes.size();
    Upgrade u{scope.graph, nodes, version->second, [&](Node& inner) { return finish(inner, version->second); }};
    TENON_TRY(upgrade_node(u, std::move(n)));
    for (std::size_t i = before; i < nodes.size(); ++i) TENON_TRY(finish(nodes[i], version->second));
    return {};
  }

  // What its attributes name becomes inputs: names mean nothing once values are numbers.
  Status gradient_tensors(Node& n, Scope& scope, const FunctionFrame* frame) {
    TENON_ASSIGN(std::vector<std::string> names, gradient_names(n));
    names.push_back(n.string_or("y", ""));
    for (const std::string& name : names) {
      n.inputs.push_back(lookup(scope, local_name(name, frame)));
      if (n.inputs.back() == none) return invalid("{}: xs, zs or y names \"{}\", which nothing in its graph makes", n.label(), name);
    }
    return {};
  }

  Status attribute(const onnx::AttributeProto& given, Node& n, Scope& scope, int depth, const FunctionFrame* frame) {
    const onnx::AttributeProto* a = &given;
    if (!given.ref_attr_name().empty()) {
      if (!frame) return invalid("{}: attribute \"{}\" refers to \"{}\" outside a function", n.label(), given.name(), given.ref_attr_name());
      a = nullptr;
      for (const auto& c : frame->call->attribute())
        if (c.name() == given.ref_attr_name()) a = &c;
      if (!a)
        for (const auto& c : frame->function->attribute_proto())
          if (c.name() == given.ref_attr_name()) a = &c;
      if (!a) return {};  // not given by the caller and without default: absent
    }
    auto add = [&](AttributeValue v) { n.attributes.push_back({given.name(), std::move(v)}); };
    switch (a->type()) {
      case onnx::AttributeProto::FLOAT: add(a->f()); break;
      case onnx::AttributeProto::INT: add(static_cast<std::int64_t>(a->i())); break;
      case onnx::AttributeProto::STRING: add(a->s()); break;
      case onnx::AttributeProto::FLOATS: add(std::vector<float>(a->floats().begin(), a->floats().end())); break;
      case onnx::AttributeProto::INTS: add(std::vector<std::int64_t>(a->ints().begin(), a->ints().end())); break;
      case onnx::AttributeProto::STRINGS: add(std::vector<std::string>(a->strings().begin(), a->strings().end())); break;
      case onnx::AttributeProto::TENSOR: {
        auto c = constant_from_proto(a->t(), payloads_);
        if (!c.ok()) return std::move(c.status()).at(n.label());
        add(*std::move(c));
        break;
      }
      case onnx::AttributeProto::SPARSE_TENSOR: {
        auto c = dense_from_sparse(a->sparse_tensor(), payloads_);
        if (!c.ok()) return std::move(c.status()).at(n.label());
        add(*std::move(c));
        break;
      }
      case onnx::AttributeProto::TENSORS: {
        std::vector<ConstantPtr> list;
        for (const auto& t : a->tensors()) {
          TENON_ASSIGN(ConstantPtr c, constant_from_proto(t, payloads_));
          list.push_back(std::move(c));
        }
        add(std::move(list));
        break;
      }
      case onnx::AttributeProto::GRAPH: {
        auto body = std::make_shared<Graph>();
        Scope inner{*body, &scope, {}};
        if (Status s = graph(a->g(), inner, depth + 1, frame); !s.ok()) return std::move(s).at(n.label());
        add(GraphPtr(std::move(body)));
        break;
      }
      case onnx::AttributeProto::TYPE_PROTO:
        // Of Optional: the type of what is absent, and so of its output.
        if (n.outputs.empty() || n.outputs[0] == none) break;
        scope.graph.values[n.outputs[0]].type =
            Type{.kind = TENON_KIND_OPTIONAL, .dtype = TENON_DTYPE_UNDEFINED, .dims = {}, .element = std::make_shared<Type>(type_from_proto(a->tp(), model_.symbols))};
        break;
      default:
        return error(TENON_UNIMPLEMENTED, "{}: attribute \"{}\" has a type ({}) that is not supported", n.label(), given.name(), static_cast<int>(a->type()));
    }
    return {};
  }

  Status inline_function(const onnx::NodeProto& call, const onnx::FunctionProto& f, Scope& scope, int depth, std::vector<Node>& nodes,
                         const FunctionFrame* outer) {
    if (++function_depth_ > options_.limits.nesting) {
      return error(TENON_RESOURCE_EXHAUSTED, "function {}.{} is expanded deeper than limits.nesting = {}: local functions must not recurse",
                   f.domain(), f.name(), options_.limits.nesting);
    }
    FunctionFrame frame{&call, &f, (outer ? outer->prefix : "") + (call.name().empty() ? f.name() + std::to_string(node_count_) : call.name()) + "/", {}};
    // Attributes that refer to the caller's caller are resolved here, once.
    onnx::NodeProto resolved = call;
    if (outer)
      for (auto& a : *resolved.mutable_attribute())
        if (!a.ref_attr_name().empty())
          for (const auto& c : outer->call->attribute())
            if (c.name() == a.ref_attr_name()) {
              const std::string name = a.name();
              a = c;
              a.set_name(name);
            }
    frame.call = &resolved;
    for (int i = 0; i < f.input_size(); ++i)
      frame.renamed[f.input(i)] = i < call.input_size() && !call.input(i).empty() ? local_name(call.input(i), outer) : "";
    for (int i = 0; i < f.output_size(); ++i)
      if (i < call.output_size() && !call.output(i).empty()) frame.renamed[f.output(i)] = local_name(call.output(i), outer);
    const auto saved = versions_;
    for (const auto& import : f.opset_import()) versions_[import.domain() == "ai.onnx" ? "" : import.domain()] = import.version();
    for (const auto& n : f.node()) {
      if (Status s = node(n, scope, depth, nodes, &frame); !s.ok()) return std::move(s).at("function " + f.name());
    }
    versions_ = saved;
    --function_depth_;
    return {};
  }

  // A Constant node is a constant value.
  Status constant_node(const Node& n, Scope& scope) {
    if (n.outputs.size() != 1 || n.outputs[0] == none || n.attributes.size() != 1)
      return invalid("{}: a Constant has one output and one value, found {} attributes", n.label(), n.attributes.size());
    const AttributeValue& v = n.attributes[0].value;
    ConstantPtr c;
    auto numbers = [&](DType dtype, Dims dims, const void* data, std::size_t bytes) -> Status {
      std::byte* dst = nullptr;
      TENON_ASSIGN(auto made, make_constant(dtype, std::move(dims), &dst));
      std::memcpy(dst, data, bytes);
      c = made;
      return {};
    };
    if (const auto* t = std::get_if<ConstantPtr>(&v)) c = *t;
    else if (const auto* i = std::get_if<std::int64_t>(&v)) TENON_TRY(numbers(TENON_DTYPE_INT64, {}, i, 8));
    else if (const auto* f = std::get_if<float>(&v)) TENON_TRY(numbers(TENON_DTYPE_FLOAT, {}, f, 4));
    else if (const auto* is = std::get_if<std::vector<std::int64_t>>(&v))
      TENON_TRY(numbers(TENON_DTYPE_INT64, {static_cast<std::int64_t>(is->size())}, is->data(), is->size() * 8));
    else if (const auto* fs = std::get_if<std::vector<float>>(&v))
      TENON_TRY(numbers(TENON_DTYPE_FLOAT, {static_cast<std::int64_t>(fs->size())}, fs->data(), fs->size() * 4));
    else if (const auto* s = std::get_if<std::string>(&v)) {
      TENON_ASSIGN(auto made, make_constant(TENON_DTYPE_STRING, {}, nullptr));
      made->strings = {*s};
      c = made;
    } else if (const auto* ss = std::get_if<std::vector<std::string>>(&v)) {
      TENON_ASSIGN(auto made, make_constant(TENON_DTYPE_STRING, {static_cast<std::int64_t>(ss->size())}, nullptr));
      made->strings = *ss;
      c = made;
    } else {
      return error(TENON_UNIMPLEMENTED, "{}: attribute \"{}\" is not supported", n.label(), n.attributes[0].name);
    }
    Value& out = scope.graph.values[n.outputs[0]];
    out.type = Type{.kind = TENON_KIND_TENSOR, .dtype = c->dtype, .dims = std::vector<Dim>{}, .element = nullptr};
    for (std::int64_t d : c->dims) out.type.dims->push_back({d, 0});
    out.constant = std::move(c);
    return {};
  }

  // The node against its operator's schema in the model's own opset, before anything else trusts it.
  Status check_schema(const Node& n, std::int64_t version) const {
    if (const CustomOp* op = options_.custom ? options_.custom->find(n.domain, n.op_type, version) : nullptr) {
      if (n.inputs.size() < op->min_inputs || n.inputs.size() > op->max_inputs || n.outputs.size() < op->min_outputs || n.outputs.size() > op->max_outputs)
        return invalid("{}: {} inputs and {} outputs; the operator of provider {} takes {} to {} and gives {} to {}", n.label(), n.inputs.size(),
                       n.outputs.size(), op->provider, op->min_inputs, op->max_inputs, op->min_outputs, op->max_outputs);
      return {};
    }
    const auto* schema = find_schema(n.op_type, n.domain, version);
    if (!schema) {
      if (n.domain == "com.microsoft" || n.domain == "com.microsoft.nchwc" || n.is("SimplifiedLayerNormalization")) return {};
      const auto* newest = find_schema(n.op_type, n.domain);
      if (newest)
        return error(TENON_UNIMPLEMENTED, "{}: opset {} of \"{}\" has no {}; it exists since {}", n.label(), version,
                     n.domain.empty() ? "ai.onnx" : n.domain, n.op_type, newest->since_version());
      return error(TENON_UNIMPLEMENTED, "{}: no schema for this operator in domain \"{}\"; a provider may declare it (tenon.schema)",
                   n.label(), n.domain.empty() ? "ai.onnx" : n.domain);
    }
    const int inputs = static_cast<int>(n.inputs.size()), outputs = static_cast<int>(n.outputs.size());
    if (inputs > schema->max_input() || outputs > schema->max_output() || outputs < schema->min_output())
      return invalid("{}: {} inputs and {} outputs; the operator takes {} to {} and gives {} to {}", n.label(), inputs, outputs,
                     schema->min_input(), schema->max_input(), schema->min_output(), schema->max_output());
    for (int i = 0; i < schema->min_input(); ++i)
      if (i >= inputs || n.inputs[static_cast<std::size_t>(i)] == none) {
        const auto& formal = schema->inputs();
        if (i < static_cast<int>(formal.size()) && formal[static_cast<std::size_t>(i)].GetOption() == onnx::OpSchema::Optional) continue;
        return invalid("{}: input {} is required and missing", n.label(), i);
      }
    for (const auto& [name, a] : schema->attributes())
      if (a.required && !n.find(name)) return invalid("{}: attribute \"{}\" is required and missing", n.label(), name);
    for (const Attribute& a : n.attributes) {
      auto it = schema->attributes().find(a.name);
      if (it == schema->attributes().end()) continue;
      if (static_cast<std::int32_t>(it->second.type) != attribute_type(a.value) && static_cast<int>(it->second.type) != 0)
        return invalid("{}: attribute \"{}\" has type {}, the operator wants {}", n.label(), a.name, attribute_type(a.value),
                       static_cast<int>(it->second.type));
    }
    return {};
  }

  // Only an output that the schema calls optional may be left out: others get a value that nobody reads.
  void name_outputs(Node& n, Scope& scope, std::int64_t version) const {
    const auto* schema = find_schema(n.op_type, n.domain, version);
    for (std::size_t i = 0; i < n.outputs.size(); ++i) {
      const bool optional = schema && i < schema->outputs().size() && schema->outputs()[i].GetOption() == onnx::OpSchema::Optional;
      if (n.outputs[i] == none && !(schema ? optional : i > 0)) n.outputs[i] = scope.graph.add_value(fmt::format("{}/unused_{}", n.name, i), {});
    }
  }

  Status unknown_operators() const {
    std::string text;
    for (const auto& [op, seen] : unknown_) {
      text += (text.empty() ? "" : "\n  ") + seen.first;
      if (seen.second > 1) text += fmt::format(" ({} such nodes)", seen.second);
    }
    return error(TENON_UNIMPLEMENTED, "{}{}", unknown_.size() > 1 ? fmt::format("{} operators are not known:\n  ", unknown_.size()) : "", text);
  }

  // Newest schema: since_version and attribute defaults.
  Status finish(Node& n, std::int64_t version) const {
    if (const CustomOp* op = options_.custom ? options_.custom->find(n.domain, n.op_type, version) : nullptr) {
      n.since_version = op->since_version;
      for (const Attribute& a : op->defaults)
        if (!n.find(a.name)) n.set(a.name, a.value);
      for (const std::string& name : op->required)
        if (!n.find(name)) return invalid("{}: attribute \"{}\" is required and missing", n.label(), name);
      return {};
    }
    fill_from_schema(n);
    return {};
  }

  Model& model_;
  const ImportOptions& options_;
  Payloads& payloads_;
  std::unordered_map<std::string, const onnx::FunctionProto*> functions_;
  std::unordered_map<const Graph*, std::unordered_map<std::string, Type>> declared_;
  std::map<std::string, std::pair<std::string, int>> unknown_;  // operator: what is said of its first node, nodes
  std::uint64_t node_count_ = 0;
  int function_depth_ = 0;
};

Result<std::unique_ptr<Model>> import_payload(Payloads& payloads, const ImportOptions& options) try {
  TENON_ASSIGN(SlimModel slim, SlimModel::make(payloads.bytes, options.limits.nesting * 4));
  payloads.slim = &slim;
  payloads.max_bytes = options.limits.memory;
  payloads.max_rank = options.limits.rank;
  onnx::ModelProto proto;
  if (!proto.ParseFromArray(slim.message().data(), static_cast<int>(slim.message().size())))
    return error(TENON_DATA_LOSS, "not an ONNX model: the protobuf message does not parse; the file is truncated or of another format");
  auto model = std::make_unique<Model>();
  Importer importer(*model, options, payloads);
  TENON_TRY(importer.run(proto));
  model->path = payloads.path;
  return model;
} catch (const std::exception& e) {
  return error(TENON_INVALID_ARGUMENT, "the model was refused by the onnx library: {}", e.what());
}

}  // namespace

Result<std::unique_ptr<Model>> import_file(const std::string& path, const ImportOptions& options) {
  std::error_code code;
  const std::filesystem::path canonical = std::filesystem::canonical(path, code);
  if (code) return error(TENON_NOT_FOUND, "model \"{}\": {}", path, code.message());
  TENON_ASSIGN(auto map, FileMap::open(canonical.string()));
  if (map->bytes().size() > options.limits.model_bytes)
    return error(TENON_RESOURCE_EXHAUSTED, "model \"{}\": {} bytes are over limits.model = {}", path, map->bytes().size(), options.limits.model_bytes);
  Payloads payloads;
  payloads.bytes = map->bytes();
  payloads.keep = map;
  payloads.path = canonical.string();
  payloads.file = map->identity();
  payloads.folder = canonical.parent_path().string();
  auto model = import_payload(payloads, options);
  if (!model.ok()) return std::move(model.status()).at("model \"" + path + "\"");
  return model;
}

Result<std::unique_ptr<Model>> import_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> keep,
                                            const ImportOptions& options) {
  if (bytes.empty()) return error(TENON_DATA_LOSS, "model: 0 bytes are not an ONNX model");
  if (bytes.size() > options.limits.model_bytes)
    return error(TENON_RESOURCE_EXHAUSTED, "model: {} bytes are over limits.model = {}", bytes.size(), options.limits.model_bytes);
  Payloads payloads;
  payloads.bytes = bytes;
  payloads.keep = std::move(keep);
  auto model = import_payload(payloads, options);
  if (!model.ok()) return std::move(model.status()).at("model");
  return model;
}

Result<GraphPtr> function_body(Model& model, const Graph& graph, const Node& node, const ImportOptions& options) try {
  const auto* schema = find_schema(node.op_type, node.domain);
  if (!schema || (!schema->HasFunction() && !schema->HasContextDependentFunction())) return GraphPtr();
  onnx::NodeProto call;
  call.set_op_type(node.op_type);
  call.set_domain(node.domain);
  call.set_name(node.name);
  std::vector<onnx::TypeProto> types;
  for (ValueId v : node.inputs) {
    call.add_input(v == none ? "" : graph.values[v].name);
    types.emplace_back();
    if (v != none) type_to_proto(graph.values[v].type, model.symbols, types.back());
  }
  for (ValueId v : node.outputs) call.add_output(v == none ? "" : graph.values[v].name);
  for (const Attribute& a : node.attributes) attribute_to_proto(a, *call.add_attribute());
  onnx::FunctionProto built;
  const onnx::FunctionProto* function = nullptr;
  if (schema->HasContextDependentFunction()) {
    onnx::FunctionBodyBuildContextImpl context(call, types);
    if (!schema->BuildContextDependentFunction(context, built)) return GraphPtr();
    function = &built;
  } else {
    function = schema->GetFunction();
  }
  if (!function) return GraphPtr();
  auto body = std::make_shared<Graph>();
  body->name = node.op_type;
  Payloads payloads;
  Importer importer(model, options, payloads);
  for (const OpsetImport& i : model.opsets) importer.versions_[i.domain] = i.version;
  importer.versions_[""] = std::max<std::int64_t>(importer.versions_[""], schema->since_version());
  TENON_TRY(importer.function_graph(*function, node, graph, call, *body));
  return GraphPtr(body);
} catch (const std::exception& e) {
  return invalid("the body of {} cannot be built: {}", node.label(), e.what());
}

}  // namespace tenon
