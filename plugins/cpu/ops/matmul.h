// MatMulOp: one product of two tensors and what is fused into it: MatMul, FusedMatMul and Gemm.
//
// Made in compile; pulls and absorbs change it until plan is called for the first time.
#pragma once

#include <vector>

#include "plugins/cpu/gemm/product.h"

namespace tenon::cpu {

class MatMulOp final : public Op {
 public:
  enum class Kind : std::uint8_t { matmul, fused_matmul, gemm };

  MatMulOp(const NodeView& node, CompileContext& context, Kind kind);
  void plan(PlanBuilder& builder) const override;
  bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override;
  bool pull(const NodeView& producer, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override;

 private:
  friend class SpelledAttention;  // takes two products over
  // How an operand is read: its input, permuted, then turned by the node's own attributes.
  struct Side {
    std::uint32_t input;
    std::vector<std::int32_t> perm;
    bool batch_last = false;  // transBatch: the first dim is a matrix dim, the next ones are the batch
    bool transposed = false;
  };
  gemm::View view(const Side& side, std::span<const std::int64_t> dims) const;
  void pack(const NodeView& node, std::uint32_t input, CompileContext& context);
  bool absorb_bias(const NodeView& next, std::uint32_t slot, std::uint32_t first_input);
  bool absorb_factor(const NodeView& next, std::uint32_t slot, CompileContext& context);
  bool absorb_transpose(const NodeView& next);
  void plan_float(PlanBuilder& builder) const;

  Kind kind_;
  bool plain_;
  std::int32_t dtype_;
  const gemm::Kernels* kernels_;
  std::int64_t expected_rows_;  // of C
  Side a_, b_;
  float alpha_ = 1, beta_ = 1;
  std::int64_t addend_ = -1;             // Gemm's C: an input, or
  const float* scaled_addend_ = nullptr; // beta * C, made in compile
  std::int64_t bias_ = -1;               // an input with one value per column
  bool has_columns_ = false;             // no operand is a vector: the last dims of C are its rows and columns
  std::int64_t columns_ = -1;            // of B, where it is no vector and the size is fixed
  const void* packed_ = nullptr;         // B
  std::vector<std::int64_t> packed_dims_;  // of B as the product reads it
  std::vector<std::int32_t> out_perm_;   // C is stored transposed
  Epilogue epilogue_;
};

Support supports_matmul(const NodeView& node);
double matmul_flops(const NodeView& node);

// gemm.cpp
Support supports_gemm(const NodeView& node);
std::unique_ptr<Op> make_gemm(const NodeView& node, CompileContext& context);
// einsum.cpp
Support supports_einsum(const NodeView& node);
std::unique_ptr<Op> make_einsum(const NodeView& node, CompileContext& context);
// matmul_nbits.cpp
Support supports_matmul_nbits(const NodeView& node);
std::unique_ptr<Op> make_matmul_nbits(const NodeView& node, CompileContext& context);
double matmul_nbits_flops(const NodeView& node);

// The value of a float32 constant of one element; false for anything else.
bool constant_scalar(const NodeView& node, std::uint32_t input, CompileContext& context, float* value);

}  // namespace tenon::cpu
