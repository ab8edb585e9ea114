// ElementwiseOp: an expression as an op, alone or fused from several nodes.
#pragma once

#include <memory>

#include "plugins/opencl/op.h"

namespace tenon::opencl {

class ElementwiseOp final : public Op {
 public:
  explicit ElementwiseOp(Expression e) : expression_(std::move(e)) {}
  void plan(PlanBuilder& builder) const override;
  const Expression* expression() const override { return &expression_; }

 private:
  Expression expression_;
};

// Emits one launch that computes e over outs (equal dims) from inputs (by slot, broadcast to those dims by strides of 0).
void launch_elementwise(PlanBuilder& builder, const Expression& e, const std::vector<Tensor>& inputs, const std::vector<Tensor>& outs, const char* name);

}  // namespace tenon::opencl
