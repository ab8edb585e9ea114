// Small operators of com.microsoft, spelled out: what ai.onnx says in a few nodes.
#include "core/ops/microsoft_forms.h"

namespace tenon {
namespace {

using std::int64_t;

ValueId joined(Spelling& s, std::vector<ValueId> parts, int64_t axis = 0) { return s.add("Concat", std::move(parts), {{"axis", axis}}); }
ValueId element(Spelling& s, ValueId v, int64_t i, int64_t axis) { return s.add("Gather", {v, s.ints({i}, true)}, {{"axis", axis}}); }

// ---- integers -----------------------------------------------------------------------------------------------------------

Status linear(Spelling& s) {
  s.end(s.node.op_type.c_str(), {s.in(0), s.in(1), s.in(2)}, s.attributes_but({}));
  return {};
}

Status matmul_int16(Spelling& s) {
  s.end("MatMul", {s.cast(s.in(0), TENON_DTYPE_INT32), s.cast(s.in(1), TENON_DTYPE_INT32)});
  return {};
}

// A, its zero point?, B, its zero point?
Status mul_integer(Spelling& s) {
  if (!s.has(2)) return invalid("{}: input 2 is required and missing", s.node.label());
  const auto centred = [&](std::size_t i) {
    const ValueId x = s.cast(s.in(i), TENON_DTYPE_INT32);
    return s.has(i + 1) ? s.add("Sub", {x, s.cast(s.in(i + 1), TENON_DTYPE_INT32)}) : x;
  };
  s.end("Mul", {centred(0), centred(2)});
  return {};
}

Status reduce_sum_integer(Spelling& s) {
  const auto* axes = s.node.ints("axes");
  const DType to = s.type(s.in(0)).dtype == TENON_DTYPE_UINT8 ? TENON_DTYPE_UINT32 : TENON_DTYPE_INT32;
  s.end("ReduceSum", {s.cast(s.in(0), to), axes ? s.ints(*axes) : none}, {{"keepdims", s.node.int_or("keepdims", 1)}});
  return {};
}

// ---- complex numbers: the last dim has the real and the imaginary part ------------------------------------------------------

Status complex_mul(Spelling& s) {
  const auto real = [&](std::size_t i) { return element(s, s.in(i), 0, -1); };
  const auto imaginary = [&](std::size_t i) { return element(s, s.in(i), 1, -1); };
  const ValueId rr = s.add("Mul", {real(0), real(1)}), ii = s.add("Mul", {imaginary(0), imaginary(1)});
  const ValueId ir = s.add("Mul", {imaginary(0), real(1)}), ri = s.add("Mul", {real(0), imaginary(1)});
  const bool conjugated = s.node.op_type == "ComplexMulConj";
  const ValueId last = s.ints({-1});
  s.end("Concat", {s.add("Unsqueeze", {s.add(conjugated ? "Add" : "Sub", {rr, ii}), last}),
                   s.add("Unsqueeze", {s.add(conjugated ? "Sub" : "Add", {ir, ri}), last})},
        {{"axis", int64_t{-1}}});
  return {};
}

Status one_dimension(const Spelling& s) {
  if (s.node.int_or("signal_ndim", 1) == 1 && s.node.int_or("normalized", 0) == 0 && s.node.int_or("onesided", 1) == 1) return {};
  return error(TENON_UNIMPLEMENTED, "{}: signal_ndim must be 1, normalized 0 and onesided 1", s.node.label());
}

Status rfft(Spelling& s) {
  TENON_TRY(one_dimension(s));
  s.end("DFT", {s.add("Unsqueeze", {s.in(0), s.ints({-1})}), none, s.ints({-2}, true)}, {{"onesided", int64_t{1}}});
  return {};
}

// The other half is the conjugate of this one, read backwards without its ends.
Status irfft(Spelling& s) {
  TENON_TRY(one_dimension(s));
  static constexpr float turned[] = {1, -1};
  const ValueId inside = s.add("Slice", {s.in(0), s.ints({-2}), s.ints({0}), s.ints({-2}), s.ints({-1})});
  const ValueId whole = joined(s, {s.in(0), s.add("Mul", {inside, s.cast_like(s.reals(turned), s.in(0))})}, -2);
  s.end_as(element(s, s.add("DFT", {whole, none, s.ints({-2}, true)}, {{"inverse", int64_t{1}}}), 0, -1));
  return {};
}

// ---- movement -----------------------------------------------------------------------------------------------------------

Status gather_nd(Spelling& s) {
  s.end("GatherND", {s.in(0), s.cast(s.in(1), TENON_DTYPE_INT64)});
  return {};
}

// All slices of `size` along a dim; what is in a slice becomes the last dim.
Status unfold(Spelling& s) {
  const int64_t size = s.node.int_or("size", 0), step = s.node.int_or("step", 1), rank = s.rank(s.in(0));
  int64_t dim = s.node.int_or("dim", -1);
  if (size < 1 || step < 1) return invalid("{}: size and step must be positive, found {} and {}", s.node.label(), size, step);
  if (dim != -1 && rank < 0) return error(TENON_UNIMPLEMENTED, "{}: the rank of the input must be declared", s.node.label());
  if (rank >= 0 && (dim < -rank || dim >= rank)) return invalid("{}: dim {} is outside a tensor of rank {}", s.node.label(), dim, rank);
  const ValueId shape = s.add("Shape", {s.in(0)}), zero = s.ints({0}, true), one = s.ints({1}, true);
  const ValueId length = element(s, shape, dim, 0);
  const ValueId limit = s.add("Sub", {length, s.ints({size - 1}, true)});
  const ValueId starts = s.add("Range", {zero, limit, s.ints({step}, true)});
  // A size beyond the dim makes no slice.
  const ValueId inside = s.add("Range", {zero, s.add("Min", {length, s.ints({size}, true)}), one});
  const ValueId at = s.add("Add", {s.add("Unsqueeze", {starts, s.ints({1})}), inside});
  const ValueId y = s.add("Gather", {s.in(0), at}, {{"axis", dim}});
  if (dim < 0 && rank >= 0) dim += rank;
  if (dim == -1 || dim == rank - 1) {
    s.end_as(y);
    return {};
  }
  std::vector<int64_t> perm;
  for (int64_t d = 0; d <= rank; ++d)
    if (d != dim + 1) perm.push_back(d);
  perm.push_back(dim + 1);
  s.end("Transpose", {y}, {{"perm", std::move(perm)}});
  return {};
}

// X, W, Pads?, B?: pads are cut from what is made without them.
Status conv_transpose_with_pads(Spelling& s) {
  const ValueId y = s.add("ConvTranspose", {s.in(0), s.in(1), s.in(3)}, s.attributes_but({}));
  if (!s.has(2)) {
    s.end_as(y);
    return {};
  }
  const ValueId half = s.add("Div", {s.add("Shape", {s.in(2)}), s.ints({2})}), front = s.ints({0, 0}), first = s.ints({0});
  const ValueId before = s.add("Slice", {s.in(2), first, half, first}), after = s.add("Slice", {s.in(2), half, s.ints({INT64_MAX}), first});
  s.end("Slice", {y, joined(s, {front, before}), s.add("Sub", {s.add("Shape", {y}), joined(s, {front, after})})});
  return {};
}

// weight, indices
Status torch_embedding(Spelling& s) {
  s.end("Gather", {s.in(0), s.in(1)}, {{"axis", int64_t{0}}});
  return {};
}

// ---- elementwise ----------------------------------------------------------------------------------------------------------

Status sample(Spelling& s) {
  s.end_as(s.in(0));
  return {};
}

Status all_finite(Spelling& s) {
  ValueId count = none;
  for (const ValueId x : s.node.inputs) {
    if (x == none) continue;
    for (const char* op : {"IsInf", "IsNaN"}) {
      if (s.node.int_or(op[2] == 'I' ? "isnan_only" : "isinf_only", 0) != 0) continue;
      const ValueId found =
          s.add("ReduceSum", {s.cast(s.add(op, {s.cast(x, TENON_DTYPE_FLOAT)}), TENON_DTYPE_INT64)}, {{"keepdims", int64_t{0}}});
      count = count == none ? found : s.add("Add", {count, found});
    }
  }
  if (count == none) return invalid("{}: isinf_only and isnan_only exclude each other", s.node.label());
  s.end("Equal", {count, s.ints({0}, true)});
  return {};
}

// data, bias, residual?: nothing is dropped outside training.
Status bias_dropout(Spelling& s) {
  ValueId sum = s.add("Add", {s.in(0), s.in(1)});
  if (s.has(2)) sum = s.add("Add", {sum, s.in(2)});
  s.end_as(sum);
  if (s.wants(1))
    s.end("Cast", {s.add("Expand", {s.ints({1}, true), s.add("Shape", {s.in(0)})})}, {{"to", int64_t{TENON_DTYPE_BOOL}}}, "", 1);
  return {};
}

Status gemm_fast_gelu(Spelling& s) {
  s.end("FastGelu", {s.add("MatMul", {s.in(0), s.in(1)}), s.in(2)}, {}, "com.microsoft");
  return {};
}

// emb, q, q_rot, k, k_rot
Status gemma_rotary(Spelling& s) {
  const ValueId head = s.ints({1});
  const auto angle = [&](const char* op) { return s.add("Unsqueeze", {s.cast_like(s.add(op, {s.in(0)}), s.in(1)), head}); };
  const ValueId cos = angle("Cos"), sin = angle("Sin");
  for (std::size_t o = 0; o < 2; ++o)
    s.end("Add", {s.add("Mul", {s.in(1 + 2 * o), cos}), s.add("Mul", {s.in(2 + 2 * o), sin})}, {}, "", o);
  return {};
}

// ---- BERT and decoders ------------------------------------------------------------------------------------------------------

// Tables of 8 bits; scales and zero points of word, position, segment, gamma and beta stand at 8 to 12 and at 13 to 17.
Status quantised_embed_layer_norm(Spelling& s) {
  for (const std::size_t i : {2, 3, 5, 6, 8, 9, 11, 12, 13, 14, 16, 17})
    if (!s.has(i)) return invalid("{}: input {} is required and missing", s.node.label(), i);
  for (const std::size_t i : {4, 10, 15})
    if (s.has(1) != s.has(i))
      return invalid("{}: segment_ids, segment_embedding, its scale and its zero point come together", s.node.label());
  const auto wide = [&](ValueId v, std::size_t table) {
    const auto scalar = [&](std::size_t i) { return s.add("Reshape", {s.in(i), s.ints({})}); };
    return s.add("DequantizeLinear", {v, scalar(8 + table), scalar(13 + table)});
  };
  const Spelling::Attributes rows{{"axis", int64_t{0}}};
  const ValueId zero = s.ints({0}, true), one = s.ints({1}, true), length = element(s, s.add("Shape", {s.in(0)}), 1, 0);
  const ValueId positions = s.add("Unsqueeze", {s.add("Range", {zero, length, one}), s.ints({0})});
  ValueId sum = s.add("Add", {wide(s.add("Gather", {s.in(2), s.in(0)}, rows), 0), wide(s.add("Gather", {s.in(3), positions}, rows), 1)});
  if (s.has(1)) sum = s.add("Add", {sum, wide(s.add("Gather", {s.in(4), s.in(1)}, rows), 2)});
  s.end("LayerNormalization", {sum, wide(s.in(5), 3), wide(s.in(6), 4)},
        {{"axis", int64_t{-1}}, {"epsilon", s.node.float_or("epsilon", 1e-12f)}});
  if (s.wants(1)) {
    const ValueId mask = s.has(7) ? s.in(7) : s.add("Sub", {s.in(0), s.in(0)});
    s.end("Cast", {s.add("ReduceSum", {mask, s.ints({1})}, {{"keepdims", int64_t{0}}})}, {{"to", int64_t{TENON_DTYPE_INT32}}}, "", 1);
  }
  return {};
}

// input, weights, bias, mask?, past [2, batch, heads, rows, size], attention_bias?, past_sequence_length?, beam_width?,
// cache_indirection?
Status decoder_masked_self_attention(Spelling& s) {
  if (!s.has(4)) return invalid("{}: input 4, past, is required and missing", s.node.label());
  if (s.node.int_or("do_rotary", 0) != 0) return error(TENON_UNIMPLEMENTED, "{}: do_rotary is not supported", s.node.label());
  const ValueId packed = s.add("Add", {s.add("MatMul", {s.in(0), s.in(1)}), s.in(2)});
  const auto qkv = s.add_many("Split", {packed}, 3, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{3}}});
  const bool shared = s.node.int_or("past_present_share_buffer", 0) != 0;
  Spelling::Attributes kept{{"num_heads", s.node.int_or("num_heads", 0)}};
  for (const char* name : {"scale", "mask_filter_value"})
    if (const Attribute* a = s.node.find(name)) kept.push_back(*a);
  const auto made = s.add_many("MultiHeadAttention",
                               {qkv[0], qkv[1], qkv[2], none, s.in(3), s.in(5), element(s, s.in(4), 0, 0), element(s, s.in(4), 1, 0),
                                shared ? s.in(6) : none, shared ? s.in(8) : none},
                               s.wants(1) ? 3 : 1, kept, "com.microsoft");
  s.end_as(made[0]);
  if (s.wants(1))
    s.end("Concat", {s.add("Unsqueeze", {made[1], s.ints({0})}), s.add("Unsqueeze", {made[2], s.ints({0})})}, {{"axis", int64_t{0}}}, "",
          1);
  return {};
}

// A, skip?, norm_scale?: the norm in front of products that share it; its sum goes to output `sum`.
ValueId normed(Spelling& s, float epsilon, std::size_t sum) {
  const Spelling::Attributes attributes{{"epsilon", epsilon}};
  if (!s.has(2)) return s.in(0);
  if (!s.has(1)) return s.add("SimplifiedLayerNormalization", {s.in(0), s.in(2)}, {{"axis", int64_t{-1}}, {"epsilon", epsilon}});
  const auto made = s.add_many("SkipSimplifiedLayerNormalization", {s.in(0), s.in(1), s.in(2)}, 4, attributes, "com.microsoft");
  s.end_as(made[3], sum);
  return made[0];
}
ValueId nbits_product(Spelling& s, ValueId a, std::size_t weights, int64_t columns) {
  return s.add("MatMulNBits", {a, s.in(weights), s.in(weights + 1), none, none, s.in(weights + 2)},
               {{"K", s.node.int_or("K", 0)},
                {"N", columns},
                {"bits", s.node.int_or("bits", 4)},
                {"block_size", s.node.int_or("block_size", 32)},
                {"accuracy_level", s.node.int_or("accuracy_level", 0)}},
               "com.microsoft");
}

// gate and up: weights, scales and bias? each, from 3 and from 6 on
Status nbits_mlp(Spelling& s) {
  const ValueId a = normed(s, s.node.float_or("epsilon", 1e-5f), 1);
  const int64_t columns = s.node.int_or("N", 0);
  ValueId gate = nbits_product(s, a, 3, columns);
  const std::string name = s.node.string_or("activation", "");
  if (name == "silu" || name == "swish") gate = s.add("Swish", {gate});
  else if (name == "gelu") gate = s.add("Gelu", {gate});
  else if (name == "relu") gate = s.add("Relu", {gate});
  else return error(TENON_UNIMPLEMENTED, "{}: the activation \"{}\" is not known", s.node.label(), name);
  s.end("Mul", {gate, nbits_product(s, a, 6, columns)});
  return {};
}

// Q, K and V: weights, scales and bias? each, from 3 on
Status nbits_qkv(Spelling& s) {
  const ValueId a = normed(s, s.node.float_or("epsilon", 1e-6f), 3);
  for (std::size_t o = 0; o < 3; ++o) s.end_as(nbits_product(s, a, 3 + 3 * o, s.node.int_or(o == 0 ? "Nq" : "Nkv", 0)), o);
  return {};
}

constexpr SpelledOp ops[] = {
    {"QuantizeLinear", 2, linear},
    {"DequantizeLinear", 2, linear},
    {"MatMulInteger16", 2, matmul_int16},
    {"MulInteger", 1, mul_integer},
    {"ReduceSumInteger", 1, reduce_sum_integer},
    {"ComplexMul", 2, complex_mul},
    {"ComplexMulConj", 2, complex_mul},
    {"Rfft", 1, rfft},
    {"Irfft", 1, irfft},
    {"GatherND", 2, gather_nd},
    {"UnfoldTensor", 1, unfold},
    {"ConvTransposeWithDynamicPads", 2, conv_transpose_with_pads},
    {"TorchEmbedding", 2, torch_embedding},
    {"SampleOp", 1, sample},
    {"IsAllFinite", 1, all_finite},
    {"BiasDropout", 2, bias_dropout},
    {"BitmaskDropout", 1, sample},
    {"GemmFastGelu", 2, gemm_fast_gelu},
    {"GemmaRotaryEmbedding", 5, gemma_rotary},
    {"QEmbedLayerNormalization", 1, quantised_embed_layer_norm},
    {"DecoderMaskedSelfAttention", 3, decoder_masked_self_attention},
    {"MatMulNBitsMlp", 1, nbits_mlp},
    {"MatMulNBitsQkv", 1, nbits_qkv},
};

}  // namespace

std::span<const SpelledOp> spelled_small_ops() { return ops; }

}  // namespace tenon
