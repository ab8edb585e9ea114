// Attention. float32: a worker takes a block of queries of one head, or all heads that share a key at one query; scores
// stay in its scratch between the two products.
#include "plugins/cpu/ops/attention.h"

#include <cmath>
#include <cstring>

#include "plugins/cpu/families.h"
#include "plugins/cpu/gemm/sgemm.h"
#include "plugins/cpu/ops/attention_online.h"
#include "plugins/cpu/ops/norm_kernels.h"
#include "plugins/cpu/ops/reduce_types.h"
#include "plugins/cpu/ops/rotary.h"
#include "plugins/cpu/plan_list.h"

namespace tenon::cpu {
namespace {

// The products of one block of queries.
struct QueryBlock {
  std::int64_t first, count;  // queries, or heads of a group
  std::int64_t keys;          // keys that any of them may look at
  gemm::Gemm scores, values;
};

struct AttentionStep {
  AttentionShape shape;
  AttentionRefs refs;
  const QueryBlock* blocks;
  std::int64_t block_count;
  bool grouped;  // rows of a block are heads that share keys
  Ref scratch;
  std::uint64_t scratch_bytes, score_floats;

  void operator()(const StepContext& c) const {
    const AttentionShape& s = shape;
    const std::int64_t heads = grouped ? s.kv_heads : s.heads, units = s.batch * heads * block_count;
    const auto slice = c.slice(units);
    for (std::int64_t u = slice.begin; u < slice.end; ++u) {
      // The last blocks of a causal mask have most keys: they come first, so that workers end together.
      const QueryBlock& block = blocks[block_count - 1 - u / (s.batch * heads)];
      const std::int64_t row = u % (s.batch * heads);
      run_block(c, block, row / heads, row % heads);
    }
  }

 private:
  void run_block(const StepContext& c, const QueryBlock& block, std::int64_t b, std::int64_t head) const {
    const AttentionShape& s = shape;
    const std::int64_t h0 = grouped ? head * s.group() : head, kv = grouped ? head : head / s.group();
    float* scores = worker_scratch<float>(c, scratch, scratch_bytes);
    float* mask = scores + score_floats;
    char* room = reinterpret_cast<char*>(mask + ((s.keys + 15) & ~std::int64_t(15)));
    const std::int64_t i0 = grouped ? 0 : block.first;
    gemm::RunArgs args{};
    args.a = c.ptr<const float>(refs.q) + b * s.q.batch + h0 * s.q.head + i0 * s.q.row;
    args.b = c.ptr<const float>(refs.k) + b * s.k.batch + kv * s.k.head;
    args.c = scores;
    args.scratch = room;
    if (block.keys > 0) gemm::run(block.scores, args);
    for (std::int64_t r = 0; r < block.count; ++r) {
      if (refs.chosen.present())
        fill_hidden(scores + r * s.keys, block.keys,
                    c.ptr<const std::uint8_t>(refs.chosen) + s.chosen_row(b, grouped ? h0 + r : h0, grouped ? 0 : i0 + r), s.chosen_strides[3],
                    s.keeps, s.fill);
      finish_row(c, scores + r * s.keys, block.keys, mask, b, grouped ? h0 + r : h0, grouped ? 0 : i0 + r);
    }
    if (!refs.y.present()) return;
    args.a = scores;
    args.b = c.ptr<const float>(refs.v) + b * s.v.batch + kv * s.v.head;
    args.c = c.ptr<float>(refs.y) + b * s.y.batch + h0 * s.y.head + i0 * s.y.row;
    gemm::run(block.values, args);
  }

  void show(const StepContext& c, ScoreOutput which, const float* x, std::int64_t b, std::int64_t h, std::int64_t i) const {
    if (!refs.scores.present() || shape.score_output != which) return;
    float* to = c.ptr<float>(refs.scores) + ((b * shape.heads + h) * shape.queries + i) * shape.shown();
    std::copy(x, x + shape.shown(), to);
  }

  // Scores to probabilities; keys that the row may not look at get 0.
  void finish_row(const StepContext& c, float* x, std::int64_t keys, float* mask_room, std::int64_t b, std::int64_t h,
                  std::int64_t i) const {
    const AttentionShape& s = shape;
    show(c, ScoreOutput::raw, x, b, h, i);
    if (s.softcap > 0) softcap_run(x, keys, static_cast<float>(s.softcap));
    show(c, ScoreOutput::capped, x, b, h, i);
    KeyRange range = key_range(s, refs, c, b, i);
    range.end = std::min(range.end, keys);
    range.begin = std::min(range.begin, range.end);
    const std::int64_t n = range.end - range.begin;
    constexpr float low = -HUGE_VALF;
    const float* mask = nullptr;
    if (refs.mask.present()) {
      const std::int64_t at = s.mask_row(b, h, i) + range.begin;
      if (s.mask_dtype == TENON_DTYPE_BOOL) {
        const std::uint8_t* allowed = c.ptr<const std::uint8_t>(refs.mask) + at;
        for (std::int64_t j = 0; j < n; ++j) mask_room[j] = allowed[j] ? 0.0f : low;
        mask = mask_room;
      } else {
        mask = c.ptr<const float>(refs.mask) + at;
      }
    }
    if (refs.blocks.present()) {
      const std::uint8_t* row = block_row(s, refs, c, h, c.ptr<const std::int64_t>(refs.firsts)[b] + i);
      for (std::int64_t j = 0; j < n; ++j)
        mask_room[j] = !block_allows(s, row, range.begin + j) ? low : mask ? mask[j] : 0.0f;
      mask = mask_room;
    }
    const bool visible = s.score_output == ScoreOutput::visible;
    if (refs.scores.present() && (visible || s.score_output == ScoreOutput::biased)) {
      float* to = c.ptr<float>(refs.scores) + ((b * s.heads + h) * s.queries + i) * s.shown();
      std::fill(to, to + s.shown(), visible ? 0 : low);
      for (std::int64_t j = 0; j < n && range.begin + j < s.shown(); ++j)
        to[range.begin + j] = x[range.begin + j] + (mask ? mask[j] : 0.0f);
    }
    float* p = x + range.begin;
    float top = low;
    for (std::int64_t j = 0; s.sink && j < n; ++j) top = std::max(top, p[j] + (mask ? mask[j] : 0.0f));
    if (n > 0) softmax_rows(p, mask, 1, 1, n, false, p);
    if (s.sink && n > 0) yield_to_sink(c, p, n, h, top);
    // Nothing to look at is a row of zeros, unless NaN is asked for.
    if (n > 0 && p[0] != p[0] && s.nothing != Nothing::nan &&
        (s.nothing == Nothing::zero_for_nan || (mask && std::all_of(mask, mask + n, [](float v) { return v == low; }))))
      std::fill(p, p + n, 0.0f);
    std::fill(x, p, 0.0f);
    std::fill(p + n, x + keys, 0.0f);
    show(c, ScoreOutput::probabilities, x, b, h, i);
  }

  // Probabilities without the sink become those with it: the greatest of them is one over the sum of exponentials less `top`.
  void yield_to_sink(const StepContext& c, float* p, std::int64_t n, std::int64_t h, float top) const {
    const float sink = refs.sinks.present() ? c.ptr<const float>(refs.sinks)[h] : 0.0f, most = *std::max_element(p, p + n);
    const float kept = 1 / (1 + std::exp(sink - top) * most);
    for (std::int64_t j = 0; j < n; ++j) p[j] *= kept;
  }
};

void plan_fast(PlanBuilder& builder, const AttentionShape& s, const AttentionRefs& refs, Isa isa, std::span<const Ref> reads,
               std::span<const Ref> writes) {
  AttentionStep step{};
  step.shape = s, step.refs = refs;
  step.grouped = s.queries == 1 && s.group() > 1;
  const std::int64_t rows = step.grouped ? s.group() : s.queries;
  // Scores of a block stay in the second-level cache; few heads make more blocks, for the workers.
  const std::int64_t tallest = s.batch * s.heads >= 8 ? 256 : 128;
  const std::int64_t height = std::clamp<std::int64_t>(131072 / std::max<std::int64_t>(s.keys, 1), 16, tallest);
  const gemm::Kernels& kernels = gemm::kernels(isa, builder.options().precision);
  PlanList<QueryBlock> blocks;
  std::uint64_t gemm_scratch = 0;
  for (std::int64_t first = 0; first < rows; first += height) {
    QueryBlock block{};
    block.first = step.grouped ? 0 : first;
    block.count = step.grouped ? rows : std::min(height, rows - first);
    block.keys = s.keys;
    // Without lengths the last query of the block sees most.
    const bool shown = refs.scores.present();
    if (!shown && !refs.lengths.present() && !refs.firsts.present() && !step.grouped) {
      const std::int64_t last = first + block.count - 1 + s.past;
      if (s.causal) block.keys = std::min(block.keys, last + 1);
      if (s.right >= 0) block.keys = std::min(block.keys, last + std::min(s.right, s.keys) + 1);
    }
    gemm::Problem qk;
    qk.m = block.count, qk.n = block.keys, qk.k = s.depth;
    qk.a_row = step.grouped ? s.q.head : s.q.row, qk.a_k = s.q.element;
    qk.b_k = s.k.element, qk.b_column = s.k.row;
    qk.c_row = s.keys, qk.c_column = 1;
    qk.alpha = static_cast<float>(s.scale);
    block.scores = gemm::plan(kernels, qk, false);
    gemm::Problem pv;
    pv.m = block.count, pv.n = s.value_depth, pv.k = block.keys;
    pv.a_row = s.keys, pv.a_k = 1;
    pv.b_k = s.v.row, pv.b_column = s.v.element;
    pv.c_row = step.grouped ? s.y.head : s.y.row, pv.c_column = 1;
    block.values = gemm::plan(kernels, pv, false);
    gemm_scratch = std::max({gemm_scratch, block.scores.scratch_bytes, block.values.scratch_bytes});
    blocks.push_back(block);
    if (step.grouped) break;
  }
  step.blocks = builder.keep(std::span<const QueryBlock>(blocks));
  step.block_count = static_cast<std::int64_t>(blocks.size());
  step.score_floats = static_cast<std::uint64_t>((blocks[0].count * s.keys + 15) / 16 * 16);
  const std::uint64_t mask_floats = static_cast<std::uint64_t>((s.keys + 15) & ~std::int64_t(15));
  step.scratch_bytes = (step.score_floats + mask_floats) * sizeof(float) + gemm_scratch + 64;
  step.scratch = builder.scratch(step.scratch_bytes);
  const double flops = 2.0 * static_cast<double>(s.batch * s.heads * s.queries) * static_cast<double>(s.keys) *
                       static_cast<double>(s.depth + s.value_depth) * (s.causal ? 0.6 : 1.0);
  builder.step("attention", step, {.est_ns = flops / 60}, reads, writes);
}

// present = past, then the new rows; both [batch, head, row, depth] with strides.
struct AppendStep {
  Ref past, fresh, present;
  HeadStrides from;
  std::int64_t batch, heads, past_rows, rows, row_bytes, element_bytes;

  void operator()(const StepContext& c) const {
    const std::int64_t total = past_rows + rows;
    const auto slice = c.slice(batch * heads * total, 8);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t head = item / total, t = item % total;
      const char* src;
      if (t < past_rows) {
        src = c.ptr<const char>(past) + (head * past_rows + t) * row_bytes;
      } else {
        src =
            c.ptr<const char>(fresh) + (head / heads * from.batch + head % heads * from.head + (t - past_rows) * from.row) * element_bytes;
      }
      std::memcpy(c.ptr<char>(present) + item * row_bytes, src, static_cast<std::size_t>(row_bytes));
    }
  }
};

class AttentionOp final : public Op {
 public:
  AttentionOp(const NodeView& node, CompileContext& context)
      : q_heads_(node.int_or("q_num_heads", 0)), kv_heads_(node.int_or("kv_num_heads", 0)), causal_(node.int_or("is_causal", 0) != 0),
        left_(node.int_or("left_window_size", -1)), right_(node.int_or("right_window_size", -1)),
        softcap_(static_cast<double>(node.float_or("softcap", 0))), scale_(static_cast<double>(node.float_or("scale", 0))),
        has_scale_(node.attribute("scale") != nullptr), isa_(context.options().isa),
        score_output_(static_cast<ScoreOutput>(node.int_or("qk_matmul_output_mode", 0))) {}

  void plan(PlanBuilder& builder) const override {
    const Shape &q = builder.in(0), &k = builder.in(1), &v = builder.in(2);
    AttentionShape s;
    const std::int64_t q_heads = q.rank() == 4 ? q[1] : q_heads_, kv_heads = k.rank() == 4 ? k[1] : kv_heads_;
    if (q.rank() != k.rank() || q.rank() != v.rank() || (q.rank() != 3 && q.rank() != 4))
      invalid_argument("Q, K and V must have rank 3 or 4");
    if (q_heads < 1 || kv_heads < 1 || q_heads % kv_heads != 0) invalid_argument("the numbers of heads do not fit");
    s.batch = q[0], s.heads = q_heads, s.kv_heads = kv_heads;
    std::int64_t fresh = 0, fresh_v = 0, k_depth = 0, unused = 0;
    s.q = strides(q, q_heads, &s.queries, &s.depth);
    s.k = strides(k, kv_heads, &fresh, &k_depth);
    s.v = strides(v, kv_heads, &fresh_v, &s.value_depth);
    if (k[0] != s.batch || v[0] != s.batch || k_depth != s.depth || fresh_v != fresh || (v.rank() == 4 && v[1] != kv_heads)) {
      invalid_argument("the shapes of Q, K and V do not fit together");
    }
    s.has_past = builder.in_ref(4).present();
    if (s.has_past != builder.in_ref(5).present()) invalid_argument("past_key and past_value come together");
    s.past = s.has_past ? builder.in(4)[2] : 0;
    s.keys = s.past + fresh;
    if (s.has_past && (builder.in(4).count() != s.batch * kv_heads * s.past * s.depth ||
                       builder.in(5).count() != s.batch * kv_heads * s.past * s.value_depth)) {
      invalid_argument("the shapes of past_key and past_value do not fit");
    }
    s.scale = has_scale_ ? scale_ : 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(s.depth, 1)));
    s.softcap = softcap_, s.causal = causal_, s.left = left_, s.right = right_, s.score_output = score_output_;

    AttentionRefs refs;
    refs.q = builder.in_ref(0), refs.k = builder.in_ref(1), refs.v = builder.in_ref(2), refs.mask = builder.in_ref(3);
    refs.lengths = builder.in_ref(6), refs.y = builder.out_ref(0), refs.scores = builder.out_ref(3);
    if (refs.lengths.present() && builder.in(6).count() != s.batch) invalid_argument("nonpad_kv_seqlen needs one number for each batch");
    if (refs.mask.present()) mask_of(builder.in(3), s);
    if (refs.y.present()) {
      const Shape& y = builder.out(0);
      if (y.rank() != q.rank() || y.count() != s.batch * s.heads * s.queries * s.value_depth)
        invalid_argument("unexpected shape of the output");
      s.y = strides(y, s.heads, &unused, &unused);
    }
    const std::int64_t bytes = q.dtype == TENON_DTYPE_DOUBLE ? 8 : 4;
    append(builder, s, 4, 1, fresh, s.depth, bytes, refs.k, s.k);
    append(builder, s, 5, 2, fresh, s.value_depth, bytes, refs.v, s.v);
    std::vector<Ref> reads{refs.q, refs.k, refs.v}, writes;
    for (Ref r : {refs.mask, refs.lengths}) {
      if (r.present()) reads.push_back(r);
    }
    for (Ref r : {refs.y, refs.scores}) {
      if (r.present()) writes.push_back(r);
    }
    if (writes.empty() || s.batch * s.heads * s.queries == 0) return;
    plan_attention(builder, s, refs, q.dtype, isa_, reads, writes);
  }

 private:
  static HeadStrides strides(const Shape& x, std::int64_t heads, std::int64_t* rows, std::int64_t* depth) {
    if (x.rank() == 4) {
      *rows = x[2], *depth = x[3];
      return {x[1] * x[2] * x[3], x[2] * x[3], x[3]};
    }
    if (x[2] % heads != 0) invalid_argument("the hidden size does not divide into heads");
    *rows = x[1], *depth = x[2] / heads;
    return {x[1] * x[2], x[2] / heads, x[2]};
  }

  static void mask_of(const Shape& mask, AttentionShape& s) {
    s.mask_dtype = mask.dtype;
    if (mask.rank() < 1 || mask.rank() > 4) invalid_argument("the mask must have rank 1 to 4");
    s.mask_keys = mask[-1];
    if (s.mask_keys > s.keys)
      invalid_argument("the mask has " + std::to_string(s.mask_keys) + " columns for " + std::to_string(s.keys) + " keys");
    const std::int64_t sizes[3] = {s.batch, s.heads, s.queries};
    for (std::int64_t d = 0; d < 3; ++d) {
      const std::int64_t at = d - (4 - mask.rank());
      if (at < 0 || mask[at] == 1) continue;
      if (mask[at] != sizes[d]) invalid_argument("the mask does not broadcast to the scores");
      s.mask_strides[d] = mask.inner(at);
    }
  }

  // Makes present where it is wanted or where there is a past; the product then reads it instead of the new rows.
  static void append(PlanBuilder& builder, const AttentionShape& s, std::uint32_t past, std::uint32_t io, std::int64_t rows,
                     std::int64_t depth, std::int64_t bytes, Ref& from, HeadStrides& strides) {
    Ref present = builder.out_ref(io);
    if (!s.has_past && !present.present()) return;
    const std::int64_t count = s.batch * s.kv_heads * s.keys * depth;
    if (present.present() && builder.out(io).count() != count) invalid_argument("unexpected shape of the present keys or values");
    if (!present.present()) present = builder.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1) * bytes));
    AppendStep step{builder.in_ref(past), from, present, strides, s.batch, s.kv_heads, s.past, rows, depth * bytes, bytes};
    std::vector<Ref> reads{from};
    if (s.has_past) reads.push_back(step.past);
    const Ref writes[] = {present};
    if (count > 0) builder.step("append cache", step, {.est_ns = static_cast<double>(count * bytes) / 8}, reads, writes);
    from = present;
    strides = {s.kv_heads * s.keys * depth, s.keys * depth, depth};
  }

  std::int64_t q_heads_, kv_heads_;
  bool causal_;
  std::int64_t left_, right_;
  double softcap_, scale_;
  bool has_scale_;
  Isa isa_;
  ScoreOutput score_output_;
};

Support supports(const NodeView& node) {
  if (!is_float(node.dtype(0))) return refuse_dtype(node.dtype(0));
  for (std::uint32_t i : {1u, 2u, 4u, 5u}) {
    if (node.has_input(i) && node.dtype(i) != node.dtype(0)) return refuse_dtype(node.dtype(i));
  }
  if (node.has_input(3) && node.dtype(3) != TENON_DTYPE_BOOL && node.dtype(3) != node.dtype(0)) return refuse_dtype(node.dtype(3));
  if (node.has_input(6) && node.dtype(6) != TENON_DTYPE_INT64) return refuse_dtype(node.dtype(6));
  const std::int64_t mode = node.int_or("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3) return Support::no(TENON_REJECT_ATTRIBUTE, "qk_matmul_output_mode " + std::to_string(mode));
  for (const char* window : {"left_window_size", "right_window_size"}) {
    if (node.int_or(window, -1) < -1) return Support::no(TENON_REJECT_ATTRIBUTE, std::string(window) + " below -1");
  }
  return Support::yes();
}

// Whether both products run on bfloat16 units, which is faster than float32 that never leaves the first-level cache.
bool splits(const PlanBuilder& builder, const AttentionShape& s, Isa isa) {
  const gemm::Kernels& kernels = gemm::kernels(isa, builder.options().precision);
  if (!kernels.split) return false;
  gemm::Problem qk;
  qk.m = s.queries, qk.n = s.keys, qk.k = s.depth;
  qk.a_row = qk.b_column = s.depth, qk.c_row = s.keys;
  return gemm::plan(kernels, qk, false).mode == gemm::Mode::split;
}

}  // namespace

void plan_attention(PlanBuilder& builder, const AttentionShape& shape, const AttentionRefs& refs, std::int32_t dtype, Isa isa,
                    std::span<const Ref> reads, std::span<const Ref> writes) {
  if (builder.options().plain || dtype != TENON_DTYPE_FLOAT) plan_attention_plain(builder, shape, refs, dtype, reads, writes);
  else if (online_takes(shape, refs) && !splits(builder, shape, isa)) plan_online(builder, shape, refs, isa, reads, writes);
  else plan_fast(builder, shape, refs, isa, reads, writes);
}

std::span<const OpRow> attention_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all = {
        {"", "Attention", supports,
         [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> { return std::make_unique<AttentionOp>(node, context); }},
    };
    for (const auto more :
         {rotary_rows(), multi_head_rows(), group_query_rows(), linear_attention_rows(), causal_conv_rows(), sparse_rows(), paged_rows()})
      for (const OpRow& row : more) all.push_back(row);
    return all;
  }();
  return rows;
}

}  // namespace tenon::cpu
