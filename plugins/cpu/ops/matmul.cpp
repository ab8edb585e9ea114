#include "plugins/cpu/ops/matmul.h"

#include <algorithm>
#include <numeric>

#include "plugins/cpu/gemm/pages.h"

namespace tenon::cpu {
namespace {

std::vector<std::int32_t> perm_of(const NodeView& transpose, std::int32_t rank) {
  std::vector<std::int32_t> perm(static_cast<std::size_t>(rank));
  const auto given = transpose.ints("perm");
  std::vector<bool> seen(perm.size());
  if (!given.empty() && given.size() != perm.size()) return {};
  for (std::size_t i = 0; i < perm.size(); ++i) {
    const std::int64_t p = given.empty() ? rank - 1 - static_cast<std::int64_t>(i) : given[i];
    if (p < 0 || p >= rank || seen[static_cast<std::size_t>(p)]) return {};
    seen[static_cast<std::size_t>(p)] = true;
    perm[i] = static_cast<std::int32_t>(p);
  }
  return perm;
}

constexpr std::int64_t kRowsAtMemorySpeed = 8;

// Rows of the result at the sizes that the graph expects; many where it expects none.
std::int64_t expected_rows(const NodeView& node) {
  if (!node.has_output(0) || node.output(0).rank < 1) return 1 << 20;
  const tenon_value& c = node.output(0);
  std::int64_t rows = 1;
  for (std::int32_t d = 0; d + 1 < c.rank; ++d) {
    if (c.dim_opt[d] < 0 || c.dim_opt[d] > (1 << 20)) return 1 << 20;
    rows = std::min<std::int64_t>(rows * c.dim_opt[d], 1 << 20);
  }
  return rows;
}

}  // namespace

bool constant_scalar(const NodeView& node, std::uint32_t input, CompileContext& context, float* value) {
  if (!node.is_constant(input) || node.dtype(input) != TENON_DTYPE_FLOAT) return false;
  const tenon_value& v = node.input(input);
  for (std::int32_t d = 0; d < v.rank; ++d)
    if (v.dims[d] != 1) return false;
  const tenon_const_tensor t = context.constant(node, input);
  if (t.bytes < sizeof *value) return false;
  std::memcpy(value, t.data, sizeof *value);
  return true;
}

MatMulOp::MatMulOp(const NodeView& node, CompileContext& context, Kind kind)
    : kind_(kind), plain_(context.options().plain), dtype_(node.dtype(0)), kernels_(&gemm::kernels(context.options().isa, context.options().precision)),
      expected_rows_(expected_rows(node)) {
  a_.input = 0;
  b_.input = 1;
  if (kind != Kind::matmul) {
    a_.transposed = node.int_or("transA", 0) != 0;
    b_.transposed = node.int_or("transB", 0) != 0;
    alpha_ = node.float_or("alpha", 1);
  }
  if (kind == Kind::fused_matmul) {
    a_.batch_last = node.int_or("transBatchA", 0) != 0;
    b_.batch_last = node.int_or("transBatchB", 0) != 0;
  }
  if (kind == Kind::gemm) {
    beta_ = node.float_or("beta", 1);
    if (node.has_input(2) && beta_ != 0) {
      addend_ = 2;
      if (beta_ != 1 && node.is_constant(2) && dtype_ == TENON_DTYPE_FLOAT && !plain_) {
        const tenon_const_tensor c = context.constant(node, 2);
        const std::size_t n = c.bytes / sizeof(float);
        float* scaled = static_cast<float*>(context.alloc(std::max<std::uint64_t>(c.bytes, 4)));
        for (std::size_t i = 0; i < n; ++i) {
          float x;
          std::memcpy(&x, static_cast<const char*>(c.data) + i * sizeof x, sizeof x);
          scaled[i] = beta_ * x;
        }
        scaled_addend_ = scaled;
      }
    }
  }
  has_columns_ = node.rank(0) >= 2 && node.rank(1) >= 2;
  if (node.rank(1) >= 2) columns_ = node.input(1).dims[node.rank(1) - (b_.transposed ? 2 : 1)];
  if (dtype_ == TENON_DTYPE_FLOAT && !plain_) pack(node, 1, context);
}

gemm::View MatMulOp::view(const Side& side, std::span<const std::int64_t> dims) const {
  gemm::View v = gemm::View::dense(dims);
  v.permute(side.perm);
  if (side.batch_last && v.rank > 2) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(v.rank));
    std::iota(order.begin(), order.end() - 2, 1);
    order[order.size() - 2] = 0;
    order.back() = v.rank - 1;
    v.permute(order);
  }
  if (side.transposed) v.swap_last();
  return v;
}

// A constant B is packed once.
void MatMulOp::pack(const NodeView& node, std::uint32_t input, CompileContext& context) {
  if (!node.is_constant(input)) return;
  const tenon_value& value = node.input(input);
  if (value.rank < 2 || value.rank > gemm::kMaxRank) return;
  const std::span<const std::int64_t> dims(value.dims, static_cast<std::size_t>(value.rank));
  if (std::any_of(dims.begin(), dims.end(), [](std::int64_t d) { return d < 0; })) return;
  const gemm::View v = view(b_, dims);
  const std::int64_t k = v.dims[v.rank - 2], n = v.dims[v.rank - 1];
  if (!gemm::wants_packing(n) || k == 0) return;
  std::int64_t matrices = 1;
  for (int d = 0; d + 2 < v.rank; ++d) matrices *= v.dims[d];
  if (matrices == 0) return;
  // Three parts are half as many bytes again as float32: too many where few rows wait for them.
  if (kernels_->split && kernels_->split->parts == 3 && expected_rows_ <= kRowsAtMemorySpeed)
    kernels_ = &gemm::kernels(context.options().isa);
  const std::uint64_t floats = gemm::packed_floats(*kernels_, k, n);
  std::string id = gemm::packed_layout(*kernels_, k, n);
  for (int d = 0; d < v.rank; ++d) id.append("/").append(std::to_string(v.dims[d])).append(":").append(std::to_string(v.strides[d]));
  const std::uint64_t bytes = floats * sizeof(float) * static_cast<std::uint64_t>(matrices);
  packed_ = context.packed(node, input, id, bytes, [&](const tenon_const_tensor& from, void* to) {
    gemm::prefer_large_pages(to, bytes);
    const float* src = static_cast<const float*>(from.data);
    for (std::int64_t i = 0; i < matrices; ++i) {
      std::int64_t offset = 0, rest = i;
      for (int d = v.rank - 3; d >= 0; --d) offset += rest % v.dims[d] * v.strides[d], rest /= v.dims[d];
      gemm::pack_b(*kernels_, src + offset, v.strides[v.rank - 2], v.strides[v.rank - 1], k, n,
                   static_cast<float*>(to) + static_cast<std::uint64_t>(i) * floats);
    }
  });
  packed_dims_.assign(v.dims, v.dims + v.rank);
}

// ---- fusion -------------------------------------------------------------------------------------------------------------

bool MatMulOp::pull(const NodeView& producer, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) {
  if (plain_ || !producer.domain().empty()) return false;
  if (slot != a_.input && slot != b_.input) return false;
  if (a_.input == b_.input) return false;
  Side& side = slot == a_.input ? a_ : b_;
  if (&side == &b_ && packed_) return false;
  const std::string_view op = producer.op_type();
  if (op == "Transpose") {
    const std::int32_t rank = producer.rank(0);
    if (rank < 2 || rank > gemm::kMaxRank || producer.dtype(0) != dtype_) return false;
    const std::vector<std::int32_t> q = perm_of(producer, rank);
    if (q.empty()) return false;
    std::vector<std::int32_t> perm = q;
    if (!side.perm.empty()) {
      if (side.perm.size() != q.size()) return false;
      for (std::size_t i = 0; i < q.size(); ++i) perm[i] = q[static_cast<std::size_t>(side.perm[i])];
    }
    // One of the matrix dims must stay contiguous: gathering single elements costs more than the transposition.
    if (side.batch_last || std::max(perm[perm.size() - 1], perm[perm.size() - 2]) != rank - 1) return false;
    side.perm = std::move(perm);
    if (&side == &b_ && dtype_ == TENON_DTYPE_FLOAT) pack(producer, 0, context);
    return true;
  }
  if ((op == "Mul" || op == "Div") && dtype_ == TENON_DTYPE_FLOAT && producer.dtype(0) == dtype_ && producer.dtype(1) == dtype_) {
    float factor;
    std::uint32_t data = 0;
    if (constant_scalar(producer, 1, context, &factor)) {
      if (op == "Div") factor = 1 / factor;
    } else if (op == "Mul" && constant_scalar(producer, 0, context, &factor)) {
      data = 1;
    } else {
      return false;
    }
    if (producer.rank(data) < 1 || producer.rank(1 - data) > producer.rank(data)) return false;
    if (!(factor > -1e18f && factor < 1e18f)) return false;
    alpha_ *= factor;
    if (data == 1) side.input = first_input;
    return true;
  }
  return false;
}

// One value per column, known to be as many.
bool MatMulOp::absorb_bias(const NodeView& next, std::uint32_t slot, std::uint32_t first_input) {
  if (bias_ >= 0 || addend_ >= 0 || !out_perm_.empty() || !epilogue_.empty() || next.op_type() != "Add" || next.input_count() != 2)
    return false;
  const std::uint32_t other = 1 - slot;
  if (next.rank(other) < 1 || next.rank(slot) < next.rank(other) || next.dtype(other) != TENON_DTYPE_FLOAT || next.output(0).rank < 1)
    return false;
  const tenon_value& y = next.input(other);
  for (std::int32_t d = 0; d + 1 < y.rank; ++d)
    if (y.dims[d] != 1) return false;
  if (columns_ < 0 || y.dims[y.rank - 1] != columns_) return false;
  bias_ = first_input;
  return true;
}

bool MatMulOp::absorb_factor(const NodeView& next, std::uint32_t slot, CompileContext& context) {
  if (bias_ >= 0 || addend_ >= 0 || !epilogue_.empty() || next.input_count() != 2) return false;
  const bool divides = next.op_type() == "Div";
  float factor;
  if ((next.op_type() != "Mul" && !divides) || (divides && slot != 0)) return false;
  const std::uint32_t other = 1 - slot;
  if (next.rank(slot) < 0 || next.rank(other) > next.rank(slot) || !constant_scalar(next, other, context, &factor)) return false;
  if (divides) factor = 1 / factor;
  if (!(factor > -1e18f && factor < 1e18f)) return false;
  alpha_ *= factor;
  return true;
}

// Rows of C stay contiguous, so only the places where they go change.
bool MatMulOp::absorb_transpose(const NodeView& next) {
  if (!out_perm_.empty() || addend_ >= 0 || next.op_type() != "Transpose") return false;
  const std::int32_t rank = next.rank(0);
  if (rank < 3 || rank > gemm::kMaxRank) return false;
  // What was absorbed before works on elements, or along the last dim only.
  for (const EpilogueItem& item : epilogue_.items())
    if (item.binary) return false;
  std::vector<std::int32_t> perm = perm_of(next, rank);
  if (perm.empty() || perm.back() != rank - 1) return false;
  if (!has_columns_) return false;
  out_perm_ = std::move(perm);
  return true;
}

bool MatMulOp::absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) {
  if (plain_ || dtype_ != TENON_DTYPE_FLOAT || next.dtype(slot) != TENON_DTYPE_FLOAT) return false;
  if (next.domain().empty() &&
      (absorb_bias(next, slot, first_input) || absorb_factor(next, slot, context) || absorb_transpose(next)))
    return true;
  return epilogue_.add(next, slot, first_input, context);
}

// ---- plan ---------------------------------------------------------------------------------------------------------------

void MatMulOp::plan(PlanBuilder& builder) const {
  const gemm::View a = view(a_, builder.in(a_.input).dims);
  const gemm::View b = packed_ ? gemm::View::dense(packed_dims_) : view(b_, builder.in(b_.input).dims);
  gemm::View c = gemm::View::dense(builder.out(0));
  if (!out_perm_.empty()) {
    std::vector<std::int32_t> back(out_perm_.size());
    for (std::size_t i = 0; i < back.size(); ++i) back[static_cast<std::size_t>(out_perm_[i])] = static_cast<std::int32_t>(i);
    c.permute(back);
  }
  gemm::Problem p = gemm::matmul_problem(a, b, c, packed_ != nullptr);
  p.alpha = alpha_;

  gemm::Addend addend;
  bool addend_is_bias = false;
  if (addend_ >= 0) {
    const auto input = static_cast<std::uint32_t>(addend_);
    const gemm::View y = gemm::View::dense(builder.in(input));
    const std::int64_t rows = y.rank > 1 ? y.dims[y.rank - 2] : 1, columns = y.rank > 0 ? y.dims[y.rank - 1] : 1;
    if (y.rank > 2 || (rows != 1 && rows != p.m) || (columns != 1 && columns != p.n))
      throw Failure{TENON_INVALID_ARGUMENT, "C does not broadcast to the product"};
    addend.y = scaled_addend_ ? Ref{TENON_NO_VALUE, scaled_addend_} : builder.in_ref(input);
    addend.row = rows == 1 ? 0 : y.strides[y.rank - 2];
    addend.column = columns == 1 ? 0 : 1;
    addend.factor = scaled_addend_ ? 1 : beta_;
    addend_is_bias = addend.row == 0 && columns == p.n && addend.factor == 1;
  }
  if (plain_ || dtype_ != TENON_DTYPE_FLOAT) {
    gemm::emit_reference(builder, "product", dtype_, p, builder.in_ref(a_.input), builder.in_ref(b_.input), builder.out_ref(0), addend);
    return;
  }
  gemm::ProductStep step;
  step.gemm = gemm::plan(*kernels_, p, packed_ != nullptr);
  step.a = builder.in_ref(a_.input);
  step.b = packed_ ? Ref{TENON_NO_VALUE, packed_} : builder.in_ref(b_.input);
  step.c = builder.out_ref(0);
  step.columns = p.n;
  if (addend_is_bias) step.bias = addend.y;
  else step.addend = addend;
  if (bias_ >= 0) step.bias = builder.in_ref(static_cast<std::uint32_t>(bias_));
  if (!epilogue_.empty()) step.epilogue = epilogue_.plan(builder);
  gemm::emit(builder, "product", step);
}

// ---- rows ---------------------------------------------------------------------------------------------------------------

Support supports_matmul(const NodeView& node) {
  if (node.input_count() != 2 || !node.has_input(0) || !node.has_input(1))
    return Support::no(TENON_REJECT_OTHER, "two inputs are expected");
  if (!gemm::reference_takes(node.dtype(0)) || node.dtype(0) != node.dtype(1))
    return Support::no(TENON_REJECT_DTYPE, "no product of this type");
  for (std::uint32_t i = 0; i < 2; ++i) {
    if (node.rank(i) > gemm::kMaxRank) return Support::no(TENON_REJECT_RANK, "rank above 8");
    if (node.rank(i) == 0) return Support::no(TENON_REJECT_RANK, "a scalar operand");
  }
  return Support::yes();
}

double matmul_flops(const NodeView& node) {
  if (!node.has_output(0) || node.rank(0) < 1 || node.output(0).rank < 0) return 0;
  double n = 2;
  const tenon_value& c = node.output(0);
  for (std::int32_t d = 0; d < c.rank; ++d) n *= static_cast<double>(std::max<std::int64_t>(c.dim_opt[d], 0));
  const tenon_value& a = node.input(0);
  const bool transposed = node.int_or("transA", 0) != 0 && a.rank > 1;
  return n * static_cast<double>(std::max<std::int64_t>(a.dim_opt[transposed ? a.rank - 2 : a.rank - 1], 0));
}

namespace {

template <MatMulOp::Kind kKind>
std::unique_ptr<Op> make(const NodeView& node, CompileContext& context) {
  return std::make_unique<MatMulOp>(node, context, kKind);
}

Support supports_fused(const NodeView& node) {
  if (node.dtype(0) != TENON_DTYPE_FLOAT && node.dtype(0) != TENON_DTYPE_DOUBLE) return Support::no(TENON_REJECT_DTYPE, "float types only");
  return supports_matmul(node);
}

}  // namespace

std::span<const OpRow> matmul_rows() {
  static constexpr OpRow kRows[] = {
      {"", "MatMul", supports_matmul, make<MatMulOp::Kind::matmul>, false, matmul_flops},
      {"com.microsoft", "FusedMatMul", supports_fused, make<MatMulOp::Kind::fused_matmul>, false, matmul_flops},
      {"", "Gemm", supports_gemm, make_gemm, false, matmul_flops},
      {"", "Einsum", supports_einsum, make_einsum},
      {"com.microsoft", "MatMulNBits", supports_matmul_nbits, make_matmul_nbits, false, matmul_nbits_flops},
  };
  return kRows;
}

}  // namespace tenon::cpu
