#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "core/graph/elements.h"
#include "core/ops/forms.h"

namespace tenon {
namespace {

// A node on its way down. Each function below undoes one change of one operator; false: the older form cannot say it, and
// why is set.
struct Lowering {
  const Graph& graph;
  Node node;
  std::string why;

  bool fails(std::string text) {
    why = std::move(text);
    return false;
  }
  bool has(std::size_t i) const { return i < node.inputs.size() && node.inputs[i] != none; }
  // Attributes that came with the newer form go where they have the value that the older one means.
  bool drop(std::string_view name, std::int64_t meant) {
    if (node.int_or(name, meant) != meant) return fails(fmt::format("it has no {}, which is {}", name, node.int_or(name, meant)));
    node.erase(name);
    return true;
  }
  bool drop_text(std::string_view name, const char* meant) {
    if (node.string_or(name, meant) != meant) return fails(fmt::format("it has no {}, which is \"{}\"", name, node.string_or(name, meant)));
    node.erase(name);
    return true;
  }
  bool drop_ones(std::string_view name) {
    const auto* values = node.ints(name);
    if (values && std::any_of(values->begin(), values->end(), [](std::int64_t v) { return v != 1; })) return fails(fmt::format("it has no {}", name));
    node.erase(name);
    return true;
  }
  bool absent(std::string_view name) { return !node.find(name) || fails(fmt::format("it has no {}", name)); }
  bool omitted(std::size_t i, std::string_view name) {
    if (has(i)) return fails(fmt::format("it has no input {}", name));
    if (i < node.inputs.size()) node.inputs.resize(i);
    return true;
  }
  const Constant* constant(std::size_t i, std::string_view name) {
    const ConstantPtr* c = graph.constant(node.inputs[i]);
    if (!c) why = fmt::format("{} is an attribute there, and here it is not constant", name);
    return c ? c->get() : nullptr;
  }
  // Inputs that were attributes. An omitted one stays away.
  bool ints(std::size_t i, std::string_view name) {
    if (!has(i)) return true;
    const Constant* c = constant(i, name);
    if (!c) return false;
    const auto list = integer_list(*c);
    if (!list) return fails(fmt::format("{} is no list of integers", name));
    node.set(name, *list);
    node.inputs[i] = none;
    return true;
  }
  bool integer(std::size_t i, std::string_view name) {
    if (!has(i)) return true;
    const Constant* c = constant(i, name);
    if (!c) return false;
    const auto list = integer_list(*c);
    if (!list || list->size() != 1) return fails(fmt::format("{} is no single integer", name));
    node.set(name, list->front());
    node.inputs[i] = none;
    return true;
  }
  bool number(std::size_t i, std::string_view name) {
    if (!has(i)) return true;
    const Constant* c = constant(i, name);
    if (!c) return false;
    const auto value = single_number(*c);
    if (!value || static_cast<double>(static_cast<float>(*value)) != *value)
      return fails(fmt::format("{} is a float there, and here it is another number", name));
    node.set(name, static_cast<float>(*value));
    node.inputs[i] = none;
    return true;
  }
  std::optional<Dims> fixed_dims(ValueId v) const {
    const auto& dims = graph.values[v].type.dims;
    if (!dims) return std::nullopt;
    Dims out;
    for (const Dim& d : *dims) {
      if (!d.fixed()) return std::nullopt;
      out.push_back(d.value);
    }
    return out;
  }
  std::int64_t rank(std::size_t i) const {
    const auto& dims = graph.values[node.inputs[i]].type.dims;
    return dims ? static_cast<std::int64_t>(dims->size()) : -1;
  }
};

// Without broadcasting all operands have one shape.
bool equal_shapes(Lowering& l) {
  const auto first = l.fixed_dims(l.node.inputs[0]);
  for (ValueId v : l.node.inputs)
    if (const auto dims = l.fixed_dims(v); !dims || dims != first) return l.fails("it does not broadcast, and the inputs are not known to have one shape");
  return true;
}

bool softmax(Lowering& l) {
  const std::int64_t rank = l.rank(0), axis = l.node.int_or("axis", -1);
  if (rank < 1 || (axis != -1 && axis != rank - 1)) return l.fails("it works on all dimensions from the axis on, and here that is not the last one");
  l.node.set("axis", rank - 1);
  return true;
}

bool reduction(Lowering& l) {
  if (!l.has(1) && l.node.int_or("noop_with_empty_axes", 0) != 0) return l.fails("it has no noop_with_empty_axes");
  l.node.erase("noop_with_empty_axes");
  if (!l.ints(1, "axes")) return false;
  const auto* axes = l.node.ints("axes");
  return !axes || !axes->empty() || l.fails("its axes cannot be empty");
}

bool split_counts(Lowering& l) {
  const std::int64_t parts = l.node.int_or("num_outputs", 0), axis = l.node.int_or("axis", 0), rank = l.rank(0);
  l.node.erase("num_outputs");
  if (l.has(1) || parts == 0) return true;
  const auto dims = l.fixed_dims(l.node.inputs[0]);
  const std::int64_t at = axis < 0 ? axis + rank : axis;
  if (!dims || at < 0 || at >= rank || (*dims)[static_cast<std::size_t>(at)] % parts != 0)
    return l.fails("it makes equal parts only, and the size is not known to be a multiple");
  return true;
}

bool slice(Lowering& l) {
  if (l.has(4)) {
    const Constant* c = l.constant(4, "steps");
    if (!c) return false;
    const auto steps = integer_list(*c);
    if (!steps || std::any_of(steps->begin(), steps->end(), [](std::int64_t v) { return v != 1; })) return l.fails("it has no steps");
    l.node.inputs[4] = none;
  }
  return l.ints(1, "starts") && l.ints(2, "ends") && l.ints(3, "axes");
}

// An axis says nothing where there is one scale for all.
bool one_scale(Lowering& l) {
  const auto dims = l.fixed_dims(l.node.inputs[1]);
  if (!dims || std::any_of(dims->begin(), dims->end(), [](std::int64_t d) { return d != 1; })) return l.fails("it has no axis, and there is more than one scale");
  l.node.erase("axis");
  return true;
}

bool grid_mode(Lowering& l) {
  const std::string mode = l.node.string_or("mode", "linear");
  l.node.set("mode", mode == "linear" ? std::string("bilinear") : mode == "cubic" ? std::string("bicubic") : mode);
  return l.rank(0) == 4 || l.fails("it samples images only");
}

using Step = bool (*)(Lowering&);

bool unchanged(Lowering&) { return true; }
bool axes(Lowering& l) { return l.ints(1, "axes"); }
bool no_ceil_mode(Lowering& l) { return l.drop("ceil_mode", 0); }
bool no_layout(Lowering& l) { return l.drop("layout", 0); }
bool no_mode(Lowering& l) { return l.drop_text("mode", "DCR"); }
bool no_reduction(Lowering& l) { return l.drop_text("reduction", "none"); }
bool no_round_mode(Lowering& l) { return l.drop_text("round_mode", "up"); }
bool no_saturate(Lowering& l) { return l.drop("saturate", 1); }
bool no_select_last(Lowering& l) { return l.drop("select_last_index", 0); }
bool no_dilations(Lowering& l) { return l.drop_ones("dilations"); }
bool no_dilations_or_ceil(Lowering& l) { return no_dilations(l) && no_ceil_mode(l); }
bool no_indices(Lowering& l) { return l.node.outputs.size() < 2 ? l.drop("storage_order", 0) : l.fails("it has no output Indices"); }
bool no_tensors(Lowering& l) {
  for (const Attribute& a : l.node.attributes)
    if (a.name.ends_with("_as_tensor") || a.name.ends_with("_tensor")) return l.fails(fmt::format("it has no {}", a.name));
  return true;
}
bool dft_axis(Lowering& l) {
  if (!l.has(2)) l.node.set("axis", std::int64_t{-2});
  return l.integer(2, "axis");
}

struct Row {
  std::string_view op_type;
  std::int32_t version;  // that brought the newer form
  Step step;
};
const Row rows[] = {
    {"ArgMax", 12, no_select_last},
    {"ArgMin", 12, no_select_last},
    {"Attention", 24, [](Lowering& l) { return l.omitted(6, "nonpad_kv_seqlen"); }},
    {"Attention", 25, [](Lowering& l) { return l.drop("left_window_size", -1) && l.drop("right_window_size", -1); }},
    {"AveragePool", 7, [](Lowering& l) { return l.drop("count_include_pad", 0); }},
    {"AveragePool", 10, no_ceil_mode},
    {"AveragePool", 19, no_dilations},
    {"BatchNormalization", 9, unchanged},
    {"BatchNormalization", 14, [](Lowering& l) { return l.drop("training_mode", 0); }},
    {"Cast", 19, no_saturate},
    {"Cast", 24, no_round_mode},
    {"CastLike", 19, no_saturate},
    {"CastLike", 24, no_round_mode},
    {"Clip", 11, [](Lowering& l) { return l.number(1, "min") && l.number(2, "max"); }},
    {"Concat", 4, unchanged},
    {"DFT", 20, dft_axis},
    {"DepthToSpace", 11, no_mode},
    {"DequantizeLinear", 13, one_scale},
    {"DequantizeLinear", 21, [](Lowering& l) { return l.drop("block_size", 0); }},
    {"DequantizeLinear", 23, [](Lowering& l) { return l.drop("output_dtype", 0); }},
    {"GRU", 14, no_layout},
    {"GatherND", 12, [](Lowering& l) { return l.drop("batch_dims", 0); }},
    {"Gemm", 11, [](Lowering& l) { return l.has(2) || l.fails("it needs the input C"); }},
    {"GridSample", 20, grid_mode},
    {"Hardmax", 13, softmax},
    {"LSTM", 14, no_layout},
    {"LabelEncoder", 4, no_tensors},
    {"LogSoftmax", 13, softmax},
    {"LpPool", 18, no_dilations_or_ceil},
    {"MaxPool", 8, no_indices},
    {"MaxPool", 10, no_dilations_or_ceil},
    {"Pad", 11, [](Lowering& l) { return l.ints(1, "pads") && l.number(2, "value"); }},
    {"Pad", 18, [](Lowering& l) { return l.omitted(3, "axes"); }},
    {"QuantizeLinear", 13, one_scale},
    {"QuantizeLinear", 19, no_saturate},
    {"QuantizeLinear", 21, [](Lowering& l) { return l.drop("output_dtype", 0) && l.drop("block_size", 0); }},
    {"QuantizeLinear", 23, [](Lowering& l) { return l.drop("precision", 0); }},
    {"RNN", 14, no_layout},
    {"Range", 27, [](Lowering& l) { return l.drop("stash_type", 1); }},
    {"Reshape", 5, [](Lowering& l) { return l.ints(1, "shape"); }},
    {"Reshape", 14, [](Lowering& l) { return l.drop("allowzero", 0); }},
    {"Resize", 13, [](Lowering& l) { return (l.has(1) && l.has(2)) || l.fails("it needs the inputs roi and scales"); }},
    {"Resize", 18, [](Lowering& l) { return l.drop("antialias", 0) && l.absent("axes") && l.drop_text("keep_aspect_ratio_policy", "stretch"); }},
    {"RoiAlign", 16, [](Lowering& l) { return l.drop_text("coordinate_transformation_mode", "output_half_pixel"); }},
    {"ScatterElements", 16, no_reduction},
    {"ScatterND", 16, no_reduction},
    {"Shape", 15, [](Lowering& l) { return l.drop("start", 0) && l.absent("end"); }},
    {"Slice", 10, slice},
    {"Softmax", 13, softmax},
    {"SpaceToDepth", 28, no_mode},
    {"Split", 13, [](Lowering& l) { return l.ints(1, "split"); }},
    {"Split", 18, split_counts},
    {"Squeeze", 13, axes},
    {"TopK", 10, [](Lowering& l) { return l.integer(1, "k"); }},
    {"TopK", 11, [](Lowering& l) { return l.drop("largest", 1) && l.drop("sorted", 1); }},
    {"TreeEnsembleClassifier", 3, no_tensors},
    {"TreeEnsembleRegressor", 3, no_tensors},
    {"Unsqueeze", 13, axes},
};

// How the form that `version` brought is written in the one before; null where nobody has said how.
Step step_below(const Node& node, std::int32_t version) {
  if (node.domain.empty() && node.op_type.starts_with("Reduce")) return reduction;
  if (node.domain.empty() && (version == 7 || version == 8))
    for (std::string_view op : {"Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Less", "Greater", "Equal", "PRelu", "Max", "Min", "Mean", "Sum"})
      if (node.op_type == op) return equal_shapes;
  for (const Row& row : rows)
    if (row.op_type == node.op_type && row.version == version) return row.step;
  return nullptr;
}

}  // namespace

Result<Node> lower_node(const Graph& graph, const Node& node, std::int32_t max_opset) {
  const auto versions = form_versions(node.domain, node.op_type);
  const auto refuse = [&](std::int32_t version, const std::string& text) {
    return error(TENON_UNIMPLEMENTED, "{} is of opset {}, the provider knows opset {}: {}", node.label(), version, max_opset, text);
  };
  if (versions.empty() || versions[0] > max_opset)
    return refuse(versions.empty() ? node.since_version : versions[0], "the operator did not exist");
  Lowering l{graph, node, {}};
  auto form = std::min<std::size_t>(static_cast<std::size_t>(node.form), versions.size());
  for (; versions[form - 1] > max_opset; --form) {
    const Step step = step_below(l.node, versions[form - 1]);
    if (!step) return refuse(versions[form - 1], fmt::format("form {} cannot be written as form {}", form, form - 1));
    if (!step(l)) return refuse(versions[form - 1], fmt::format("form {} cannot be written as form {}: {}", form, form - 1, l.why));
  }
  while (!l.node.inputs.empty() && l.node.inputs.back() == none) l.node.inputs.pop_back();
  l.node.form = static_cast<std::int32_t>(form);
  l.node.since_version = std::min(l.node.since_version, max_opset);
  return std::move(l.node);
}

}  // namespace tenon
