// LinearAttention and com.microsoft GatedDeltaNet: a state for each head that every token decays, corrects and reads.
//
//   S = exp(g) S;  S = S + k (beta (v - S^T k))^T;  o = scale S^T q
//
// Without a gate there is no decay, without the delta rule no retrieval. A worker takes columns of a head's state, token by token.
#include <cmath>

#include "plugins/cpu/ops/attention.h"
#include "plugins/cpu/ops/attention_linear_kernel.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

enum class Gate : std::uint8_t { given, softplus, sigmoid };

// Heads of one operand: element e of head h of token t is at t * row + offset + h * depth + e.
struct Operand {
  Ref ref;
  std::int64_t row = 0, offset = 0, depth = 0;

  const float* at(const StepContext& c, std::int64_t token, std::int64_t head) const {
    return c.ptr<const float>(ref) + token * row + offset + head * depth;
  }
};

struct LinearStep {
  static constexpr std::int64_t tile_columns = 64;  // of a state, which a worker takes at once
  Operand q, k, v;                // depth of q and k: key_depth
  Operand decay, beta;            // depth 1, or key_depth; absent where the rule has none
  Ref past, present, y, offsets;  // offsets: int32 [batch + 1], the tokens of each sample; absent: all have as many
  Ref log_rate, bias;             // of the gate: by head; bias also by head and element
  Ref scratch;
  std::uint64_t scratch_bytes;
  std::int64_t batch, tokens, heads, q_group, k_group, key_depth, value_depth;  // heads of the state; how many share a q or k
  std::int64_t q_heads_per_state;  // more queries than states: each state answers so many
  std::int64_t window;             // states after each of the last tokens; 0: the last alone
  std::int64_t bias_depth;         // 1 or key_depth
  float scale, lower;
  Gate gate;
  bool delta, soft_beta, unit, value_major;  // unit: q and k are normed; value_major: states are [value, key]

  void operator()(const StepContext& c) const {
    const std::int64_t tiles = (value_depth + tile_columns - 1) / tile_columns;
    const auto slice = c.slice(batch * heads * tiles);
    for (std::int64_t unit_of_work = slice.begin; unit_of_work < slice.end; ++unit_of_work) {
      const std::int64_t item = unit_of_work / tiles;
      std::int64_t first = item / heads * tokens, last = first + tokens;
      if (offsets.present()) {
        const auto* at = c.ptr<const std::int32_t>(offsets) + item / heads;
        first = at[0], last = at[1];
        if (first < 0 || last < first || last > tokens)
          return c.fail(TENON_OUT_OF_RANGE, "cu_seqlens goes from " + std::to_string(first) + " to " + std::to_string(last) + ", with " +
                                                std::to_string(tokens) + " tokens");
      }
      columns_of(c, item, unit_of_work % tiles, first, last);
    }
  }

 private:
  // One head of one sample, and some columns of its state, token by token.
  void columns_of(const StepContext& c, std::int64_t item, std::int64_t tile, std::int64_t first, std::int64_t last) const {
    const std::int64_t h = item % heads, slots = std::max<std::int64_t>(window, 1), all = batch * heads, size = key_depth * value_depth;
    LinearToken token{};
    token.columns = std::min(tile_columns, value_depth - tile * tile_columns);
    const std::int64_t column = tile * tile_columns;
    float* state = worker_scratch<float>(c, scratch, scratch_bytes);
    float *key = state + key_depth * tile_columns, *factors = key + key_depth, *queries = factors + key_depth;
    if (past.present()) take(c.ptr<const float>(past) + ((slots - 1) * all + item) * size, state, column, token.columns);
    else std::fill(state, state + key_depth * tile_columns, 0.0f);
    float* out = present.present() ? c.ptr<float>(present) : nullptr;
    for (std::int64_t j = 0; out && j < slots - (last - first) && j < slots - 1; ++j)
      give(nullptr, out + (j * all + item) * size, column, token.columns);
    token.state = state, token.stride = tile_columns, token.key_depth = key_depth, token.key = key, token.queries = queries;
    token.decay = decay.ref.present() ? factors : nullptr;
    token.delta = delta, token.answers = y.present() ? q_heads_per_state : 0, token.out_stride = value_depth;
    for (std::int64_t t = first; t < last; ++t) {
      scaled_row(k.at(c, t, h / k_group), key, 1);
      if (token.decay) factors_of(c, factors, t, h);
      token.rate = delta ? *beta.at(c, t, h) : 1;
      if (delta && soft_beta) token.rate = sigmoid(token.rate);
      for (std::int64_t i = 0; i < token.answers; ++i)
        scaled_row(q.at(c, t, q_heads_per_state > 1 ? h * q_heads_per_state + i : h / q_group), queries + i * key_depth, scale);
      token.value = v.at(c, t, h) + column;
      if (y.present()) token.out = c.ptr<float>(y) + (t * heads + h) * q_heads_per_state * value_depth + column;
      linear_token(token);
      const std::int64_t slot = slots - (last - t);
      if (out && slot >= 0) give(state, out + (slot * all + item) * size, column, token.columns);
    }
    if (out && first == last) give(state, out + ((slots - 1) * all + item) * size, column, token.columns);
  }

  void take(const float* from, float* state, std::int64_t column, std::int64_t columns) const {
    for (std::int64_t i = 0; i < key_depth; ++i) {
      float* row = state + i * tile_columns;
      if (!value_major) std::copy_n(from + i * value_depth + column, columns, row);
      for (std::int64_t j = 0; value_major && j < columns; ++j) row[j] = from[(column + j) * key_depth + i];
    }
  }
  // No state is zeros.
  void give(const float* state, float* to, std::int64_t column, std::int64_t columns) const {
    for (std::int64_t i = 0; i < key_depth; ++i) {
      const float* row = state ? state + i * tile_columns : nullptr;
      if (row && !value_major) std::copy_n(row, columns, to + i * value_depth + column);
      for (std::int64_t j = 0; (!row || value_major) && j < columns; ++j)
        to[value_major ? (column + j) * key_depth + i : i * value_depth + column + j] = row ? row[j] : 0;
    }
  }

  void scaled_row(const float* from, float* to, float factor) const {
    if (unit) {
      float squares = 0;
      for (std::int64_t i = 0; i < key_depth; ++i) squares += from[i] * from[i];
      factor /= std::sqrt(squares + 1e-6f);
    }
    for (std::int64_t i = 0; i < key_depth; ++i) to[i] = from[i] * factor;
  }

  static float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }
  static float softplus(float x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

  void factors_of(const StepContext& c, float* factors, std::int64_t t, std::int64_t h) const {
    const float* g = decay.at(c, t, h);
    const float rate = gate != Gate::given && log_rate.present() ? std::exp(c.ptr<const float>(log_rate)[h]) : 1.0f;
    for (std::int64_t i = 0; i < key_depth; ++i) {
      if (i > 0 && decay.depth == 1 && bias_depth == 1) {
        factors[i] = factors[0];
        continue;
      }
      float x = g[decay.depth > 1 ? i : 0];
      if (gate != Gate::given) {
        if (bias.present()) x += c.ptr<const float>(bias)[bias_depth > 1 ? h * key_depth + i : h];
        x = gate == Gate::softplus ? -rate * softplus(x) : lower * sigmoid(rate * x);
      }
      factors[i] = std::exp(x);
    }
  }
};

class LinearOp : public Op {
 public:
  explicit LinearOp(const NodeView& node) : rule_(node.string_or("update_rule", "gated_delta")), scale_(node.float_or("scale", 0)) {}

 protected:
  bool gated() const { return rule_ == "gated" || rule_ == "gated_delta"; }
  bool delta() const { return rule_ == "delta" || rule_ == "gated_delta"; }

  // What both operators end with.
  void emit(PlanBuilder& b, LinearStep& s, std::uint32_t past) const {
    s.scale = scale_ != 0 ? scale_ : 1 / std::sqrt(static_cast<float>(std::max<std::int64_t>(s.key_depth, 1)));
    s.delta = delta();
    const std::int64_t size = s.key_depth * s.value_depth, states = s.batch * s.heads * size * std::max<std::int64_t>(s.window, 1);
    s.past = b.in_ref(past), s.y = b.out_ref(0), s.present = b.out_ref(1);
    if ((s.past.present() && b.in(past).count() != states) || (s.present.present() && b.out(1).count() != states))
      invalid_argument("the shape of the state does not fit to query, key and value");
    if (s.batch * s.heads == 0) return;
    s.scratch_bytes = static_cast<std::uint64_t>((LinearStep::tile_columns + 2 + s.q_heads_per_state) * s.key_depth + 16) * sizeof(float);
    s.scratch = b.scratch(s.scratch_bytes);
    const double work = static_cast<double>(s.offsets.present() ? s.tokens : s.batch * s.tokens) * static_cast<double>(s.heads * size) / 8;
    b.step("linear attention", s, {.est_ns = work});
  }

  std::string rule_;
  float scale_;
};

class LinearAttentionOp final : public LinearOp {
 public:
  explicit LinearAttentionOp(const NodeView& node)
      : LinearOp(node), q_heads_(node.int_or("q_num_heads", 0)), heads_(node.int_or("kv_num_heads", 0)),
        window_(node.int_or("state_window", 0)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &q = b.in(0), &k = b.in(1), &v = b.in(2);
    if (q.rank() != 3 || k.rank() != 3 || v.rank() != 3 || q[2] % q_heads_ != 0 || k[2] % heads_ != 0 || v[2] % heads_ != 0 ||
        k[2] / heads_ != q[2] / q_heads_ || k[0] != q[0] || v[0] != q[0] || k[1] != q[1] || v[1] != q[1])
      invalid_argument("query, key and value must have shape [batch, tokens, heads * size] and as many tokens");
    LinearStep s{};
    s.batch = q[0], s.tokens = q[1], s.heads = heads_, s.key_depth = q[2] / q_heads_, s.value_depth = v[2] / heads_, s.window = window_;
    s.k_group = 1, s.bias_depth = 1;
    s.q_group = std::max<std::int64_t>(heads_ / q_heads_, 1), s.q_heads_per_state = std::max<std::int64_t>(q_heads_ / heads_, 1);
    s.q = {b.in_ref(0), q[2], 0, s.key_depth}, s.k = {b.in_ref(1), k[2], 0, s.key_depth}, s.v = {b.in_ref(2), v[2], 0, s.value_depth};
    const std::int64_t items = s.batch * s.tokens;
    if (gated()) {
      const std::int64_t width = b.in(4).rank() == 3 ? b.in(4)[2] : -1;
      if (width != heads_ && width != heads_ * s.key_depth)
        invalid_argument("decay must have one number for each head, or for each element");
      s.decay = {b.in_ref(4), width, 0, width / heads_};
    }
    if (delta()) {
      const std::int64_t width = b.in(5).rank() == 3 ? b.in(5)[2] : -1;
      if (width != heads_ && width != 1) invalid_argument("beta must have one number for each head, or one for all");
      s.beta = {b.in_ref(5), width, 0, width == 1 ? 0 : 1};
    }
    if ((gated() && b.in(4).outer(2) != items) || (delta() && b.in(5).outer(2) != items))
      invalid_argument("decay and beta must have as many tokens as query");
    if (b.out_ref(0).present() && b.out(0).count() != items * std::max(q_heads_, heads_) * s.value_depth)
      invalid_argument("unexpected shape of the output");
    emit(b, s, 3);
  }

 private:
  std::int64_t q_heads_, heads_, window_;
};

// query, key?, value?, cu_seqlens?, decay?, beta?, initial_state?, a_log?, dt_bias?
class DeltaNetOp final : public LinearOp {
 public:
  explicit DeltaNetOp(const NodeView& node)
      : LinearOp(node), soft_beta_(node.string_or("beta_activation", "none") == "sigmoid"), unit_(node.int_or("qk_l2_norm", 0) != 0),
        lower_(node.float_or("gate_lower_bound", -5)) {
    const std::string_view gate = node.string_or("gate_activation", "none");
    gate_ = gate == "softplus" || gate == "qwen" ? Gate::softplus : gate == "sigmoid" || gate == "kda" ? Gate::sigmoid : Gate::given;
  }

  void plan(PlanBuilder& b) const override {
    const Shape &q = b.in(0), &k = b.in(1), &v = b.in(2), &state = b.in(6);
    const bool packed = !b.in_ref(1).present();
    LinearStep s{};
    if (packed) unpack(b, s);
    else {
      if (q.rank() < 3 || k.rank() != q.rank() || v.rank() != q.rank() || k.outer(k.rank() - 2) != q.outer(q.rank() - 2) ||
          v.outer(v.rank() - 2) != q.outer(q.rank() - 2) || k[-1] != q[-1] || k[-2] != q[-2])
        invalid_argument("query, key and value must have shape [tokens, heads, size] and as many tokens; query and key as many heads");
      s.heads = v[-2], s.key_depth = q[-1], s.value_depth = v[-1], s.k_group = group(v[-2], k[-2]);
      s.tokens = q.outer(q.rank() - 2);
      s.q = {b.in_ref(0), q[-2] * q[-1], 0, q[-1]}, s.k = {b.in_ref(1), k[-2] * k[-1], 0, k[-1]},
      s.v = {b.in_ref(2), v[-2] * v[-1], 0, v[-1]};
    }
    s.q_group = s.k_group, s.q_heads_per_state = 1, s.value_major = true;
    s.offsets = b.in_ref(3);
    if (!s.offsets.present() && state.rank() != 4) invalid_argument("initial_state or cu_seqlens is needed to know the samples");
    s.batch = s.offsets.present() ? b.in(3).count() - 1 : state[0];
    const std::int64_t items = s.tokens;
    if (s.batch < 0 || (!s.offsets.present() && (s.batch == 0 ? items != 0 : items % s.batch != 0)))
      invalid_argument("the tokens do not divide into the samples");
    if (!s.offsets.present()) s.tokens = s.batch > 0 ? items / s.batch : 0;
    if (gated()) {
      const std::int64_t count = b.in(4).count();
      if (count != items * s.heads && count != items * s.heads * s.key_depth)
        invalid_argument("decay must have one number for each head, or for each element");
      const std::int64_t depth = count == items * s.heads ? 1 : s.key_depth;
      s.decay = {b.in_ref(4), s.heads * depth, 0, depth};
    }
    if (delta()) {
      if (b.in(5).count() != items * s.heads) invalid_argument("beta must have one number for each head");
      s.beta = {b.in_ref(5), s.heads, 0, 1};
    }
    s.log_rate = b.in_ref(7), s.bias = b.in_ref(8), s.bias_depth = 1;
    if (s.log_rate.present() && b.in(7).count() != s.heads) invalid_argument("a_log must have one number for each head");
    if (s.bias.present()) {
      if (b.in(8).count() != s.heads && b.in(8).count() != s.heads * s.key_depth)
        invalid_argument("dt_bias must have one number for each head, or for each element");
      if (b.in(8).count() != s.heads) s.bias_depth = s.key_depth;
    }
    s.gate = gate_, s.lower = lower_, s.soft_beta = soft_beta_, s.unit = unit_;
    if (b.out_ref(0).present() && b.out(0).count() != items * s.heads * s.value_depth) invalid_argument("unexpected shape of the output");
    emit(b, s, 6);
  }

 private:
  static std::int64_t group(std::int64_t heads, std::int64_t shared) {
    if (shared < 1 || heads % shared != 0) invalid_argument("the heads of value must be a multiple of those of key");
    return heads / shared;
  }
  // [tokens, 2 * heads * size + value heads * size]; the state tells the sizes.
  static void unpack(PlanBuilder& b, LinearStep& s) {
    const Shape &q = b.in(0), &state = b.in(6);
    if (q.rank() < 2 || state.rank() != 4) invalid_argument("packed query, key and value need initial_state of rank 4");
    s.heads = state[1], s.value_depth = state[2], s.key_depth = state[3], s.tokens = q.outer(q.rank() - 1);
    const std::int64_t rest = q[-1] - s.heads * s.value_depth, shared = s.key_depth > 0 ? rest / (2 * s.key_depth) : 0;
    if (rest < 0 || shared * 2 * s.key_depth != rest)
      invalid_argument("the last dimension of the packed query does not fit to initial_state");
    s.k_group = group(s.heads, shared);
    s.q = {b.in_ref(0), q[-1], 0, s.key_depth};
    s.k = {b.in_ref(0), q[-1], shared * s.key_depth, s.key_depth};
    s.v = {b.in_ref(0), q[-1], 2 * shared * s.key_depth, s.value_depth};
  }

  Gate gate_;
  bool soft_beta_, unit_;
  float lower_;
};

Support supports_rule(const NodeView& node, std::uint32_t decay, std::uint32_t beta) {
  const std::string_view rule = node.string_or("update_rule", "gated_delta");
  if (rule != "linear" && rule != "gated" && rule != "delta" && rule != "gated_delta")
    return Support::no(TENON_REJECT_ATTRIBUTE, "update_rule \"" + std::string(rule) + "\" is not known");
  if (rule.starts_with("gated") && !node.has_input(decay)) return Support::no(TENON_REJECT_OTHER, "the rule needs decay");
  if (rule.ends_with("delta") && !node.has_input(beta)) return Support::no(TENON_REJECT_OTHER, "the rule needs beta");
  return Support::yes();
}

Support supports_linear(const NodeView& node) {
  for (const std::uint32_t i : {0u, 1u, 2u})
    if (!node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "query, key and value are required");
  for (std::uint32_t i = 0; i < node.input_count(); ++i)
    if (node.has_input(i) && node.dtype(i) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(i));
  const std::int64_t q = node.int_or("q_num_heads", 0), kv = node.int_or("kv_num_heads", 0), window = node.int_or("state_window", 0);
  if (q < 1 || kv < 1 || (q % kv != 0 && kv % q != 0))
    return Support::no(TENON_REJECT_ATTRIBUTE, "one of q_num_heads and kv_num_heads must be a multiple of the other");
  if (window < 0 || window > 8) return Support::no(TENON_REJECT_ATTRIBUTE, "state_window must be from 0 to 8");
  return supports_rule(node, 4, 5);
}

Support supports_delta_net(const NodeView& node) {
  if (!node.has_input(0) || node.has_input(1) != node.has_input(2))
    return Support::no(TENON_REJECT_OTHER, "query is required; key and value come together");
  for (std::uint32_t i = 0; i < std::min(node.input_count(), 9u); ++i)
    if (node.has_input(i) && node.dtype(i) != (i == 3 ? TENON_DTYPE_INT32 : TENON_DTYPE_FLOAT)) return refuse_dtype(node.dtype(i));
  if (node.int_or("state_update_capacity", 0) != 0 || node.has_output(2))
    return Support::no(TENON_REJECT_ATTRIBUTE, "state_update_capacity is not supported");
  return supports_rule(node, 4, 5);
}

constexpr auto make_linear = [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> {
  return std::make_unique<LinearAttentionOp>(node);
};
constexpr OpRow table[] = {
    {"", "LinearAttention", supports_linear, make_linear},
    {"com.microsoft", "LinearAttention", supports_linear, make_linear},
    {"com.microsoft", "GatedDeltaNet", supports_delta_net,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<DeltaNetOp>(node); }},
};

}  // namespace

std::span<const OpRow> linear_attention_rows() { return table; }

}  // namespace tenon::cpu
