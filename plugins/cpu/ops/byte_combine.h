// ByteCombineOp: the sum, difference or product of two quantized tensors, quantized again. The second may have one pixel, whose
// channels are those of the first: the gate of a squeeze-excite block.
// Filled in compile by quantized_elementwise.cpp, immutable afterwards.
#pragma once

#include "plugins/cpu/ops/byte_finish.h"
#include "plugins/cpu/ops/byte_weights.h"

namespace tenon::cpu {

struct ByteCombination {
  enum class Kind : std::uint8_t { sum, difference, product };
  Kind kind = Kind::sum;
  bool pixel = false;          // the second operand has one, for all of an image
  std::int64_t channels = 0;   // of images, which may lie channels last; 0: no images
  Quantization operands[2]{};
  float scale = 1;             // of the result
  ByteTarget to;
};

class ByteCombineOp final : public Op {
 public:
  explicit ByteCombineOp(const ByteCombination& combination) : combination_(combination) {}
  void plan(PlanBuilder& builder) const override;
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override;

 private:
  ByteCombination combination_;
};

// out[i] = x[i] and y[i] combined. Vectorised for the machine.
void combine_bytes(const ByteCombination& combination, const std::uint8_t* x, const std::uint8_t* y, std::int64_t n, std::uint8_t* out);

}  // namespace tenon::cpu
