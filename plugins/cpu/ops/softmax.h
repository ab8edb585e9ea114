// SoftmaxOp: Softmax or LogSoftmax along one axis, with the scale and the mask that it pulled.
//
// Made in compile; pulls change it until plan is called for the first time.
#pragma once

#include "plugins/cpu/op.h"

namespace tenon::cpu {

class SoftmaxOp final : public Op {
 public:
  SoftmaxOp(const NodeView& node, CompileContext& context, bool log);
  bool pull(const NodeView& producer, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override;
  void plan(PlanBuilder& builder) const override;

 private:
  friend class SpelledAttention;  // takes the rows over
  bool mask_fits(const tenon_value& mask) const;

  std::int64_t axis_;
  std::int32_t rank_;
  bool log_, fuses_;  // fuses_: float32 along the last axis
  float scale_ = 1;
  std::uint32_t data_ = 0, mask_ = TENON_NO_VALUE;
};

}  // namespace tenon::cpu
