#include "plugins/cpu/attention_fusion.h"

#include <algorithm>

#include "plugins/cpu/epilogue.h"
#include "plugins/cpu/ops/attention.h"
#include "plugins/cpu/ops/matmul.h"
#include "plugins/cpu/ops/softmax.h"

namespace tenon::cpu {

// Scores that a Where replaces by a number: the unit's input that chooses, whether true keeps the score, the number.
struct Hiding {
  std::uint32_t input = no_value;
  bool keeps = true;
  float fill = 0;
};

// How keys and values are read where they stand: `repeat` heads of queries share one of theirs, and a cache has room for more rows
// than count. Neither is copied for it.
struct CacheReading {
  std::int64_t repeat = 1;
  std::uint32_t rows = no_value;  // the unit's input that says how many rows count; no_value: all
};

// softmax(scale Q K + mask) V. Its inputs are those of the first product, of the softmax and of the second product, in a row, and
// at the end what chooses scores to be hidden.
class SpelledAttention final : public Op {
 public:
  static bool takes_scores(const MatMulOp& p) { return bare(p) && p.out_perm_.empty(); }
  static bool takes_softmax(const SoftmaxOp& s, std::uint32_t slot, bool hides) {
    return s.fuses_ && !s.log_ && s.data_ == slot && (!hides || s.scale_ == 1);
  }
  static bool takes_values(const MatMulOp& p, std::uint32_t slot) {
    return bare(p) && p.alpha_ == 1 && p.a_.input == slot && p.a_.perm.empty() && !p.a_.batch_last && !p.a_.transposed;
  }
  static std::uint32_t second_operand(const MatMulOp& p) { return p.b_.input; }
  // Operand B is a tensor of [batch, head, row, element], read as keys or as values.
  static bool reads_cache(const MatMulOp& p, bool keys) {
    if (p.b_.batch_last) return false;
    static constexpr std::int32_t turned[] = {0, 1, 3, 2};
    const bool turns = p.b_.perm.size() == 4 && std::equal(p.b_.perm.begin(), p.b_.perm.end(), turned);
    if (!turns && !p.b_.perm.empty()) return false;
    return (turns != p.b_.transposed) == keys;
  }

  SpelledAttention(std::unique_ptr<Op> scores, std::unique_ptr<Op> softmax, std::unique_ptr<Op> values, std::uint32_t softmax_first,
                   std::uint32_t values_first, Nothing nothing, Hiding hiding, CacheReading keys, CacheReading values_read, Isa isa)
      : scores_(std::move(scores)), softmax_(std::move(softmax)), values_(std::move(values)), softmax_first_(softmax_first),
        values_first_(values_first), nothing_(nothing), hiding_(hiding), k_reading_(keys), v_reading_(values_read), isa_(isa) {}

  void plan(PlanBuilder& builder) const override {
    const auto& qk = static_cast<const MatMulOp&>(*scores_);
    const auto& softmax = static_cast<const SoftmaxOp&>(*softmax_);
    const auto& pv = static_cast<const MatMulOp&>(*values_);
    const std::uint32_t v_input = values_first_ + pv.b_.input;
    const gemm::View q = qk.view(qk.a_, builder.in(qk.a_.input).dims);
    gemm::View k = qk.view(qk.b_, builder.in(qk.b_.input).dims), v = pv.view(pv.b_, builder.in(v_input).dims);
    cut(builder, k_reading_, k.dims[k.rank - 1]);
    cut(builder, v_reading_, v.dims[v.rank - 2]);
    gemm::View y = gemm::View::dense(builder.out(0));
    if (!pv.out_perm_.empty()) {
      std::vector<std::int32_t> back(pv.out_perm_.size());
      for (std::size_t i = 0; i < back.size(); ++i) back[static_cast<std::size_t>(pv.out_perm_[i])] = static_cast<std::int32_t>(i);
      y.permute(back);
    }
    AttentionShape s;
    s.queries = q.dims[q.rank - 2], s.depth = q.dims[q.rank - 1], s.keys = k.dims[k.rank - 1], s.value_depth = v.dims[v.rank - 1];
    bool fits = k.dims[k.rank - 2] == s.depth && v.dims[v.rank - 2] == s.keys && y.rank == std::max({q.rank, k.rank, v.rank}) &&
                y.dims[y.rank - 2] == s.queries && y.dims[y.rank - 1] == s.value_depth;
    s.batch = y.rank == 4 ? y.dims[0] : 1, s.heads = y.rank >= 3 ? y.dims[y.rank - 3] : 1;
    fits = fits && s.heads % k_reading_.repeat == 0;
    s.kv_heads = s.heads / k_reading_.repeat;
    s.q = strides(q, y, false, 1, fits), s.k = strides(k, y, true, k_reading_.repeat, fits);
    s.v = strides(v, y, false, v_reading_.repeat, fits), s.y = strides(y, y, false, 1, fits);
    s.scale = static_cast<double>(qk.alpha_) * static_cast<double>(softmax.scale_);
    s.nothing = nothing_;
    AttentionRefs refs;
    refs.q = builder.in_ref(qk.a_.input), refs.k = builder.in_ref(qk.b_.input), refs.v = builder.in_ref(v_input);
    refs.y = builder.out_ref(0);
    if (softmax.mask_ != TENON_NO_VALUE) {
      const std::uint32_t input = softmax_first_ + softmax.mask_;
      refs.mask = builder.in_ref(input);
      s.mask_dtype = TENON_DTYPE_FLOAT, s.mask_keys = s.keys;
      std::int64_t step = 0;
      place(builder.in(input), y.rank, s, s.mask_strides, step, fits);
      fits = fits && step == 1;
    }
    if (hiding_.input != no_value) {
      refs.chosen = builder.in_ref(hiding_.input);
      s.keeps = hiding_.keeps, s.fill = hiding_.fill;
      place(builder.in(hiding_.input), y.rank, s, s.chosen_strides, s.chosen_strides[3], fits);
    }
    if (!fits) throw Failure{TENON_INVALID_ARGUMENT, "attention: the sizes of queries, keys, values and mask do not fit together"};
    if (!refs.y.present() || builder.out(0).count() == 0) return;
    plan_attention(builder, s, refs, TENON_DTYPE_FLOAT, isa_, {}, {});
  }

 private:
  // Alpha times A B, and nothing else.
  static bool bare(const MatMulOp& p) {
    return !p.plain_ && p.dtype_ == TENON_DTYPE_FLOAT && !p.packed_ && p.has_columns_ && p.addend_ < 0 && p.bias_ < 0 && p.epilogue_.empty() &&
           p.a_.input != p.b_.input;
  }

  // Strides of batch, head and query, and of the key, of what broadcasts to the scores.
  static void place(const Shape& x, int rank, const AttentionShape& s, std::int64_t* strides, std::int64_t& key, bool& fits) {
    const std::int64_t sizes[4] = {s.batch, s.heads, s.queries, s.keys};
    fits = fits && x.rank() <= rank;
    for (std::int64_t d = 0; d < 4 && fits; ++d) {
      const std::int64_t at = d - (4 - x.rank());
      if (at < 0 || (x[at] == 1 && sizes[d] != 1)) continue;
      fits = x[at] == sizes[d];
      (d < 3 ? strides[d] : key) = x.inner(at);
    }
  }

  // The rows that count, of those that the cache has.
  static void cut(const PlanBuilder& builder, const CacheReading& reading, std::int64_t& rows) {
    if (reading.rows == no_value) return;
    const Shape& given = builder.in(reading.rows);
    if (!given.known || given.dtype != TENON_DTYPE_INT64 || given.count() != 1)
      throw Failure{TENON_UNSUPPORTED_SHAPE, "attention: how many rows of the cache count is not known before the run"};
    std::int64_t n;
    std::memcpy(&n, given.known, sizeof n);
    rows = std::clamp<std::int64_t>(n < 0 ? n + rows : n, 0, rows);
  }

  // Of an operand as attention names dims; where it broadcasts, 0. turned: rows are the last dim. repeat: heads of y that one
  // of x serves.
  static HeadStrides strides(const gemm::View& x, const gemm::View& y, bool turned, std::int64_t repeat, bool& fits) {
    HeadStrides s;
    s.row = x.strides[x.rank - (turned ? 1 : 2)], s.element = x.strides[x.rank - (turned ? 2 : 1)];
    for (int d = 0; d + 2 < x.rank; ++d) {
      const int at = d + y.rank - x.rank;
      const std::int64_t stride = x.dims[d] == 1 ? 0 : x.strides[d];
      fits = fits && at >= 0 && (repeat > 1 && at == y.rank - 3 ? x.dims[d] * repeat == y.dims[at] : x.dims[d] == 1 || x.dims[d] == y.dims[at]);
      (at == y.rank - 3 ? s.head : s.batch) = stride;
    }
    return s;
  }

  std::unique_ptr<Op> scores_, softmax_, values_;
  std::uint32_t softmax_first_, values_first_;
  Nothing nothing_;
  Hiding hiding_;
  CacheReading k_reading_, v_reading_;
  Isa isa_;
};

namespace {

class Finder {
 public:
  Finder(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context)
      : graph_(graph), values_(values), units_(units), context_(context), readers_(values.size()) {
    makers_.assign(values.size(), no_value);
    for (std::uint32_t u = 0; u < units.size(); ++u) {
      for (std::uint32_t v : units[u].inputs)
        if (v != no_value) readers_[v].push_back(u);
      for (std::uint32_t v : units[u].outputs)
        if (v != no_value) makers_[v] = u;
    }
  }

  void run() {
    for (std::uint32_t u = 0; u < units_.size(); ++u)
      if (units_[u].op) take(u);
    std::erase_if(units_, [](const Unit& u) { return !u.op; });
  }

 private:
  // The value that a unit makes for one reader alone; no_value otherwise.
  std::uint32_t inner(const Unit& unit, std::size_t readers) const {
    if (unit.data_dependent || unit.outputs.size() != 1) return no_value;
    const std::uint32_t v = unit.outputs[0];
    return v != no_value && !values_[v].is_output && readers_[v].size() == readers ? v : no_value;
  }
  static std::uint32_t slot_of(const Unit& unit, std::uint32_t v) {
    const auto at = std::find(unit.inputs.begin(), unit.inputs.end(), v);
    return static_cast<std::uint32_t>(at - unit.inputs.begin());
  }
  std::string_view op_of(const Unit& unit) const {
    const NodeView node(graph_, unit.nodes[0]);
    return unit.nodes.size() == 1 && node.domain().empty() ? node.op_type() : std::string_view();
  }

  // v is read by IsNaN and by a Where that puts 0 in NaN's place: the Where and the IsNaN.
  bool zeros_for_nan(std::uint32_t v, std::uint32_t& where, std::uint32_t& is_nan) {
    for (int i = 0; i < 2; ++i) {
      is_nan = readers_[v][static_cast<std::size_t>(i)], where = readers_[v][static_cast<std::size_t>(1 - i)];
      if (op_of(units_[is_nan]) != "IsNaN" || op_of(units_[where]) != "Where") continue;
      const std::uint32_t flags = inner(units_[is_nan], 1);
      const NodeView node(graph_, units_[where].nodes[0]);
      float zero = 1;
      if (flags != no_value && units_[where].inputs.size() == 3 && units_[where].inputs[0] == flags && units_[where].inputs[2] == v &&
          constant_scalar(node, 1, context_, &zero) && zero == 0 && node.rank(1) <= node.rank(2))
        return true;
    }
    return false;
  }

  // The unit puts a number where a bool says so, and leaves other scores.
  bool hides(const Unit& unit, std::uint32_t scores, Hiding& hiding) {
    if (op_of(unit) != "Where" || unit.inputs.size() != 3 || inner(unit, 1) == no_value) return false;
    const NodeView node(graph_, unit.nodes[0]);
    const std::uint32_t slot = slot_of(unit, scores);
    if (slot == 0 || node.rank(0) < 0 || node.rank(0) > node.rank(slot) || !same_shape(node.input(slot), node.output(0))) return false;
    hiding.keeps = slot == 1;
    hiding.input = unit.inputs[0];
    return constant_scalar(node, 3 - slot, context_, &hiding.fill);
  }

  // Where keys or values come from, and how they are read there.
  struct Origin {
    std::uint32_t value;
    CacheReading reading;               // rows: a value
    std::vector<std::uint32_t> passed;  // units between, the last one first
  };

  // The node of the unit that makes v, where it is that operator alone.
  const Unit* made_by(std::uint32_t v, std::string_view op) const {
    const std::uint32_t u = makers_[v];
    return u != no_value && units_[u].op && op_of(units_[u]) == op ? &units_[u] : nullptr;
  }
  const tenon_value& declared(std::uint32_t v) const { return element<tenon_value>(graph_.values, values_[v].graph_value); }
  // Both dims are known to be equal.
  static bool same_dim(const tenon_value& a, std::int32_t i, const tenon_value& b, std::int32_t j) {
    return a.dims[i] >= 0 ? a.dims[i] == b.dims[j] : b.dims[j] < 0 && a.dim_symbols[i] != 0 && a.dim_symbols[i] == b.dim_symbols[j];
  }

  // [B, H, T, D] → Unsqueeze → [B, H, 1, T, D] → Expand → [B, H, G, T, D] → Reshape → [B, H G, T, D].
  bool repeated(Origin& origin) const {
    const Unit* joined = made_by(origin.value, "Reshape");
    const Unit* wide = joined ? made_by(joined->inputs[0], "Expand") : nullptr;
    const Unit* split = wide ? made_by(wide->inputs[0], "Unsqueeze") : nullptr;
    if (!split) return false;
    const tenon_value &x = declared(split->inputs[0]), &s = declared(wide->inputs[0]), &w = declared(joined->inputs[0]), &y = declared(origin.value);
    if (x.rank != 4 || s.rank != 5 || w.rank != 5 || y.rank != 4 || s.dims[2] != 1 || w.dims[2] < 1 || x.dims[1] < 1) return false;
    for (std::int32_t d : {0, 1, 3, 4})
      if (!same_dim(s, d, w, d) || !same_dim(x, d < 2 ? d : d - 1, s, d)) return false;
    if (y.dims[1] != x.dims[1] * w.dims[2] || !same_dim(y, 0, x, 0) || !same_dim(y, 2, x, 2) || !same_dim(y, 3, x, 3)) return false;
    origin.reading.repeat = w.dims[2];
    for (std::uint32_t v : {origin.value, joined->inputs[0], wide->inputs[0]}) origin.passed.push_back(makers_[v]);
    origin.value = split->inputs[0];
    return true;
  }

  // The first rows of a cache: Slice of dim 2 from 0, to an end that core evaluates.
  bool sliced(Origin& origin) {
    const Unit* slice = made_by(origin.value, "Slice");
    if (!slice || slice->inputs.size() < 4 || slice->inputs[3] == no_value || declared(slice->inputs[0]).rank != 4) return false;
    const NodeView node(graph_, slice->nodes[0]);
    const auto is = [&](std::uint32_t input, std::int64_t expected) {
      if (!node.is_constant(input) || node.dtype(input) != TENON_DTYPE_INT64) return false;
      const tenon_const_tensor t = context_.constant(node, input);
      std::int64_t x;
      if (t.bytes != sizeof x) return false;
      std::memcpy(&x, t.data, sizeof x);
      return x == expected;
    };
    if (!is(1, 0) || !(is(3, 2) || is(3, -2)) || (node.has_input(4) && !is(4, 1))) return false;
    const tenon_value& end = declared(slice->inputs[2]);
    if (end.dtype != TENON_DTYPE_INT64 || end.rank != 1 || end.dims[0] != 1 || !evaluated(slice->inputs[2])) return false;
    origin.reading.rows = slice->inputs[2];
    origin.passed.push_back(makers_[origin.value]);
    origin.value = slice->inputs[0];
    return true;
  }
  // Core knows its elements while it plans.
  bool evaluated(std::uint32_t v) const {
    if (makers_[v] != no_value) return false;
    const std::uint32_t graph_value = values_[v].graph_value;
    for (std::uint64_t n = 0; n < graph_.nodes.count; ++n) {
      const auto& node = element<tenon_node>(graph_.nodes, n);
      for (std::uint32_t o = 0; o < node.output_count; ++o)
        if (node.outputs[o] == graph_value) return (node.flags & TENON_NODE_HOST_EVALUATED) != 0;
    }
    return false;
  }

  // Reads keys and values where they stand, past what would only copy them.
  void look_behind(const MatMulOp& first, const MatMulOp& second, const Unit& qk, const Unit& pv, Origin& keys, Origin& values) {
    const std::uint32_t k = qk.inputs[SpelledAttention::second_operand(first)], v = pv.inputs[SpelledAttention::second_operand(second)];
    keys.value = k, values.value = v;
    if (k == no_value || v == no_value || !SpelledAttention::reads_cache(first, true) || !SpelledAttention::reads_cache(second, false)) return;
    if (declared(k).rank != 4 || declared(v).rank != 4) return;
    Origin k_wide = keys, v_wide = values;
    if (repeated(k_wide) && repeated(v_wide) && k_wide.reading.repeat == v_wide.reading.repeat) keys = k_wide, values = v_wide;
    (void)sliced(keys), (void)sliced(values);
  }

  // Units that were passed by and that nobody else reads are not needed.
  void drop(const Origin& origin, std::uint32_t reader, std::uint32_t fused) {
    if (!origin.passed.empty()) readers_[origin.value].push_back(fused);
    for (std::uint32_t u : origin.passed) {
      const std::uint32_t v = units_[u].outputs[0];
      std::erase(readers_[v], reader);
      if (!readers_[v].empty() || values_[v].is_output) return;
      units_[u].op.reset();
      reader = u;
    }
  }

  void take(std::uint32_t u) {
    Unit& qk = units_[u];
    auto* product = dynamic_cast<MatMulOp*>(qk.op.get());
    std::uint32_t scores = product ? inner(qk, 1) : no_value, hider = no_value;
    if (scores == no_value || !SpelledAttention::takes_scores(*product)) return;
    Hiding hiding;
    if (hides(units_[readers_[scores][0]], scores, hiding)) {
      hider = readers_[scores][0];
      scores = units_[hider].outputs[0];
    }
    Unit& softmax = units_[readers_[scores][0]];
    auto* rows = dynamic_cast<SoftmaxOp*>(softmax.op.get());
    if (!rows || std::count(softmax.inputs.begin(), softmax.inputs.end(), scores) != 1 ||
        !SpelledAttention::takes_softmax(*rows, slot_of(softmax, scores), hider != no_value))
      return;
    std::uint32_t chances = inner(softmax, 1), where = no_value, is_nan = no_value;
    if (chances == no_value) {
      chances = inner(softmax, 2);
      if (chances == no_value || !zeros_for_nan(chances, where, is_nan)) return;
      chances = inner(units_[where], 1);
      if (chances == no_value) return;
    }
    const std::uint32_t last = readers_[chances][0];
    Unit& pv = units_[last];
    auto* second = dynamic_cast<MatMulOp*>(pv.op.get());
    if (!second || pv.outputs.size() != 1 || std::count(pv.inputs.begin(), pv.inputs.end(), chances) != 1 ||
        !SpelledAttention::takes_values(*second, slot_of(pv, chances)) || rank(pv.outputs[0]) > 4 || rank(pv.outputs[0]) < 2)
      return;

    const auto softmax_first = static_cast<std::uint32_t>(qk.inputs.size());
    const auto values_first = softmax_first + static_cast<std::uint32_t>(softmax.inputs.size());
    Unit made;
    Origin keys{}, values{};
    look_behind(*product, *second, qk, pv, keys, values);
    const std::uint32_t k_slot = SpelledAttention::second_operand(*product), v_slot = SpelledAttention::second_operand(*second);
    for (const Unit* part : {&qk, &softmax, &pv}) {
      for (std::uint32_t v : part->inputs) made.inputs.push_back(v == scores || v == chances ? no_value : v);
      made.nodes.insert(made.nodes.end(), part->nodes.begin(), part->nodes.end());
    }
    if (hider != no_value) {
      made.inputs.push_back(hiding.input);
      hiding.input = static_cast<std::uint32_t>(made.inputs.size()) - 1;
    }
    made.inputs[k_slot] = keys.value, made.inputs[values_first + v_slot] = values.value;
    for (Origin* origin : {&keys, &values}) {
      if (origin->reading.rows == no_value) continue;
      made.inputs.push_back(origin->reading.rows);
      origin->reading.rows = static_cast<std::uint32_t>(made.inputs.size()) - 1;
    }
    made.outputs = pv.outputs;
    made.label = pv.label;
    made.op = std::make_unique<SpelledAttention>(std::move(qk.op), std::move(softmax.op), std::move(pv.op), softmax_first, values_first,
                                                 where == no_value ? Nothing::nan : Nothing::zero_for_nan, hiding, keys.reading, values.reading,
                                                 context_.options().isa);
    for (std::uint32_t other : {where, is_nan, hider}) {
      if (other == no_value) continue;
      made.nodes.insert(made.nodes.end(), units_[other].nodes.begin(), units_[other].nodes.end());
      units_[other].op.reset();
    }
    units_[last] = std::move(made);
    drop(keys, u, last);
    drop(values, last, last);
  }

  std::int32_t rank(std::uint32_t v) const { return element<tenon_value>(graph_.values, values_[v].graph_value).rank; }

  const tenon_graph& graph_;
  const std::vector<Value>& values_;
  std::vector<Unit>& units_;
  CompileContext& context_;
  std::vector<std::vector<std::uint32_t>> readers_;
  std::vector<std::uint32_t> makers_;  // by value: the unit
};

}  // namespace

void fuse_attention(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context) {
  Finder(graph, values, units, context).run();
}

}  // namespace tenon::cpu
