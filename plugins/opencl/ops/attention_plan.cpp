#include <algorithm>

#include "plugins/opencl/codegen/attention.h"
#include "plugins/opencl/codegen/gemm_pack.h"
#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/ops/attention.h"

namespace tenon::opencl {
namespace {

std::int64_t up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

// Elements of a row beside each other.
Tensor with_rows(PlanBuilder& builder, const Tensor& t) { return t.dims.back() == 1 || t.strides.back() == 1 ? t : builder.dense(t); }

// Keys as panels of `columns` of them, [batch * heads][panels][size][columns].
Tensor packed_keys(PlanBuilder& builder, const Tensor& k, int columns) {
  PackConfig config;
  config.from = k.dtype;
  config.to = k.dtype == TENON_DTYPE_DOUBLE ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT;
  config.columns = columns;
  const std::int64_t panels = up(k.dims[2], columns), depth = k.dims[3], matrices = k.dims[0] * k.dims[1];
  Tensor to = builder.temp(config.to, {matrices, panels, depth, columns});
  Launch l;
  l.name = "pack keys";
  l.kernel = pack_panels_kernel(config);
  l.args = {Arg::in(k), Arg::out(to)};
  for (std::int64_t v : {depth, k.dims[2], k.strides[3], k.strides[2], std::int64_t{1}, k.dims[0], k.dims[1], std::int64_t{0}, std::int64_t{0}, k.strides[0], k.strides[1]}) l.args.push_back(Arg::i32(v));
  l.global = {static_cast<std::size_t>(up(depth, kPackDepth)), static_cast<std::size_t>(panels), static_cast<std::size_t>(matrices)};
  builder.launch(std::move(l));
  return to;
}

void check(bool fits, const char* text) {
  if (!fits) throw Failure{TENON_INVALID_ARGUMENT, text};
}

}  // namespace

Tensor by_heads(PlanBuilder& builder, const Tensor& t, std::int64_t heads) {
  if (t.rank() == 4) return t;
  check(t.rank() == 3, "an operand of attention must have rank 3 or 4");
  check(heads > 0 && t.dims[2] % heads == 0, "the hidden size does not divide into heads");
  Tensor view;
  const Dims dims{t.dims[0], t.dims[1], heads, t.dims[2] / heads};
  if (!reshaped(t, dims, view)) reshaped(builder.dense(t), dims, view);
  return permuted(view, {0, 2, 1, 3});
}

Tensor appended(PlanBuilder& builder, const Tensor& past, const Tensor& fresh, std::size_t output) {
  const bool wanted = output < builder.outputs() && builder.out_shape(output).present();
  if (!past.present() && !wanted) return fresh;
  Dims dims = fresh.dims;
  const std::int64_t old = past.present() ? past.dims[2] : 0;
  dims[2] += old;
  if (past.present()) check(past.rank() == 4 && past.dims[0] == dims[0] && past.dims[1] == dims[1] && past.dims[3] == dims[3], "the shapes of past_key and past_value do not fit");
  if (wanted) check(builder.out_shape(output).dims == dims, "unexpected shape of the present keys or values");
  const Tensor to = wanted ? builder.make_out(output) : builder.temp(fresh.dtype, dims);
  if (old > 0) builder.copy(past, sliced(to, 2, 0, old, 1));
  if (fresh.dims[2] > 0) builder.copy(fresh, sliced(to, 2, old, fresh.dims[2], 1));
  return to;
}

Tensor as_int32(PlanBuilder& builder, const Tensor& t, std::int64_t plus) {
  if (t.dtype == TENON_DTYPE_INT32 && plus == 0) return builder.dense(t);
  Expression e;
  const std::uint32_t n = e.cast(TENON_DTYPE_INT32, e.load(0, t.dtype));
  e.outputs = {e.call("add", TENON_DTYPE_INT32, {n, e.literal(TENON_DTYPE_INT32, static_cast<double>(plus))})};
  const Tensor to = builder.temp(TENON_DTYPE_INT32, t.dims);
  launch_elementwise(builder, e, {t}, {to}, "lengths");
  return to;
}

void plan_attention(PlanBuilder& builder, Attention a, const Tensor& y) {
  const Profile& profile = builder.profile();
  const std::int64_t batch = a.q.dims[0], heads = a.q.dims[1], queries = a.q.dims[2], depth = a.q.dims[3];
  check(a.k.rank() == 4 && a.v.rank() == 4, "an operand of attention must have rank 3 or 4");
  const std::int64_t kv_heads = a.k.dims[1], keys = a.k.dims[2], value_depth = a.v.dims[3];
  check(kv_heads > 0 && heads % kv_heads == 0, "the numbers of heads do not fit");
  check(a.k.dims[0] == batch && a.v.dims[0] == batch && a.k.dims[3] == depth && a.v.dims[1] == kv_heads && a.v.dims[2] == keys, "the shapes of Q, K and V do not fit together");
  check(y.dims == Dims({batch, heads, queries, value_depth}), "unexpected shape of the output");
  if (y.count() == 0) return;
  const std::int64_t group = heads / kv_heads, rows = group * queries;

  AttentionForm form;
  const bool wide = a.v.dtype == TENON_DTYPE_DOUBLE;
  form.cpu = profile.cpu;
  form.depth = static_cast<int>(depth), form.value_depth = static_cast<int>(value_depth);
  form.width = static_cast<int>(wide ? std::max(profile.vector / 2, 4u) : profile.vector);
  if (profile.cpu) {
    // Few rows do not pay for packing keys. What 32 registers hold, or 16.
    form.panels = rows >= 6;
    form.rows = form.panels ? (profile.vector >= 16 ? 8 : 4) : rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
    form.tile = std::max(4 * form.width, 64);
  } else {
    form.rows = 1;
    form.group = 1;
    while (form.group * 2 <= static_cast<int>(std::min<std::uint64_t>(profile.group, 64))) form.group *= 2;
    const std::uint64_t room = std::min<std::uint64_t>(profile.local_bytes, 32 << 10) / (wide ? 8 : 4);
    form.tile = 16;
    while (form.tile > 1 && static_cast<std::uint64_t>(form.tile * (depth + value_depth)) > room) form.tile /= 2;
  }
  a.q = with_rows(builder, a.q), a.v = with_rows(builder, a.v);
  Tensor k = form.panels && keys > 0 ? packed_keys(builder, a.k, form.columns()) : with_rows(builder, a.k);
  form.q = a.q.dtype, form.k = k.dtype, form.v = a.v.dtype, form.y = y.dtype;
  std::int64_t mask_keys = keys;
  std::int64_t mask_strides[3] = {0, 0, 0};
  if (a.mask.present()) {
    check(a.mask.rank() >= 1 && a.mask.rank() <= 4, "the mask must have rank 1 to 4");
    mask_keys = a.mask.dim(-1);
    check(mask_keys <= keys || mask_keys == 1, "the mask has more columns than there are keys");
    if (mask_keys == 1 && keys != 1 && a.mask.count() >= 1) mask_keys = 1;
    a.mask = with_rows(builder, a.mask);
    form.mask = a.mask.dtype;
    const Tensor full = broadcast(a.mask, {batch, heads, queries, mask_keys});
    for (std::size_t d = 0; d < 3; ++d) mask_strides[d] = full.strides[d];
  }
  form.lengths = a.lengths.present(), form.firsts = a.firsts.present(), form.sinks = a.sinks.present(), form.capped = a.softcap > 0;

  Launch l;
  l.name = "attention";
  l.kernel = attention_kernel(form);
  l.args = {Arg::out(y), Arg::in(a.q), Arg::in(k), Arg::in(a.v)};
  for (const Tensor* t : {&a.mask, &a.lengths, &a.firsts, &a.sinks})
    if (t->present()) l.args.push_back(Arg::in(*t));
  for (std::int64_t n : {kv_heads, group, queries, keys}) l.args.push_back(Arg::i32(n));
  const auto strides = [&](std::int64_t b, std::int64_t h, std::int64_t r) {
    for (std::int64_t n : {b, h, r}) l.args.push_back(Arg::i32(n));
  };
  strides(y.strides[0], y.strides[1], y.strides[2]);
  strides(a.q.strides[0], a.q.strides[1], a.q.strides[2]);
  const std::int64_t matrix = form.panels ? up(keys, form.columns()) * form.columns() * depth : 0;
  if (form.panels) strides(matrix * kv_heads, matrix, 0);
  else strides(k.strides[0], k.strides[1], k.strides[2]);
  strides(a.v.strides[0], a.v.strides[1], a.v.strides[2]);
  if (form.mask) strides(mask_strides[0], mask_strides[1], mask_strides[2]);
  for (std::int64_t n : {mask_keys, a.past, std::min(a.left, Attention::open), std::min(a.right, Attention::open)}) l.args.push_back(Arg::i32(n));
  for (double v : {a.scale, a.softcap}) l.args.push_back(wide ? Arg::f64(v) : Arg::f32(static_cast<float>(v)));
  const auto items = static_cast<std::size_t>(profile.cpu ? up(rows, form.rows) : up(rows, form.group) * form.group);
  l.local = {static_cast<std::size_t>(form.group), 1, 1};
  l.global = {items, static_cast<std::size_t>(batch * kv_heads), 1};
  l.flops = 2.0 * static_cast<double>(batch * heads * queries) * static_cast<double>(keys) * static_cast<double>(depth + value_depth);
  builder.launch(std::move(l));
}

}  // namespace tenon::opencl
