#include "core/onnx/infer.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <onnx/defs/shape_inference.h>

#include "core/graph/elements.h"
#include "core/onnx/infer_guard.h"
#include "core/onnx/schemas.h"
#include "core/ops/evaluator.h"
#include "core/ops/gradient.h"
#include "core/ops/microsoft.h"
#include "core/ops/ml.h"

namespace tenon {

ShapeTable::ShapeTable(const Graph& graph) : values(graph.values.size()) {
  for (ValueId v = 0; v < values.size(); ++v)
    if (const ConstantPtr& c = graph.values[v].constant) {
      values[v].dims = c->dims;
      values[v].ranked = true;
      values[v].known = c;
    }
}

bool ShapeTable::complete(ValueId v) const {
  if (!values[v].ranked) return false;
  for (std::int64_t d : values[v].dims)
    if (d < 0) return false;
  return true;
}

namespace {

// One node as the onnx library's inference functions see it; built once, refilled for every call.
struct NodeContext final : onnx::InferenceContext {
  const Graph* graph = nullptr;
  const Node* node = nullptr;
  mutable std::map<std::string, onnx::AttributeProto> attributes;  // that were asked for: most of a forest's thousands never are
  std::vector<onnx::TypeProto> inputs, outputs;
  std::vector<onnx::TensorProto> data;
  std::vector<const Constant*> known;
  std::vector<bool> filled;
  ConstantPtr depth;  // of a OneHot, in a type that the library reads

  const onnx::AttributeProto* getAttribute(const std::string& name) const override {
    if (const auto it = attributes.find(name); it != attributes.end()) return &it->second;
    const auto given = std::find_if(node->attributes.begin(), node->attributes.end(), [&](const Attribute& a) { return a.name == name; });
    if (given == node->attributes.end()) return nullptr;
    onnx::AttributeProto& made = attributes[name];
    attribute_to_proto(*given, made);
    return &made;
  }
  std::size_t getNumInputs() const override { return inputs.size(); }
  const onnx::TypeProto* getInputType(std::size_t i) const override {
    return i < inputs.size() && node->inputs[i] != none && inputs[i].value_case() != onnx::TypeProto::VALUE_NOT_SET ? &inputs[i] : nullptr;
  }
  bool hasInput(std::size_t i) const override { return i < inputs.size() && node->inputs[i] != none; }
  const onnx::TensorProto* getInputData(std::size_t i) const override {
    auto* self = const_cast<NodeContext*>(this);
    if (i >= known.size() || !known[i]) return nullptr;
    if (!filled[i]) {
      self->data[i].Clear();
      constant_to_proto(*known[i], self->data[i]);
      self->filled[i] = true;
    }
    return &data[i];
  }
  std::size_t getNumOutputs() const override { return outputs.size(); }
  // The library asks for as many as the inputs let it expect.
  onnx::TypeProto* getOutputType(std::size_t i) override {
    if (i >= outputs.size()) throw std::out_of_range(fmt::format("it has {} outputs, its inputs ask for more", outputs.size()));
    return &outputs[i];
  }
  onnx::GraphInferencer* getGraphAttributeInferencer(const std::string&) override { return nullptr; }
  const onnx::SparseTensorProto* getInputSparseData(std::size_t) const override { return nullptr; }
  const onnx::TensorShapeProto* getSymbolicInput(std::size_t) const override { return nullptr; }
  std::string getDisplayName() const override { return node->label(); }
};

// Constants that inference may read: lists, not weights.
constexpr std::int64_t readable_elements = 4096;

}  // namespace

struct GraphInference::Impl {
  const Model& model;
  const Graph& graph;
  const CustomOps* custom;
  struct Prepared {
    std::unique_ptr<NodeContext> context;
    const onnx::OpSchema* schema = nullptr;
    const CustomOp* op = nullptr;
    const MicrosoftOp* microsoft = nullptr;
    bool evaluable = false, guarded = false;
  };
  std::vector<Prepared> nodes;

  Impl(const Model& m, const Graph& g, const CustomOps* c) : model(m), graph(g), custom(c), nodes(g.nodes.size()) {
    for (NodeId n = 0; n < g.nodes.size(); ++n) prepare(n);
  }

  void complete_ml(NodeId id, const ShapeTable& shapes);
  void prepare(NodeId id) {
    const Node& node = graph.nodes[id];
    Prepared& p = nodes[id];
    p.evaluable = evaluable(node);
    p.guarded = has_inference_guard(node);
    p.op = custom ? custom->find(node.domain, node.op_type, node.since_version) : nullptr;
    if (p.op || node.control_flow() || (node.is("Optional") && node.inputs.empty())) return;  // an absent Optional: its attribute is its type
    p.schema = find_schema(node.op_type, node.domain);
    if (!p.schema) {
      p.microsoft = find_microsoft_op(node);
      return;
    }
    p.context = std::make_unique<NodeContext>();
    NodeContext& c = *p.context;
    c.graph = &graph;
    c.node = &node;
    c.inputs.resize(node.inputs.size());
    c.outputs.resize(node.outputs.size());
    c.data.resize(node.inputs.size());
    c.known.resize(node.inputs.size());
    c.filled.resize(node.inputs.size());
  }
};

GraphInference::GraphInference(const Model& model, const Graph& graph, const CustomOps* custom)
    : impl_(std::make_unique<Impl>(model, graph, custom)) {}
GraphInference::~GraphInference() = default;
GraphInference::GraphInference(GraphInference&&) noexcept = default;

namespace {

void set_dims(const ShapeTable::Entry& entry, const Type& type, const SymbolTable& symbols, onnx::TypeProto& proto) {
  if (type.kind != TENON_KIND_TENSOR) {
    if (proto.value_case() == onnx::TypeProto::VALUE_NOT_SET) type_to_proto(type, symbols, proto);
    return;
  }
  auto* tensor = proto.mutable_tensor_type();
  tensor->set_elem_type(type.dtype);
  if (!entry.ranked) {
    tensor->clear_shape();
    return;
  }
  auto* shape = tensor->mutable_shape();
  while (shape->dim_size() > static_cast<int>(entry.dims.size())) shape->mutable_dim()->RemoveLast();
  while (shape->dim_size() < static_cast<int>(entry.dims.size())) shape->add_dim();
  for (int d = 0; d < shape->dim_size(); ++d) {
    if (entry.dims[static_cast<std::size_t>(d)] >= 0) shape->mutable_dim(d)->set_dim_value(entry.dims[static_cast<std::size_t>(d)]);
    else shape->mutable_dim(d)->clear_value();
  }
}

// The element type that the schema alone gives an output: its own, or that of an input of the same type parameter.
DType formal_dtype(const onnx::OpSchema& schema, const Node& node, std::size_t output, const std::vector<Value>& values) {
  if (schema.outputs().empty()) return TENON_DTYPE_UNDEFINED;
  const std::string& type = schema.outputs()[std::min(output, schema.outputs().size() - 1)].GetTypeStr();
  if (type.starts_with("tensor(")) return dtype_from_name(std::string_view(type).substr(7, type.size() - 8)).value_or(0);
  for (std::size_t i = 0; i < node.inputs.size() && i < schema.inputs().size(); ++i)
    if (node.inputs[i] != none && schema.inputs()[i].GetTypeStr() == type) return values[node.inputs[i]].type.dtype;
  for (const auto& constraint : schema.typeConstraintParams())
    if (constraint.type_param_str == type && constraint.allowed_type_strs.size() == 1 && constraint.allowed_type_strs[0].starts_with("tensor("))
      return dtype_from_name(std::string_view(constraint.allowed_type_strs[0]).substr(7, constraint.allowed_type_strs[0].size() - 8)).value_or(0);
  return TENON_DTYPE_UNDEFINED;
}

// The depth of a OneHot may have any number type, of which the library reads int32 and int64. Null where those are given.
ConstantPtr whole_depth(const ConstantPtr& given) {
  if (!given || given->dtype == TENON_DTYPE_INT64 || given->dtype == TENON_DTYPE_INT32) return nullptr;
  const auto depth = single_number(*given);
  return depth && *depth >= 0 && *depth < 9e18 ? int64_constant({static_cast<std::int64_t>(*depth)}, true) : nullptr;
}

void set_output(const Type& type, ShapeTable::Entry& entry) {
  if (!type.is_tensor() || !type.dims) return;
  entry.ranked = true;
  entry.dims.clear();
  for (const Dim& d : *type.dims) entry.dims.push_back(d.value);
}

void set_known(const Value& value, const ConstantPtr& known, ShapeTable::Entry& entry) {
  if (value.type.dtype == TENON_DTYPE_UNDEFINED) const_cast<Value&>(value).type.dtype = known->dtype;
  entry.known = known;
  entry.dims = known->dims;
  entry.ranked = true;
}

}  // namespace

// The library knows the types of ai.onnx.ml and few of its shapes.
void GraphInference::Impl::complete_ml(NodeId id, const ShapeTable& shapes) {
  const Node& node = graph.nodes[id];
  const auto& values = graph.values;
  const onnx::OpSchema& schema = *nodes[id].schema;
  NodeContext& c = *nodes[id].context;
  std::vector<Type> in, out(node.outputs.size());
  for (ValueId v : node.inputs) {
    Type& t = in.emplace_back();
    if (v == none) continue;
    t = values[v].type;
    t.dims.reset();
    if (!shapes.values[v].ranked) continue;
    t.dims.emplace();
    for (std::int64_t d : shapes.values[v].dims) t.dims->push_back({d, 0});
  }
  complete_ml_shapes(node, in, out);
  for (std::size_t i = 0; i < out.size(); ++i) {
    onnx::TypeProto& t = c.outputs[i];
    if (node.outputs[i] == none || !out[i].dims || (t.value_case() != onnx::TypeProto::VALUE_NOT_SET && !t.has_tensor_type())) continue;
    auto* tensor = t.mutable_tensor_type();
    if (!tensor->elem_type()) tensor->set_elem_type(values[node.outputs[i]].type.dtype ? values[node.outputs[i]].type.dtype : formal_dtype(schema, node, i, values));
    const int rank = static_cast<int>(out[i].dims->size());
    if (tensor->has_shape() && tensor->shape().dim_size() != rank) continue;
    auto* shape = tensor->mutable_shape();
    while (shape->dim_size() < rank) shape->add_dim();
    for (int d = 0; d < rank; ++d)
      if (const Dim& dim = (*out[i].dims)[static_cast<std::size_t>(d)]; dim.fixed() && !shape->dim(d).has_dim_value()) shape->mutable_dim(d)->set_dim_value(dim.value);
  }
}

Status GraphInference::run_node(NodeId id, ShapeTable& shapes) {
  const Node& node = impl_->graph.nodes[id];
  Impl::Prepared& p = impl_->nodes[id];
  const auto& values = impl_->graph.values;
  // Shape arithmetic gives the values themselves, and with them the dims.
  if (node.domain.empty() && (node.op_type == "Shape" || node.op_type == "Size") && shapes.complete(node.inputs[0])) {
    const Dims& dims = shapes.values[node.inputs[0]].dims;
    auto& out = shapes.values[node.outputs[0]];
    if (node.op_type == "Size") {
      out.known = int64_constant({element_count(dims).value()}, true);
    } else {
      const std::int64_t rank = static_cast<std::int64_t>(dims.size());
      std::int64_t start = node.int_or("start", 0), end = node.int_or("end", rank);
      start = std::clamp<std::int64_t>(start < 0 ? start + rank : start, 0, rank);
      end = std::clamp<std::int64_t>(end < 0 ? end + rank : end, 0, rank);
      out.known = int64_constant(Dims(dims.begin() + start, dims.begin() + std::max(start, end)));
    }
    set_known(values[node.outputs[0]], out.known, out);
    return {};
  }
  if (p.evaluable) {
    std::vector<ConstantPtr> in;
    bool all = true;
    for (ValueId v : node.inputs) {
      in.push_back(v == none ? nullptr : shapes.values[v].known);
      all = all && (v == none || (in.back() && in.back()->count() <= small_elements));
    }
    if (all)
      if (auto out = evaluate(node, in)) {
        for (std::size_t i = 0; i < out->size() && i < node.outputs.size(); ++i) {
          if (node.outputs[i] == none) continue;
          auto& entry = shapes.values[node.outputs[i]];
          set_known(values[node.outputs[i]], (*out)[i], entry);
        }
        return {};
      }
  }
  if (is_gradient(node)) {  // until it is spelled out: an output is like the tensor that it belongs to
    for (std::size_t i = 0; i < node.outputs.size() && i < node.inputs.size(); ++i) {
      if (node.outputs[i] == none || node.inputs[i] == none) continue;
      const_cast<Value&>(values[node.outputs[i]]).type.dtype = values[node.inputs[i]].type.dtype;
      shapes.values[node.outputs[i]].dims = shapes.values[node.inputs[i]].dims;
      shapes.values[node.outputs[i]].ranked = shapes.values[node.inputs[i]].ranked;
    }
    return {};
  }
  if (node.is("Range") && node.inputs.size() == 3) {
    const auto known = [&](std::size_t i) { return shapes.values[node.inputs[i]].known.get(); };
    const auto size = known(0) && known(1) && known(2) ? range_size(*known(0), *known(1), *known(2)) : std::nullopt;
    if (size) {
      auto& out = shapes.values[node.outputs[0]];
      out.ranked = true;
      out.dims = {*size};
      if (Value& value = const_cast<Value&>(values[node.outputs[0]]); value.type.dtype == TENON_DTYPE_UNDEFINED) value.type.dtype = values[node.inputs[0]].type.dtype;
      return {};
    }
  }
  // The library does not read the shape that a MaxUnpool is given.
  if (node.is("MaxUnpool") && node.inputs.size() > 2 && node.inputs[2] != none)
    if (const ConstantPtr& given = shapes.values[node.inputs[2]].known; given && given->dtype == TENON_DTYPE_INT64) {
      auto& out = shapes.values[node.outputs[0]];
      out.dims.resize(static_cast<std::size_t>(given->count()));
      if (!out.dims.empty()) std::memcpy(out.dims.data(), given->data, out.dims.size() * sizeof(std::int64_t));
      if (const auto& x = shapes.values[node.inputs[0]]; x.ranked && x.dims.size() != out.dims.size())
        return invalid("{}: output_shape has {} sizes, the input has {}", node.label(), out.dims.size(), x.dims.size());
      for (std::int64_t d : out.dims)
        if (d < 0) return invalid("{}: output_shape has the negative size {}", node.label(), d);
      out.ranked = true;
      if (Value& value = const_cast<Value&>(values[node.outputs[0]]); value.type.dtype == TENON_DTYPE_UNDEFINED) value.type.dtype = values[node.inputs[0]].type.dtype;
      return {};
    }
  if (p.op || p.microsoft) {
    std::vector<Type> in, out(node.outputs.size());
    std::vector<ConstantPtr> known;
    for (ValueId v : node.inputs) {
      known.push_back(v == none ? nullptr : shapes.values[v].known);
      Type t;
      if (v != none) {
        t = values[v].type;
        t.dims.reset();
        if (shapes.values[v].ranked) {
          t.dims.emplace();
          for (std::int64_t d : shapes.values[v].dims) t.dims->push_back({d, 0});
        }
      }
      in.push_back(std::move(t));
    }
    if (p.microsoft && out.size() > p.microsoft->outputs)
      return invalid("{}: {} outputs; the operator has {}", node.label(), out.size(), p.microsoft->outputs);
    Status s = p.op ? p.op->infer(impl_->graph, node, in, out) : p.microsoft->infer(node, in, known, out);
    if (!s.ok()) return std::move(s).at(node.label());
    for (std::size_t i = 0; i < out.size(); ++i)
      if (node.outputs[i] != none) {
        if (values[node.outputs[i]].type.dtype == TENON_DTYPE_UNDEFINED) const_cast<Value&>(values[node.outputs[i]]).type = out[i];
        set_output(out[i], shapes.values[node.outputs[i]]);
      }
    return {};
  }
  if (!p.context) return {};
  NodeContext& c = *p.context;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId v = node.inputs[i];
    if (v == none) continue;
    set_dims(shapes.values[v], values[v].type, impl_->model.symbols, c.inputs[i]);
    if (i == 1 && node.is("OneHot")) c.depth = whole_depth(shapes.values[v].known);
    const Constant* known = i == 1 && c.depth ? c.depth.get() : shapes.values[v].known.get();
    c.known[i] = known && known->count() <= readable_elements ? known : nullptr;
    c.filled[i] = false;
  }
  for (onnx::TypeProto& t : c.outputs) t.Clear();
  try {
    if (p.guarded) {
      std::vector<std::int64_t> ranks;
      for (ValueId v : node.inputs) ranks.push_back(v != none && shapes.values[v].ranked ? static_cast<std::int64_t>(shapes.values[v].dims.size()) : -1);
      if (const std::string fault = inference_fault(node, ranks); !fault.empty()) throw std::invalid_argument(fault);
    }
    p.schema->GetTypeAndShapeInferenceFunction()(c);
  } catch (const std::exception& e) {
    for (std::size_t i = 0; i < node.outputs.size(); ++i)  // sizes that do not fit say nothing against the types
      if (node.outputs[i] != none)
        if (Value& value = const_cast<Value&>(values[node.outputs[i]]); value.type.is_tensor() && value.type.dtype == TENON_DTYPE_UNDEFINED)
          value.type.dtype = formal_dtype(*p.schema, node, i, values);
    return invalid("{}: {}", node.label(), e.what());
  }
  if (node.domain == "ai.onnx.ml") impl_->complete_ml(id, shapes);
  // Its output has the type of the scale; the library says that of the input.
  else if (node.is("RMSNormalization") && c.inputs.size() > 1 && c.outputs[0].has_tensor_type() && c.inputs[1].has_tensor_type())
    c.outputs[0].mutable_tensor_type()->set_elem_type(c.inputs[1].tensor_type().elem_type());
  // GroupNormalization and MeanVarianceNormalization: a body and no inference.
  else if (node.domain.empty() && !p.schema->has_type_and_shape_inference_function() && !c.inputs.empty()) c.outputs[0] = c.inputs[0];
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == none) continue;
    const onnx::TypeProto& t = c.outputs[i];
    Value& value = const_cast<Value&>(values[node.outputs[i]]);
    ShapeTable::Entry& entry = shapes.values[node.outputs[i]];
    if (value.type.kind == TENON_KIND_TENSOR && value.type.dtype == TENON_DTYPE_UNDEFINED && t.value_case() != onnx::TypeProto::VALUE_NOT_SET) {
      SymbolTable scratch;
      value.type = type_from_proto(t, scratch);
      if (value.type.is_tensor()) value.type.dims.reset();
    }
    if (value.type.is_tensor() && value.type.dtype == TENON_DTYPE_UNDEFINED) value.type.dtype = formal_dtype(*p.schema, node, i, values);
    if (!t.has_tensor_type()) continue;
    if (value.type.is_tensor() && t.tensor_type().elem_type() && value.type.dtype != t.tensor_type().elem_type())
      return invalid("{}: output {} is declared {}, the operator makes {}", node.label(), i, dtype_name(value.type.dtype),
                     dtype_name(t.tensor_type().elem_type()));
    if (!t.tensor_type().has_shape()) continue;
    entry.ranked = true;
    entry.dims.clear();
    for (const auto& d : t.tensor_type().shape().dim()) {
      if (d.has_dim_value() && d.dim_value() < 0)
        return invalid("{}: its output \"{}\" would have the negative size {} in dimension {}", node.label(), value.name, d.dim_value(), entry.dims.size());
      entry.dims.push_back(d.has_dim_value() ? d.dim_value() : -1);
    }
  }
  return {};
}

}  // namespace tenon
