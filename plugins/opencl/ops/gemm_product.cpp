#include "plugins/opencl/ops/gemm_product.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "plugins/opencl/codegen/gemm_pack.h"
#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/ops/gemm_batch.h"

namespace tenon::opencl {
namespace {

Dims leading(const Dims& dims) { return Dims(dims.begin(), dims.end() - 2); }
Dims with_matrix(Dims batch, std::int64_t rows, std::int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}
std::int64_t count_of(const Dims& dims) { return std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>()); }

// The stride that walks all axes but the last as rows, one after another; false where there is none.
bool row_stride(const Tensor& t, std::int64_t& stride) {
  stride = 0;
  std::int64_t size = 1;
  bool first = true;
  for (std::size_t i = t.dims.size() - 1; i-- > 0;) {
    if (t.dims[i] == 1) continue;
    if (first) stride = t.strides[i];
    else if (t.strides[i] != stride * size) return false;
    first = false;
    size *= t.dims[i];
  }
  return true;
}

void check_int(std::int64_t n) {
  if (n > std::numeric_limits<std::int32_t>::max()) throw Failure{TENON_UNSUPPORTED_SHAPE, "a product with a size or stride of " + std::to_string(n) + " elements"};
}

Arg factor(Compute compute, double value) {
  switch (compute) {
    case Compute::f64: return Arg::f64(value);
    case Compute::i32: case Compute::u32: return Arg::i32(static_cast<std::int64_t>(value));
    case Compute::i64: case Compute::u64: return Arg::i64(static_cast<std::int64_t>(value));
    default: return Arg::f32(static_cast<float>(value));
  }
}

bool too_many_batch_dims(const Product& p) {
  if (p.packed.weight.present()) return false;
  const Dims a = batch_strides(p.a, p.batch), b = batch_strides(p.b, p.batch);
  BatchDims dims;
  for (std::size_t i = 0; i < p.batch.size(); ++i) dims.push_back({p.batch[i], {a[i], b[i]}});
  return joined(dims).size() > 4;
}

int pack_group(const Profile& profile) { return profile.cpu ? 1 : static_cast<int>(std::min<std::uint64_t>(64, profile.max_group)); }

}  // namespace

PlannedProduct::PlannedProduct(PlanBuilder& builder, const Product& given) {
  Product product = given;
  const Dims& b_dims = product.packed.weight.present() ? product.packed.dims : product.b.dims;
  if (product.a.dim(-1) != b_dims[b_dims.size() - 2])
    throw Failure{TENON_INVALID_ARGUMENT, "A has " + std::to_string(product.a.dim(-1)) + " columns, B has " + std::to_string(b_dims[b_dims.size() - 2]) + " rows"};
  empty_ = product.a.dim(-2) == 0 || b_dims.back() == 0 || count_of(product.batch) == 0;
  if (empty_) return;
  alpha_ = product.alpha;
  const std::int32_t dtype = product.a.dtype;
  config_.compute = product.bytes ? Compute::f32 : compute_of(dtype);
  if (too_many_batch_dims(product)) {
    // Spread out, both have one batch dim.
    product.a = builder.dense(broadcast(product.a, with_matrix(product.batch, product.a.dim(-2), product.a.dim(-1))));
    product.b = builder.dense(broadcast(product.b, with_matrix(product.batch, product.b.dim(-2), product.b.dim(-1))));
  }

  if (product.bytes) subtract_zeros(builder, product);

  // One B for all of A's matrices: they are one matrix with more rows.
  const Dims b_batch = leading(b_dims);
  std::int64_t stride = 0;
  if (count_of(b_batch) == 1 && leading(product.a.dims) == product.batch) {
    if (!row_stride(product.a, stride)) product.a = builder.dense(product.a), row_stride(product.a, stride);
    joined_ = true;
    Tensor rows = product.a;
    rows.dims = {product.a.count() / std::max<std::int64_t>(product.a.dim(-1), 1), product.a.dim(-1)};
    if (product.a.dim(-1) == 0) rows.dims[0] = count_of(product.batch) * product.a.dim(-2);
    rows.strides = {stride, product.a.strides.back()};
    product.a = rows;
    product.batch = {};
    if (!product.packed.weight.present()) {
      product.b.dims = {b_dims[b_dims.size() - 2], b_dims.back()};
      product.b.strides = {product.b.strides[product.b.strides.size() - 2], product.b.strides.back()};
    }
  }
  if (!swap(builder, product)) set_sizes(builder, product);
  for (std::int64_t n : {problem_.m, problem_.n, problem_.k, problem_.a_row, problem_.a_k, problem_.b_panel, problem_.b_k, problem_.batch_count()}) check_int(n);
  for (std::size_t i = 0; i < 4; ++i) check_int(std::max(problem_.a_batch[i], problem_.b_batch[i]));
}

// B's columns are few: they become the rows of dot products with A's rows, which must be contiguous.
bool PlannedProduct::swap(PlanBuilder& builder, const Product& product) {
  if (product.packed.weight.present() || product.bytes || product.b.dim(-1) > narrow_columns || product.b.dim(-1) == 0 || product.a.dim(-2) < product.b.dim(-1)) return false;
  if (product.a.strides.back() != 1 && product.a.dim(-1) > 1) return false;
  swapped_ = true;
  Product turned;
  turned.a = transposed(product.b);
  if (turned.a.strides.back() != 1 && turned.a.dim(-1) > 1) turned.a = builder.dense(turned.a);
  turned.b = transposed(product.a);
  turned.batch = product.batch;
  set_sizes(builder, turned);
  return true;
}

// A's bytes become differences in float32, which products need exact, beside the sums of rows that B's zero point is multiplied with.
void PlannedProduct::subtract_zeros(PlanBuilder& builder, Product& product) {
  const Tensor from = product.a;
  const std::int64_t m = from.dim(-2), k = from.dim(-1);
  PackConfig pack;
  pack.from = from.dtype;
  pack.to = TENON_DTYPE_FLOAT;
  pack.zeros = true;
  pack.group = pack_group(builder.profile());
  const auto zero = [&](const Tensor& t, std::int32_t dtype, std::int64_t many, const char* what) {
    if (t.present()) {
      if (t.count() != 1 && t.count() != many)
        throw Failure{TENON_INVALID_ARGUMENT, std::string("the zero point of ") + what + " has " + std::to_string(t.count()) + " elements, expected 1" +
                                                  (many == 1 ? "" : " or " + std::to_string(many))};
      return builder.dense(t);
    }
    // None: one element that is zero.
    Tensor none = builder.temp(dtype, {1});
    Expression e;
    e.outputs = {e.literal(dtype, 0)};
    launch_elementwise(builder, e, {}, {none}, "zero");
    return none;
  };
  const Tensor a_zero = zero(product.a_zero, from.dtype, m, "the first operand");
  product.a = builder.temp(TENON_DTYPE_FLOAT, from.dims);
  sums_ = builder.temp(TENON_DTYPE_INT32, Dims(from.dims.begin(), from.dims.end() - 1));
  Launch launch;
  launch.name = "gemm_rows";
  launch.kernel = pack_rows_kernel(pack);
  launch.args = {Arg::in(from), Arg::out(product.a), Arg::i32(m), Arg::i32(k), Arg::i32(from.strides[from.strides.size() - 2]), Arg::i32(from.strides.back())};
  add_batch_args(launch.args, from, "the first operand");
  for (const Arg& a : {Arg::in(a_zero), Arg::i32(0), Arg::i32(a_zero.count() == 1 ? 0 : 1), Arg::out(sums_)}) launch.args.push_back(a);
  launch.global = {static_cast<std::size_t>(m * pack.group), 1, static_cast<std::size_t>(count_of(leading(from.dims)))};
  launch.local[0] = static_cast<std::size_t>(pack.group);
  builder.launch(std::move(launch));
  const std::int32_t b_dtype = product.packed.weight.present() ? product.packed.dtype : product.b.dtype;
  const std::int64_t n = product.packed.weight.present() ? product.packed.dims.back() : product.b.dim(-1);
  zeros_ = zero(product.b_zero, b_dtype, n, "the second operand");
  zero_step_ = zeros_.count() == 1 ? 0 : 1;
}

void PlannedProduct::set_sizes(PlanBuilder& builder, Product product) {
  const bool packed = product.packed.weight.present();
  const Dims& b_dims = packed ? product.packed.dims : product.b.dims;
  const Profile& profile = builder.profile();
  const Compute compute = config_.compute;
  problem_.m = product.a.dim(-2);
  problem_.k = product.a.dim(-1);
  problem_.n = b_dims.back();
  const bool contiguous = product.b.present() && !packed && (product.b.strides[product.b.strides.size() - 2] == 1 || problem_.k == 1) &&
                          (product.a.strides.back() == 1 || problem_.k == 1);
  if (contiguous && !product.bytes && (swapped_ || (wants_dots(problem_.m) && product.b.strides.back() != 1 && problem_.n > 1))) {
    config_ = choose_dots(profile, compute, problem_.m);
  } else {
    config_ = choose_gemm(profile, compute, packed ? product.packed.columns : panel_columns(profile, compute, problem_.n), problem_.m, problem_.k);
    // Heavy products with many rows are worth measuring.
    if (problem_.m >= 16 && problem_.m * problem_.n * problem_.k >= 1 << 20)
      config_ = gemm_variant(config_, builder.choice("gemm " + compute_name(compute) + " " + std::to_string(problem_.batch_count()) + "x" + std::to_string(problem_.m) + "x" + std::to_string(problem_.n) +
                                                         "x" + std::to_string(problem_.k) + (packed ? " packed" : ""), kGemmVariants, 0));
  }
  config_.bytes = product.bytes;
  config_.scaled = alpha_ != 1;
  config_.b = packed ? product.packed.dtype : product.b.dtype;

  // Halves of A are read again for every panel: for many panels they are converted once.
  if (profile.cpu && product.a.dtype == TENON_DTYPE_FLOAT16 && problem_.n > 4 * config_.columns && problem_.m > 4) {
    Tensor wide = builder.temp(TENON_DTYPE_FLOAT, product.a.dims);
    Expression e;
    e.outputs = {e.cast(TENON_DTYPE_FLOAT, e.load(0, product.a.dtype))};
    launch_elementwise(builder, e, {product.a}, {wide}, "cast");
    product.a = wide;
  }
  a_ = product.a;
  config_.a = a_.dtype;
  problem_.a_row = a_.strides[a_.strides.size() - 2];
  problem_.a_k = a_.strides.back();
  if (packed) {
    weight_ = product.packed.weight;
    Tensor panels;
    panels.dims = with_matrix(leading(product.packed.dims), 1, packed_panel_bytes(problem_.k, problem_.n, config_.columns, 1));
    panels.strides = strides_of(panels.dims, Layout::dense);
    problem_.b_k = config_.columns;
    problem_.b_panel = problem_.k * config_.columns;
    b_ = panels;
  } else {
    set_b(builder, product.b);
  }

  const Dims a_strides = batch_strides(a_, product.batch), b_strides = batch_strides(b_, product.batch);
  BatchDims dims;
  for (std::size_t i = 0; i < product.batch.size(); ++i) dims.push_back({product.batch[i], {a_strides[i], b_strides[i]}});
  dims = four_dims(dims, "the product");
  for (std::size_t i = 0; i < 4; ++i) {
    problem_.batch[i] = dims[i].size;
    problem_.a_batch[i] = dims[i].strides[0];
    problem_.b_batch[i] = dims[i].strides[1];
  }
  config_.batched = problem_.batch_count() != 1;
}

void PlannedProduct::set_b(PlanBuilder& builder, const Tensor& b) {
  b_ = b;
  const std::int64_t k_stride = b.strides[b.strides.size() - 2], n_stride = b.strides.back();
  if (config_.skeleton == GemmConfig::Skeleton::dots) {
    problem_.b_k = 1;
    problem_.b_panel = n_stride * config_.columns;
    return;
  }
  problem_.b_k = k_stride;
  problem_.b_panel = config_.columns;
  if ((n_stride == 1 || problem_.n == 1) && !wants_packing(builder.profile(), config_.compute, config_.columns, problem_)) return;
  // Only B's own matrices are packed, not their repetitions.
  const std::int64_t panels = (problem_.n + config_.columns - 1) / config_.columns;
  PackConfig pack;
  pack.from = pack.to = b.dtype;
  pack.columns = config_.columns;
  pack.group = pack_group(builder.profile());
  b_ = builder.temp(b.dtype, with_matrix(leading(b.dims), panels, problem_.k * config_.columns));
  Launch launch;
  launch.name = "gemm_pack";
  launch.kernel = pack_panels_kernel(pack);
  launch.args = {Arg::in(b), Arg::out(b_), Arg::i32(problem_.k), Arg::i32(problem_.n), Arg::i32(k_stride), Arg::i32(n_stride)};
  add_batch_args(launch.args, b, "the second operand");
  const std::int64_t items = pack.group == 1 ? (problem_.k + kPackDepth - 1) / kPackDepth : (problem_.k * config_.columns + pack.group - 1) / pack.group * pack.group;
  launch.global = {static_cast<std::size_t>(items), static_cast<std::size_t>(panels), static_cast<std::size_t>(count_of(leading(b.dims)))};
  launch.local[0] = static_cast<std::size_t>(pack.group);
  builder.launch(std::move(launch));
  problem_.b_k = config_.columns;
  problem_.b_panel = problem_.k * config_.columns;
}

TileSpace PlannedProduct::space(std::size_t batch_axes, std::int64_t row_axis, std::int64_t column_axis) const {
  TileSpace s;
  for (std::size_t i = 0; i < batch_axes; ++i) (joined_ ? s.rows : s.batch).push_back(static_cast<std::int64_t>(i));
  if (row_axis >= 0) s.rows.push_back(row_axis);
  if (column_axis >= 0) s.cols.push_back(column_axis);
  if (swapped_) std::swap(s.rows, s.cols);
  return s;
}

std::int32_t PlannedProduct::accumulator() const {
  if (config_.bytes) return TENON_DTYPE_INT32;
  switch (config_.compute) {
    case Compute::f64: return TENON_DTYPE_DOUBLE;
    case Compute::i32: return TENON_DTYPE_INT32;
    case Compute::u32: return TENON_DTYPE_UINT32;
    case Compute::i64: return TENON_DTYPE_INT64;
    case Compute::u64: return TENON_DTYPE_UINT64;
    default: return TENON_DTYPE_FLOAT;
  }
}

void PlannedProduct::launch(PlanBuilder& builder, const Epilogue& epilogue, std::vector<Arg> epilogue_args, const char* name) const {
  if (empty_) return;
  const GemmRange range = gemm_range(config_, problem_, builder.profile().compute_units);
  std::array<std::int32_t, kGemmSizes + kGemmBatchSizes> sizes;
  const int count = gemm_sizes(config_, problem_, range.row_tiles, sizes);
  Launch l;
  l.name = name;
  l.kernel = gemm_kernel(config_, epilogue);
  l.args = {Arg::in(a_), weight_.present() ? Arg::weight(weight_) : Arg::in(b_)};
  for (int i = 0; i < count; ++i) l.args.push_back(Arg::i32(sizes[static_cast<std::size_t>(i)]));
  if (config_.scaled) l.args.push_back(factor(config_.compute, alpha_));
  if (config_.bytes)
    for (const Arg& a : {Arg::in(sums_), Arg::in(zeros_), Arg::i32(zero_step_)}) l.args.push_back(a);
  for (Arg& a : epilogue_args) l.args.push_back(std::move(a));
  l.global = range.global;
  l.local = range.local;
  l.flops = 2.0 * static_cast<double>(problem_.m) * static_cast<double>(problem_.n) * static_cast<double>(problem_.k) * static_cast<double>(problem_.batch_count());
  builder.launch(std::move(l));
}

}  // namespace tenon::opencl
