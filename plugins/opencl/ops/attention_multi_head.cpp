// com.microsoft MultiHeadAttention: packed operands, biases and masks are brought into the form that Attention takes.
#include <cmath>

#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/ops/attention.h"

namespace tenon::opencl {
namespace {

enum Input : std::size_t { in_query, in_key, in_value, in_bias, in_mask, in_scores, in_past_key, in_past_value };

void check(bool fits, const char* text) {
  if (!fits) throw Failure{TENON_INVALID_ARGUMENT, text};
}

class MultiHeadOp final : public Op {
 public:
  explicit MultiHeadOp(const Node& node)
      : heads_(node.integer("num_heads", 1)), causal_(node.integer("unidirectional", 0) != 0), masked_(node.number("mask_filter_value", -10000)), scale_(node.number("scale", 0)) {}

  void plan(PlanBuilder& b) const override {
    Attention a;
    Tensor k, v;
    read(b, a.q, k, v);
    const Tensor& past = b.in(in_past_key);
    if (past.present() != b.in(in_past_value).present()) throw Failure{TENON_INVALID_ARGUMENT, "past_key and past_value come together"};
    a.past = past.present() ? past.dims[2] : 0;
    a.k = appended(b, past, k, 1);
    a.v = appended(b, b.in(in_past_value), v, 2);
    a.scale = scale_ != 0 ? scale_ : 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(a.q.dims[3], 1)));
    if (causal_) a.right = 0;
    masks(b, a);
    if (!b.out_shape(0).present()) return;
    plan_attention(b, a, by_heads(b, b.make_out(0), heads_));
  }

 private:
  void read(PlanBuilder& b, Tensor& q, Tensor& k, Tensor& v) const {
    const Tensor &query = b.in(in_query), &key = b.in(in_key), &value = b.in(in_value);
    const std::int64_t batch = query.dims.empty() ? 0 : query.dims[0];
    // One of `parts` that stand side by side in [batch, rows, heads, parts, size].
    const auto part = [&](const Tensor& t, std::int64_t parts, std::int64_t i) {
      check(t.rank() == 5 && t.dims[2] == heads_ && t.dims[3] == parts, "a packed operand must have shape [batch, length, heads, parts, size]");
      Tensor one = sliced(t, 3, i, 1, 1);
      one.dims.erase(one.dims.begin() + 3), one.strides.erase(one.strides.begin() + 3);
      return permuted(one, {0, 2, 1, 3});
    };
    if (query.rank() == 5) {
      q = part(query, 3, 0), k = part(query, 3, 1), v = part(query, 3, 2);
    } else {
      q = by_heads(b, query, heads_);
      if (key.rank() == 5) {
        k = part(key, 2, 0), v = part(key, 2, 1);
      } else if (key.rank() == 4) {
        k = key, v = value;
      } else {
        check(key.rank() == 3 && value.rank() == 3, "the shapes of query, key and value do not fit together");
        k = by_heads(b, key, heads_), v = by_heads(b, value, heads_);
      }
    }
    check(k.dims[0] == batch && v.dims[0] == batch && k.dims[2] == v.dims[2], "the shapes of query, key and value do not fit together");
    const std::int64_t hidden = heads_ * q.dims[3], value_hidden = heads_ * v.dims[3];
    if (!b.in(in_bias).present()) return;
    check(b.in(in_bias).count() >= 2 * hidden + value_hidden || key.rank() == 4, "bias is too short");
    q = biased(b, q, 0);
    if (key.rank() == 4) return;
    k = biased(b, k, hidden), v = biased(b, v, 2 * hidden);
  }

  Tensor biased(PlanBuilder& b, const Tensor& t, std::int64_t from) const {
    Tensor bias;
    reshaped(sliced(b.dense(b.in(in_bias)), 0, from, heads_ * t.dims[3], 1), {1, heads_, 1, t.dims[3]}, bias);
    // [batch, rows, heads, size] in memory, as operands usually are.
    const Tensor to = permuted(b.temp(t.dtype, {t.dims[0], t.dims[2], t.dims[1], t.dims[3]}), {0, 2, 1, 3});
    Expression e;
    e.outputs = {e.call("add", t.dtype, {e.load(0, t.dtype), e.load(1, t.dtype)})};
    launch_elementwise(b, e, {t, broadcast(bias, t.dims)}, {to}, "add bias");
    return to;
  }

  // An integer mask and a bias become one mask that is added; lengths alone stay lengths.
  void masks(PlanBuilder& b, Attention& a) const {
    const Tensor &mask = b.in(in_mask), &scores = b.in(in_scores);
    const std::int64_t batch = a.q.dims[0], queries = a.q.dims[2], keys = a.k.dims[2];
    a.mask = scores;
    if (!mask.present()) return;
    Tensor counts = mask;
    if (mask.rank() == 1 && mask.dims[0] == batch) {
      // Keys behind the length weigh nothing, as long as there is one before it.
      a.lengths = as_int32(b, mask);
      Expression e;
      e.outputs = {e.literal(TENON_DTYPE_INT32, static_cast<double>(a.past))};
      a.firsts = b.temp(TENON_DTYPE_INT32, {batch});
      launch_elementwise(b, e, {}, {a.firsts}, "places");
      return;
    }
    if (mask.rank() == 2 && mask.dims[0] == batch && mask.dims[1] == keys) {
      counts.dims = {batch, 1, 1, keys}, counts.strides = {mask.strides[0], 0, 0, mask.strides[1]};
    } else if (mask.rank() == 3 && mask.dims[0] == batch && mask.dims[1] == queries && mask.dims[2] == keys) {
      counts.dims = {batch, 1, queries, keys}, counts.strides = {mask.strides[0], 0, mask.strides[1], mask.strides[2]};
    } else if (mask.rank() == 4 && mask.dims[0] == batch && mask.dims[1] == 1 && mask.dims[2] == mask.dims[3] && mask.dims[3] >= keys) {
      counts = sliced(sliced(mask, 2, keys - queries, queries, 1), 3, 0, keys, 1);
    } else {
      throw Failure{TENON_UNSUPPORTED_SHAPE, "a padding mask of this form"};
    }
    counts.known = nullptr;
    Dims dims = counts.dims;
    if (scores.present()) {
      check(scores.rank() == 4, "attention_bias must have shape [1 or batch, 1 or heads, queries, keys]");
      for (std::size_t d = 0; d < 4; ++d) dims[d] = std::max(dims[d], scores.dims[d]);
    }
    Expression e;
    const std::uint32_t hidden = e.call("where", TENON_DTYPE_FLOAT, {e.call("gt", TENON_DTYPE_BOOL, {e.load(0, TENON_DTYPE_INT32), e.literal(TENON_DTYPE_INT32, 0)}), e.literal(TENON_DTYPE_FLOAT, 0), e.literal(TENON_DTYPE_FLOAT, masked_)});
    std::vector<Tensor> inputs{broadcast(counts, dims)};
    if (scores.present()) {
      e.outputs = {e.call("add", TENON_DTYPE_FLOAT, {hidden, e.load(1, scores.dtype)})};
      inputs.push_back(broadcast(scores, dims));
    } else {
      e.outputs = {hidden};
    }
    a.mask = b.temp(TENON_DTYPE_FLOAT, dims);
    launch_elementwise(b, e, inputs, {a.mask}, "merge masks");
  }

  std::int64_t heads_;
  bool causal_;
  double masked_, scale_;
};

Support supports(const Node& node, const Profile&) {
  if (!node.input(in_query)) return Support::no(TENON_REJECT_OTHER, "query is missing");
  const std::int32_t type = node.input(in_query)->dtype;
  if (!is_floating(type)) return Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(type));
  for (std::size_t i : {in_key, in_value, in_bias, in_scores, in_past_key, in_past_value})
    if (node.input(i) && node.input(i)->dtype != type) return Support::no(TENON_REJECT_DTYPE, "operands of different types");
  if (node.input(in_mask) && (node.input(in_mask)->dtype != TENON_DTYPE_INT32 || type == TENON_DTYPE_DOUBLE)) return Support::no(TENON_REJECT_DTYPE, "a padding mask of " + dtype_text(node.input(in_mask)->dtype));
  for (std::size_t i : {8, 9})
    if (node.input(i)) return Support::no(TENON_REJECT_OTHER, "a cache whose length only the run tells");
  if (node.output(3)) return Support::no(TENON_REJECT_OTHER, "scores as an output: the kernel stores none");
  if (!node.output(0)) return Support::no(TENON_REJECT_OTHER, "the result is omitted");
  if (node.integer("num_heads", 0) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "num_heads must be positive");
  if (const tenon_value* m = node.input(in_mask); m && m->rank == 1 && fixed_dim(*m, 0) != fixed_dim(*node.input(in_query), 0))
    return Support::no(TENON_REJECT_OTHER, "a padding mask of ranges");
  return Support::yes();
}

double flops(const Node& node) {
  const tenon_value& q = *node.input(in_query);
  const tenon_value* k = node.input(in_key);
  return 4 * opt_count(q) * (k && k->rank >= 3 ? opt_dim(*k, k->rank == 4 ? 2 : 1) : opt_dim(q, 1));
}

}  // namespace

std::span<const OpRow> multi_head_rows() {
  static const OpRow rows[] = {{"com.microsoft", "MultiHeadAttention", supports, [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<MultiHeadOp>(node); }, flops}};
  return rows;
}

}  // namespace tenon::opencl
