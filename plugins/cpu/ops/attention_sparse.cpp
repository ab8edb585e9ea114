// com.microsoft SparseAttention: GroupQueryAttention on a cache of a fixed size, where a head sees some blocks of keys only.
#include <cmath>

#include "plugins/cpu/ops/attention_cache.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

enum Input : std::uint32_t {
  in_query, in_key, in_value, in_past_key, in_past_value, in_rows, in_columns, in_total, in_lengths, in_cos, in_sin
};

// Rows of the cache before and after this call.
struct CountRows {
  Ref total, lengths, before, after;
  std::int64_t batch, queries, rows;

  void operator()(const StepContext& c) const {
    const std::int64_t whole = *c.ptr<const std::int32_t>(total);
    for (std::int64_t b = 0; b < batch; ++b) {
      // A prompt, padded at its end, begins the cache: its padding is appended too.
      const std::int64_t length = c.ptr<const std::int32_t>(lengths)[b], end = whole == queries ? queries : length;
      if (end < queries || end > rows)
        stop(c, "key_total_sequence_lengths of sample " + std::to_string(b) + " is " + std::to_string(length) + ", with " +
                    std::to_string(queries) + " queries and a cache of " + std::to_string(rows) + " rows");
      c.ptr<std::int64_t>(before)[b] = end - queries;
      c.ptr<std::int64_t>(after)[b] = end;
    }
  }
};

// Lists of the columns of each row become a table [layouts, most, most].
struct SpreadBlocks {
  Ref rows, columns, to;
  std::int64_t layouts, most, listed;

  void operator()(const StepContext& c) const {
    auto* table = c.ptr<std::uint8_t>(to);
    std::fill(table, table + layouts * most * most, std::uint8_t{0});
    for (std::int64_t l = 0; l < layouts; ++l)
      for (std::int64_t r = 0; r < most; ++r) {
        const auto* bounds = c.ptr<const std::int32_t>(rows) + l * (most + 1) + r;
        if (bounds[0] < 0 || bounds[1] < bounds[0] || bounds[1] > listed)
          stop(c, "block_row_indices goes from " + std::to_string(bounds[0]) + " to " + std::to_string(bounds[1]) + ", with " +
                      std::to_string(listed) + " columns");
        for (std::int64_t i = bounds[0]; i < bounds[1]; ++i) {
          const std::int64_t column = c.ptr<const std::int32_t>(columns)[l * listed + i];
          if (column < 0 || column >= most)
            stop(c, "block_col_indices has " + std::to_string(column) + ", with " + std::to_string(most) + " blocks");
          table[(l * most + r) * most + column] = 1;
        }
      }
  }
};

class SparseOp final : public Op {
 public:
  SparseOp(const NodeView& node, CompileContext& context)
      : heads_(node.int_or("num_heads", 1)), kv_heads_(node.int_or("kv_num_heads", 1)), block_(node.int_or("sparse_block_size", 1)),
        turned_(node.int_or("do_rotary", 0) != 0), interleaved_(node.int_or("rotary_interleaved", 0) != 0),
        scale_(static_cast<double>(node.float_or("scale", 0))), isa_(context.options().isa) {}

  void plan(PlanBuilder& b) const override {
    const Shape &query = b.in(in_query), &past = b.in(in_past_key), &rows = b.in(in_rows), &columns = b.in(in_columns);
    const bool packed = !b.in_ref(in_key).present();
    AttentionShape s;
    const std::int64_t all = packed ? heads_ + 2 * kv_heads_ : heads_;
    if (query.rank() != 3 || query[2] % all != 0) invalid_argument("query must have shape [batch, length, heads * size]");
    s.heads = heads_, s.kv_heads = kv_heads_, s.batch = query[0], s.queries = query[1], s.depth = s.value_depth = query[2] / all;
    const std::int64_t width = kv_heads_ * s.depth;
    if (past.rank() != 4 || past[0] != s.batch || past[1] != kv_heads_ || past[3] != s.depth || b.in(in_past_value).count() != past.count())
      invalid_argument("past_key and past_value must have shape [batch, kv_num_heads, rows, size]");
    for (const std::uint32_t i : {in_key, in_value})
      if (!packed && b.in(i).count() != s.batch * s.queries * width)
        invalid_argument("key and value must have shape [batch, length, kv_num_heads * size]");
    if (rows.rank() != 2 || columns.rank() != 2 || columns[0] != rows[0] || rows[0] < 1 || rows[1] < 2 || heads_ % rows[0] != 0)
      invalid_argument("block_row_indices and block_col_indices must have one row for each layout, and num_heads be a multiple of that");
    if (b.in(in_total).count() != 1 || b.in(in_lengths).count() != s.batch)
      invalid_argument("key_total_sequence_lengths has a number for each sample, total_sequence_length one");
    s.keys = past[2], s.causal = true;
    s.scale = scale_ != 0 ? scale_ : 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(s.depth, 1)));
    s.block_size = block_, s.block_layouts = rows[0], s.block_most = rows[1] - 1;

    const auto numbers = [&] { return b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(s.batch, 1)) * sizeof(std::int64_t)); };
    const CountRows count{b.in_ref(in_total), b.in_ref(in_lengths), numbers(), numbers(), s.batch, s.queries, s.keys};
    const Ref counted[] = {count.total, count.lengths}, counts_to[] = {count.before, count.after};
    b.step("count keys", count, {.spmd = false, .est_ns = 50}, counted, counts_to);
    const CacheCounts counts{count.before, count.after, {}, {}};
    const SpreadBlocks spread{
        b.in_ref(in_rows), b.in_ref(in_columns), b.temp(static_cast<std::uint64_t>(s.block_layouts * s.block_most * s.block_most)),
        s.block_layouts,   s.block_most,         columns[1]};
    const Ref lists[] = {spread.rows, spread.columns}, table[] = {spread.to};
    b.step("spread blocks", spread, {.spmd = false, .est_ns = static_cast<double>(s.block_layouts * s.block_most * s.block_most)}, lists,
           table);

    const RowForm form = turning(b, s);
    const HeadStrides strides{s.queries * query[2], s.depth, query[2]};
    const HeadStrides kv_strides = packed ? strides : HeadStrides{s.queries * width, s.depth, width};
    AttentionRefs refs;
    refs.q = b.in_ref(in_query), refs.lengths = counts.after, refs.firsts = counts.before, refs.blocks = spread.to, refs.y = b.out_ref(0);
    s.q = strides;
    const std::int64_t items = s.batch * s.queries * heads_ * s.depth;
    if (form.changes()) {
      const FormQueries turn{refs.q,    b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(items, 1)) * sizeof(float)),
                             counts,    form,
                             strides,   s.batch,
                             s.queries, heads_,
                             s.depth};
      std::vector<Ref> reads{refs.q};
      counts.add_to(reads), form.add_to(reads);
      const Ref writes[] = {turn.to};
      if (items > 0) b.step("turn queries", turn, {.est_ns = static_cast<double>(items)}, reads, writes);
      refs.q = turn.to, s.q = {s.queries * heads_ * s.depth, s.depth, heads_ * s.depth};
    }
    refs.k = cache(b, s, counts, in_past_key, 1, packed ? in_query : in_key, packed ? heads_ * s.depth : 0, kv_strides, form);
    refs.v =
        cache(b, s, counts, in_past_value, 2, packed ? in_query : in_value, packed ? (heads_ + kv_heads_) * s.depth : 0, kv_strides, {});
    s.k = s.v = {width * s.keys, s.keys * s.depth, s.depth};
    s.y = {s.queries * heads_ * s.depth, s.depth, heads_ * s.depth};
    if (!refs.y.present() || items == 0) return;
    if (b.out(0).count() != items) invalid_argument("unexpected shape of the output");
    const Ref reads[] = {refs.q, refs.k, refs.v, refs.lengths, refs.firsts, refs.blocks}, writes[] = {refs.y};
    plan_attention(b, s, refs, TENON_DTYPE_FLOAT, isa_, reads, writes);
  }

 private:
  RowForm turning(const PlanBuilder& b, const AttentionShape& s) const {
    RowForm f;
    if (!turned_) return f;
    f.cos = b.in_ref(in_cos), f.sin = b.in_ref(in_sin), f.interleaved = interleaved_;
    const Shape &cos = b.in(in_cos), &sin = b.in(in_sin);
    if (cos.rank() != 2 || sin.count() != cos.count() || 2 * cos[1] > s.depth)
      invalid_argument("the tables must have shape [positions, half the turned size]");
    f.half = cos[1], f.table_rows = cos[0];
    return f;
  }

  Ref cache(PlanBuilder& b, const AttentionShape& s, const CacheCounts& counts, std::uint32_t past, std::uint32_t output,
            std::uint32_t input, std::int64_t offset, HeadStrides strides, const RowForm& form) const {
    const std::int64_t count = s.batch * kv_heads_ * s.keys * s.depth;
    Ref whole = b.out_ref(output);
    if (whole.present() && b.out(output).count() != count) invalid_argument("unexpected shape of the present keys or values");
    if (!whole.present()) whole = b.temp(static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)) * sizeof(float));
    else b.inplace(past, output);
    const FillCache fill{b.in_ref(past), b.in_ref(input), whole,  counts,    form,   {},     strides, offset,
                         s.batch,        kv_heads_,       s.keys, s.queries, s.keys, s.depth};
    std::vector<Ref> reads{fill.past, fill.fresh};
    counts.add_to(reads), form.add_to(reads);
    const Ref writes[] = {whole};
    if (count > 0) b.step("fill cache", fill, {.est_ns = static_cast<double>(count) / 2}, reads, writes);
    return whole;
  }

  std::int64_t heads_, kv_heads_, block_;
  bool turned_, interleaved_;
  double scale_;
  Isa isa_;
};

Support supports(const NodeView& node) {
  for (const std::uint32_t i : {in_query, in_key, in_value, in_past_key, in_past_value, in_cos, in_sin})
    if (node.has_input(i) && node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  for (const std::uint32_t i : {in_rows, in_columns, in_total, in_lengths})
    if (node.dtype(i) != TENON_DTYPE_INT32) return refuse_dtype(node.dtype(i));
  if (!node.has_input(in_query) || !node.has_input(in_past_key) || !node.has_input(in_past_value) ||
      node.has_input(in_key) != node.has_input(in_value))
    return Support::no(TENON_REJECT_OTHER, "query, past_key and past_value are required; key and value come together");
  if (node.int_or("do_rotary", 0) != 0 && (!node.has_input(in_cos) || !node.has_input(in_sin)))
    return Support::no(TENON_REJECT_OTHER, "do_rotary needs cos_cache and sin_cache");
  const std::int64_t heads = node.int_or("num_heads", 0), kv_heads = node.int_or("kv_num_heads", 0);
  if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0)
    return Support::no(TENON_REJECT_ATTRIBUTE, "num_heads must be a multiple of kv_num_heads");
  if (node.int_or("sparse_block_size", 0) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "sparse_block_size must be positive");
  return Support::yes();
}

constexpr OpRow table[] = {
    {"com.microsoft", "SparseAttention", supports,
     [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> { return std::make_unique<SparseOp>(node, context); }},
};

}  // namespace

std::span<const OpRow> sparse_rows() { return table; }

}  // namespace tenon::cpu
