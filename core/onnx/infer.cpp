#include "core/onnx/infer.h"

#include <algorithm>
#include <cstring>
#include <map>

#include <onnx/defs/schema.h>
#include <onnx/defs/shape_inference.h>

#include "core/onnx/proto.h"
#include "core/ops/evaluator.h"
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

bool is_control_flow(const Node& n) { return n.domain.empty() && (n.op_type == "If" || n.op_type == "Loop" || n.op_type == "Scan" || n.op_type == "SequenceMap"); }

// One node as the onnx library's inference functions see it; built once, refilled for every call.
struct NodeContext final : onnx::InferenceContext {
  const Graph* graph = nullptr;
  const Node* node = nullptr;
  std::map<std::string, onnx::AttributeProto> attributes;
  std::vector<onnx::TypeProto> inputs, outputs;
  std::vector<onnx::TensorProto> data;
  std::vector<const Constant*> known;
  std::vector<bool> filled;

  const onnx::AttributeProto* getAttribute(const std::string& name) const override {
    auto it = attributes.find(name);
    return it == attributes.end() ? nullptr : &it->second;
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
  onnx::TypeProto* getOutputType(std::size_t i) override { return i < outputs.size() ? &outputs[i] : nullptr; }
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
    bool evaluable = false;
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
    p.op = custom ? custom->find(node.domain, node.op_type, node.since_version) : nullptr;
    if (p.op || is_control_flow(node)) return;
    p.schema = onnx::OpSchemaRegistry::Schema(node.op_type, node.domain);
    if (!p.schema) {
      p.microsoft = find_microsoft_op(node);
      return;
    }
    p.context = std::make_unique<NodeContext>();
    NodeContext& c = *p.context;
    c.graph = &graph;
    c.node = &node;
    for (const Attribute& a : node.attributes) attribute_to_proto(a, c.attributes[a.name]);
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
  if (p.op || p.microsoft) {
    std::vector<Type> in, out(node.outputs.size());
    for (ValueId v : node.inputs) {
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
    Status s = p.op ? p.op->infer(impl_->graph, node, in, out) : p.microsoft->infer(node, in, out);
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
    const Constant* known = shapes.values[v].known.get();
    c.known[i] = known && known->count() <= readable_elements ? known : nullptr;
    c.filled[i] = false;
  }
  for (onnx::TypeProto& t : c.outputs) t.Clear();
  try {
    p.schema->GetTypeAndShapeInferenceFunction()(c);
  } catch (const std::exception& e) {
    return invalid("{}: {}", node.label(), e.what());
  }
  if (node.domain == "ai.onnx.ml") impl_->complete_ml(id, shapes);
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

// ---- types at load -------------------------------------------------------------------------------------------------------

namespace {

Status infer_graph(Model& model, Graph& graph, const CustomOps* custom, int depth);

void inherit_outer(Graph& body, const Graph& around) {
  for (const OuterValue& o : body.outer) body.values[o.inner].type = around.values[o.parent].type;
}

// Same kind and dtype, dims that agree; the others get fresh symbols.
Type merge(const Type& a, const Type& b, SymbolTable& symbols) {
  Type out = a.dtype || !a.is_tensor() ? a : b;
  if (!a.dims || !b.dims || a.dims->size() != b.dims->size()) {
    out.dims.reset();
    return out;
  }
  for (std::size_t d = 0; d < out.dims->size(); ++d)
    if (!((*a.dims)[d] == (*b.dims)[d]) ) (*out.dims)[d] = {-1, symbols.fresh()};
  return out;
}

Type with_axis(Type t, SymbolTable& symbols) {
  if (t.dims) t.dims->insert(t.dims->begin(), Dim{-1, symbols.fresh()});
  return t;
}

Status infer_control_flow(Model& model, Graph& graph, Node& node, const CustomOps* custom, int depth) {
  auto set = [&](std::size_t i, Type t) {
    if (i >= node.outputs.size() || node.outputs[i] == none) return;
    Type& own = graph.values[node.outputs[i]].type;
    if (own.is_tensor() && own.dims && t.is_tensor() && !t.dims) t.dims = own.dims;
    own = std::move(t);
  };
  for (const GraphPtr& body : node.subgraphs()) inherit_outer(*body, graph);
  auto run = [&](Graph& body) -> Status {
    if (Status s = infer_graph(model, body, custom, depth + 1); !s.ok()) return std::move(s).at(node.label());
    return {};
  };
  if (node.op_type == "If") {
    const GraphPtr yes = node.graph("then_branch"), no = node.graph("else_branch");
    if (!yes || !no) return invalid("{}: needs then_branch and else_branch", node.label());
    TENON_TRY(run(*yes));
    TENON_TRY(run(*no));
    if (yes->outputs.size() != node.outputs.size() || no->outputs.size() != node.outputs.size())
      return invalid("{}: {} outputs, the branches make {} and {}", node.label(), node.outputs.size(), yes->outputs.size(), no->outputs.size());
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      set(i, merge(yes->values[yes->outputs[i]].type, no->values[no->outputs[i]].type, model.symbols));
    return {};
  }
  const GraphPtr body = node.graph("body");
  if (!body) return invalid("{}: needs a body", node.label());
  if (node.op_type == "Loop") {
    const std::size_t carried = node.inputs.size() > 2 ? node.inputs.size() - 2 : 0;
    if (body->inputs.size() != carried + 2 || body->outputs.size() < carried + 1)
      return invalid("{}: carries {} values; its body takes {} inputs and makes {} outputs", node.label(), carried, body->inputs.size(), body->outputs.size());
    body->values[body->inputs[0]].type = Type{.dtype = TENON_DTYPE_INT64, .dims = std::vector<Dim>{}, .element = nullptr};
    body->values[body->inputs[1]].type = Type{.dtype = TENON_DTYPE_BOOL, .dims = std::vector<Dim>{}, .element = nullptr};
    std::vector<Type> start(carried);
    for (std::size_t i = 0; i < carried; ++i) {
      start[i] = graph.values[node.inputs[i + 2]].type;
      body->values[body->inputs[i + 2]].type = start[i];
    }
    TENON_TRY(run(*body));
    // A carried value whose size changes in the body has an unknown size from the start.
    bool changed = false;
    for (std::size_t i = 0; i < carried; ++i) {
      const Type after = body->values[body->outputs[i + 1]].type;
      Type merged = merge(start[i], after, model.symbols);
      if (merged.dims != start[i].dims) changed = true, body->values[body->inputs[i + 2]].type = merged;
    }
    if (changed) {
      for (Value& v : body->values)
        if (v.producer != none && v.type.is_tensor()) v.type.dims.reset();
      TENON_TRY(run(*body));
    }
    for (std::size_t i = 0; i < carried; ++i) set(i, merge(body->values[body->inputs[i + 2]].type, body->values[body->outputs[i + 1]].type, model.symbols));
    for (std::size_t i = carried; i + 1 < body->outputs.size(); ++i) set(i, with_axis(body->values[body->outputs[i + 1]].type, model.symbols));
    return {};
  }
  if (node.op_type == "Scan") {
    const auto scanned = static_cast<std::size_t>(node.int_or("num_scan_inputs", 0));
    if (scanned > node.inputs.size() || body->inputs.size() != node.inputs.size())
      return invalid("{}: {} inputs of which {} are scanned; its body takes {}", node.label(), node.inputs.size(), scanned, body->inputs.size());
    const std::size_t states = node.inputs.size() - scanned;
    const auto* axes = node.ints("scan_input_axes");
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      Type t = graph.values[node.inputs[i]].type;
      if (i >= states && t.dims && !t.dims->empty()) {
        std::int64_t axis = axes && i - states < axes->size() ? (*axes)[i - states] : 0;
        if (axis < 0) axis += static_cast<std::int64_t>(t.dims->size());
        if (axis < 0 || axis >= static_cast<std::int64_t>(t.dims->size())) return invalid("{}: scan axis {} is outside the input", node.label(), axis);
        t.dims->erase(t.dims->begin() + axis);
      }
      body->values[body->inputs[i]].type = t;
    }
    TENON_TRY(run(*body));
    for (std::size_t i = 0; i < body->outputs.size(); ++i) {
      Type t = body->values[body->outputs[i]].type;
      set(i, i < states ? t : with_axis(std::move(t), model.symbols));
    }
    return {};
  }
  TENON_TRY(run(*body));
  return {};
}

// One pair of probing runs; scale makes the numbers larger. out_misfits counts the nodes that the numbers do not suit.
Status probe_graph(Model& model, Graph& graph, const CustomOps* custom, int depth, std::int64_t scale, int& out_misfits) {
  // A number for every symbol, another in the second run: equal symbols stay equal, and others are unlikely to collide.
  std::map<std::pair<std::int64_t, std::int64_t>, std::uint32_t> seen;
  auto probe = [scale](std::uint32_t symbol, int run) -> std::int64_t {
    return scale * (run == 0 ? 16 + 8 * (symbol % 97) : 24 + 16 * (symbol % 89));
  };
  out_misfits = 0;
  ShapeTable first(graph), second(graph);
  for (ValueId v = 0; v < graph.values.size(); ++v) {
    Value& value = graph.values[v];
    if (value.constant || value.producer != none || !value.type.is_tensor() || !value.type.dims) continue;
    for (int run = 0; run < 2; ++run) {
      ShapeTable::Entry& e = (run ? second : first).values[v];
      e.ranked = true;
      for (Dim& d : *value.type.dims) {
        if (!d.fixed() && !d.symbol) d.symbol = model.symbols.fresh();
        e.dims.push_back(d.fixed() ? d.value : probe(d.symbol, run));
        if (!d.fixed()) seen[{probe(d.symbol, 0), probe(d.symbol, 1)}] = d.symbol;
      }
    }
  }
  GraphInference inference(model, graph, custom);
  for (NodeId n = 0; n < graph.nodes.size(); ++n) {
    Node& node = graph.nodes[n];
    const bool control = is_control_flow(node);
    if (control) TENON_TRY(infer_control_flow(model, graph, node, custom, depth));
    // Sizes that the probe makes impossible are no fault of the model: the declared type stays. Unknown types are.
    const Status a = inference.run_node(n, first), b = inference.run_node(n, second);
    for (ValueId v : node.outputs) {
      if (v == none) continue;
      Type& type = graph.values[v].type;
      ShapeTable::Entry &x = first.values[v], &y = second.values[v];
      if (!control && a.ok() && b.ok() && type.is_tensor() && x.ranked && y.ranked && x.dims.size() == y.dims.size()) {
        std::vector<Dim> dims;
        for (std::size_t d = 0; d < x.dims.size(); ++d) {
          if (x.dims[d] == y.dims[d] && x.dims[d] >= 0) {
            dims.push_back({x.dims[d], 0});
          } else if (x.dims[d] < 0) {
            dims.push_back({-1, model.symbols.fresh()});
          } else {
            std::uint32_t& symbol = seen[{x.dims[d], y.dims[d]}];
            if (!symbol) symbol = model.symbols.fresh();
            dims.push_back({-1, symbol});
          }
        }
        type.dims = std::move(dims);
      }
      // What follows needs numbers.
      if (type.is_tensor() && type.dims)
        for (int run = 0; run < 2; ++run) {
          ShapeTable::Entry& e = run ? y : x;
          e.ranked = true;
          e.dims.resize(type.dims->size(), -1);
          for (std::size_t d = 0; d < e.dims.size(); ++d)
            if (const Dim& dim = (*type.dims)[d]; e.dims[d] < 0) {
              e.dims[d] = dim.fixed() ? dim.value : probe(dim.symbol, run);
              if (!dim.fixed()) seen[{probe(dim.symbol, 0), probe(dim.symbol, 1)}] = dim.symbol;
            }
        }
      if (type.is_tensor() && type.dtype == TENON_DTYPE_UNDEFINED) {
        if (!a.ok()) return a.clone();
        return invalid("{}: the type of its output \"{}\" cannot be inferred; declare it in value_info", node.label(), graph.values[v].name);
      }
    }
    out_misfits += !a.ok() || !b.ok();
    if (!a.ok() && !b.ok()) {
      bool fixed = true;  // sizes that do not depend on a probe contradict each other: the model is wrong
      for (ValueId v : node.inputs) fixed = fixed && (v == none || graph.values[v].constant || graph.values[v].type.fixed());
      if (fixed) return a.clone();
    }
  }
  return {};
}

Status infer_graph(Model& model, Graph& graph, const CustomOps* custom, int depth) {
  graph.index_producers();
  std::vector<Type> declared;
  for (const Value& v : graph.values) declared.push_back(v.type);
  auto restore = [&] {
    for (ValueId v = 0; v < declared.size(); ++v) graph.values[v].type = declared[v];
  };
  // Small numbers suit most models; those that shrink their input (audio) need large ones.
  int small_misfits = 0, large_misfits = 0;
  Status small = probe_graph(model, graph, custom, depth, 1, small_misfits);
  if (small.ok() && small_misfits == 0) return {};
  restore();
  Status large = probe_graph(model, graph, custom, depth, 1000, large_misfits);
  if (large.ok() && (!small.ok() || large_misfits < small_misfits)) return {};
  restore();
  return probe_graph(model, graph, custom, depth, 1, small_misfits);
}

}  // namespace

Status infer_types(Model& model, Graph& graph, const CustomOps* custom) { return infer_graph(model, graph, custom, 0); }

namespace {

// blocked: nodes that turned out to be beyond the evaluator.
std::vector<bool> mark_nodes(Graph& graph, const std::vector<bool>& blocked) {
  // What inference needs, backwards through what could be evaluated.
  std::vector<bool> needed(graph.values.size()), host(graph.values.size()), on_host(graph.values.size());
  for (const Node& node : graph.nodes)
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i] != none && inference_reads(node, i)) needed[node.inputs[i]] = true;
  for (std::size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    if (!evaluable(node)) continue;
    for (ValueId v : node.outputs)
      if (v != none && needed[v])
        for (ValueId in : node.inputs)
          if (in != none) needed[in] = true;
  }
  auto small_fixed = [&](ValueId v) {
    const Type& t = graph.values[v].type;
    return t.is_tensor() && t.fixed() && t.element_count().valid() && t.element_count().value() <= small_elements;
  };
  for (ValueId v = 0; v < graph.values.size(); ++v) {
    const Value& value = graph.values[v];
    const DType d = value.type.dtype;
    const bool kind = d == TENON_DTYPE_INT64 || d == TENON_DTYPE_INT32 || d == TENON_DTYPE_BOOL || d == TENON_DTYPE_FLOAT;
    if (value.constant) host[v] = value.constant->count() <= small_elements;
    else if (value.producer == none && needed[v] && kind && value.type.is_tensor() && value.type.dims && (value.type.dims->size() <= 1 || small_fixed(v)))
      host[v] = true;  // an input, or a value of the graph around this one
  }
  for (Node& node : graph.nodes) {
    node.host_evaluated = false;
    const bool shape = node.domain.empty() && (node.op_type == "Shape" || node.op_type == "Size");
    bool ready = (shape || evaluable(node)) && !blocked[static_cast<std::size_t>(&node - graph.nodes.data())];
    if (!shape)
      for (ValueId v : node.inputs) ready = ready && (v == none || host[v]);
    for (ValueId v : node.outputs) ready = ready && v != none && (needed[v] || small_fixed(v));
    if (!ready) continue;
    node.host_evaluated = true;
    for (ValueId v : node.outputs) host[v] = true;
  }
  // Needed, but made by a provider: fetched when its segment has run.
  for (const Node& node : graph.nodes)
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      if (v != none && inference_reads(node, i) && !host[v]) on_host[v] = true;
    }
  return on_host;
}

// Values for a trial: what an input may hold says nothing about whether an operator and its types can be evaluated.
ConstantPtr trial_value(const Value& value) {
  const std::int64_t count = value.type.fixed() ? value.type.element_count().value() : 1;
  Dims dims;
  for (const Dim& d : *value.type.dims) dims.push_back(d.fixed() ? d.value : 1);
  std::byte* data = nullptr;
  auto c = make_constant(value.type.dtype, dims, &data);
  if (!c.ok()) return nullptr;
  for (std::int64_t i = 0; i < count; ++i) {
    if (value.type.dtype == TENON_DTYPE_FLOAT) reinterpret_cast<float*>(data)[i] = 1;
    else if (value.type.dtype == TENON_DTYPE_INT64) reinterpret_cast<std::int64_t*>(data)[i] = 1;
    else if (value.type.dtype == TENON_DTYPE_INT32) reinterpret_cast<std::int32_t*>(data)[i] = 1;
    else data[i] = std::byte{1};
  }
  return *c;
}

}  // namespace

std::vector<bool> mark_host_evaluated(const Model& model, Graph& graph, const CustomOps* custom) {
  std::vector<bool> blocked(graph.nodes.size());
  for (;;) {
    std::vector<bool> on_host = mark_nodes(graph, blocked);
    // A trial run: a node whose inputs are known and whose outputs are not is beyond the evaluator.
    GraphInference inference(model, graph, custom);
    ShapeTable shapes(graph);
    for (ValueId v = 0; v < graph.values.size(); ++v) {
      const Value& value = graph.values[v];
      if (value.constant || value.producer != none || !value.type.is_tensor() || !value.type.dims) continue;
      shapes.values[v].ranked = true;
      for (const Dim& d : *value.type.dims) shapes.values[v].dims.push_back(d.fixed() ? d.value : 16 + 8 * (d.symbol % 97));
      const DType t = value.type.dtype;
      const bool kind = t == TENON_DTYPE_INT64 || t == TENON_DTYPE_INT32 || t == TENON_DTYPE_BOOL || t == TENON_DTYPE_FLOAT;
      if (kind && value.type.dims->size() <= 1 && (!value.type.fixed() || value.type.element_count().value() <= small_elements)) shapes.values[v].known = trial_value(value);
    }
    bool again = false;
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      const Node& node = graph.nodes[n];
      const bool ran = inference.run_node(n, shapes).ok();
      for (ValueId v : node.outputs)  // what the trial leaves open has the sizes of the load
        if (v != none && !shapes.values[v].ranked && graph.values[v].type.is_tensor() && graph.values[v].type.fixed()) {
          shapes.values[v].ranked = true;
          shapes.values[v].dims.clear();
          for (const Dim& d : *graph.values[v].type.dims) shapes.values[v].dims.push_back(d.value);
        }
      if (!node.host_evaluated || node.is("Shape") || node.is("Size")) continue;
      bool known = ran, made = true;
      for (ValueId v : node.inputs) known = known && (v == none || shapes.values[v].known);
      for (ValueId v : node.outputs) made = made && (v == none || shapes.values[v].known);
      if (known && !made) blocked[n] = again = true;
    }
    if (!again) return on_host;
  }
}

}  // namespace tenon
