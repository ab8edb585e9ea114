// LinkedEpilogue's text: an expression over the tile and other operands, each with strides along batch, rows and cols.
// Made while a plan is made; immutable.
#pragma once

#include <cstdint>
#include <vector>

#include "plugins/opencl/codegen/epilogue.h"
#include "plugins/opencl/codegen/expression.h"

namespace tenon::opencl {

class ExpressionEpilogue final : public Epilogue {
 public:
  struct Operand {
    std::int32_t dtype = 0;
    bool moves_b = false, moves_r = false;  // a stride argument each
    int cols = 1;                           // 0: one element for all columns, 1: neighbours, 2: apart (a stride argument)
  };
  // e: slot 0 is the accumulator, slot k the operand k - 1.
  ExpressionEpilogue(Expression e, std::vector<Operand> operands, std::vector<Operand> outputs)
      : expression_(std::move(e)), operands_(std::move(operands)), outputs_(std::move(outputs)) {}

  // Of each output, then of each operand: base, byte offset, then int strides: b, r, c where they move.
  std::string parameters() const override;
  std::string statements(const std::string& acc, int width, const std::string& b, const std::string& r, const std::string& c) const override;
  std::vector<std::string> helpers(const std::vector<int>& widths) const override;

 private:
  Expression expression_;
  std::vector<Operand> operands_, outputs_;
};

}  // namespace tenon::opencl
