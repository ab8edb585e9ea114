// com.microsoft GroupQueryAttention: a cache of keys and values that grows, turned positions, heads that share keys.
//
// Each sample has its own number of keys: seqlens_k + 1. With as many keys as queries all are new (a prompt, padded at its end);
// otherwise the queries are the last of them, or query_seqlens says how many of them count.
#include <cmath>

#include "plugins/cpu/ops/attention_cache.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

enum Input : std::uint32_t {
  in_query, in_key, in_value, in_past_key, in_past_value, in_last, in_total, in_cos, in_sin, in_positions, in_bias, in_sinks,
  in_key_scale, in_value_scale, in_query_norm, in_key_norm, in_query_counts
};

// Where the new rows of each sample begin, and how many rows there are then.
struct CountKeys {
  Ref given, total, counted, before, after, shifts, kept;
  std::int64_t batch, queries, past_rows, rows;
  std::int64_t window, capacity;  // of a cache that slides; window 0: it does not

  // Rows that a sliding cache holds of a sequence.
  std::int64_t resident(std::int64_t length) const {
    if (window == 0 || length <= capacity) return length;
    const std::int64_t slack = capacity - window + 1;
    return length - slack * ((length - capacity + slack - 1) / slack);
  }

  void operator()(const StepContext& c) const {
    const auto* last = c.ptr<const std::int32_t>(given);
    const bool prompt = !counted.present() && window == 0 && *c.ptr<const std::int32_t>(total) == queries;
    for (std::int64_t b = 0; b < batch; ++b) {
      const std::int64_t length = prompt ? queries : std::int64_t{last[b]} + 1;
      std::int64_t fresh = window > 0 ? std::min(queries, length) : queries;
      if (counted.present()) fresh = c.ptr<const std::int32_t>(counted)[b];
      const std::int64_t past = length - fresh, old = resident(past);
      if (fresh < 0 || fresh > queries || past < 0 || old + fresh > rows || old > past_rows)
        stop(c, "seqlens_k of sample " + std::to_string(b) + " is " + std::to_string(last[b]) + ", with " + std::to_string(fresh) + " of " +
                    std::to_string(queries) + " queries and a cache of " + std::to_string(past_rows) + " rows");
      c.ptr<std::int64_t>(before)[b] = old;
      c.ptr<std::int64_t>(after)[b] = old + fresh;
      c.ptr<std::int64_t>(shifts)[b] = past - old;
      c.ptr<std::int64_t>(kept)[b] = resident(length);
    }
  }
};

class GroupQueryOp final : public Op {
 public:
  GroupQueryOp(const NodeView& node, CompileContext& context)
      : heads_(node.int_or("num_heads", 1)), kv_heads_(node.int_or("kv_num_heads", 1)), window_(node.int_or("local_window_size", -1)),
        causal_(node.int_or("causal", 1) != 0), slides_(node.int_or("sliding_window_cache", 0) != 0),
        turned_(node.int_or("do_rotary", 0) != 0), interleaved_(node.int_or("rotary_interleaved", 0) != 0),
        smooth_(node.int_or("smooth_softmax", -1) > 0),
        scale_(static_cast<double>(node.float_or("scale", 0))), softcap_(static_cast<double>(node.float_or("softcap", 0))),
        isa_(context.options().isa) {
    const float epsilon = node.float_or("qk_norm_epsilon", 1e-6f);
    query_epsilon_ = node.float_or("q_norm_epsilon", epsilon), key_epsilon_ = node.float_or("k_norm_epsilon", epsilon);
    scores_after_ = node.int_or("qk_output", 0) == 2;
    if (node.has_input(in_past_key) && node.dtype(in_past_key) != TENON_DTYPE_FLOAT)
      bits_ = static_cast<std::int32_t>(node.int_or("kv_cache_bit_width", 8));
  }

  void plan(PlanBuilder& b) const override {
    const Shape& query = b.in(in_query);
    const bool packed = !b.in_ref(in_key).present();
    if (query.rank() != 3) invalid_argument("query must have rank 3");
    AttentionShape s;
    s.heads = heads_, s.kv_heads = kv_heads_, s.batch = query[0], s.queries = query[1];
    const std::int64_t all = packed ? heads_ + 2 * kv_heads_ : heads_;
    if (query[2] % all != 0) invalid_argument("the hidden size does not divide into heads");
    s.depth = s.value_depth = query[2] / all;
    const std::int64_t width = kv_heads_ * s.depth;
    if (!packed)
      for (const std::uint32_t i : {in_key, in_value})
        if (b.in(i).rank() != 3 || b.in(i)[0] != s.batch || b.in(i)[1] != s.queries || b.in(i)[2] != width)
          invalid_argument("key and value must have shape [batch, length, kv_num_heads * size]");
    const std::int64_t past_rows = past(b, s);
    if (b.in(in_last).count() != s.batch || b.in(in_total).count() != 1)
      invalid_argument("seqlens_k has a number for each sample, total_sequence_length one");
    const std::int64_t rows = cache_rows(b, past_rows);
    s.keys = slides_ ? past_rows + s.queries : rows;
    s.causal = causal_, s.softcap = softcap_, s.sink = smooth_ || b.in_ref(in_sinks).present();
    s.left = window_ > 0 ? window_ - 1 : -1;
    s.scale = scale_ != 0 ? scale_ : 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(s.depth, 1)));
    const CacheCounts counts = count(b, s, past_rows);

    const RowForm query_form = form(b, s, in_query_norm, query_epsilon_), key_form = form(b, s, in_key_norm, key_epsilon_);
    const HeadStrides strides{s.queries * query[2], s.depth, query[2]};
    const HeadStrides kv_strides = packed ? strides : HeadStrides{s.queries * width, s.depth, width};
    AttentionRefs refs;
    refs.q = b.in_ref(in_query), refs.lengths = counts.after, refs.firsts = counts.before, refs.y = b.out_ref(0),
    refs.scores = b.out_ref(3);
    refs.sinks = b.in_ref(in_sinks);
    if (refs.sinks.present() && b.in(in_sinks).count() != heads_) invalid_argument("head_sink must have a number for each head");
    s.score_output = scores_after_ ? ScoreOutput::probabilities : ScoreOutput::visible;
    if (refs.scores.present()) {
      s.scored = b.out(3).rank() == 4 ? b.out(3)[3] : -1;
      if (s.scored > s.keys || b.out(3).count() != s.batch * heads_ * s.queries * s.shown())
        invalid_argument("unexpected shape of output_qk");
    }
    s.q = strides;
    const double items = static_cast<double>(s.batch * s.queries * heads_ * s.depth);
    if (query_form.changes()) {
      FormQueries turn{refs.q,    b.temp(static_cast<std::uint64_t>(std::max(items, 1.0)) * sizeof(float)),
                       counts,    query_form,
                       strides,   s.batch,
                       s.queries, heads_,
                       s.depth};
      std::vector<Ref> reads{refs.q};
      counts.add_to(reads), query_form.add_to(reads);
      const Ref writes[] = {turn.to};
      if (items > 0) b.step("turn queries", turn, {.est_ns = items}, reads, writes);
      refs.q = turn.to, s.q = {s.queries * heads_ * s.depth, s.depth, heads_ * s.depth};
    }
    refs.k = cache(b, s, counts, {in_past_key, 1, packed ? 0u : in_key, in_key_scale}, packed ? heads_ * s.depth : 0, kv_strides, key_form,
                   past_rows, rows);
    refs.v = cache(b, s, counts, {in_past_value, 2, packed ? 0u : in_value, in_value_scale}, packed ? (heads_ + kv_heads_) * s.depth : 0,
                   kv_strides, {}, past_rows, rows);
    s.k = s.v = {width * s.keys, s.keys * s.depth, s.depth};
    s.y = {s.queries * heads_ * s.depth, s.depth, heads_ * s.depth};
    bias(b, s, refs);
    if ((!refs.y.present() && !refs.scores.present()) || s.batch * s.queries * s.depth == 0) return;
    if (refs.y.present() && b.out(0).count() != s.batch * s.queries * heads_ * s.depth) invalid_argument("unexpected shape of the output");
    std::vector<Ref> reads{refs.q, refs.k, refs.v, counts.after, counts.before}, writes;
    for (const Ref r : {refs.mask, refs.sinks})
      if (r.present()) reads.push_back(r);
    for (const Ref r : {refs.y, refs.scores})
      if (r.present()) writes.push_back(r);
    plan_attention(b, s, refs, TENON_DTYPE_FLOAT, isa_, reads, writes);
  }

 private:
  // Rows of the past.
  std::int64_t past(const PlanBuilder& b, const AttentionShape& s) const {
    const bool has_past = b.in_ref(in_past_key).present();
    if (has_past != b.in_ref(in_past_value).present()) invalid_argument("past_key and past_value come together");
    if (!has_past) return 0;
    const std::int64_t rows = b.in(in_past_key).rank() == 4 ? b.in(in_past_key)[2] : -1, row = bits_ == 4 ? (s.depth + 1) / 2 : s.depth;
    for (const std::uint32_t i : {in_past_key, in_past_value})
      if (rows < 0 || b.in(i).count() != s.batch * kv_heads_ * rows * row)
        invalid_argument("the shapes of past_key and past_value do not fit");
    if (slides_ && rows < window_) invalid_argument("the cache has fewer rows than local_window_size");
    return rows;
  }

  // Rows of the cache: what the output says, or the total where nobody wants the cache.
  static std::int64_t cache_rows(const PlanBuilder& b, std::int64_t past_rows) {
    for (const std::uint32_t o : {1u, 2u})
      if (b.out_ref(o).present() && b.out(o).rank() == 4) return b.out(o)[2];
    const void* total = b.in(in_total).known;
    if (!total) throw Failure{TENON_UNSUPPORTED_SHAPE, "total_sequence_length must be known before the run"};
    return std::max<std::int64_t>(*static_cast<const std::int32_t*>(total), past_rows);
  }

  CacheCounts count(PlanBuilder& b, const AttentionShape& s, std::int64_t past_rows) const {
    const auto numbers = [&] { return b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(s.batch, 1)) * sizeof(std::int64_t)); };
    const Ref counted = b.in_ref(in_query_counts);
    if (counted.present() && b.in(in_query_counts).count() != s.batch) invalid_argument("query_seqlens has a number for each sample");
    const CountKeys step{b.in_ref(in_last), b.in_ref(in_total), counted, numbers(), numbers(), numbers(), numbers(), s.batch, s.queries,
                         past_rows, s.keys, slides_ ? window_ : 0, past_rows};
    std::vector<Ref> reads{step.given, step.total};
    if (counted.present()) reads.push_back(counted);
    const Ref writes[] = {step.before, step.after, step.shifts, step.kept};
    b.step("count keys", step, {.spmd = false, .est_ns = 50}, reads, writes);
    return {step.before, step.after, step.shifts, step.kept};
  }

  RowForm form(const PlanBuilder& b, const AttentionShape& s, std::uint32_t norm, float epsilon) const {
    RowForm f;
    f.norm = b.in_ref(norm), f.epsilon = epsilon;
    if (f.norm.present() && b.in(norm).count() != s.depth) invalid_argument("q_norm_weight and k_norm_weight must have the size of a head");
    if (!turned_) return f;
    f.cos = b.in_ref(in_cos), f.sin = b.in_ref(in_sin), f.positions = b.in_ref(in_positions), f.interleaved = interleaved_;
    const Shape &cos = b.in(in_cos), &sin = b.in(in_sin);
    if (cos.rank() != 2 || sin.count() != cos.count() || 2 * cos[1] > s.depth)
      invalid_argument("the tables must have shape [positions, half the turned size]");
    if (f.positions.present() && b.in(in_positions).count() != s.batch * s.queries)
      invalid_argument("position_ids must have a number for each query");
    f.half = cos[1], f.table_rows = cos[0];
    if (f.positions.present() && !b.in_ref(in_query_counts).present()) f.total = b.in_ref(in_total), f.rows = s.queries;
    return f;
  }

  // Where the past, the cache that is handed out, the fresh rows and the scale of quantised ones are.
  struct Places {
    std::uint32_t past, output, input, scale;
  };

  Ref cache(PlanBuilder& b, const AttentionShape& s, const CacheCounts& counts, const Places& at, std::int64_t offset, HeadStrides strides,
            const RowForm& form, std::int64_t past_rows, std::int64_t rows) const {
    const std::int64_t count = s.batch * kv_heads_ * s.keys * s.depth;
    const bool apart = bits_ != 32 || slides_;  // attention reads other rows than those that are handed out
    const CacheFormat format = format_of(b, s, at.scale);
    Ref present = b.out_ref(at.output);
    const std::int64_t row = bits_ == 4 ? (s.depth + 1) / 2 : s.depth;
    if (present.present() && b.out(at.output).count() != s.batch * kv_heads_ * rows * row)
      invalid_argument("unexpected shape of the present keys or values");
    Ref whole = present;
    if (apart || !present.present()) whole = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)) * sizeof(float));
    else b.inplace(at.past, at.output);
    const FillCache fill{b.in_ref(at.past), b.in_ref(at.input), whole,     counts,    form,   format, strides, offset,
                         s.batch,           kv_heads_,          past_rows, s.queries, s.keys, s.depth};
    std::vector<Ref> reads{fill.fresh};
    for (const Ref r : {fill.past, format.scale})
      if (r.present()) reads.push_back(r);
    counts.add_to(reads), form.add_to(reads);
    const Ref writes[] = {whole};
    if (count > 0) b.step("fill cache", fill, {.est_ns = static_cast<double>(count) / 2}, reads, writes);
    if (!apart || !present.present() || count == 0) return whole;
    const StoreCache store{fill.past, whole, present, counts, format, s.batch, kv_heads_, past_rows, s.keys, rows, s.depth};
    std::vector<Ref> stored{whole};
    for (const Ref r : {store.past, format.scale})
      if (r.present()) stored.push_back(r);
    counts.add_to(stored);
    const Ref handed[] = {present};
    b.step("store cache", store, {.est_ns = static_cast<double>(count)}, stored, handed);
    return whole;
  }

  CacheFormat format_of(const PlanBuilder& b, const AttentionShape& s, std::uint32_t scale) const {
    CacheFormat f;
    f.bits = bits_;
    if (bits_ == 32) return f;
    f.scale = b.in_ref(scale);
    const std::int64_t count = b.in(scale).count();
    if (count != 1 && count != s.depth && count != kv_heads_ * s.depth)
      invalid_argument("k_scale and v_scale must have one number, one for each element or one for each head and element");
    if (count != 1) f.scale_element = 1;
    if (count == kv_heads_ * s.depth && count != s.depth) f.scale_head = s.depth;
    return f;
  }

  void bias(const PlanBuilder& b, AttentionShape& s, AttentionRefs& refs) const {
    if (!b.in_ref(in_bias).present()) return;
    const Shape& shape = b.in(in_bias);
    if (shape.rank() != 4 || (shape[0] != 1 && shape[0] != s.batch) || (shape[1] != 1 && shape[1] != heads_) || shape[2] != s.queries ||
        shape[3] > s.keys)
      invalid_argument("attention_bias must have shape [1 or batch, 1 or heads, queries, keys]");
    refs.mask = b.in_ref(in_bias);
    s.mask_dtype = TENON_DTYPE_FLOAT, s.mask_keys = shape[3];
    if (shape[0] != 1) s.mask_strides[0] = shape.inner(0);
    if (shape[1] != 1) s.mask_strides[1] = shape.inner(1);
    s.mask_strides[2] = shape[3];
  }

  std::int64_t heads_, kv_heads_, window_;
  bool causal_, slides_, turned_, interleaved_, smooth_;
  bool scores_after_ = false;
  std::int32_t bits_ = 32;
  double scale_, softcap_;
  float query_epsilon_ = 0, key_epsilon_ = 0;
  Isa isa_;
};

Support supports_cache(const NodeView& node) {
  for (const std::uint32_t i : {in_past_key, in_past_value}) {
    const bool key = i == in_past_key;
    const std::string_view kind = node.string_or(key ? "k_quant_type" : "v_quant_type", "NONE");
    if (!node.has_input(i) || node.dtype(i) == TENON_DTYPE_FLOAT) {
      if (kind != "NONE") return Support::no(TENON_REJECT_OTHER, "a quantised cache needs past_key and past_value of int8 or uint8");
      continue;
    }
    const std::int64_t bits = node.int_or("kv_cache_bit_width", 8);
    if ((bits != 8 || node.dtype(i) != TENON_DTYPE_INT8) && (bits != 4 || node.dtype(i) != TENON_DTYPE_UINT8))
      return Support::no(TENON_REJECT_DTYPE, "a cache of 8 bits must be int8, one of 4 bits uint8");
    const std::uint32_t scale = key ? in_key_scale : in_value_scale;
    if ((kind != "PER_TENSOR" && kind != "PER_CHANNEL") || !node.has_input(scale) || node.dtype(scale) != TENON_DTYPE_FLOAT)
      return Support::no(TENON_REJECT_OTHER, "a quantised cache needs k_quant_type and v_quant_type, k_scale and v_scale");
    if (node.dtype(in_past_key) != node.dtype(in_past_value)) return refuse_dtype(node.dtype(in_past_value));
  }
  if (node.int_or("sliding_window_cache", 0) == 0) return Support::yes();
  if (node.int_or("local_window_size", -1) < 1 || !node.has_input(in_past_key))
    return Support::no(TENON_REJECT_OTHER, "sliding_window_cache needs local_window_size and a past");
  if (node.has_input(in_bias) || node.has_output(3))
    return Support::no(TENON_REJECT_OTHER, "sliding_window_cache with attention_bias or output_qk is not supported");
  return Support::yes();
}

Support supports(const NodeView& node) {
  for (const std::uint32_t i : {in_query, in_key, in_value, in_cos, in_sin, in_bias, in_sinks, in_query_norm, in_key_norm})
    if (node.has_input(i) && node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  if (!node.has_input(in_query) || !node.has_input(in_last) || !node.has_input(in_total) ||
      node.has_input(in_key) != node.has_input(in_value))
    return Support::no(TENON_REJECT_OTHER, "query, seqlens_k and total_sequence_length are required; key and value come together");
  for (const std::uint32_t i : {in_last, in_total, in_query_counts})
    if (node.has_input(i) && node.dtype(i) != TENON_DTYPE_INT32) return refuse_dtype(node.dtype(i));
  if (node.has_input(in_positions) && node.dtype(in_positions) != TENON_DTYPE_INT64) return refuse_dtype(node.dtype(in_positions));
  if (node.has_input(in_query_norm) != node.has_input(in_key_norm))
    return Support::no(TENON_REJECT_OTHER, "q_norm_weight and k_norm_weight come together");
  if (node.int_or("do_rotary", 0) != 0 && (!node.has_input(in_cos) || !node.has_input(in_sin)))
    return Support::no(TENON_REJECT_OTHER, "do_rotary needs cos_cache and sin_cache");
  if (node.int_or("causal", 1) == 0 && node.int_or("local_window_size", -1) > 0)
    return Support::no(TENON_REJECT_ATTRIBUTE, "local_window_size needs causal = 1");
  const std::int64_t shown = node.int_or("qk_output", 0);
  if (node.has_output(3) && shown != 1 && shown != 2) return Support::no(TENON_REJECT_ATTRIBUTE, "output_qk needs qk_output 1 or 2");
  const std::int64_t heads = node.int_or("num_heads", 0), kv_heads = node.int_or("kv_num_heads", 0);
  if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0)
    return Support::no(TENON_REJECT_ATTRIBUTE, "num_heads must be a multiple of kv_num_heads");
  return supports_cache(node);
}

constexpr OpRow table[] = {
    {"com.microsoft", "GroupQueryAttention", supports,
     [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> { return std::make_unique<GroupQueryOp>(node, context); }},
};

}  // namespace

std::span<const OpRow> group_query_rows() { return table; }

}  // namespace tenon::cpu
