// com.microsoft GroupQueryAttention: a cache of keys and values that grows, turned positions, heads that share keys.
//
// Each sample has its own number of keys: seqlens_k + 1. With as many keys as queries all are new (a prompt, padded at its end); otherwise
// the queries are the last of them.
#include <cmath>

#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/ops/attention.h"
#include "plugins/opencl/ops/rotary.h"

namespace tenon::opencl {
namespace {

enum Input : std::size_t { in_query, in_key, in_value, in_past_key, in_past_value, in_last, in_total, in_cos, in_sin, in_positions, in_bias, in_sinks };

void check(bool fits, const char* text) {
  if (!fits) throw Failure{TENON_INVALID_ARGUMENT, text};
}

// Rows of a cache: of the past up to where the fresh ones begin, those, and zeros. An item is one row of one head.
KernelText cache_kernel(std::int32_t dtype, bool past, std::uint32_t group) {
  const std::string t = storage_name(dtype);
  std::string p = "__kernel __attribute__((reqd_work_group_size(" + std::to_string(group) + ", 1, 1))) void KERNEL_NAME(__global char* to_base, ulong to_at, __global const char* fresh_base, ulong fresh_at, ";
  if (past) p += "__global const char* past_base, ulong past_at, ";
  p += "__global const char* firsts_base, ulong firsts_at, __global const char* lengths_base, ulong lengths_at, int count, int heads, int rows, int past_rows, int size, int f_b, int f_h, int f_r) {\n";
  p += "  const int n = (int)get_global_id(0); if (n >= count) return;\n  const int t = n % rows, h = n / rows % heads, b = n / rows / heads;\n";
  p += "  const int first = ((__global const int*)(firsts_base + firsts_at))[b], length = ((__global const int*)(lengths_base + lengths_at))[b];\n";
  p += "  __global " + t + "* to = (__global " + t + "*)(to_base + to_at) + (long)n * size;\n  __global const " + t + "* from = 0;\n";
  if (past) p += "  if (t < first && t < past_rows) from = (__global const " + t + "*)(past_base + past_at) + ((long)(b * heads + h) * past_rows + t) * size;\n";
  p += "  if (t >= first && t < length) from = (__global const " + t + "*)(fresh_base + fresh_at) + (long)b * f_b + (long)h * f_h + (long)(t - first) * f_r;\n";
  p += "  if (from) for (int e = 0; e < size; ++e) to[e] = from[e];\n  else for (int e = 0; e < size; ++e) to[e] = 0;\n}\n";
  return {{}, p};
}

class GroupQueryOp final : public Op {
 public:
  explicit GroupQueryOp(const Node& node)
      : heads_(node.integer("num_heads", 1)), kv_heads_(node.integer("kv_num_heads", 1)), window_(node.integer("local_window_size", -1)), causal_(node.integer("causal", 1) != 0),
        turned_(node.integer("do_rotary", 0) != 0), interleaved_(node.integer("rotary_interleaved", 0) != 0), smooth_(node.integer("smooth_softmax", -1) > 0),
        scale_(node.number("scale", 0)), softcap_(node.number("softcap", 0)) {}

  void plan(PlanBuilder& b) const override {
    const Tensor& query = b.in(in_query);
    check(query.rank() == 3, "query must have rank 3");
    const bool packed = !b.in(in_key).present();
    const std::int64_t batch = query.dims[0], queries = query.dims[1], all = packed ? heads_ + 2 * kv_heads_ : heads_;
    check(query.dims[2] % all == 0, "the hidden size does not divide into heads");
    Attention a;
    Tensor k, v;
    const Tensor q = by_heads(b, query, all);
    a.q = packed ? sliced(q, 1, 0, heads_, 1) : q;
    k = packed ? sliced(q, 1, heads_, kv_heads_, 1) : by_heads(b, b.in(in_key), kv_heads_);
    v = packed ? sliced(q, 1, heads_ + kv_heads_, kv_heads_, 1) : by_heads(b, b.in(in_value), kv_heads_);
    const Tensor& past = b.in(in_past_key);
    check(past.present() == b.in(in_past_value).present(), "past_key and past_value come together");
    check(b.in(in_last).count() == batch && b.in(in_total).count() == 1, "seqlens_k has a number for each sample, total_sequence_length one");
    const std::int64_t past_rows = past.present() ? past.dims[2] : 0;
    count(b, batch, queries, a);
    if (turned_) {
      a.q = turned(b, a.q, a.firsts);
      k = turned(b, k, a.firsts);
    }
    a.k = cache(b, past, k, a, 1, past_rows);
    a.v = cache(b, b.in(in_past_value), v, a, 2, past_rows);
    if (causal_) a.right = 0;
    if (window_ > 0) a.left = window_ - 1;
    a.scale = scale_ != 0 ? scale_ : 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(a.q.dims[3], 1)));
    a.softcap = softcap_;
    a.mask = b.in(in_bias);
    a.sinks = b.in(in_sinks);
    if (a.sinks.present() || smooth_) {
      check(!a.sinks.present() || a.sinks.count() == heads_, "head_sink must have a number for each head");
      Expression e;
      e.outputs = {a.sinks.present() ? e.cast(TENON_DTYPE_FLOAT, e.load(0, a.sinks.dtype)) : e.literal(TENON_DTYPE_FLOAT, 0)};
      const Tensor to = b.temp(TENON_DTYPE_FLOAT, {heads_});
      launch_elementwise(b, e, a.sinks.present() ? std::vector<Tensor>{a.sinks} : std::vector<Tensor>{}, {to}, "sinks");
      a.sinks = to;
    }
    if (b.out_shape(0).present()) plan_attention(b, a, by_heads(b, b.make_out(0), heads_));
  }

 private:
  // Where the fresh rows of each sample begin, and how many rows there are then.
  void count(PlanBuilder& b, std::int64_t batch, std::int64_t queries, Attention& a) const {
    a.firsts = b.temp(TENON_DTYPE_INT32, {batch}), a.lengths = b.temp(TENON_DTYPE_INT32, {batch});
    Expression e;
    const auto number = [&](std::int64_t n) { return e.literal(TENON_DTYPE_INT32, static_cast<double>(n)); };
    const std::uint32_t prompt = e.call("eq", TENON_DTYPE_BOOL, {e.load(1, TENON_DTYPE_INT32), number(queries)});
    const std::uint32_t last = e.call("add", TENON_DTYPE_INT32, {e.load(0, TENON_DTYPE_INT32), number(1)});
    const std::uint32_t length = e.call("where", TENON_DTYPE_INT32, {prompt, number(queries), last});
    e.outputs = {e.call("sub", TENON_DTYPE_INT32, {length, number(queries)}), length};
    Tensor given, total;
    reshaped(b.dense(b.in(in_last)), {batch}, given);
    reshaped(b.dense(b.in(in_total)), {1}, total);
    launch_elementwise(b, e, {given, broadcast(total, {batch})}, {a.firsts, a.lengths}, "count keys");
  }

  Tensor turned(PlanBuilder& b, const Tensor& x, const Tensor& firsts) const {
    Rotary r;
    r.x = x.strides[3] == 1 ? x : b.dense(x);
    r.y = b.temp(x.dtype, x.dims);
    r.cos = b.dense(b.in(in_cos)), r.sin = b.dense(b.in(in_sin));
    check(r.cos.rank() == 2 && r.cos.dims == r.sin.dims && 2 * r.cos.dims[1] <= x.dims[3], "the tables must have shape [positions, half the turned size]");
    r.pairs = r.cos.dims[1];
    r.firsts = firsts;
    r.interleaved = interleaved_;
    plan_rotary(b, r);
    return r.y;
  }

  Tensor cache(PlanBuilder& b, const Tensor& past, const Tensor& fresh, const Attention& a, std::size_t output, std::int64_t past_rows) const {
    const bool wanted = output < b.outputs() && b.out_shape(output).present();
    std::int64_t rows = past_rows;
    if (wanted) {
      rows = b.out_shape(output).dims[2];
    } else {
      const void* total = b.in(in_total).known;
      if (!total) throw Failure{TENON_UNSUPPORTED_SHAPE, "total_sequence_length must be known before the run"};
      rows = std::max<std::int64_t>(*static_cast<const std::int32_t*>(total), past_rows);
    }
    const Dims dims{fresh.dims[0], kv_heads_, rows, fresh.dims[3]};
    if (past.present()) check(past.rank() == 4 && past.dims[0] == dims[0] && past.dims[1] == kv_heads_ && past.dims[2] == past_rows && past.dims[3] == dims[3], "the shapes of past_key and past_value do not fit");
    if (wanted) check(b.out_shape(output).dims == dims, "unexpected shape of the present keys or values");
    const Tensor to = wanted ? b.make_out(output) : b.temp(fresh.dtype, dims);
    const Tensor from = fresh.strides[3] == 1 ? fresh : b.dense(fresh);
    const std::int64_t count = dims[0] * dims[1] * rows;
    if (count == 0) return to;
    const std::uint32_t group = b.profile().group;
    Launch l;
    l.name = "fill cache";
    l.kernel = cache_kernel(fresh.dtype, past.present(), group);
    l.args = {Arg::out(to), Arg::in(from)};
    if (past.present()) l.args.push_back(Arg::in(b.dense(past)));
    l.args.push_back(Arg::in(a.firsts));
    l.args.push_back(Arg::in(a.lengths));
    for (std::int64_t n : {count, kv_heads_, rows, past_rows, dims[3], from.strides[0], from.strides[1], from.strides[2]}) l.args.push_back(Arg::i32(n));
    l.local = {group, 1, 1};
    l.global = {static_cast<std::size_t>((count + group - 1) / group * group), 1, 1};
    b.launch(std::move(l));
    return to;
  }

  std::int64_t heads_, kv_heads_, window_;
  bool causal_, turned_, interleaved_, smooth_;
  double scale_, softcap_;
};

Support supports(const Node& node, const Profile&) {
  if (!node.input(in_query) || !node.input(in_last) || !node.input(in_total) || (node.input(in_key) != nullptr) != (node.input(in_value) != nullptr))
    return Support::no(TENON_REJECT_OTHER, "query, seqlens_k and total_sequence_length are required; key and value come together");
  const std::int32_t type = node.input(in_query)->dtype;
  if (!is_floating(type) || type == TENON_DTYPE_DOUBLE) return Support::no(TENON_REJECT_DTYPE, "queries of " + dtype_text(type));
  for (std::size_t i : {in_key, in_value, in_past_key, in_past_value, in_cos, in_sin, in_bias})
    if (node.input(i) && node.input(i)->dtype != type) return Support::no(TENON_REJECT_DTYPE, "operands of different types");
  for (std::size_t i : {in_last, in_total})
    if (node.input(i)->dtype != TENON_DTYPE_INT32) return Support::no(TENON_REJECT_DTYPE, "numbers of keys of " + dtype_text(node.input(i)->dtype));
  if (node.input(in_positions)) return Support::no(TENON_REJECT_OTHER, "position_ids");
  for (std::size_t i = 12; i < node.input_count(); ++i)
    if (node.input(i)) return Support::no(TENON_REJECT_OTHER, "input " + std::to_string(i));
  if (node.integer("do_rotary", 0) != 0 && (!node.input(in_cos) || !node.input(in_sin))) return Support::no(TENON_REJECT_OTHER, "do_rotary needs cos_cache and sin_cache");
  if (node.integer("sliding_window_cache", 0) != 0) return Support::no(TENON_REJECT_ATTRIBUTE, "sliding_window_cache");
  if (node.text("k_quant_type", "NONE") != "NONE" || node.text("v_quant_type", "NONE") != "NONE") return Support::no(TENON_REJECT_ATTRIBUTE, "a quantised cache");
  if (node.integer("causal", 1) == 0 && node.integer("local_window_size", -1) > 0) return Support::no(TENON_REJECT_ATTRIBUTE, "local_window_size needs causal = 1");
  if (node.output(3)) return Support::no(TENON_REJECT_OTHER, "scores as an output: the kernel stores none");
  const std::int64_t heads = node.integer("num_heads", 0), kv_heads = node.integer("kv_num_heads", 0);
  if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0) return Support::no(TENON_REJECT_ATTRIBUTE, "num_heads must be a multiple of kv_num_heads");
  return Support::yes();
}

double flops(const Node& node) {
  const tenon_value* past = node.input(in_past_key);
  return 4 * opt_count(*node.input(in_query)) * (opt_dim(*node.input(in_query), 1) + (past ? opt_dim(*past, 2) : 0));
}

}  // namespace

std::span<const OpRow> group_query_rows() {
  static const OpRow rows[] = {{"com.microsoft", "GroupQueryAttention", supports, [](const Node& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<GroupQueryOp>(node); }, flops}};
  return rows;
}

}  // namespace tenon::opencl
