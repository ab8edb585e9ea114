// ByteMapOp: each byte of a tensor replaced by an entry of a table, in whatever order the bytes lie.
// Filled in compile by quantized_elementwise.cpp, immutable afterwards.
#pragma once

#include <array>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

// out[i] = table[x[i]] of 256; out may be x.
using ByteMapFn = void (*)(const std::uint8_t* table, const std::uint8_t* x, std::int64_t n, std::uint8_t* out);
ByteMapFn byte_map(Isa isa);

class ByteMapOp final : public Op {
 public:
  explicit ByteMapOp(const std::array<std::uint8_t, 256>& table) : table_(table) {}
  void plan(PlanBuilder& builder) const override;
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t) override { return inputs[0]; }

 private:
  std::array<std::uint8_t, 256> table_;
};

}  // namespace tenon::cpu
