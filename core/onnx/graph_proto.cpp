// A body as a message, for operators of the library that look into the graphs they are given.
#include "core/onnx/proto.h"

namespace tenon {
namespace {

// Names need only differ, and be identifiers: function builders print and parse them.
std::string name_of(ValueId v) { return v == none ? "" : "v" + std::to_string(v); }

// Without symbols: their names mean nothing outside the model.
void value_to_proto(const Graph& graph, ValueId v, onnx::ValueInfoProto& proto) {
  static const SymbolTable no_symbols;
  Type type = graph.values[v].type;
  if (type.dims)
    for (Dim& d : *type.dims) d.symbol = 0;
  proto.set_name(name_of(v));
  type_to_proto(type, no_symbols, *proto.mutable_type());
}

}  // namespace

void graph_to_proto(const Graph& graph, onnx::GraphProto& proto) {
  proto.set_name(graph.name);
  for (ValueId v : graph.inputs) value_to_proto(graph, v, *proto.add_input());
  for (ValueId v : graph.outputs) value_to_proto(graph, v, *proto.add_output());
  for (ValueId v = 0; v < graph.values.size(); ++v)
    if (const ConstantPtr& c = graph.values[v].constant) {
      onnx::TensorProto& tensor = *proto.add_initializer();
      constant_to_proto(*c, tensor);
      tensor.set_name(name_of(v));
    }
  for (const Node& node : graph.nodes) {
    onnx::NodeProto& to = *proto.add_node();
    to.set_domain(node.domain);
    to.set_op_type(node.op_type);
    to.set_name(node.name);
    for (ValueId v : node.inputs) to.add_input(name_of(v));
    for (ValueId v : node.outputs) to.add_output(name_of(v));
    for (const Attribute& a : node.attributes) attribute_to_proto(a, *to.add_attribute());
  }
}

}  // namespace tenon
