// Functions: those of the model, expanded where they are called, and those of operators, as bodies.
#include <algorithm>

#include "core/onnx/importer.h"

namespace tenon {

Status Importer::function_graph(const onnx::FunctionProto& f, const Node& node, const Graph& around, const onnx::NodeProto& call, Graph& out) {
  for (const auto& import : f.opset_import()) versions[import.domain() == "ai.onnx" ? "" : import.domain()] = import.version();
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
    if (it == scope.names.end() && node.outputs[static_cast<std::size_t>(i)] == none && !out.outputs.empty()) {
      out.outputs.push_back(out.outputs.front());  // nobody wants it; what follows keeps its position
      continue;
    }
    if (it == scope.names.end()) return invalid("the body of {} makes no output \"{}\"", node.label(), f.output(i));
    out.outputs.push_back(it->second);
    out.values[it->second].is_output = true;
  }
  return out.sort();
}

Status Importer::inline_function(const onnx::NodeProto& call, const onnx::FunctionProto& f, Scope& scope, int depth, std::vector<Node>& nodes,
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
  const auto saved = versions;
  for (const auto& import : f.opset_import()) versions[import.domain() == "ai.onnx" ? "" : import.domain()] = import.version();
  for (const auto& n : f.node()) {
    if (Status s = node(n, scope, depth, nodes, &frame); !s.ok()) return std::move(s).at("function " + f.name());
  }
  versions = saved;
  --function_depth_;
  return {};
}

namespace {

// A body works on whatever its own operators take: a cast in it would accept types that the operator does not have.
Status check_element_types(const onnx::OpSchema& schema, const Node& node, const std::vector<onnx::TypeProto>& types) {
  const auto& formals = schema.inputs();
  for (std::size_t i = 0; i < types.size() && !formals.empty(); ++i) {
    if (!types[i].has_tensor_type() || types[i].tensor_type().elem_type() == TENON_DTYPE_UNDEFINED) continue;
    const auto& formal = formals[std::min(i, formals.size() - 1)];
    const onnx::DataType type = onnx::Utils::DataTypeUtils::ToType(types[i]);
    if (!formal.GetTypes().contains(type))
      return invalid("{}: input {} ({}) is a {}, which the operator does not take", node.label(), i, formal.GetName(), *type);
  }
  return {};
}

}  // namespace

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
  TENON_TRY(check_element_types(*schema, node, types));
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
  for (const OpsetImport& i : model.opsets) importer.versions[i.domain] = i.version;
  importer.versions[""] = std::max<std::int64_t>(importer.versions[""], schema->since_version());
  TENON_TRY(importer.function_graph(*function, node, graph, call, *body));
  return GraphPtr(body);
} catch (const std::exception& e) {
  return invalid("the body of {} cannot be built: {}", node.label(), e.what());
}

}  // namespace tenon
