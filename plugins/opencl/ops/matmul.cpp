// MatMul, FusedMatMul and Gemm: one product and what follows in its kernel.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/gemm_addend.h"
#include "plugins/opencl/ops/gemm_product.h"
#include "plugins/opencl/ops/matmul.h"

namespace tenon::opencl {
namespace {

// The first dim, a matrix dim, goes behind the batch dims.
Tensor batch_first(const Tensor& t) {
  if (t.rank() < 3) return t;
  std::vector<std::int64_t> order(t.dims.size());
  std::iota(order.begin(), order.end() - 2, 1);
  order[order.size() - 2] = 0;
  order.back() = t.rank() - 1;
  return permuted(t, order);
}

class MatMulOp final : public Op {
 public:
  MatMulOp(const Node& node, CompileContext& context, bool fused) {
    if (fused) {
      a_transposed_ = node.integer("transA", 0) != 0, b_transposed_ = node.integer("transB", 0) != 0;
      a_batch_last_ = node.integer("transBatchA", 0) != 0, b_batch_last_ = node.integer("transBatchB", 0) != 0;
      alpha_ = node.number("alpha", 1);
    }
    if (!b_batch_last_ || node.input(1)->rank < 3) packed_ = pack_constant_b(node, 1, b_transposed_, context);
  }

  void plan(PlanBuilder& builder) const override {
    Product product;
    product.a = side(builder.in(0), true, a_transposed_, a_batch_last_);
    product.b = side(builder.in(1), false, b_transposed_, b_batch_last_);
    product.packed = packed_;
    product.alpha = alpha_;
    const std::int64_t rank = builder.out_shape(0).rank();
    const bool rows = builder.in(0).rank() > 1, columns = builder.in(1).rank() > 1;
    const auto batch_axes = static_cast<std::size_t>(rank - (rows ? 1 : 0) - (columns ? 1 : 0));
    const Dims& dims = builder.out_shape(0).dims;
    product.batch.assign(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(batch_axes));
    const PlannedProduct planned(builder, product);
    const auto first = static_cast<std::int64_t>(batch_axes);
    const LinkedEpilogue linked = builder.link(planned.space(batch_axes, rows ? first : -1, columns ? rank - 1 : -1), planned.accumulator());
    planned.launch(builder, *linked.text, linked.args, "matmul");
  }
  bool links_epilogue() const override { return true; }

 private:
  static Tensor side(const Tensor& t, bool row, bool turned, bool batch_last) {
    Tensor out = as_matrix(t, row);
    if (batch_last) out = batch_first(out);
    return turned && t.rank() > 1 ? transposed(out) : out;
  }

  bool a_transposed_ = false, b_transposed_ = false, a_batch_last_ = false, b_batch_last_ = false;
  double alpha_ = 1;
  PackedB packed_;
};

class GemmOp final : public Op {
 public:
  GemmOp(const Node& node, CompileContext& context)
      : a_transposed_(node.integer("transA", 0) != 0), b_transposed_(node.integer("transB", 0) != 0), alpha_(node.number("alpha", 1)), beta_(node.number("beta", 1)) {
    packed_ = pack_constant_b(node, 1, b_transposed_, context);
  }

  void plan(PlanBuilder& builder) const override {
    Product product;
    product.a = a_transposed_ ? transposed(builder.in(0)) : builder.in(0);
    product.b = b_transposed_ ? transposed(builder.in(1)) : builder.in(1);
    product.packed = packed_;
    product.alpha = alpha_;
    const PlannedProduct planned(builder, product);
    const LinkedEpilogue linked = builder.link(planned.space(0, 0, 1), planned.accumulator());
    if (builder.inputs() < 3 || !builder.in(2).present() || beta_ == 0) return planned.launch(builder, *linked.text, linked.args, "gemm");
    Tensor c = broadcast(builder.in(2), builder.out_shape(0).dims);
    if (planned.swapped()) c = transposed(c);
    GemmAddend addend(linked.text, c, planned.accumulator(), beta_);
    std::vector<Arg> args = addend.args();
    args.insert(args.end(), linked.args.begin(), linked.args.end());
    planned.launch(builder, addend, std::move(args), "gemm");
  }
  bool links_epilogue() const override { return true; }

 private:
  bool a_transposed_, b_transposed_;
  double alpha_, beta_;
  PackedB packed_;
};

bool multiplies(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: case TENON_DTYPE_FLOAT16: case TENON_DTYPE_BFLOAT16: case TENON_DTYPE_DOUBLE:
    case TENON_DTYPE_INT32: case TENON_DTYPE_UINT32: case TENON_DTYPE_INT64: case TENON_DTYPE_UINT64: return true;
    default: return false;
  }
}

Support supports_product(const Node& node, const Profile& profile) {
  if (node.input_count() < 2 || !node.input(0) || !node.input(1)) return Support::no(TENON_REJECT_OTHER, "two inputs are expected");
  if (Support s = plain_types(node, profile); s.reason) return s;
  if (!multiplies(node.input(0)->dtype)) return Support::no(TENON_REJECT_DTYPE, "no product of " + dtype_text(node.input(0)->dtype));
  for (std::size_t i = 1; i < node.input_count(); ++i)
    if (node.input(i) && node.input(i)->dtype != node.input(0)->dtype) return Support::no(TENON_REJECT_DTYPE, "operands of different types");
  return Support::yes();
}

bool is_whole(float x) { return std::nearbyint(x) == x && std::fabs(x) < 1e6f; }

// Factors of integer products are integers as well.
Support supports_factors(const Node& node) {
  if (is_floating(node.input(0)->dtype)) return Support::yes();
  for (const char* name : {"alpha", "beta"})
    if (!is_whole(node.number(name, 1))) return Support::no(TENON_REJECT_ATTRIBUTE, std::string(name) + " is no whole number, but the operands are integers");
  return Support::yes();
}

Support supports_matmul(const Node& node, const Profile& profile) {
  if (Support s = supports_product(node, profile); s.reason) return s;
  if (node.input(0)->rank < 1 || node.input(1)->rank < 1) return Support::no(TENON_REJECT_RANK, "a scalar is no matrix");
  return supports_factors(node);
}

Support supports_gemm(const Node& node, const Profile& profile) {
  if (Support s = supports_product(node, profile); s.reason) return s;
  if (node.input(0)->rank != 2 || node.input(1)->rank != 2) return Support::no(TENON_REJECT_RANK, "a matrix has two dims");
  if (node.input(2) && node.input(2)->rank > 2) return Support::no(TENON_REJECT_RANK, "C has at most two dims");
  return supports_factors(node);
}

template <bool fused>
std::unique_ptr<Op> make_matmul(const Node& node, CompileContext& context) {
  return std::make_unique<MatMulOp>(node, context, fused);
}
std::unique_ptr<Op> make_gemm(const Node& node, CompileContext& context) { return std::make_unique<GemmOp>(node, context); }

}  // namespace

double product_flops(const Node& node) {
  const tenon_value& a = *node.input(0);
  if (a.rank < 1) return 0;
  const bool turned = a.rank > 1 && node.integer("transA", 0) != 0;
  return 2 * opt_count(*node.output(0)) * opt_dim(a, turned ? -2 : -1);
}

std::span<const OpRow> matmul_rows() {
  static const OpRow rows[] = {
      {"", "MatMul", supports_matmul, make_matmul<false>, product_flops},
      {"com.microsoft", "FusedMatMul", supports_matmul, make_matmul<true>, product_flops},
      {"", "Gemm", supports_gemm, make_gemm, product_flops},
  };
  return rows;
}

}  // namespace tenon::opencl
