// Quantised operators of com.microsoft, spelled out: QLinear*, and products of 8-bit integers that end in float.
//
// What only moves or compares numbers goes through DequantizeLinear and QuantizeLinear; products stay integer.
#include "core/ops/microsoft_forms.h"

namespace tenon {
namespace {

using std::int64_t;

// Inputs first, first + 1, first + 2: a tensor, its scale and its zero point.
ValueId dequantized(Spelling& s, std::size_t first) { return s.add("DequantizeLinear", {s.in(first), s.in(first + 1), s.in(first + 2)}); }

// Output 0 with the scale and zero point at `scale` and `scale` + 1; without a zero point it has the type of `like`.
Status quantized(Spelling& s, ValueId y, std::size_t scale, std::size_t like = 0) {
  if (!s.has(scale)) return invalid("{}: the scale of the output, input {}, is missing", s.node.label(), scale);
  Spelling::Attributes attributes;
  if (!s.has(scale + 1) && s.type(s.in(like)).dtype == TENON_DTYPE_INT8) attributes = {{"output_dtype", int64_t{TENON_DTYPE_INT8}}};
  s.end("QuantizeLinear", {y, s.in(scale), s.in(scale + 1)}, attributes);
  return {};
}

Status binary(Spelling& s) {
  const char* op = s.node.op_type == "QLinearAdd" ? "Add" : "Mul";
  return quantized(s, s.add(op, {dequantized(s, 0), dequantized(s, 3)}), 6);
}

Status sigmoid(Spelling& s) { return quantized(s, s.add("Sigmoid", {dequantized(s, 0)}), 3); }
Status leaky_relu(Spelling& s) {
  return quantized(s, s.add("LeakyRelu", {dequantized(s, 0)}, {{"alpha", s.node.float_or("alpha", 0.01f)}}), 3);
}

Status softmax(Spelling& s) {
  const ValueId x = dequantized(s, 0), y = s.u.graph.add_value(s.u.graph.values[s.node.outputs[0]].name + "/soft");
  Node n = Upgrade::derived(s.node, "Softmax", {x}, {y});
  n.set("axis", s.node.int_or("axis", -1));
  if (s.type(s.in(0)).dims) s.u.graph.values[x].type.dims = s.type(s.in(0)).dims;
  Upgrade as_written{s.u.graph, s.u.out, s.node.int_or("opset", 13), s.u.finish};
  TENON_TRY(upgrade_node(as_written, std::move(n)));
  return quantized(s, y, 3);
}

std::vector<int64_t> moved(int64_t rank, bool to_front) {
  std::vector<int64_t> perm{0};
  if (to_front) perm.push_back(rank - 1);
  for (int64_t d = to_front ? 1 : 2; d < (to_front ? rank - 1 : rank); ++d) perm.push_back(d);
  if (!to_front) perm.push_back(1);
  return perm;
}

Status average_pool(Spelling& s) {
  const bool last = s.node.int_or("channels_last", 0) != 0;
  const auto* kernel = s.node.ints("kernel_shape");
  if (!kernel) return invalid("{}: attribute \"kernel_shape\" is required and missing", s.node.label());
  const auto rank = static_cast<int64_t>(kernel->size()) + 2;
  ValueId y = dequantized(s, 0);
  if (last) y = s.transpose(y, moved(rank, true));
  y = s.add("AveragePool", {y}, s.attributes_but({"channels_last"}));
  if (last) y = s.transpose(y, moved(rank, false));
  return quantized(s, y, 3);
}
Status global_average_pool(Spelling& s) {
  const bool last = s.node.int_or("channels_last", 0) != 0;
  const int64_t rank = s.rank(s.in(0), 4);
  ValueId y = dequantized(s, 0);
  if (last) y = s.transpose(y, moved(rank, true));
  y = s.add("GlobalAveragePool", {y});
  if (last) y = s.transpose(y, moved(rank, false));
  return quantized(s, y, 3);
}

Status reduce_mean(Spelling& s) {
  ValueId axes = none;
  if (const auto* given = s.node.ints("axes")) axes = s.ints(*given);
  return quantized(s, s.add("ReduceMean", {dequantized(s, 0), axes}, {{"keepdims", s.node.int_or("keepdims", 1)}}), 3);
}

// Y_scale, Y_zero_point, then three inputs for each part.
Status concat(Spelling& s) {
  std::vector<ValueId> parts;
  for (std::size_t i = 2; i < s.node.inputs.size(); i += 3) {
    if (!s.has(i) || !s.has(i + 1)) return invalid("{}: input {} or its scale is missing", s.node.label(), i);
    parts.push_back(dequantized(s, i));
  }
  return quantized(s, s.add("Concat", parts, {{"axis", s.node.int_or("axis", 0)}}), 0, 2);
}

// condition, X, its scale and zero point, Y, its scale and zero point, scale and zero point of Z
Status where(Spelling& s) { return quantized(s, s.add("Where", {s.in(0), dequantized(s, 1), dequantized(s, 4)}), 7, 1); }

Status qlinear_conv(Spelling& s) {
  const bool last = s.node.int_or("channels_last", 0) != 0;
  const int64_t rank = s.rank(s.in(3), 4);
  std::vector<ValueId> inputs(s.node.inputs);
  if (last) inputs[0] = s.transpose(inputs[0], moved(rank, true));
  const ValueId y = s.add("QLinearConv", inputs, s.attributes_but({"channels_last"}));
  if (last) s.end("Transpose", {y}, {{"perm", moved(rank, false)}});
  else s.end_as(y);
  return {};
}

// ---- products ---------------------------------------------------------------------------------------------------------

struct IntegerProduct {
  ValueId a, b, a_zero, b_zero;
};
ValueId whole(Spelling& s, const IntegerProduct& p) { return s.add("MatMulInteger", {p.a, p.b, p.a_zero, p.b_zero}); }
ValueId scaled(Spelling& s, ValueId product, ValueId a_scale, ValueId b_scale) {
  const ValueId scale = s.add("Mul", {a_scale, b_scale});
  return s.add("Mul", {s.add("CastLike", {product, scale}), scale});
}

// A, B, a_scale, b_scale, a_zero?, b_zero?, bias?
Status matmul_to_float(Spelling& s) {
  const ValueId y = scaled(s, whole(s, {s.in(0), s.in(1), s.in(4), s.in(5)}), s.in(2), s.in(3));
  if (s.has(6)) s.end("Add", {y, s.in(6)});
  else s.end_as(y);
  return {};
}

// A, B, b_scale, b_zero?, bias?
Status dynamic_matmul(Spelling& s) {
  const auto a = s.add_many("DynamicQuantizeLinear", {s.in(0)}, 3);
  const ValueId y = scaled(s, whole(s, {a[0], s.in(1), a[2], s.in(3)}), a[1], s.in(2));
  if (s.has(4)) s.end("Add", {y, s.in(4)});
  else s.end_as(y);
  return {};
}

// A, a_scale, a_zero, B, b_scale, b_zero, C?, y_scale?, y_zero?
Status gemm(Spelling& s) {
  ValueId a = s.in(0), b = s.in(3);
  if (s.node.int_or("transA", 0) != 0) a = s.transpose(a, {1, 0});
  if (s.node.int_or("transB", 0) != 0) b = s.transpose(b, {1, 0});
  ValueId product = whole(s, {a, b, s.in(2), s.in(5)});
  if (s.has(6)) product = s.add("Add", {product, s.in(6)});
  ValueId y = scaled(s, product, s.in(1), s.in(4));
  if (const float alpha = s.node.float_or("alpha", 1); alpha != 1) y = s.add("Mul", {y, s.real(alpha)});
  if (s.has(7)) return quantized(s, y, 7);
  s.end_as(y);
  return {};
}

// input, weight, bias, input_scale, weight_scale, mask?, input_zero?, weight_zero?, past?
Status attention(Spelling& s) {
  if (s.node.int_or("do_rotary", 0) != 0) return error(TENON_UNIMPLEMENTED, "{}: do_rotary is not supported", s.node.label());
  ValueId packed = scaled(s, whole(s, {s.in(0), s.in(1), s.in(6), s.in(7)}), s.in(3), s.in(4));
  packed = s.add("Add", {packed, s.in(2)});
  const auto qkv = s.add_many("Split", {packed}, 3, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{3}}});
  ValueId past_key = none, past_value = none;
  if (s.has(8)) {
    past_key = s.add("Gather", {s.in(8), s.ints({0}, true)}, {{"axis", int64_t{0}}});
    past_value = s.add("Gather", {s.in(8), s.ints({1}, true)}, {{"axis", int64_t{0}}});
  }
  Spelling::Attributes kept{{"num_heads", s.node.int_or("num_heads", 0)}, {"unidirectional", s.node.int_or("unidirectional", 0)}};
  for (const char* name : {"scale", "mask_filter_value"})
    if (const Attribute* a = s.node.find(name)) kept.push_back(*a);
  const bool present = s.wants(1);
  const auto made = s.add_many("MultiHeadAttention", {qkv[0], qkv[1], qkv[2], none, s.in(5), none, past_key, past_value}, present ? 3 : 1,
                               kept, "com.microsoft");
  s.end_as(made[0]);
  if (present) {
    const ValueId front = s.ints({0});
    s.end("Concat", {s.add("Unsqueeze", {made[1], front}), s.add("Unsqueeze", {made[2], front})}, {{"axis", int64_t{0}}}, "", 1);
  }
  return {};
}

constexpr SpelledOp table[] = {
    {"QLinearAdd", 5, binary},
    {"QLinearMul", 5, binary},
    {"QLinearSigmoid", 2, sigmoid},
    {"QLinearLeakyRelu", 2, leaky_relu},
    {"QLinearSoftmax", 2, softmax},
    {"QLinearAveragePool", 2, average_pool},
    {"QLinearGlobalAveragePool", 2, global_average_pool},
    {"QLinearReduceMean", 2, reduce_mean},
    {"QLinearConcat", 4, concat},
    {"QLinearWhere", 8, where},
    {"QLinearConv", 8, qlinear_conv},
    {"MatMulIntegerToFloat", 4, matmul_to_float},
    {"DynamicQuantizeMatMul", 3, dynamic_matmul},
    {"QGemm", 6, gemm},
    {"QAttention", 5, attention},
};

}  // namespace

std::span<const SpelledOp> spelled_quantized_ops() { return table; }

}  // namespace tenon
