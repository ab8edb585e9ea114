// A node against the schema of its operator.
#include "core/onnx/canonical.h"
#include "core/onnx/importer.h"

namespace tenon {

Status Importer::check_schema(const Node& n, std::int64_t version) const {
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

void Importer::name_outputs(Node& n, Scope& scope, const onnx::OpSchema* schema, bool spelled_out) const {
  for (std::size_t i = 0; i < n.outputs.size(); ++i) {
    const bool optional = schema ? i < schema->outputs().size() && schema->outputs()[i].GetOption() == onnx::OpSchema::Optional
                                 : i > 0 || (spelled_out && n.outputs.size() > 1);
    if (n.outputs[i] == none && !optional) n.outputs[i] = scope.graph.add_value(fmt::format("{}/unused_{}", n.name, i), {});
  }
}

Status Importer::unknown_operators() const {
  std::string text;
  for (const auto& [op, seen] : unknown_) {
    text += (text.empty() ? "" : "\n  ") + seen.first;
    if (seen.second > 1) text += fmt::format(" ({} such nodes)", seen.second);
  }
  return error(TENON_UNIMPLEMENTED, "{}{}", unknown_.size() > 1 ? fmt::format("{} operators are not known:\n  ", unknown_.size()) : "", text);
}

Status Importer::finish(Node& n, std::int64_t version) const {
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

}  // namespace tenon
