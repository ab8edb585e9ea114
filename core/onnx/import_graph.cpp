// A graph of the file: inputs, initializers, nodes, outputs, and the names they see.
#include <algorithm>
#include <unordered_set>

#include "core/onnx/importer.h"
#include "core/onnx/sparse.h"
#include "core/ops/gradient.h"
#include "core/ops/upgrade.h"

namespace tenon {

Status Importer::graph(const onnx::GraphProto& proto, Scope& scope, int depth, const FunctionFrame* frame) {
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

std::string Importer::local_name(const std::string& name, const FunctionFrame* frame) {
  if (!frame) return name;
  auto it = frame->renamed.find(name);
  return it != frame->renamed.end() ? it->second : frame->prefix + name;
}

ValueId Importer::make_value(Scope& scope, const std::string& name) {
  Type type;
  if (auto it = declared_.find(&scope.graph); it != declared_.end())
    if (auto t = it->second.find(name); t != it->second.end()) type = t->second;
  return scope.names[name] = scope.graph.add_value(name, std::move(type));
}

ValueId Importer::lookup(Scope& scope, const std::string& name) {
  if (auto it = scope.names.find(name); it != scope.names.end()) return it->second;
  if (!scope.parent) return none;
  const ValueId parent = lookup(*scope.parent, name);
  if (parent == none) return none;
  const Value& outer = scope.parent->graph.values[parent];
  const ValueId v = outer.constant ? scope.graph.add_constant(name, outer.constant) : scope.graph.add_value(name, outer.type);
  if (!outer.constant) scope.graph.outer.push_back({v, parent});
  return scope.names[name] = v;
}

Status Importer::node(const onnx::NodeProto& proto, Scope& scope, int depth, std::vector<Node>& nodes, const FunctionFrame* frame) {
  if (++node_count_ > options_.limits.nodes)
    return error(TENON_RESOURCE_EXHAUSTED, "the model has more nodes than limits.nodes = {}", options_.limits.nodes);
  Node n;
  n.domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
  n.op_type = proto.op_type();
  n.name = (frame ? frame->prefix : "") + proto.name();
  if (n.op_type.empty()) return invalid("node \"{}\" has no op_type", n.name);
  auto version = versions.find(n.domain);
  if (version == versions.end() && !n.domain.empty() && functions_.count(proto.domain() + "\n" + n.op_type)) version = versions.find("");
  if (version == versions.end())
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
  name_outputs(n, scope, find_schema(n.op_type, n.domain, version->second));
  const std::size_t before = nodes.size();
  Upgrade u{scope.graph, nodes, version->second, [&](Node& inner) { return finish(inner, version->second); }};
  TENON_TRY(upgrade_node(u, std::move(n)));
  for (std::size_t i = before; i < nodes.size(); ++i) {
    if (nodes[i].domain == "com.microsoft") name_outputs(nodes[i], scope, nullptr, false);
    TENON_TRY(finish(nodes[i], version->second));
  }
  return {};
}

}  // namespace tenon
