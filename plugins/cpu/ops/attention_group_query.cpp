// com.microsoft GroupQueryAttention: a cache of keys and values that grows, turned positions, heads that share keys.
//
// Each sample has its own number of keys: seqlens_k + 1. With as many keys as queries all are new (a prompt, padded at its end);
// otherwise the queries are the last of them.
#include <cmath>
#include <cstring>

#include "plugins/cpu/ops/attention.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

// Where the new rows of each sample begin, and how many rows there are then.
struct CountKeys {
  Ref given, total, lengths;  // lengths: int64 [batch]
  std::int64_t batch, queries, past_rows, rows;

  void operator()(const StepContext& c) const {
    const auto* last = c.ptr<const std::int32_t>(given);
    const bool prompt = *c.ptr<const std::int32_t>(total) == queries;
    auto* to = c.ptr<std::int64_t>(lengths);
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t length = prompt ? queries : std::int64_t{last[b]} + 1, past = length - queries;
      if (past < 0 || length > rows || past > past_rows)
        return c.fail(TENON_OUT_OF_RANGE, "seqlens_k of sample " + std::to_string(b) + " is " + std::to_string(last[b]) + ", with " +
                                              std::to_string(queries) + " queries and a cache of " + std::to_string(past_rows) + " rows");
      to[b] = length;
    }
  }
};

struct Turning {
  Ref cos, sin, positions;
  std::int64_t half = 0, table_rows = 0;  // half 0: nothing is turned
  bool interleaved = false;

  // False, and the failure reported, for a position outside the tables.
  bool row(const StepContext& c, std::int64_t item, std::int64_t fallback, float* x, const float* from, std::int64_t depth) const {
    std::memcpy(x, from, static_cast<std::size_t>(depth) * sizeof(float));
    if (half == 0) return true;
    const std::int64_t at = positions.present() ? c.ptr<const std::int64_t>(positions)[item] : fallback;
    if (at < 0 || at >= table_rows) {
      c.fail(TENON_OUT_OF_RANGE, "position " + std::to_string(at) + " is outside " + std::to_string(table_rows) + " table rows");
      return false;
    }
    const float *co = c.ptr<const float>(cos) + at * half, *si = c.ptr<const float>(sin) + at * half;
    const std::int64_t step = interleaved ? 2 : 1, second = interleaved ? 1 : half;
    for (std::int64_t i = 0; i < half; ++i) {
      const float a = from[i * step], b = from[i * step + second];
      x[i * step] = a * co[i] - b * si[i];
      x[i * step + second] = a * si[i] + b * co[i];
    }
    return true;
  }
};

// Queries to [batch, row, head, element], turned.
struct TurnQueries {
  Ref from, lengths, to;
  Turning turning;
  HeadStrides strides;
  std::int64_t batch, rows, heads, depth;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(batch * rows);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t b = item / rows, t = item % rows, past = c.ptr<const std::int64_t>(lengths)[b] - rows;
      for (std::int64_t h = 0; h < heads; ++h)
        if (!turning.row(c, item, past + t, c.ptr<float>(to) + (item * heads + h) * depth,
                         c.ptr<const float>(from) + b * strides.batch + h * strides.head + t * strides.row, depth))
          return;
    }
  }
};

// The cache after this call: [batch, head, row, element]; rows behind the last one are zeros.
struct FillCache {
  Ref past, fresh, lengths, present;
  Turning turning;
  HeadStrides strides;
  std::int64_t offset, batch, heads, past_rows, fresh_rows, rows, depth;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(batch * heads * rows, 8);
    const float* before = past.present() ? c.ptr<const float>(past) : nullptr;
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t head = item / rows, t = item % rows, b = head / heads, length = c.ptr<const std::int64_t>(lengths)[b];
      const std::int64_t old = length - fresh_rows, n = t - old;
      float* to = c.ptr<float>(present) + item * depth;
      if (t < old) {
        const float* from = before + (head * past_rows + t) * depth;
        if (from != to) std::memcpy(to, from, static_cast<std::size_t>(depth) * sizeof(float));
      } else if (n < fresh_rows) {
        const float* from = c.ptr<const float>(fresh) + offset + b * strides.batch + head % heads * strides.head + n * strides.row;
        if (!turning.row(c, b * fresh_rows + n, t, to, from, depth)) return;
      } else {
        std::fill(to, to + depth, 0.0f);
      }
    }
  }
};

class GroupQueryOp final : public Op {
 public:
  GroupQueryOp(const NodeView& node, CompileContext& context)
      : heads_(node.int_or("num_heads", 1)), kv_heads_(node.int_or("kv_num_heads", 1)), window_(node.int_or("local_window_size", -1)),
        turned_(node.int_or("do_rotary", 0) != 0), interleaved_(node.int_or("rotary_interleaved", 0) != 0),
        scale_(static_cast<double>(node.float_or("scale", 0))), softcap_(static_cast<double>(node.float_or("softcap", 0))),
        isa_(context.options().isa) {}

  void plan(PlanBuilder& b) const override {
    const Shape& query = b.in(0);
    const bool packed = !b.in_ref(1).present();
    if (query.rank() != 3) invalid_argument("query must have rank 3");
    AttentionShape s;
    s.heads = heads_, s.kv_heads = kv_heads_, s.batch = query[0], s.queries = query[1];
    const std::int64_t all = packed ? heads_ + 2 * kv_heads_ : heads_;
    if (query[2] % all != 0) invalid_argument("the hidden size does not divide into heads");
    s.depth = s.value_depth = query[2] / all;
    const std::int64_t width = kv_heads_ * s.depth;
    if (!packed)
      for (const std::uint32_t i : {1u, 2u})
        if (b.in(i).rank() != 3 || b.in(i)[0] != s.batch || b.in(i)[1] != s.queries || b.in(i)[2] != width)
          invalid_argument("key and value must have shape [batch, length, kv_num_heads * size]");
    const bool has_past = b.in_ref(3).present();
    if (has_past != b.in_ref(4).present()) invalid_argument("past_key and past_value come together");
    const std::int64_t past_rows = has_past ? b.in(3)[2] : 0;
    for (const std::uint32_t i : {3u, 4u})
      if (has_past && b.in(i).count() != s.batch * width * past_rows) invalid_argument("the shapes of past_key and past_value do not fit");
    if (b.in(5).count() != s.batch || b.in(6).count() != 1)
      invalid_argument("seqlens_k has a number for each sample, total_sequence_length one");
    s.keys = rows(b, past_rows);
    s.causal = true, s.softcap = softcap_;
    s.left = window_ > 0 ? window_ - 1 : -1;
    s.scale = scale_ != 0 ? scale_ : 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(s.depth, 1)));

    const Ref lengths = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(s.batch, 1)) * sizeof(std::int64_t));
    const CountKeys count{b.in_ref(5), b.in_ref(6), lengths, s.batch, s.queries, past_rows, s.keys};
    const Ref counted[] = {count.given, count.total}, counts[] = {lengths};
    b.step("count keys", count, {.spmd = false, .est_ns = 50}, counted, counts);

    const Turning turning = turning_of(b, s);
    const HeadStrides strides{s.queries * query[2], s.depth, query[2]};
    const HeadStrides kv_strides = packed ? strides : HeadStrides{s.queries * width, s.depth, width};
    AttentionRefs refs;
    refs.q = b.in_ref(0), refs.lengths = lengths, refs.y = b.out_ref(0);
    s.q = strides;
    const double items = static_cast<double>(s.batch * s.queries * heads_ * s.depth);
    if (turning.half > 0) {
      TurnQueries turn{refs.q, lengths, b.temp(static_cast<std::uint64_t>(std::max(items, 1.0)) * sizeof(float)), turning, strides, s.batch,
                       s.queries, heads_, s.depth};
      std::vector<Ref> reads{refs.q, lengths, turning.cos, turning.sin};
      if (turning.positions.present()) reads.push_back(turning.positions);
      const Ref writes[] = {turn.to};
      if (items > 0) b.step("turn queries", turn, {.est_ns = items}, reads, writes);
      refs.q = turn.to, s.q = {s.queries * heads_ * s.depth, s.depth, heads_ * s.depth};
    }
    refs.k = cache(b, s, lengths, 3, 1, packed ? 0u : 1u, packed ? heads_ * s.depth : 0, kv_strides, turning, past_rows);
    refs.v = cache(b, s, lengths, 4, 2, packed ? 0u : 2u, packed ? (heads_ + kv_heads_) * s.depth : 0, kv_strides, {}, past_rows);
    s.k = s.v = {width * s.keys, s.keys * s.depth, s.depth};
    s.y = {s.queries * heads_ * s.depth, s.depth, heads_ * s.depth};
    bias(b, s, refs);
    if (!refs.y.present() || s.batch * s.queries * s.depth == 0) return;
    if (b.out(0).count() != s.batch * s.queries * heads_ * s.depth) invalid_argument("unexpected shape of the output");
    std::vector<Ref> reads{refs.q, refs.k, refs.v, lengths};
    if (refs.mask.present()) reads.push_back(refs.mask);
    const Ref writes[] = {refs.y};
    plan_attention(b, s, refs, TENON_DTYPE_FLOAT, isa_, reads, writes);
  }

 private:
  // Rows of the cache: what the output says, or the total where nobody wants the cache.
  static std::int64_t rows(const PlanBuilder& b, std::int64_t past_rows) {
    for (const std::uint32_t o : {1u, 2u})
      if (b.out_ref(o).present() && b.out(o).rank() == 4) return b.out(o)[2];
    const void* total = b.in(6).known;
    if (!total) throw Failure{TENON_UNSUPPORTED_SHAPE, "total_sequence_length must be known before the run"};
    return std::max<std::int64_t>(*static_cast<const std::int32_t*>(total), past_rows);
  }

  Turning turning_of(const PlanBuilder& b, const AttentionShape& s) const {
    Turning t;
    if (!turned_) return t;
    t.cos = b.in_ref(7), t.sin = b.in_ref(8), t.positions = b.in_ref(9), t.interleaved = interleaved_;
    const Shape &cos = b.in(7), &sin = b.in(8);
    if (cos.rank() != 2 || sin.count() != cos.count() || 2 * cos[1] > s.depth)
      invalid_argument("the tables must have shape [positions, half the turned size]");
    if (t.positions.present() && b.in(9).count() != s.batch * s.queries) invalid_argument("position_ids must have a number for each query");
    t.half = cos[1], t.table_rows = cos[0];
    return t;
  }

  Ref cache(PlanBuilder& b, const AttentionShape& s, Ref lengths, std::uint32_t past, std::uint32_t output, std::uint32_t input,
            std::int64_t offset, HeadStrides strides, const Turning& turning, std::int64_t past_rows) const {
    const std::int64_t count = s.batch * kv_heads_ * s.keys * s.depth;
    Ref present = b.out_ref(output);
    if (present.present() && b.out(output).count() != count) invalid_argument("unexpected shape of the present keys or values");
    if (!present.present()) present = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)) * sizeof(float));
    else b.inplace(past, output);
    const FillCache step{b.in_ref(past), b.in_ref(input), lengths,   present,   turning,   strides, offset,
                         s.batch,        kv_heads_,       past_rows, s.queries, s.keys,    s.depth};
    std::vector<Ref> reads{step.fresh, lengths};
    for (Ref r : {step.past, turning.cos, turning.sin, turning.positions})
      if (r.present()) reads.push_back(r);
    const Ref writes[] = {present};
    if (count > 0) b.step("fill cache", step, {.est_ns = static_cast<double>(count) / 2}, reads, writes);
    return present;
  }

  void bias(const PlanBuilder& b, AttentionShape& s, AttentionRefs& refs) const {
    if (!b.in_ref(10).present()) return;
    const Shape& shape = b.in(10);
    if (shape.rank() != 4 || (shape[0] != 1 && shape[0] != s.batch) || (shape[1] != 1 && shape[1] != heads_) || shape[2] != s.queries ||
        shape[3] > s.keys)
      invalid_argument("attention_bias must have shape [1 or batch, 1 or heads, queries, keys]");
    refs.mask = b.in_ref(10);
    s.mask_dtype = TENON_DTYPE_FLOAT, s.mask_keys = shape[3];
    if (shape[0] != 1) s.mask_strides[0] = shape.inner(0);
    if (shape[1] != 1) s.mask_strides[1] = shape.inner(1);
    s.mask_strides[2] = shape[3];
  }

  std::int64_t heads_, kv_heads_, window_;
  bool turned_, interleaved_;
  double scale_, softcap_;
  Isa isa_;
};

Support supports(const NodeView& node) {
  for (const std::uint32_t i : {0u, 1u, 2u, 3u, 4u, 7u, 8u, 10u})
    if (node.has_input(i) && node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  if (!node.has_input(0) || !node.has_input(5) || !node.has_input(6) || node.has_input(1) != node.has_input(2))
    return Support::no(TENON_REJECT_OTHER, "query, seqlens_k and total_sequence_length are required; key and value come together");
  for (const std::uint32_t i : {5u, 6u})
    if (node.dtype(i) != TENON_DTYPE_INT32) return refuse_dtype(node.dtype(i));
  if (node.has_input(9) && node.dtype(9) != TENON_DTYPE_INT64) return refuse_dtype(node.dtype(9));
  for (std::uint32_t i = 11; i < node.input_count(); ++i)
    if (node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "head_sink and quantised caches are not supported");
  if (node.int_or("do_rotary", 0) != 0 && (!node.has_input(7) || !node.has_input(8)))
    return Support::no(TENON_REJECT_OTHER, "do_rotary needs cos_cache and sin_cache");
  if (node.int_or("smooth_softmax", 0) > 0) return Support::no(TENON_REJECT_ATTRIBUTE, "smooth_softmax is not supported");
  if (node.has_output(3)) return Support::no(TENON_REJECT_OTHER, "output_qk is not supported");
  const std::int64_t heads = node.int_or("num_heads", 0), kv_heads = node.int_or("kv_num_heads", 0);
  if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0)
    return Support::no(TENON_REJECT_ATTRIBUTE, "num_heads must be a multiple of kv_num_heads");
  return Support::yes();
}

constexpr OpRow table[] = {
    {"com.microsoft", "GroupQueryAttention", supports,
     [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> { return std::make_unique<GroupQueryOp>(node, context); }},
};

}  // namespace

std::span<const OpRow> group_query_rows() { return table; }

}  // namespace tenon::cpu
