// Attention as ONNX has it.
#include "plugins/opencl/ops/attention.h"

#include <cmath>

#include "plugins/opencl/families.h"

namespace tenon::opencl {
namespace {

class AttentionOp final : public Op {
 public:
  explicit AttentionOp(const Node& node)
      : q_heads_(node.integer("q_num_heads", 0)), kv_heads_(node.integer("kv_num_heads", 0)), causal_(node.integer("is_causal", 0) != 0),
        left_(node.integer("left_window_size", -1)), right_(node.integer("right_window_size", -1)), softcap_(node.number("softcap", 0)), scale_(node.number("scale", 0)) {}

  void plan(PlanBuilder& b) const override {
    const std::int64_t kv_heads = kv_heads_ > 0 ? kv_heads_ : q_heads_;
    Attention a;
    a.q = by_heads(b, b.in(0), q_heads_);
    const Tensor &past_k = b.in(4), &past_v = b.in(5);
    if (past_k.present() != past_v.present()) throw Failure{TENON_INVALID_ARGUMENT, "past_key and past_value come together"};
    a.k = appended(b, past_k, by_heads(b, b.in(1), kv_heads), 1);
    a.v = appended(b, past_v, by_heads(b, b.in(2), kv_heads), 2);
    a.mask = b.in(3);
    a.past = past_k.present() ? past_k.dims[2] : 0;
    const std::int64_t queries = a.q.dims[2];
    if (b.in(6).present()) {
      a.lengths = as_int32(b, b.in(6));
      // Queries are the last of the keys that there are.
      if (!past_k.present()) a.firsts = as_int32(b, a.lengths, -queries);
    }
    if (causal_) a.right = 0;
    if (right_ >= 0) a.right = std::min(a.right, right_);
    if (left_ >= 0) a.left = left_;
    a.scale = scale_ != 0 ? scale_ : 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(a.q.dims[3], 1)));
    a.softcap = softcap_;
    if (!b.out_shape(0).present()) return;
    plan_attention(b, a, by_heads(b, b.make_out(0), a.q.dims[1]));
  }

 private:
  std::int64_t q_heads_, kv_heads_;
  bool causal_;
  std::int64_t left_, right_;
  double softcap_, scale_;
};

Support supports(const Node& node, const Profile&) {
  const std::int32_t type = node.input(0)->dtype;
  if (!is_floating(type)) return Support::no(TENON_REJECT_DTYPE, "only floating types, not " + dtype_text(type));
  // Half types mix with float32; double mixes with nothing.
  for (std::size_t i : {1, 2, 3, 4, 5}) {
    const tenon_value* v = node.input(i);
    if (!v || (i == 3 && v->dtype == TENON_DTYPE_BOOL)) continue;
    if (!is_floating(v->dtype)) return Support::no(TENON_REJECT_DTYPE, "input " + std::to_string(i) + " is " + dtype_text(v->dtype));
    if ((v->dtype == TENON_DTYPE_DOUBLE) != (type == TENON_DTYPE_DOUBLE)) return Support::no(TENON_REJECT_DTYPE, "float64 beside another type");
  }
  if (node.output(3)) return Support::no(TENON_REJECT_OTHER, "scores as an output: the kernel stores none");
  if (!node.output(0)) return Support::no(TENON_REJECT_OTHER, "the result is omitted");
  for (const char* window : {"left_window_size", "right_window_size"})
    if (node.integer(window, -1) < -1) return Support::no(TENON_REJECT_ATTRIBUTE, std::string(window) + " below -1");
  return Support::yes();
}

double flops(const Node& node) {
  const tenon_value& k = *node.input(1);
  const double keys = opt_dim(k, k.rank - 2) + (node.input(4) ? opt_dim(*node.input(4), 2) : 0);
  return 4 * opt_count(*node.input(0)) * keys;
}

}  // namespace

std::span<const OpRow> plain_attention_rows() {
  static const OpRow rows[] = {{"", "Attention", supports, [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<AttentionOp>(node); }, flops}};
  return rows;
}

std::span<const OpRow> attention_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all;
    for (const auto family : {plain_attention_rows, multi_head_rows, group_query_rows, rotary_rows}) {
      const std::span<const OpRow> some = family();
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }();
  return rows;
}

}  // namespace tenon::opencl
