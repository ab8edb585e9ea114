// Operators of com.microsoft that decoders are exported with, spelled out: gates, norms by branch, routers, low-precision weights.
#include <cmath>

#include "core/ops/microsoft_forms.h"

namespace tenon {
namespace {

using std::int64_t;

ValueId wide(Spelling& s, ValueId v) { return s.cast(v, TENON_DTYPE_FLOAT); }
ValueId narrow(Spelling& s, ValueId v, std::size_t like = 0) { return s.cast_like(v, s.in(like)); }

ValueId joined(Spelling& s, std::vector<ValueId> parts) { return s.add("Concat", std::move(parts), {{"axis", int64_t{0}}}); }
ValueId size(Spelling& s, ValueId v) { return s.add("Reshape", {s.add("Size", {v}), s.ints({1})}); }
// How many rows of `width` elements v has; a Reshape cannot tell where there are none.
ValueId rows_of(Spelling& s, ValueId v, ValueId width) { return s.add("Div", {size(s, v), s.add("Max", {width, s.ints({1})})}); }

// ---- gates ------------------------------------------------------------------------------------------------------------

// a, dt_bias, decay_scale, b?
Status linear_attention_gate(Spelling& s) {
  const ValueId soft = s.add("Softplus", {s.add("Add", {wide(s, s.in(0)), s.in(1)})});
  s.end("CastLike", {s.add("Mul", {s.in(2), soft}), s.in(0)});
  if (!s.wants(1)) return {};
  if (!s.has(3)) return invalid("{}: output 1 needs input 3, b", s.node.label());
  s.end("CastLike", {s.add("Sigmoid", {wide(s, s.in(3))}), s.in(0)}, {}, "", 1);
  return {};
}

// X, scale, gate: rows of as many elements as scale has.
Status gated_norm(Spelling& s) {
  const std::string name = s.node.string_or("activation", "silu");
  if (name != "silu" && name != "swish" && name != "sigmoid")
    return error(TENON_UNIMPLEMENTED, "{}: the activation \"{}\" is not known", s.node.label(), name);
  const ValueId width = s.add("Shape", {s.in(1)});
  const ValueId x = s.reshape(wide(s, s.in(0)), joined(s, {rows_of(s, s.in(0), width), width}));
  const ValueId y =
      s.add("RMSNormalization", {x, wide(s, s.in(1))}, {{"axis", int64_t{-1}}, {"epsilon", s.node.float_or("epsilon", 1e-5f)}});
  const ValueId gate = s.add(name == "sigmoid" ? "Sigmoid" : "Swish", {wide(s, s.in(2))});
  s.end("CastLike", {s.add("Mul", {s.reshape(y, s.add("Shape", {s.in(0)})), gate}), s.in(0)});
  return {};
}

// X, Y, gate, gate_weight?
Status gated_add(Spelling& s) {
  ValueId gate = s.in(2);
  if (s.has(3)) gate = narrow(s, s.add("Sigmoid", {s.add("MatMul", {wide(s, gate), wide(s, s.in(3))})}));
  s.end("Add", {s.in(0), s.add("Mul", {s.in(1), gate})});
  return {};
}

// gate with up, or both in one. Without round_activation everything is rounded once.
Status swiglu(Spelling& s) {
  ValueId gate = s.in(0), up = s.in(1);
  if (up == none) {
    const auto halves = s.add_many("Split", {gate}, 2, {{"axis", int64_t{-1}}, {"num_outputs", int64_t{2}}});
    gate = halves[0], up = halves[1];
  }
  gate = wide(s, gate), up = wide(s, up);
  if (const float limit = s.node.float_or("limit", 0); limit > 0) {
    gate = s.add("Clip", {gate, none, s.real(limit)});
    up = s.add("Clip", {up, s.real(-limit), s.real(limit)});
  }
  ValueId y = s.add("Swish", {gate}, {{"alpha", s.node.float_or("activation_alpha", 1)}});
  if (s.node.int_or("round_activation", 0) != 0) y = wide(s, narrow(s, y));
  if (const float beta = s.node.float_or("activation_beta", 0); beta != 0) up = s.add("Add", {up, s.real(beta)});
  s.end("CastLike", {s.add("Mul", {y, up}), s.in(0)});
  return {};
}

// X, scale?
Status scaled_silu(Spelling& s) {
  const ValueId factor = s.has(1) ? s.add("Reshape", {wide(s, s.in(1)), s.ints({})}) : s.real(s.node.float_or("alpha", 1));
  const ValueId z = narrow(s, s.add("Mul", {wide(s, s.in(0)), factor}));
  s.end("Mul", {z, s.add("Sigmoid", {z})});
  return {};
}

// ---- streams side by side: [..., C, H], or [..., C * H] where num_branches says C ---------------------------------------

ValueId last_dim(Spelling& s, ValueId shape) { return s.add("Slice", {shape, s.ints({-1}), s.ints({INT64_MAX}), s.ints({0})}); }
ValueId lead_dims(Spelling& s, ValueId shape, int64_t dropped) {
  return s.add("Slice", {shape, s.ints({0}), s.ints({-dropped}), s.ints({0})});
}

struct Streams {
  ValueId x, lead, branches, width;  // x: [..., C, H] in float32; the others are lists of dims

  ValueId samples(Spelling& s) const { return s.add("ReduceProd", {lead, s.ints({0})}); }
};
Result<Streams> streams(Spelling& s, std::size_t input) {
  const int64_t branches = s.node.int_or("num_branches", 0);
  if (branches < 0) return invalid("{}: num_branches must not be negative, found {}", s.node.label(), branches);
  const ValueId x = wide(s, s.in(input)), shape = s.add("Shape", {x});
  if (branches == 0) {
    const ValueId two = s.add("Slice", {shape, s.ints({-2}), s.ints({-1}), s.ints({0})});
    return Streams{x, lead_dims(s, shape, 2), two, last_dim(s, shape)};
  }
  const ValueId count = s.ints({branches}), lead = lead_dims(s, shape, 1), width = s.add("Div", {last_dim(s, shape), count});
  return Streams{s.reshape(x, joined(s, {lead, count, width})), lead, count, width};
}
// Gates of each branch, or of each element of it, as [..., C, 1 or H].
ValueId spread(Spelling& s, const Streams& t, ValueId gates) {
  const ValueId each = rows_of(s, gates, s.add("Mul", {t.samples(s), t.branches}));  // 0 where there are no samples
  return s.reshape(wide(s, gates), joined(s, {t.lead, t.branches, s.add("Max", {each, s.ints({1})})}));
}

// X, scale? of H, C * H or [C, H].
Status branchwise_norm(Spelling& s) {
  TENON_ASSIGN(const Streams t, streams(s, 0));
  const ValueId mean = s.add("ReduceMean", {s.add("Mul", {t.x, t.x}), s.ints({-1})});
  ValueId y = s.add("Div", {t.x, s.add("Sqrt", {s.add("Add", {mean, s.real(s.node.float_or("epsilon", 1e-5f))})})});
  if (s.has(1)) y = s.add("Mul", {y, s.add("Reshape", {wide(s, s.in(1)), joined(s, {s.ints({-1}), t.width})})});
  s.end("CastLike", {s.reshape(y, s.add("Shape", {s.in(0)})), s.in(0)});
  return {};
}

Status pre_mix(Spelling& s) {
  TENON_ASSIGN(const Streams t, streams(s, 0));
  const ValueId sum = s.add("ReduceSum", {s.add("Mul", {t.x, spread(s, t, s.in(1))}), s.ints({-2})}, {{"keepdims", int64_t{0}}});
  s.end("CastLike", {s.add("Mul", {sum, s.real(s.node.float_or("reduction_scale", 1))}), s.in(0)});
  return {};
}

// streams, block_output, post_mix, stream_mix?: [..., C, C], from the first C to the second
Status post_mix(Spelling& s) {
  TENON_ASSIGN(const Streams t, streams(s, 0));
  ValueId kept = t.x;
  if (s.has(3)) {
    const ValueId mix = s.reshape(wide(s, s.in(3)), joined(s, {t.samples(s), t.branches, t.branches}));
    const ValueId flat = s.reshape(t.x, joined(s, {t.samples(s), t.branches, t.width}));
    kept = s.reshape(s.add("MatMul", {s.transpose(mix, {0, 2, 1}), flat}), s.add("Shape", {t.x}));
  }
  const ValueId block = s.add("Unsqueeze", {wide(s, s.in(1)), s.ints({-2})});
  const ValueId y = s.add("Add", {kept, s.add("Mul", {spread(s, t, s.in(2)), block})});
  s.end("CastLike", {s.reshape(y, s.add("Shape", {s.in(0)})), s.in(0)});
  return {};
}

// key, query: [B, S, C, H]; value: [B, S, H]; scales [C, H] of key, query and the normed output.
Status engram_gate(Spelling& s) {
  const float epsilon = s.node.float_or("epsilon", 1e-5f);
  const auto norm = [&](ValueId x, ValueId scale) {
    const ValueId mean = s.add("ReduceMean", {s.add("Mul", {x, x}), s.ints({-1})});
    return s.add("Mul", {s.add("Div", {x, s.add("Sqrt", {s.add("Add", {mean, s.real(epsilon)})})}), scale});
  };
  const ValueId key = wide(s, s.in(0)), width = wide(s, last_dim(s, s.add("Shape", {s.in(0)})));
  const ValueId products = s.add("Mul", {norm(key, wide(s, s.in(3))), norm(wide(s, s.in(1)), wide(s, s.in(4)))});
  const ValueId dot = s.add("Div", {s.add("ReduceSum", {products, s.ints({-1})}), s.add("Sqrt", {width})});
  const ValueId root = s.add("Sqrt", {s.add("Max", {s.add("Abs", {dot}), s.real(1e-6f)})});
  const ValueId gate = s.add("Sigmoid", {s.add("Mul", {s.add("Sign", {dot}), root})});
  const ValueId y = s.add("Mul", {gate, s.add("Unsqueeze", {wide(s, s.in(2)), s.ints({2})})});
  s.end("CastLike", {y, s.in(0)});
  if (!s.wants(1)) return {};
  if (!s.has(5)) return invalid("{}: output 1 needs input 5, conv_norm_scale", s.node.label());
  s.end("CastLike", {norm(y, wide(s, s.in(5))), s.in(0)}, {}, "", 1);
  return {};
}

// ---- routers ----------------------------------------------------------------------------------------------------------

// logits, expert_bias, projection_weight?
Status group_router(Spelling& s) {
  const int64_t groups = s.node.int_or("n_group", 1), chosen = s.node.int_or("topk_group", 1), best = s.node.int_or("group_topk", 2),
                experts = s.node.int_or("top_k", 0);
  if (groups < 1 || chosen < 1 || chosen > groups || best < 1 || experts < 1)
    return invalid("{}: n_group, topk_group, group_topk and top_k must be positive and topk_group at most n_group; found {}, {}, {}, {}",
                   s.node.label(), groups, chosen, best, experts);
  ValueId logits = wide(s, s.in(0));
  if (s.has(2)) logits = s.add("MatMul", {logits, s.transpose(wide(s, s.in(2)), {1, 0})});
  const ValueId count = s.add("Shape", {s.in(1)});
  const ValueId tokens = rows_of(s, logits, count), score = s.reshape(s.add("Sigmoid", {logits}), joined(s, {tokens, count}));
  const ValueId biased = s.add("Add", {score, s.in(1)});
  if (s.wants(1) || s.wants(2)) {
    if (s.wants(0)) return invalid("{}: router_probs cannot be asked for together with the full scores", s.node.label());
    s.end_as(biased, 1), s.end_as(score, 2);
    return {};
  }
  ValueId allowed = biased;
  if (groups > 1) {
    const ValueId low = s.real(-HUGE_VALF), each = s.add("Div", {count, s.ints({groups})});
    const ValueId grouped = s.reshape(biased, joined(s, {tokens, s.ints({groups}), each}));
    const ValueId top = s.add_many("TopK", {grouped, s.add("Min", {each, s.ints({best})})}, 2)[0];
    const ValueId sums = s.add("ReduceSum", {top, s.ints({-1})}, {{"keepdims", int64_t{0}}});
    const ValueId picked = s.add_many("TopK", {sums, s.ints({chosen})}, 2)[1];
    const ValueId zeros = s.add("Mul", {s.cast(s.add("IsNaN", {sums}), TENON_DTYPE_FLOAT), s.real(0)});
    const ValueId ones = s.add("Expand", {s.real(1), s.add("Shape", {picked})});
    const ValueId marks = s.add("ScatterElements", {zeros, picked, ones}, {{"axis", int64_t{-1}}});
    const ValueId keep = s.add("Unsqueeze", {s.cast(marks, TENON_DTYPE_BOOL), s.ints({-1})});
    allowed = s.reshape(s.add("Where", {keep, grouped, low}), s.add("Shape", {biased}));
  }
  const ValueId picked = s.add_many("TopK", {allowed, s.ints({experts})}, 2)[1];
  const ValueId values = s.add("Log", {s.add("Max", {s.add("GatherElements", {score, picked}, {{"axis", int64_t{-1}}}), s.real(1e-20f)})});
  const ValueId others = s.add("Expand", {s.real(s.node.float_or("router_sentinel", -10000)), s.add("Shape", {score})});
  s.end("CastLike", {s.add("ScatterElements", {others, picked, values}, {{"axis", int64_t{-1}}}), s.in(0)});
  return {};
}

// ---- weights of 8 and 4 bit floats --------------------------------------------------------------------------------------

Status product(Spelling& s, ValueId a, ValueId b, std::size_t bias) {
  const ValueId y = s.add("MatMul", {a, s.transpose(b, {1, 0})});
  s.end("CastLike", {s.has(bias) ? s.add("Add", {y, wide(s, s.in(bias))}) : y, s.in(0)});
  return {};
}

// A, B: float8 [N, K], b_scale [N, blocks], a_scale?, bias?
Status fp8_matmul(Spelling& s) {
  const int64_t block = s.node.int_or("block_size", 128);
  if (block < 1) return invalid("{}: block_size must be positive, found {}", s.node.label(), block);
  ValueId a = wide(s, s.in(0));
  if (s.has(3)) {
    const ValueId scale = s.add("Reshape", {s.in(3), s.ints({})});
    const ValueId rounded = s.cast(s.add("Div", {a, scale}), TENON_DTYPE_FLOAT8E4M3FN);
    a = s.add("Mul", {wide(s, rounded), scale});
  }
  return product(s, a, s.add("DequantizeLinear", {s.in(1), s.in(2)}, {{"axis", int64_t{1}}, {"block_size", block}}), 4);
}

// A, B: [N, K / 2] bytes of two e2m1 each, weight_scale: e4m3 bytes [N, blocks], weight_scale_2, input_scale?, bias?
Status fp4_matmul(Spelling& s) {
  const int64_t block = s.node.int_or("block_size", 16);
  if (block < 1) return invalid("{}: block_size must be positive, found {}", s.node.label(), block);
  static constexpr float e2m1[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
  const ValueId codes = s.cast(nibbles(s, s.in(1), true), TENON_DTYPE_INT32);
  const ValueId values = s.add("Gather", {s.reals(e2m1), codes}, {{"axis", int64_t{0}}});
  const ValueId scale = wide(s, s.add("BitCast", {s.in(2)}, {{"to", int64_t{TENON_DTYPE_FLOAT8E4M3FN}}}));
  // A scale for each element: each repeated block times, then cut to K.
  const ValueId last = s.ints({-1}), shape = s.add("Shape", {values}), blocks = s.add("Shape", {scale});
  const ValueId repeated = s.add("Expand", {s.add("Unsqueeze", {scale, last}), joined(s, {blocks, s.ints({block})})});
  const ValueId rows = s.add("Reshape", {repeated, joined(s, {lead_dims(s, blocks, 1), s.ints({-1})})});
  const ValueId each = s.add("Slice", {rows, s.ints({0}), last_dim(s, shape), last});
  const ValueId whole = s.add("Reshape", {s.in(3), s.ints({})});
  return product(s, wide(s, s.in(0)), s.add("Mul", {s.add("Mul", {values, each}), whole}), 5);
}

constexpr SpelledOp ops[] = {
    {"LinearAttentionGate", 3, linear_attention_gate},
    {"GatedRMSNorm", 3, gated_norm},
    {"GatedAdd", 3, gated_add},
    {"SwiGLU", 1, swiglu},
    {"ScaledSiLU", 1, scaled_silu},
    {"BranchwiseRMSNorm", 1, branchwise_norm},
    {"HyperConnectionPreMix", 2, pre_mix},
    {"HyperConnectionPostMix", 3, post_mix},
    {"EngramGate", 5, engram_gate},
    {"MoEGroupRouter", 2, group_router},
    {"MatMulBlockQuantizedFp8Weight", 3, fp8_matmul},
    {"MatMulBlockQuantizedFp4Weight", 4, fp4_matmul},
};

}  // namespace

std::span<const SpelledOp> spelled_llm_ops() { return ops; }

}  // namespace tenon
