// ByteMatMulOp: MatMulInteger with a constant matrix B, in bytes, and the conversion to float32 and elementwise work behind it.
//
// Made in compile; absorbs change it until plan is called for the first time.
#pragma once

#include <vector>

#include "plugins/cpu/epilogue.h"
#include "plugins/cpu/gemm/byte_gemm.h"

namespace tenon::cpu {

class ByteMatMulOp final : public Op {
 public:
  // Null where the node or the machine is not for it.
  static std::unique_ptr<Op> make(const NodeView& node, CompileContext& context);

  void plan(PlanBuilder& builder) const override;
  bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override;

 private:
  gemm::ByteForm form_;
  const std::int8_t* packed_ = nullptr;
  std::vector<std::int32_t> zeros_;  // of B's columns as packed; empty: all 0
  bool real_ = false;                // a Cast to float32 was absorbed
  Epilogue epilogue_;
};

}  // namespace tenon::cpu
