#include "core/ops/upgrade.h"

#include <algorithm>
#include <cstring>

#include "core/base/text.h"
#include "core/graph/elements.h"
#include "core/ops/microsoft_forms.h"
#include "core/ops/upgrade_forms.h"

namespace tenon {

ValueId Upgrade::constant(const std::string& base, std::vector<std::int64_t> values, bool scalar) {
  return graph.add_constant(base, int64_constant(values, scalar));
}

Node Upgrade::derived(const Node& node, const char* op, std::vector<ValueId> inputs, std::vector<ValueId> outputs) {
  Node n;
  n.op_type = op;
  n.name = node.name + "/" + op;
  n.inputs = std::move(inputs);
  n.outputs = std::move(outputs);
  n.sources = node.sources;
  return n;
}

ValueId Upgrade::add(const Node& node, const char* op, std::vector<ValueId> inputs, const std::string& name) {
  const ValueId v = graph.add_value((node.outputs[0] == none ? node.name : graph.values[node.outputs[0]].name) + "/" + name);
  out.push_back(derived(node, op, std::move(inputs), {v}));
  return v;
}

namespace {

void set_input(Node& node, std::size_t index, ValueId value) {
  if (node.inputs.size() <= index) node.inputs.resize(index + 1, none);
  node.inputs[index] = value;
}

ValueId scalar_like(Upgrade& u, const std::string& base, float value, DType dtype) {
  std::byte* data = nullptr;
  auto c = make_constant(dtype == TENON_DTYPE_DOUBLE ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT, {}, &data);
  if (dtype == TENON_DTYPE_DOUBLE) {
    const double d = value;
    std::memcpy(data, &d, sizeof(d));
  } else {
    std::memcpy(data, &value, sizeof(value));
  }
  return u.graph.add_constant(base, *c);
}

// An integer list attribute becomes an input.
void ints_to_input(Upgrade& u, Node& node, const char* attribute, std::size_t index) {
  const auto* values = node.ints(attribute);
  if (!values) return;
  const ValueId v = u.constant(node.outputs[0] == none ? node.name : u.graph.values[node.outputs[0]].name + "/" + attribute, *values);
  node.erase(attribute);
  set_input(node, index, v);
}

// Before 13 the softmax family flattened to two dimensions at axis (default 1).
void old_softmax(Upgrade& u, Node node) {
  const std::int64_t axis = node.int_or("axis", 1);
  const ValueId x = node.inputs[0], y = node.outputs[0];
  const auto& dims = u.graph.values[x].type.dims;
  const std::int64_t rank = dims ? static_cast<std::int64_t>(dims->size()) : -1;
  if (axis == -1 || (rank > 0 && axis == rank - 1)) {
    node.set("axis", std::int64_t{-1});
    u.out.push_back(std::move(node));
    return;
  }
  const std::string base = u.graph.values[y].name;
  const ValueId shape = u.graph.add_value(base + "/shape"), flat = u.graph.add_value(base + "/flat"), soft = u.graph.add_value(base + "/soft");
  u.out.push_back(u.derived(node, "Shape", {x}, {shape}));
  Node flatten = u.derived(node, "Flatten", {x}, {flat});
  flatten.set("axis", axis);
  u.out.push_back(std::move(flatten));
  Node reshape = u.derived(node, "Reshape", {soft, shape}, {y});
  node.inputs = {flat};
  node.outputs = {soft};
  node.set("axis", std::int64_t{-1});
  u.out.push_back(std::move(node));
  u.out.push_back(std::move(reshape));
}

void rename_to_resize(Upgrade& u, Node& node) {
  const std::string mode = node.string_or("mode", "nearest");
  if (node.find("height_scale")) {
    node.set("scales", std::vector<float>{1, 1, node.float_or("height_scale", 1), node.float_or("width_scale", 1)});
  }
  if (const Attribute* scales = node.find("scales")) {
    const auto values = std::get<std::vector<float>>(scales->value);
    std::byte* data = nullptr;
    auto c = make_constant(TENON_DTYPE_FLOAT, {static_cast<std::int64_t>(values.size())}, &data);
    if (!values.empty()) std::memcpy(data, values.data(), values.size() * sizeof(float));
    node.inputs.resize(1);
    node.inputs.push_back(u.graph.add_constant(u.graph.values[node.outputs[0]].name + "/scales", *c));
  }
  node.op_type = "Resize";
  node.inputs = {node.inputs[0], none, node.inputs.size() > 1 ? node.inputs[1] : none};
  node.attributes.clear();
  node.set("mode", mode == "bilinear" ? std::string("linear") : mode);
  node.set("coordinate_transformation_mode", std::string("asymmetric"));
  node.set("nearest_mode", std::string("floor"));
}

// Before 7, B was stretched along an explicit axis of A.
Status old_broadcast(Upgrade& u, Node& node) {
  const bool broadcast = node.int_or("broadcast", 0) != 0;
  const std::int64_t axis = node.int_or("axis", INT64_MIN);
  node.erase("broadcast"), node.erase("axis"), node.erase("consumed_inputs");
  if (!broadcast || axis == INT64_MIN) return {};
  const auto &a = u.graph.values[node.inputs[0]].type.dims, &b = u.graph.values[node.inputs[1]].type.dims;
  if (!a || !b)
    return error(TENON_UNIMPLEMENTED, "{}: broadcast along axis {} (opset {}) needs known ranks; re-export the model at opset 7 or newer",
                 node.label(), axis, u.version);
  const auto rank = static_cast<std::int64_t>(a->size());
  if (axis < -rank || axis >= rank) return error(TENON_INVALID_ARGUMENT, "{}: broadcast along axis {} of an input of rank {}", node.label(), axis, rank);
  const std::int64_t at = axis < 0 ? axis + rank : axis;
  std::vector<std::int64_t> axes;
  for (std::int64_t i = at + static_cast<std::int64_t>(b->size()); i < static_cast<std::int64_t>(a->size()); ++i)
    axes.push_back(i - at);
  if (axes.empty()) return {};
  const std::string base = u.graph.values[node.outputs[0]].name;
  const ValueId wide = u.graph.add_value(base + "/broadcast");
  u.out.push_back(u.derived(node, "Unsqueeze", {node.inputs[1], u.constant(base + "/axes", axes)}, {wide}));
  node.inputs[1] = wide;
  return {};
}

// Before 7, a slope of one dimension went along the channels.
void old_slope(Upgrade& u, Node& node) {
  const auto &x = u.graph.values[node.inputs[0]].type.dims, &slope = u.graph.values[node.inputs[1]].type.dims;
  if (!x || !slope || slope->size() != 1 || (*slope)[0].value == 1 || x->size() < 3) return;
  std::vector<std::int64_t> axes;
  for (std::size_t i = 1; i + 1 < x->size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  node.inputs[1] = u.add(node, "Unsqueeze", {node.inputs[1], u.constant(node.name + "/axes", axes)}, "slope");
}

// Opset 1 repeats along one axis.
Status old_tile(Upgrade& u, Node& node) {
  const auto& dims = u.graph.values[node.inputs[0]].type.dims;
  const ConstantPtr *tiles = u.graph.constant(node.inputs[1]), *axis = u.graph.constant(node.inputs[2]);
  const double count = tiles ? single_number(**tiles).value_or(-1) : -1, at = axis ? single_number(**axis).value_or(-1) : -1;
  if (!dims || !(at >= 0 && at < static_cast<double>(dims->size())) || !(count >= 0 && count < 0x1p53))
    return error(TENON_UNIMPLEMENTED, "{}: Tile of opset {} needs an input of known rank and constant tiles and axis; re-export at opset 6 or newer",
                 node.label(), u.version);
  std::vector<std::int64_t> repeats(dims->size(), 1);
  repeats[static_cast<std::size_t>(at)] = static_cast<std::int64_t>(count);
  node.inputs = {node.inputs[0], u.constant(node.name + "/repeats", repeats)};
  return {};
}

// Operands and result of float8: no product of 8-bit integers, so both are widened and the result is rounded.
bool float8_product(Upgrade& u, const Node& node) {
  if (node.inputs.size() < 8 || node.inputs[7] == none) return false;
  const DType dtype = u.graph.values[node.inputs[7]].type.dtype;
  if (dtype < TENON_DTYPE_FLOAT8E4M3FN || dtype > TENON_DTYPE_FLOAT8E5M2FNUZ) return false;
  const ValueId a = u.add(node, "DequantizeLinear", {node.inputs[0], node.inputs[1], node.inputs[2]}, "a");
  const ValueId b = u.add(node, "DequantizeLinear", {node.inputs[3], node.inputs[4], node.inputs[5]}, "b");
  const ValueId product = u.add(node, "MatMul", {a, b}, "product");
  u.out.push_back(Upgrade::derived(node, "QuantizeLinear", {product, node.inputs[6], node.inputs[7]}, {node.outputs[0]}));
  return true;
}

// Inference mode: the input passes through. A wanted mask is all true.
void dropout(Upgrade& u, Node& node) {
  if (node.outputs.size() > 1 && node.outputs[1] != none) {
    const std::string base = u.graph.values[node.outputs[1]].name;
    const ValueId shape = u.graph.add_value(base + "/shape");
    u.out.push_back(u.derived(node, "Shape", {node.inputs[0]}, {shape}));
    std::byte* data = nullptr;
    auto yes = make_constant(TENON_DTYPE_BOOL, {1}, &data);
    *data = std::byte{1};
    Node mask = u.derived(node, "ConstantOfShape", {shape}, {node.outputs[1]});
    mask.set("value", ConstantPtr(*yes));
    u.out.push_back(std::move(mask));
  }
  node.op_type = "Identity";
  node.attributes.clear();
  node.inputs.resize(1);
  node.outputs.resize(1);
}

}  // namespace

Status upgrade_node(Upgrade& u, Node node) {
  if (!node.domain.empty()) {
    if (node.is("LabelEncoder", "ai.onnx.ml") && u.version < 2) positions_of_classes(u, node);
    if (node.domain == "com.microsoft" || node.domain == "com.microsoft.nchwc") {
      TENON_ASSIGN(const bool spelled, spell_microsoft_op(u, node));
      if (spelled) return {};
    }
    u.out.push_back(std::move(node));
    return {};
  }
  const std::string& op = node.op_type;
  const std::int64_t v = u.version;
  auto is = [&](std::initializer_list<std::string_view> names) {
    for (std::string_view n : names)
      if (op == n) return true;
    return false;
  };
  if (v < 7 && is({"Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Less", "Greater", "Equal"})) TENON_TRY(old_broadcast(u, node));
  if (v < 7 && op == "PRelu") old_slope(u, node);
  if (v < 6) node.erase("consumed_inputs");
  if (is({"Softmax", "LogSoftmax", "Hardmax"}) && v < 13) {
    old_softmax(u, std::move(node));
    return {};
  }
  if (op == "BatchNormalization" && v < 9 && node.int_or("spatial", 1) == 0) {
    norm_of_every_element(u, node);
    return {};
  }
  if (op == "GroupNormalization" && v < 21) TENON_TRY(scale_of_groups(u, node));
  if (op == "QLinearMatMul" && float8_product(u, node)) return {};
  if (op == "Scan" && v < 9) return batched_scan(u, std::move(node));
  if (is({"Squeeze", "Unsqueeze", "ReduceSum"}) && v < 13) ints_to_input(u, node, "axes", 1);
  else if (op.starts_with("Reduce") && v < 18) ints_to_input(u, node, "axes", 1);
  else if (op == "Split") {
    if (v < 2 && node.inputs.size() > 1) {  // sizes of the type of the input
      node.inputs[1] = u.add(node, "Cast", {node.inputs[1]}, "sizes");
      u.out.back().set("to", std::int64_t{TENON_DTYPE_INT64});
    }
    if (v < 13) ints_to_input(u, node, "split", 1);
    if (node.inputs.size() < 2 && !node.find("num_outputs")) node.set("num_outputs", static_cast<std::int64_t>(node.outputs.size()));
  } else if (op == "Reshape" && v < 5) ints_to_input(u, node, "shape", 1);
  else if (op == "Tile" && v < 6) TENON_TRY(old_tile(u, node));
  else if (op == "Concat" && v < 4 && !node.find("axis")) node.set("axis", std::int64_t{1});
  else if (is({"LpPool", "GlobalLpPool"}) && v < 2) node.set("p", static_cast<std::int64_t>(node.float_or("p", 2)));
  else if (op == "Selu" && v < 6) {
    node.set("alpha", node.float_or("alpha", 1.6732f));
    node.set("gamma", node.float_or("gamma", 1.0507f));
  } else if (is({"RNN", "GRU", "LSTM"}) && v < 7) node.erase("output_sequence");
  else if (op == "Slice" && v < 10) {
    const auto* axes = node.ints("axes");
    const std::vector<std::int64_t> kept = axes ? *axes : std::vector<std::int64_t>{};
    const bool has_axes = axes != nullptr;
    node.erase("axes");
    ints_to_input(u, node, "starts", 1);
    ints_to_input(u, node, "ends", 2);
    if (has_axes) set_input(node, 3, u.constant(node.name + "/axes", kept));
  } else if (op == "Clip" && v < 11) {
    const DType dtype = u.graph.values[node.inputs[0]].type.dtype;
    const std::string base = u.graph.values[node.outputs[0]].name;
    if (node.find("min")) set_input(node, 1, scalar_like(u, base + "/min", node.float_or("min", 0), dtype));
    if (node.find("max")) set_input(node, 2, scalar_like(u, base + "/max", node.float_or("max", 0), dtype));
    node.erase("min"), node.erase("max");
  } else if (op == "Pad" && v < 11) {
    if (const auto* old = node.ints("paddings")) node.set("pads", *old), node.erase("paddings");
    const float value = node.float_or("value", 0);
    ints_to_input(u, node, "pads", 1);
    node.erase("value");
    if (value != 0)
      set_input(node, 2, scalar_like(u, u.graph.values[node.outputs[0]].name + "/value", value, u.graph.values[node.inputs[0]].type.dtype));
  } else if (op == "TopK" && v < 10) {
    set_input(node, 1, u.constant(u.graph.values[node.outputs[0]].name + "/k", {node.int_or("k", 1)}));
    node.erase("k");
  } else if (op == "Dropout" && (v < 12 || node.inputs.size() < 3 || node.inputs[2] == none)) {
    dropout(u, node);
  } else if (op == "Upsample") {
    rename_to_resize(u, node);
  } else if (op == "Resize" && v < 11) {
    rename_to_resize(u, node);
  } else if (op == "Scatter") {
    node.op_type = "ScatterElements";
  } else if (op == "BatchNormalization" && v < 14) {
    node.erase("spatial"), node.erase("is_test");
    node.outputs.resize(1);
  } else if (op == "GridSample" && v < 20) {
    const std::string mode = node.string_or("mode", "bilinear");
    node.set("mode", mode == "bilinear" ? std::string("linear") : mode == "bicubic" ? std::string("cubic") : mode);
  } else if (op == "RoiAlign" && v < 16) {
    node.set("coordinate_transformation_mode", std::string("output_half_pixel"));
  } else if (op == "DFT" && v < 20) {
    if (node.inputs.size() < 3 || node.inputs[2] == none)
      set_input(node, 2, u.constant(node.name + "/axis", {node.int_or("axis", 1)}, true));
    node.erase("axis");
  } else if (op == "Cast" && v < 6) {
    std::string name = node.string_or("to", "");
    name = ascii_lower(std::move(name));
    if (const auto type = dtype_from_name(name)) node.set("to", static_cast<std::int64_t>(*type));
  } else if (op == "Gemm" && v < 7) {
    node.erase("broadcast");
  }
  u.out.push_back(std::move(node));
  return {};
}

}  // namespace tenon
