// ByteMeanOp: means over whole images of bytes, as float32: what classifiers take from the last convolution.
// Filled in compile by quantized.cpp, immutable afterwards.
#pragma once

#include "plugins/cpu/ops/byte_weights.h"

namespace tenon::cpu {

class ByteMeanOp final : public Op {
 public:
  ByteMeanOp(std::int64_t channels, const Quantization& x) : channels_(channels), x_(x) {}
  void plan(PlanBuilder& builder) const override;
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override;

 private:
  std::int64_t channels_;
  Quantization x_;
};

}  // namespace tenon::cpu
