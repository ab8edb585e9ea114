// Product: a matrix product as an op plans it: batches joined, B packed where it must be, roles swapped where C is narrow, and the launch.
//
// Used in plan, by whoever needs a product (MatMul, Gemm, the products of bytes). Plain data of one plan; one thread.
#pragma once

#include <memory>
#include <optional>

#include "plugins/opencl/codegen/gemm_choice.h"
#include "plugins/opencl/op.h"
#include "plugins/opencl/ops/gemm_operand.h"

namespace tenon::opencl {

struct Product {
  Tensor a;        // [batch..., M, K], any strides
  Tensor b;        // [batch..., K, N], any strides; not looked at where packed is present
  PackedB packed;
  Dims batch;      // of C; those of a and b are broadcast to it
  double alpha = 1;
  // Products of bytes: zero points (may be omitted). Those of a: one, or one for each row; of b: one, or one for each column.
  bool bytes = false;
  Tensor a_zero, b_zero;
};

class PlannedProduct {
 public:
  // Emits what must run before the product. Throws Failure: INVALID_ARGUMENT where the sizes do not fit.
  PlannedProduct(PlanBuilder& builder, const Product& product);

  // How the epilogue sees C, whose axes are batch..., row, column (-1: C has no such axis).
  TileSpace space(std::size_t batch_axes, std::int64_t row_axis, std::int64_t column_axis) const;
  // The type of sums.
  std::int32_t accumulator() const;
  // True where the tile's rows are C's columns.
  bool swapped() const { return swapped_; }
  void launch(PlanBuilder& builder, const Epilogue& epilogue, std::vector<Arg> epilogue_args, const char* name) const;

 private:
  bool swap(PlanBuilder& builder, const Product& product);
  void set_sizes(PlanBuilder& builder, Product product);
  void set_b(PlanBuilder& builder, const Tensor& b);
  void subtract_zeros(PlanBuilder& builder, Product& product);

  GemmConfig config_;
  GemmProblem problem_;
  Tensor a_, b_, sums_, zeros_;
  Weight weight_;
  int zero_step_ = 0;
  double alpha_ = 1;
  bool swapped_ = false, joined_ = false;  // joined: rows hold the batch as well
  bool empty_ = false;                     // C has no elements
};

}  // namespace tenon::opencl
