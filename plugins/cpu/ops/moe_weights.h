// The weights of a mixture's experts: one matrix [outputs, inputs] for each expert, float32 or quantised, packed in compile.
//
// A projection multiplies rows of one expert at a time; all workers share each product. Plain data once made; any thread.
#pragma once

#include "plugins/cpu/gemm/sgemm.h"
#include "plugins/cpu/op.h"

namespace tenon::cpu {

// How codes become weights: (code - zero) * scale, with a scale for `block` inputs or one for a whole output (block 0).
struct ExpertCoding {
  std::int32_t bits = 0;  // 2, 3, 4 or 8; 0: float32
  std::int64_t block = 0;
  std::uint32_t scales = 0, zeros = 0;  // inputs of the node; zeros may be omitted
};

class ExpertWeights {
 public:
  // At most so many rows at once: scratch is known for each number of them.
  static constexpr std::int64_t most_rows = 256;

  ExpertWeights() = default;
  // input: of the node. Quantised weights are constants. Throws Failure where shapes do not fit together.
  ExpertWeights(const NodeView& node, CompileContext& context, std::uint32_t input, const ExpertCoding& coding);

  bool present() const { return kernels_ != nullptr; }
  std::int64_t experts() const { return experts_; }
  std::int64_t outputs() const { return n_; }
  std::int64_t inputs() const { return k_; }

  // The same for one set of shapes: float32 weights that are no constants have theirs now. Throws Failure for another rank than 3.
  ExpertWeights resolved(const PlanBuilder& builder) const;
  std::uint64_t scratch_bytes() const;  // for each worker
  // Where the step reads, if not from memory of the session.
  Ref ref() const { return ref_; }

  // This worker's part of y = x W^T + bias; x: [rows, inputs], y: [rows, outputs], at most most_rows; bias may be null.
  void run(const StepContext& c, std::int64_t expert, std::int64_t rows, const float* x, float* y, const float* bias, void* scratch) const;

 private:
  static constexpr std::int64_t few_rows = 8;  // up to here quantised weights are read as they are

  void pack(const NodeView& node, CompileContext& context, const ExpertCoding& coding);
  void decode(const NodeView& node, CompileContext& context, const ExpertCoding& coding);
  gemm::Gemm product(std::int64_t rows, std::int64_t expert) const;
  gemm::Quantized of_expert(std::int64_t expert) const;
  void run_few(const StepContext& c, const gemm::Quantized& q, std::int64_t rows, const float* x, float* y, const float* bias,
               float* sums) const;

  std::uint32_t input_ = 0;
  std::int64_t experts_ = 0, n_ = 0, k_ = 0;
  bool plain_ = false, packed_ = false, coded_ = false;
  const gemm::Kernels* kernels_ = nullptr;
  const gemm::QuantizedKernels* quantized_kernels_ = nullptr;
  gemm::Quantized quantized_;     // of the first expert; the others follow
  const float* dense_ = nullptr;  // [experts] times [n, k] (plain) or packed
  Ref ref_;
};

}  // namespace tenon::cpu
