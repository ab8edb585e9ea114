// com.microsoft PagedAttention: samples of any length stand packed one after another; their keys and values lie in pages of a
// cache that all share, and a table says which pages a sample has.
#include <cmath>
#include <cstring>

#include "plugins/cpu/ops/attention_cache.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

enum Input : std::uint32_t {
  in_query, in_key, in_value, in_key_cache, in_value_cache, in_ends, in_past, in_table, in_cos, in_sin, in_slots, in_sinks, in_query_norm,
  in_key_norm, in_key_scale, in_value_scale
};

struct Pages {
  Ref ends, past, table;  // int32: [samples + 1], [samples], [samples, most]
  std::int64_t samples, tokens, most, pages, size;

  // The sample of a token, and the token's place in it; false, and the failure reported, where the lists cannot be.
  bool find(const StepContext& c, std::int64_t token, std::int64_t& sample, std::int64_t& place) const {
    const auto* end = c.ptr<const std::int32_t>(ends);
    for (sample = 0; sample < samples && token >= end[sample + 1]; ++sample) {}
    const std::int64_t old = sample < samples ? c.ptr<const std::int32_t>(past)[sample] : -1;
    if (sample == samples || end[sample] < 0 || end[sample] > token || end[sample + 1] > tokens || old < 0 ||
        old + end[sample + 1] - end[sample] > most * size) {
      c.fail(TENON_OUT_OF_RANGE, "token " + std::to_string(token) +
                                     " is in no sample of cumulative_sequence_length, or past_seqlens goes beyond " +
                                     std::to_string(most * size) + " keys");
      return false;
    }
    place = old + token - end[sample];
    return true;
  }
  std::int64_t keys(const StepContext& c, std::int64_t sample) const {
    const auto* end = c.ptr<const std::int32_t>(ends);
    return c.ptr<const std::int32_t>(past)[sample] + end[sample + 1] - end[sample];
  }
  // Where a key is, in rows of the cache; -1: it has no page.
  std::int64_t slot(const StepContext& c, std::int64_t sample, std::int64_t key) const {
    const std::int64_t page = c.ptr<const std::int32_t>(table)[sample * most + key / size];
    return page < 0 || page >= pages ? -1 : page * size + key % size;
  }
};

struct CopyCache {
  Ref from, to;
  std::int64_t floats;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(floats, 1024);
    const auto* x = c.ptr<const float>(from) + slice.begin;
    if (float* y = c.ptr<float>(to) + slice.begin; y != x)
      std::memcpy(y, x, static_cast<std::size_t>(slice.end - slice.begin) * sizeof(float));
  }
};

// Fresh rows go to their places, or to the slots that are given; a slot of -1 is none.
struct WritePages {
  Ref fresh, slots, to;
  Pages pages;
  RowForm form;
  std::int64_t row, offset, heads, depth;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(pages.tokens);
    for (std::int64_t t = slice.begin; t < slice.end; ++t) {
      std::int64_t sample, place;
      if (!pages.find(c, t, sample, place)) return;
      const std::int64_t at = slots.present() ? c.ptr<const std::int32_t>(slots)[t] : pages.slot(c, sample, place);
      if (at < 0) continue;
      if (at >= pages.pages * pages.size)
        return c.fail(TENON_OUT_OF_RANGE,
                      "slot_mapping has " + std::to_string(at) + ", with " + std::to_string(pages.pages * pages.size) + " rows");
      for (std::int64_t h = 0; h < heads; ++h)
        if (!form.apply(c, t, place, c.ptr<const float>(fresh) + t * row + offset + h * depth, c.ptr<float>(to) + (at * heads + h) * depth,
                        depth))
          return;
    }
  }
};

struct PagedStep {
  Ref query, keys, values, sinks, y, scratch;
  std::uint64_t scratch_bytes;
  Pages pages;
  RowForm form;
  std::int64_t row, heads, kv_heads, depth, window;
  float scale, softcap;
  bool causal;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(pages.tokens);
    float *scores = worker_scratch<float>(c, scratch, scratch_bytes), *q = scores + pages.most * pages.size;
    for (std::int64_t t = slice.begin; t < slice.end; ++t) {
      std::int64_t sample, place;
      if (!pages.find(c, t, sample, place)) return;
      for (std::int64_t h = 0; h < heads; ++h) {
        if (!form.apply(c, t, place, c.ptr<const float>(query) + t * row + h * depth, q, depth)) return;
        answer(c, sample, place, h, q, scores, c.ptr<float>(y) + (t * heads + h) * depth);
      }
    }
  }

 private:
  void answer(const StepContext& c, std::int64_t sample, std::int64_t place, std::int64_t h, const float* q, float* scores,
              float* to) const {
    const std::int64_t kv = h / (heads / kv_heads), end = causal ? place + 1 : pages.keys(c, sample);
    const std::int64_t begin = window > 0 ? std::max<std::int64_t>(place - window + 1, 0) : 0;
    const auto at = [&](Ref cache, std::int64_t slot) { return c.ptr<const float>(cache) + (slot * kv_heads + kv) * depth; };
    float top = -HUGE_VALF;
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t slot = pages.slot(c, sample, t);
      scores[t] = -HUGE_VALF;
      if (slot < 0) continue;
      const float* k = at(keys, slot);
      float sum = 0;
      for (std::int64_t e = 0; e < depth; ++e) sum += q[e] * k[e];
      sum *= scale;
      scores[t] = softcap > 0 ? softcap * std::tanh(sum / softcap) : sum;
      top = std::max(top, scores[t]);
    }
    std::fill(to, to + depth, 0.0f);
    if (top == -HUGE_VALF) return;
    const float sink = sinks.present() ? c.ptr<const float>(sinks)[h] : -HUGE_VALF;
    top = std::max(top, sink);
    float total = std::exp(sink - top);
    for (std::int64_t t = begin; t < end; ++t) {
      if (scores[t] == -HUGE_VALF) continue;
      const float share = std::exp(scores[t] - top);
      total += share;
      const float* v = at(values, pages.slot(c, sample, t));
      for (std::int64_t e = 0; e < depth; ++e) to[e] += share * v[e];
    }
    for (std::int64_t e = 0; e < depth; ++e) to[e] /= total;
  }
};

class PagedOp final : public Op {
 public:
  explicit PagedOp(const NodeView& node)
      : heads_(node.int_or("num_heads", 1)),
        kv_heads_(node.int_or("kv_num_heads", 1)),
        window_(node.int_or("local_window_size", -1)),
        causal_(node.int_or("is_causal", 1) != 0),
        turned_(node.int_or("do_rotary", 0) != 0),
        interleaved_(node.int_or("rotary_interleaved", 0) != 0),
        scale_(node.float_or("scale", 0)),
        softcap_(node.float_or("softcap", 0)),
        epsilon_(node.float_or("qk_norm_epsilon", 1e-6f)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &query = b.in(in_query), &cache = b.in(in_key_cache), &table = b.in(in_table);
    const bool packed = !b.in_ref(in_key).present();
    const std::int64_t all = packed ? heads_ + 2 * kv_heads_ : heads_;
    if (query.rank() != 2 || query[1] % all != 0) invalid_argument("query must have shape [tokens, heads * size]");
    const std::int64_t depth = query[1] / all, width = kv_heads_ * depth;
    if (cache.rank() != 4 || cache[1] < 1 || cache[2] != kv_heads_ || cache[3] != depth || b.in(in_value_cache).count() != cache.count())
      invalid_argument("key_cache and value_cache must have shape [pages, rows of a page, kv_num_heads, size]");
    for (const std::uint32_t i : {in_key, in_value})
      if (!packed && b.in(i).count() != query[0] * width) invalid_argument("key and value must have shape [tokens, kv_num_heads * size]");
    if (b.in(in_ends).rank() != 1 || b.in(in_ends)[0] < 1 || b.in(in_past).count() != b.in(in_ends)[0] - 1 || table.rank() != 2 ||
        table[0] != b.in(in_ends)[0] - 1)
      invalid_argument("cumulative_sequence_length, past_seqlens and block_table must be about as many samples");
    if (b.in_ref(in_slots).present() && b.in(in_slots).count() != query[0])
      invalid_argument("slot_mapping must have a number for each token");
    if (b.in_ref(in_sinks).present() && b.in(in_sinks).count() != heads_) invalid_argument("head_sink must have a number for each head");
    const Pages pages{b.in_ref(in_ends), b.in_ref(in_past), b.in_ref(in_table), table[0], query[0], table[1], cache[0], cache[1]};
    const Ref keys = write(b, pages, in_key_cache, 1, packed ? in_query : in_key, packed ? query[1] : width, packed ? heads_ * depth : 0,
                           depth, form(b, depth, in_key_norm));
    const Ref values = write(b, pages, in_value_cache, 2, packed ? in_query : in_value, packed ? query[1] : width,
                             packed ? (heads_ + kv_heads_) * depth : 0, depth, {});
    if (!b.out_ref(0).present() || query.count() == 0) return;
    if (b.out(0).count() != query[0] * heads_ * depth) invalid_argument("unexpected shape of the output");
    const float scale = scale_ != 0 ? scale_ : 1 / std::sqrt(static_cast<float>(std::max<std::int64_t>(depth, 1)));
    PagedStep step{b.in_ref(in_query),
                   keys,
                   values,
                   b.in_ref(in_sinks),
                   b.out_ref(0),
                   {},
                   0,
                   pages,
                   form(b, depth, in_query_norm),
                   query[1],
                   heads_,
                   kv_heads_,
                   depth,
                   window_,
                   scale,
                   softcap_,
                   causal_};
    step.scratch_bytes = static_cast<std::uint64_t>(pages.most * pages.size + depth) * sizeof(float);
    step.scratch = b.scratch(step.scratch_bytes);
    std::vector<Ref> reads{step.query, keys, values, pages.ends, pages.past, pages.table};
    if (step.sinks.present()) reads.push_back(step.sinks);
    step.form.add_to(reads);
    const Ref writes[] = {step.y};
    b.step("paged attention", step, {.est_ns = static_cast<double>(query.count()) * static_cast<double>(pages.most * pages.size)}, reads,
           writes);
  }

 private:
  RowForm form(const PlanBuilder& b, std::int64_t depth, std::uint32_t norm) const {
    RowForm f;
    f.norm = b.in_ref(norm), f.epsilon = epsilon_;
    if (f.norm.present() && b.in(norm).count() != depth) invalid_argument("q_norm_weight and k_norm_weight must have the size of a head");
    if (!turned_) return f;
    f.cos = b.in_ref(in_cos), f.sin = b.in_ref(in_sin), f.interleaved = interleaved_;
    const Shape &cos = b.in(in_cos), &sin = b.in(in_sin);
    if (cos.rank() != 2 || sin.count() != cos.count() || 2 * cos[1] > depth)
      invalid_argument("the tables must have shape [positions, half the turned size]");
    f.half = cos[1], f.table_rows = cos[0];
    return f;
  }

  Ref write(PlanBuilder& b, const Pages& pages, std::uint32_t cache, std::uint32_t output, std::uint32_t fresh, std::int64_t row,
            std::int64_t offset, std::int64_t depth, const RowForm& form) const {
    const std::int64_t count = b.in(cache).count();
    Ref to = b.out_ref(output);
    if (to.present() && b.out(output).count() != count) invalid_argument("unexpected shape of the cache that is handed out");
    if (!to.present()) to = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)) * sizeof(float));
    else b.inplace(cache, output);
    const Ref whole[] = {b.in_ref(cache)}, written[] = {to};
    if (count > 0) b.step("copy cache", CopyCache{whole[0], to, count}, {.est_ns = static_cast<double>(count) / 8}, whole, written);
    WritePages step{b.in_ref(fresh), b.in_ref(in_slots), to, pages, form, row, offset, kv_heads_, depth};
    std::vector<Ref> reads{step.fresh, to, pages.ends, pages.past, pages.table};
    if (step.slots.present()) reads.push_back(step.slots);
    form.add_to(reads);
    if (pages.tokens > 0) b.step("write pages", step, {.est_ns = static_cast<double>(pages.tokens * kv_heads_ * depth)}, reads, written);
    return to;
  }

  std::int64_t heads_, kv_heads_, window_;
  bool causal_, turned_, interleaved_;
  float scale_, softcap_, epsilon_;
};

Support supports(const NodeView& node) {
  for (const std::uint32_t i :
       {in_query, in_key, in_value, in_key_cache, in_value_cache, in_cos, in_sin, in_sinks, in_query_norm, in_key_norm})
    if (node.has_input(i) && node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  for (const std::uint32_t i : {in_ends, in_past, in_table, in_slots})
    if ((i != in_slots || node.has_input(i)) && node.dtype(i) != TENON_DTYPE_INT32) return refuse_dtype(node.dtype(i));
  if (!node.has_input(in_query) || !node.has_input(in_key_cache) || !node.has_input(in_value_cache) ||
      node.has_input(in_key) != node.has_input(in_value))
    return Support::no(TENON_REJECT_OTHER, "query, key_cache and value_cache are required; key and value come together");
  if (node.has_input(in_key_scale) || node.has_input(in_value_scale) || node.string_or("kv_cache_layout", "SEPARATE") != "SEPARATE")
    return Support::no(TENON_REJECT_OTHER, "quantised and latent caches are not supported");
  if (node.int_or("rotary_offset", 0) != 0) return Support::no(TENON_REJECT_ATTRIBUTE, "rotary_offset must be 0");
  if (node.has_input(in_query_norm) != node.has_input(in_key_norm))
    return Support::no(TENON_REJECT_OTHER, "q_norm_weight and k_norm_weight come together");
  if (node.int_or("do_rotary", 0) != 0 && (!node.has_input(in_cos) || !node.has_input(in_sin)))
    return Support::no(TENON_REJECT_OTHER, "do_rotary needs cos_cache and sin_cache");
  const std::int64_t heads = node.int_or("num_heads", 0), kv_heads = node.int_or("kv_num_heads", 0);
  if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0)
    return Support::no(TENON_REJECT_ATTRIBUTE, "num_heads must be a multiple of kv_num_heads");
  return Support::yes();
}

constexpr OpRow table[] = {
    {"com.microsoft", "PagedAttention", supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<PagedOp>(node); }},
};

}  // namespace

std::span<const OpRow> paged_rows() { return table; }

}  // namespace tenon::cpu
