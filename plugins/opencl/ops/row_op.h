// RowOp: what Softmax and the norms share as operators: input 0 may be the elementwise work that makes it, and elementwise work may follow.
// Owned by its program, immutable after compile.
#pragma once

#include <memory>

#include "plugins/opencl/ops/row_launch.h"

namespace tenon::opencl {

class RowOp : public Op {
 public:
  explicit RowOp(std::int32_t dtype) { prologue_.outputs = {prologue_.load(0, dtype)}; }

  bool links_epilogue() const override { return true; }
  bool takes_prologue(std::size_t input) const override { return input == 0 && prologue_.nodes.size() == 1; }
  void take_prologue(std::size_t, Expression e) override { prologue_ = std::move(e); }

 protected:
  // Completes rows and launches them: slots of the program from 0 on are `operands`, but slot 0 is the op's input 0, as dims says.
  void launch(PlanBuilder& builder, Rows rows, std::vector<Tensor> operands) const;
  // What stands in place of input 0, in its layout; dtype and dims alone are certain.
  Layout input_layout(PlanBuilder& builder, const Dims& dims) const;

 private:
  Expression prologue_;  // slots are inputs of the unit
};

}  // namespace tenon::opencl
