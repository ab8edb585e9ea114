// com.microsoft MultiHeadAttention: packed operands, biases and masks are brought into the form that Attention takes.
#include <cmath>
#include <cstring>

#include "plugins/cpu/ops/attention.h"
#include "plugins/cpu/ops/attention_shared.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

// Rows of heads to [batch, row, head, element], with a bias of each head and element added.
struct GatherHeads {
  Ref from, bias, to;
  HeadStrides strides;
  std::int64_t offset, bias_offset;  // in elements
  std::int64_t batch, rows, heads, depth;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(batch * rows);
    for (std::int64_t item = slice.begin; item < slice.end; ++item)
      for (std::int64_t h = 0; h < heads; ++h) {
        const float* x = c.ptr<const float>(from) + offset + item / rows * strides.batch + h * strides.head + item % rows * strides.row;
        float* y = c.ptr<float>(to) + (item * heads + h) * depth;
        if (bias.present()) {
          const float* add = c.ptr<const float>(bias) + bias_offset + h * depth;
          for (std::int64_t e = 0; e < depth; ++e) y[e] = x[e] + add[e];
        } else {
          std::memcpy(y, x, static_cast<std::size_t>(depth) * sizeof(float));
        }
      }
  }
};

// present = past, then the new rows; [batch, head, row, element].
struct JoinRows {
  Ref past, fresh, present;
  HeadStrides strides;
  std::int64_t batch, heads, past_rows, rows, depth;

  void operator()(const StepContext& c) const {
    const std::int64_t total = past_rows + rows;
    const auto slice = c.slice(batch * heads * total, 8);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t head = item / total, t = item % total;
      const float* from = t < past_rows ? c.ptr<const float>(past) + (head * past_rows + t) * depth
                                        : c.ptr<const float>(fresh) + head / heads * strides.batch + head % heads * strides.head +
                                              (t - past_rows) * strides.row;
      std::memcpy(c.ptr<float>(present) + item * depth, from, static_cast<std::size_t>(depth) * sizeof(float));
    }
  }
};

// How an integer mask says which keys count.
enum class MaskForm : std::uint8_t { lengths, ranges, keys, rows, square };

// An integer mask and a bias become one additive mask [batch, heads, queries, keys], with sizes of 1 where it is the same.
struct MergeMasks {
  Ref mask, bias, to;
  MaskForm form;
  float masked;
  std::int64_t batch, heads, rows, queries, keys, side;  // heads and rows of the result; side: of a square mask
  std::int64_t bias_strides[3];

  bool counts(const std::int32_t* m, std::int64_t b, std::int64_t i, std::int64_t t) const {
    switch (form) {
      case MaskForm::lengths: return t < m[b];
      case MaskForm::ranges: return t < m[b] && t >= m[batch + b];
      case MaskForm::keys: return m[b * keys + t] > 0;
      case MaskForm::rows: return m[(b * queries + i) * keys + t] > 0;
      default: return m[(b * side + keys - queries + i) * side + t] > 0;
    }
  }

  void operator()(const StepContext& c) const {
    const auto* m = c.ptr<const std::int32_t>(mask);
    const auto slice = c.slice(batch * heads * rows);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t b = item / (heads * rows), h = item / rows % heads, i = item % rows;
      float* y = c.ptr<float>(to) + item * keys;
      const float* add =
          bias.present() ? c.ptr<const float>(bias) + b * bias_strides[0] + h * bias_strides[1] + i * bias_strides[2] : nullptr;
      for (std::int64_t t = 0; t < keys; ++t) y[t] = (counts(m, b, i, t) ? 0.0f : masked) + (add ? add[t] : 0.0f);
    }
  }
};

struct Operand {
  Ref ref;
  HeadStrides strides;
};

class MultiHeadOp final : public Op {
 public:
  MultiHeadOp(const NodeView& node, CompileContext& context)
      : heads_(node.int_or("num_heads", 1)), causal_(node.int_or("unidirectional", 0) != 0),
        masked_(node.float_or("mask_filter_value", -10000)),
        scale_(static_cast<double>(node.float_or("scale", 0))), isa_(context.options().isa) {}

  void plan(PlanBuilder& b) const override {
    AttentionShape s;
    const Shape& query = b.in(0);
    s.heads = s.kv_heads = heads_;
    s.batch = query.rank() > 0 ? query[0] : 0;
    std::int64_t fresh = 0;
    Operand q, k, v;
    read_operands(b, s, fresh, q, k, v);
    s.has_past = b.in_ref(6).present();
    if (s.has_past != b.in_ref(7).present()) invalid_argument("past_key and past_value come together");
    s.past = s.has_past ? b.in(6)[2] : 0;
    const std::int64_t past_rows = s.batch * heads_ * s.past;
    if (s.has_past && (b.in(6).count() != past_rows * s.depth || b.in(7).count() != past_rows * s.value_depth))
      invalid_argument("the shapes of past_key and past_value do not fit");
    const bool shared = b.in_ref(8).present() && s.has_past;
    s.keys = shared ? s.past : s.past + fresh;
    s.scale = scale_ != 0 ? scale_ : 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(s.depth, 1)));
    s.causal = causal_;
    AttentionRefs refs;
    if (shared) {
      s.has_past = false, s.past = 0;
      count(b, s, fresh, refs);
      share(b, s, 6, 1, fresh, s.depth, k);
      share(b, s, 7, 2, fresh, s.value_depth, v);
    } else {
      join(b, s, 6, 1, fresh, s.depth, k);
      join(b, s, 7, 2, fresh, s.value_depth, v);
    }
    refs.q = q.ref, refs.k = k.ref, refs.v = v.ref, refs.y = b.out_ref(0), refs.scores = b.out_ref(3);
    s.score_output = ScoreOutput::biased;
    s.q = q.strides, s.k = k.strides, s.v = v.strides;
    s.y = {s.queries * heads_ * s.value_depth, s.value_depth, heads_ * s.value_depth};
    if (refs.y.present() && b.out(0).count() != s.batch * s.queries * heads_ * s.value_depth)
      invalid_argument("unexpected shape of the output");
    masks(b, s, refs);
    std::vector<Ref> reads{refs.q, refs.k, refs.v}, writes;
    for (const Ref r : {refs.mask, refs.lengths, refs.firsts})
      if (r.present()) reads.push_back(r);
    for (Ref r : {refs.y, refs.scores})
      if (r.present()) writes.push_back(r);
    if (writes.empty() || s.batch * s.heads * s.queries == 0) return;
    plan_attention(b, s, refs, TENON_DTYPE_FLOAT, isa_, reads, writes);
  }

 private:
  void read_operands(PlanBuilder& b, AttentionShape& s, std::int64_t& fresh, Operand& q, Operand& k, Operand& v) const {
    const Shape &query = b.in(0), &key = b.in(1), &value = b.in(2);
    const bool packed = query.rank() == 5, packed_kv = !packed && key.rank() == 5, apart = !packed && key.rank() == 4;
    if (packed ? query[2] != heads_ || query[3] != 3 : query.rank() != 3 || query[2] % heads_ != 0)
      invalid_argument("query must have shape [batch, length, hidden] or [batch, length, heads, 3, size]");
    s.queries = query[1];
    s.depth = packed ? query[4] : query[2] / heads_;
    if (packed) {
      const std::int64_t three = 3 * s.depth;
      const HeadStrides strides{s.queries * heads_ * three, three, heads_ * three};
      fresh = s.queries, s.value_depth = s.depth;
      q = gathered(b, 0, strides, 0, s.batch, s.queries, s.depth, 0);
      k = gathered(b, 0, strides, s.depth, s.batch, fresh, s.depth, heads_ * s.depth);
      v = gathered(b, 0, strides, 2 * s.depth, s.batch, fresh, s.depth, 2 * heads_ * s.depth);
      return;
    }
    q = gathered(b, 0, {s.queries * query[2], s.depth, query[2]}, 0, s.batch, s.queries, s.depth, 0);
    if (packed_kv) {
      if (key[0] != s.batch || key[2] != heads_ || key[3] != 2 || key[4] != s.depth)
        invalid_argument("key must have shape [batch, length, heads, 2, size]");
      const std::int64_t two = 2 * s.depth;
      fresh = key[1], s.value_depth = s.depth;
      const HeadStrides strides{fresh * heads_ * two, two, heads_ * two};
      k = gathered(b, 1, strides, 0, s.batch, fresh, s.depth, heads_ * s.depth);
      v = gathered(b, 1, strides, s.depth, s.batch, fresh, s.depth, 2 * heads_ * s.depth);
    } else if (apart) {
      if (value.rank() != 4 || key[0] != s.batch || key[1] != heads_ || key[3] != s.depth || value[0] != s.batch ||
          value[1] != heads_ || value[2] != key[2])
        invalid_argument("key and value must have shape [batch, heads, length, size]");
      fresh = key[2], s.value_depth = value[3];
      k = {b.in_ref(1), {heads_ * fresh * s.depth, fresh * s.depth, s.depth}};
      v = {b.in_ref(2), {heads_ * fresh * s.value_depth, fresh * s.value_depth, s.value_depth}};
    } else {
      if (key.rank() != 3 || value.rank() != 3 || key[0] != s.batch || value[0] != s.batch || key[1] != value[1] || key[2] != query[2] ||
          value[2] % heads_ != 0)
        invalid_argument("the shapes of query, key and value do not fit together");
      fresh = key[1], s.value_depth = value[2] / heads_;
      k = gathered(b, 1, {fresh * key[2], s.depth, key[2]}, 0, s.batch, fresh, s.depth, key[2]);
      v = gathered(b, 2, {fresh * value[2], s.value_depth, value[2]}, 0, s.batch, fresh, s.value_depth, 2 * key[2]);
    }
  }

  // An input as it is, or a copy where it is packed or has a bias.
  Operand gathered(PlanBuilder& b, std::uint32_t input, HeadStrides strides, std::int64_t offset, std::int64_t batch, std::int64_t rows,
                   std::int64_t depth, std::int64_t bias_offset) const {
    const Ref bias = b.in_ref(3);
    if (bias.present() && b.in(3).count() < bias_offset + heads_ * depth) invalid_argument("bias is too short");
    if (!bias.present() && offset == 0) return {b.in_ref(input), strides};
    const std::int64_t count = batch * rows * heads_ * depth;
    const Ref to = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)) * sizeof(float));
    const GatherHeads step{b.in_ref(input), bias, to, strides, offset, bias_offset, batch, rows, heads_, depth};
    std::vector<Ref> reads{step.from};
    if (bias.present()) reads.push_back(bias);
    const Ref writes[] = {step.to};
    if (count > 0) b.step("gather heads", step, {.est_ns = static_cast<double>(count) / 2}, reads, writes);
    return {step.to, {rows * heads_ * depth, depth, heads_ * depth}};
  }

  void join(PlanBuilder& b, const AttentionShape& s, std::uint32_t past, std::uint32_t output, std::int64_t rows, std::int64_t depth,
            Operand& x) const {
    Ref present = b.out_ref(output);
    if (!s.has_past && !present.present()) return;
    const std::int64_t count = s.batch * heads_ * s.keys * depth;
    if (present.present() && b.out(output).count() != count) invalid_argument("unexpected shape of the present keys or values");
    if (!present.present()) present = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)) * sizeof(float));
    const JoinRows step{b.in_ref(past), x.ref, present, x.strides, s.batch, heads_, s.past, rows, depth};
    std::vector<Ref> reads{x.ref};
    if (s.has_past) reads.push_back(step.past);
    const Ref writes[] = {present};
    if (count > 0) b.step("append cache", step, {.est_ns = static_cast<double>(count) / 2}, reads, writes);
    x = {present, {heads_ * s.keys * depth, s.keys * depth, depth}};
  }

  void count(PlanBuilder& b, const AttentionShape& s, std::int64_t fresh, AttentionRefs& refs) const {
    if (b.in(8).count() != 1) invalid_argument("past_sequence_length is one number");
    const auto numbers = [&] { return b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(s.batch, 1)) * sizeof(std::int64_t)); };
    const CountShared step{b.in_ref(8), numbers(), numbers(), s.batch, fresh, s.keys};
    const Ref reads[] = {step.used}, writes[] = {step.firsts, step.lengths};
    b.step("count keys", step, {.spmd = false, .est_ns = 50}, reads, writes);
    refs.firsts = step.firsts, refs.lengths = step.lengths;
  }

  void share(PlanBuilder& b, const AttentionShape& s, std::uint32_t past, std::uint32_t output, std::int64_t fresh, std::int64_t depth,
             Operand& x) const {
    const std::int64_t count = s.batch * heads_ * s.keys * depth;
    const Ref indirection = b.in_ref(9), present = b.out_ref(output);
    if (present.present() && b.out(output).count() != count) invalid_argument("unexpected shape of the present keys or values");
    ShareRows step{b.in_ref(past), x.ref, b.in_ref(8), {}, present, x.strides, s.batch, heads_, 1, s.keys, fresh, depth};
    std::vector<Ref> reads{step.past, step.fresh, step.used};
    const auto emit = [&] {
      const Ref writes[] = {step.to};
      if (count > 0) b.step("append cache", step, {.est_ns = static_cast<double>(count) / 2}, reads, writes);
      x = {step.to, {heads_ * s.keys * depth, s.keys * depth, depth}};
    };
    if (indirection.present()) {
      const Shape& shape = b.in(9);
      if (shape.rank() != 3 || shape[0] * shape[1] != s.batch || shape[2] != s.keys)
        invalid_argument("cache_indirection must have shape [batch / beams, beams, rows of the cache]");
      const ShareRows plain = step;
      step.indirection = indirection, step.beams = shape[1];
      step.to = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)) * sizeof(float));
      reads.push_back(indirection);
      emit();
      if (!present.present()) return;
      const Operand whole = x;
      step = plain;
      reads.pop_back();
      emit();
      x = whole;
      return;
    }
    if (!present.present()) step.to = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)) * sizeof(float));
    else b.inplace(past, output);
    emit();
  }

  void masks(PlanBuilder& b, AttentionShape& s, AttentionRefs& refs) const {
    const Ref padding = b.in_ref(4), bias = b.in_ref(5);
    std::int64_t strides[3] = {};
    std::int64_t bias_heads = 1, bias_rows = 1, keys = s.keys;
    // A cache of a fixed size: masks end with the keys that there are.
    if (refs.lengths.present() && bias.present()) keys = b.in(5).rank() == 4 ? b.in(5)[3] : -1;
    else if (refs.lengths.present() && padding.present() && b.in(4).rank() > 1) keys = b.in(4)[-1];
    if (keys < 0 || keys > s.keys) invalid_argument("the masks have more columns than the cache has rows");
    if (bias.present()) {
      const Shape& shape = b.in(5);
      if (shape.rank() != 4 || (shape[0] != 1 && shape[0] != s.batch) || (shape[1] != 1 && shape[1] != heads_) || shape[2] != s.queries ||
          shape[3] != keys)
        invalid_argument("attention_bias must have shape [1 or batch, 1 or heads, queries, keys]");
      bias_heads = shape[1], bias_rows = s.queries;
      if (shape[0] != 1) strides[0] = shape.inner(0);
      if (shape[1] != 1) strides[1] = shape.inner(1);
      strides[2] = keys;
    }
    s.mask_dtype = TENON_DTYPE_FLOAT, s.mask_keys = keys;
    if (!padding.present()) {
      refs.mask = bias;
      std::copy(strides, strides + 3, s.mask_strides);
      return;
    }
    MergeMasks step{padding,    bias,      {},        form_of(b.in(4), s, keys), masked_, s.batch,
                    bias_heads, bias_rows, s.queries, keys,               0,       {strides[0], strides[1], strides[2]}};
    if (step.form == MaskForm::rows || step.form == MaskForm::square) step.rows = s.queries;
    if (step.form == MaskForm::square) step.side = b.in(4)[-1];
    const std::int64_t count = s.batch * step.heads * step.rows * keys;
    refs.mask = step.to = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)) * sizeof(float));
    std::vector<Ref> reads{padding};
    if (bias.present()) reads.push_back(bias);
    const Ref writes[] = {step.to};
    if (count > 0) b.step("merge masks", step, {.est_ns = static_cast<double>(count)}, reads, writes);
    s.mask_strides[0] = step.heads * step.rows * keys;
    s.mask_strides[1] = step.heads > 1 ? step.rows * keys : 0;
    s.mask_strides[2] = step.rows > 1 ? keys : 0;
  }

  static MaskForm form_of(const Shape& mask, const AttentionShape& s, std::int64_t keys) {
    if (mask.rank() == 1 && mask[0] == s.batch) return MaskForm::lengths;
    if (mask.rank() == 1 && mask[0] == 2 * s.batch) return MaskForm::ranges;
    if (mask.rank() == 2 && mask[0] == s.batch && mask[1] == keys) return MaskForm::keys;
    if (mask.rank() == 3 && mask[0] == s.batch && mask[1] == s.queries && mask[2] == keys) return MaskForm::rows;
    if (mask.rank() == 4 && mask[0] == s.batch && mask[1] == 1 && mask[2] == mask[3] && mask[3] >= keys) return MaskForm::square;
    invalid_argument(
        "the padding mask must have shape [batch], [2 * batch], [batch, keys], [batch, queries, keys] or [batch, 1, most, most]");
  }

  std::int64_t heads_;
  bool causal_;
  float masked_;
  double scale_;
  Isa isa_;
};

Support supports(const NodeView& node) {
  for (std::uint32_t i : {0u, 1u, 2u, 3u, 5u, 6u, 7u})
    if (node.has_input(i) && node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  if (!node.has_input(0)) return Support::no(TENON_REJECT_OTHER, "query is missing");
  if (node.has_input(4) && node.dtype(4) != TENON_DTYPE_INT32) return refuse_dtype(node.dtype(4));
  for (const std::uint32_t i : {8u, 9u})
    if (node.has_input(i) && node.dtype(i) != TENON_DTYPE_INT32) return refuse_dtype(node.dtype(i));
  if (node.has_input(9) && !node.has_input(8)) return Support::no(TENON_REJECT_OTHER, "cache_indirection needs past_sequence_length");
  if (node.has_input(8) && node.has_output(3))
    return Support::no(TENON_REJECT_OTHER, "qk of a cache whose length only the run tells is not supported");
  if (node.int_or("num_heads", 0) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "num_heads must be positive");
  return Support::yes();
}

constexpr OpRow rows[] = {
    {"com.microsoft", "MultiHeadAttention", supports,
     [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> { return std::make_unique<MultiHeadOp>(node, context); }},
};

}  // namespace

std::span<const OpRow> multi_head_rows() { return rows; }

}  // namespace tenon::cpu
