// ByteConcatOp: images of bytes side by side along their channels, channels last, each quantized anew where it has to be.
// Filled in compile by quantized_concat.cpp, immutable afterwards.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

class ByteConcatOp final : public Op {
 public:
  struct Input {
    std::int64_t channels = 0;
    std::optional<std::array<std::uint8_t, 256>> table;  // what each byte becomes; none: itself
  };
  explicit ByteConcatOp(std::vector<Input> inputs);
  void plan(PlanBuilder& builder) const override;
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override;

 private:
  std::vector<Input> inputs_;
  std::int64_t channels_ = 0;
};

}  // namespace tenon::cpu
