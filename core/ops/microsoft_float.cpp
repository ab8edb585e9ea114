// Fused float operators of com.microsoft, spelled out.
#include <cmath>

#include "core/ops/microsoft_forms.h"

namespace tenon {
namespace {

using std::int64_t;

float activation_number(const Node& node, const char* name) { return node.float_or(name, NAN); }
// FusedConv gives its numbers in a list.
float activation_number(const Node& node, std::size_t i) {
  const Attribute* a = node.find("activation_params");
  const auto* list = a ? std::get_if<std::vector<float>>(&a->value) : nullptr;
  return list && i < list->size() ? (*list)[i] : NAN;
}

// [N, C, spatial...] to [N, spatial..., C] and back.
std::vector<int64_t> channels_last(int64_t rank) {
  std::vector<int64_t> perm{0};
  for (int64_t d = 2; d < rank; ++d) perm.push_back(d);
  perm.push_back(1);
  return perm;
}
std::vector<int64_t> channels_first(int64_t rank) {
  std::vector<int64_t> perm{0, rank - 1};
  for (int64_t d = 1; d + 1 < rank; ++d) perm.push_back(d);
  return perm;
}
int64_t spatial_rank(const Spelling& s, std::size_t weight) {
  if (const auto* kernel = s.node.ints("kernel_shape")) return static_cast<int64_t>(kernel->size()) + 2;
  return s.rank(s.has(weight) ? s.in(weight) : s.in(0), s.rank(s.in(0), 4));
}

Status fused_conv(Spelling& s) {
  ValueId y = s.add("Conv", {s.in(0), s.in(1), s.in(2)}, s.attributes_but({"activation", "activation_params"}));
  if (s.has(3)) y = s.add("Add", {y, s.in(3)});
  TENON_TRY(s.activate(y, s.node.string_or("activation", ""), activation_number(s.node, std::size_t{0}), activation_number(s.node, 1)));
  s.end_as(y);
  return {};
}

// NhwcConv has its weights channels last too, NhwcFusedConv has not.
Status nhwc_conv(Spelling& s) {
  const int64_t rank = spatial_rank(s, 1);
  const ValueId x = s.transpose(s.in(0), channels_first(rank));
  const ValueId w = s.node.op_type == "NhwcConv" ? s.transpose(s.in(1), channels_first(rank)) : s.in(1);
  ValueId y = s.transpose(s.add("Conv", {x, w, s.in(2)}, s.attributes_but({"activation", "activation_params"})), channels_last(rank));
  if (s.has(3)) y = s.add("Add", {y, s.in(3)});
  TENON_TRY(s.activate(y, s.node.string_or("activation", ""), activation_number(s.node, std::size_t{0}), activation_number(s.node, 1)));
  s.end_as(y);
  return {};
}

Status nhwc_max_pool(Spelling& s) {
  const int64_t rank = spatial_rank(s, 1);
  s.end("Transpose", {s.add("MaxPool", {s.transpose(s.in(0), channels_first(rank))}, s.attributes_but({}))},
        {{"perm", channels_last(rank)}});
  return {};
}

Status fused_gemm(Spelling& s) {
  const auto kept = s.attributes_but({"activation", "activation_alpha", "activation_beta", "activation_gamma"});
  ValueId y = s.add("Gemm", {s.in(0), s.in(1), s.in(2)}, kept);
  TENON_TRY(s.activate(y, s.node.string_or("activation", ""), activation_number(s.node, "activation_alpha"),
                       activation_number(s.node, "activation_beta")));
  s.end_as(y);
  return {};
}

Status fused_matmul_activation(Spelling& s) {
  const auto kept = s.attributes_but({"activation", "activation_alpha", "activation_axis", "activation_beta", "activation_gamma"});
  ValueId y = s.add("FusedMatMul", {s.in(0), s.in(1)}, kept, "com.microsoft");
  const std::string name = s.node.string_or("activation", "");
  if (name == "Softmax") y = s.add("Softmax", {y}, {{"axis", s.node.int_or("activation_axis", -1)}});
  else
    TENON_TRY(s.activate(y, name, activation_number(s.node, "activation_alpha"), activation_number(s.node, "activation_beta")));
  s.end_as(y);
  return {};
}

Status transpose_matmul(Spelling& s) {
  s.end("FusedMatMul", {s.in(0), s.in(1)}, s.attributes_but({}), "com.microsoft");
  return {};
}

// input_ids, segment_ids?, word, position, segment?, gamma, beta, mask?, position_ids?
Status embed_layer_norm(Spelling& s) {
  if (s.has(1) != s.has(4)) return invalid("{}: segment_ids and segment_embedding come together", s.node.label());
  for (const std::size_t i : {2, 3, 5, 6})
    if (!s.has(i)) return invalid("{}: input {} is required and missing", s.node.label(), i);
  ValueId positions = s.in(8);
  if (positions == none) {
    const ValueId length = s.add("Gather", {s.add("Shape", {s.in(0)}), s.ints({1}, true)}, {{"axis", int64_t{0}}});
    positions = s.add("Unsqueeze", {s.add("Range", {s.ints({0}, true), length, s.ints({1}, true)}), s.ints({0})});
  }
  const Spelling::Attributes rows{{"axis", int64_t{0}}};
  ValueId sum = s.add("Add", {s.add("Gather", {s.in(2), s.in(0)}, rows), s.add("Gather", {s.in(3), positions}, rows)});
  if (s.has(1)) sum = s.add("Add", {sum, s.add("Gather", {s.in(4), s.in(1)}, rows)});
  s.end("LayerNormalization", {sum, s.in(5), s.in(6)}, {{"axis", int64_t{-1}}, {"epsilon", s.node.float_or("epsilon", 1e-12f)}});
  if (s.wants(1)) {
    // Without a mask the lengths are zeros.
    const ValueId mask = s.has(7) ? s.in(7) : s.add("Sub", {s.in(0), s.in(0)});
    s.end("Cast", {s.add("ReduceSum", {mask, s.ints({1})}, {{"keepdims", int64_t{0}}})}, {{"to", int64_t{TENON_DTYPE_INT32}}}, "", 1);
  }
  if (s.wants(2)) s.end_as(sum, 2);
  return {};
}

Status bias_split_gelu(Spelling& s) {
  const auto halves = s.add_many("Split", {s.add("Add", {s.in(0), s.in(1)})}, 2, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{2}}});
  s.end("Mul", {halves[0], s.add("Gelu", {halves[1]})});
  return {};
}

Status bias_add(Spelling& s) {
  s.end("Add", {s.add("Add", {s.in(0), s.in(1)}), s.in(2)});
  return {};
}

// Scales of float32 beside an input of a half type: computed in float32.
ValueId grouped(Spelling& s, ValueId x, ValueId gamma, ValueId beta) {
  const bool last = s.node.int_or("channels_last", 1) != 0;
  ValueId y = s.cast(x, TENON_DTYPE_FLOAT);
  if (last) y = s.transpose(y, channels_first(4));
  y = s.add("GroupNormalization", {y, s.cast(gamma, TENON_DTYPE_FLOAT), s.cast(beta, TENON_DTYPE_FLOAT)},
            {{"num_groups", s.node.int_or("groups", 1)}, {"epsilon", s.node.float_or("epsilon", 1e-5f)}});
  if (s.node.int_or("activation", 0) == 1) y = s.add("Swish", {y});
  return last ? s.transpose(y, channels_last(4)) : y;
}
Status group_norm(Spelling& s) {
  s.end("CastLike", {grouped(s, s.in(0), s.in(1), s.in(2)), s.in(0)});
  return {};
}
// X, gamma, beta, skip, bias?
Status skip_group_norm(Spelling& s) {
  ValueId skip = s.in(3);
  if (s.rank(skip, 4) == 2) skip = s.add("Unsqueeze", {skip, s.ints({1, 2})});
  ValueId sum = s.add("Add", {s.in(0), skip});
  if (s.has(4)) sum = s.add("Add", {sum, s.in(4)});
  s.end("CastLike", {grouped(s, sum, s.in(1), s.in(2)), s.in(0)});
  if (s.wants(1)) s.end_as(sum, 1);
  return {};
}

Status bias_softmax(Spelling& s) {
  const ValueId sum = s.add("Add", {s.in(0), s.in(1)});
  Node softmax = Upgrade::derived(s.node, "Softmax", {sum}, {s.node.outputs[0]});
  softmax.set("axis", s.node.int_or("axis", 1));
  Upgrade flat{s.u.graph, s.u.out, 11, s.u.finish};  // everything from axis on is one row
  return upgrade_node(flat, std::move(softmax));
}

// input, weight, bias?, mask?, past?, attention_bias?
Status attention(Spelling& s) {
  const int64_t heads = s.node.int_or("num_heads", 0);
  if (s.node.int_or("do_rotary", 0) != 0 || s.node.int_or("past_present_share_buffer", 0) != 0)
    return error(TENON_UNIMPLEMENTED, "{}: do_rotary and past_present_share_buffer are not supported", s.node.label());
  ValueId packed = s.add("MatMul", {s.in(0), s.in(1)});
  if (s.has(2)) packed = s.add("Add", {packed, s.in(2)});
  std::vector<ValueId> qkv;
  const auto* sizes = s.node.ints("qkv_hidden_sizes");
  if (sizes && sizes->size() == 3) qkv = s.add_many("Split", {packed, s.ints(*sizes)}, 3, {{"axis", int64_t{-1}}});
  else qkv = s.add_many("Split", {packed}, 3, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{3}}});
  ValueId past_key = none, past_value = none;
  if (s.has(4)) {
    past_key = s.add("Gather", {s.in(4), s.ints({0}, true)}, {{"axis", int64_t{0}}});
    past_value = s.add("Gather", {s.in(4), s.ints({1}, true)}, {{"axis", int64_t{0}}});
  }
  Spelling::Attributes kept{{"num_heads", heads}, {"unidirectional", s.node.int_or("unidirectional", 0)}};
  for (const char* name : {"scale", "mask_filter_value"})
    if (const Attribute* a = s.node.find(name)) kept.push_back(*a);
  const bool present = s.wants(1);
  const auto made = s.add_many("MultiHeadAttention", {qkv[0], qkv[1], qkv[2], none, s.in(3), s.in(5), past_key, past_value},
                               present ? 3 : 1, kept, "com.microsoft");
  s.end_as(made[0]);
  if (present) {
    const ValueId front = s.ints({0});
    s.end("Concat", {s.add("Unsqueeze", {made[1], front}), s.add("Unsqueeze", {made[2], front})}, {{"axis", int64_t{0}}}, "", 1);
  }
  return {};
}

// One query a sample, which may be packed with its key and value. query, key?, value?, mask?, attention_bias?, past_key?,
// past_value?, past_sequence_length?, beam_width?, cache_indirection?, bias?
Status decoder_masked_attention(Spelling& s) {
  ValueId query = s.in(0), key = s.in(1), value = s.in(2);
  if (key == none) {
    const auto parts = s.add_many("Split", {query}, 3, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{3}}});
    query = parts[0], key = parts[1], value = parts[2];
  }
  const bool shared = s.node.int_or("past_present_share_buffer", 0) != 0 && s.has(5);
  Spelling::Attributes kept{{"num_heads", s.node.int_or("num_heads", 0)}};
  for (const char* name : {"scale", "mask_filter_value"})
    if (const Attribute* a = s.node.find(name)) kept.push_back(*a);
  std::size_t outputs = s.wants(3) ? 4 : s.wants(2) ? 3 : s.wants(1) ? 2 : 1;
  const auto made =
      s.add_many("MultiHeadAttention",
                 {query, key, value, s.in(10), s.in(3), s.in(4), s.in(5), s.in(6), shared ? s.in(7) : none, shared ? s.in(9) : none},
                 outputs, kept, "com.microsoft");
  for (std::size_t o = 0; o < outputs; ++o) s.end_as(made[o], o);
  return {};
}

// ---- operators that ai.onnx has by now ----------------------------------------------------------------------------------

Status trilu(Spelling& s) {
  s.end("Trilu", {s.in(0), s.in(1)}, s.attributes_but({}));
  return {};
}
Status expand_dims(Spelling& s) {
  s.end("Unsqueeze", {s.in(0), s.add("Reshape", {s.cast(s.in(1), TENON_DTYPE_INT64), s.ints({1})})});
  return {};
}
Status pad(Spelling& s) {
  s.end("Pad", {s.in(0), s.in(1), s.in(2)}, s.attributes_but({}));
  return {};
}
Status range(Spelling& s) {
  s.end("Range", {s.in(0), s.in(1), s.has(2) ? s.in(2) : s.cast_like(s.ints({1}, true), s.in(0))});
  return {};
}
Status grid_sample(Spelling& s) {
  Node n = Upgrade::derived(s.node, "GridSample", {s.in(0), s.in(1)}, {s.node.outputs[0]});
  for (const Attribute& a : s.node.attributes) n.set(a.name, a.value);
  Upgrade old{s.u.graph, s.u.out, 16, s.u.finish};
  return upgrade_node(old, std::move(n));
}
// Elements in the order of their first occurrence, where they are, how often.
Status unique(Spelling& s) {
  const auto made = s.add_many("Unique", {s.in(0)}, 4, {{"sorted", int64_t{0}}});
  s.end_as(made[0]), s.end_as(made[2], 1), s.end_as(made[3], 2);
  return {};
}
// Distances between the rows of A and those of B.
Status distances(Spelling& s) {
  const ValueId difference = s.add("Sub", {s.add("Unsqueeze", {s.in(0), s.ints({1})}), s.add("Unsqueeze", {s.in(1), s.ints({0})})});
  const ValueId sum = s.add("ReduceSumSquare", {difference, s.ints({2})}, {{"keepdims", int64_t{0}}});
  if (s.node.string_or("metric", "sqeuclidean") == "euclidean") s.end("Sqrt", {sum});
  else s.end_as(sum);
  return {};
}

constexpr SpelledOp table[] = {
    {"FusedConv", 2, fused_conv},
    {"NhwcFusedConv", 2, nhwc_conv},
    {"NhwcConv", 2, nhwc_conv},
    {"NhwcMaxPool", 1, nhwc_max_pool},
    {"FusedGemm", 2, fused_gemm},
    {"FusedMatMulActivation", 2, fused_matmul_activation},
    {"TransposeMatMul", 2, transpose_matmul},
    {"EmbedLayerNormalization", 1, embed_layer_norm},
    {"BiasSplitGelu", 2, bias_split_gelu},
    {"BiasAdd", 3, bias_add},
    {"GroupNorm", 3, group_norm},
    {"SkipGroupNorm", 4, skip_group_norm},
    {"BiasSoftmax", 2, bias_softmax},
    {"Attention", 2, attention},
    {"DecoderMaskedMultiHeadAttention", 1, decoder_masked_attention},
    {"Trilu", 1, trilu},
    {"ExpandDims", 2, expand_dims},
    {"Pad", 2, pad},
    {"Range", 2, range},
    {"GridSample", 2, grid_sample},
    {"Unique", 1, unique},
    {"CDist", 2, distances},
};

}  // namespace

std::span<const SpelledOp> spelled_float_ops() { return table; }

}  // namespace tenon
