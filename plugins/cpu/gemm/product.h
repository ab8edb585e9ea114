// Product: from operands of any rank to planned matrix products and the steps that run them.
//
// Views are dims and strides as the product reads an operand: pulled transpositions change the view, not the data.
// Shared by MatMul, Gemm, Einsum. Plain data and free functions; any thread.
#pragma once

#include <span>

#include "plugins/cpu/epilogue.h"
#include "plugins/cpu/gemm/sgemm.h"

namespace tenon::cpu::gemm {

constexpr int kMaxRank = 8;

struct View {
  int rank = 0;
  std::int64_t dims[kMaxRank] = {}, strides[kMaxRank] = {};

  // Throws Failure where a size is not known or the rank is too high.
  static View dense(const Shape& shape);
  static View dense(std::span<const std::int64_t> dims);
  // Dim i becomes the former dim perm[i]; nothing for an empty perm.
  void permute(std::span<const std::int32_t> perm);
  void swap_last();  // nothing below rank 2
};

// numpy's matmul of a and b into c: broadcast batches, vectors. Strides of b's batch dims count whole matrices if packed.
// Throws Failure where the sizes do not fit.
Problem matmul_problem(const View& a, const View& b, const View& c, bool packed);

// factor * y[i, j], added to C.
struct Addend {
  Ref y;
  std::int64_t row = 0, column = 0;
  float factor = 1;
};

// One float32 product with its epilogue.
struct ProductStep {
  Gemm gemm;
  Ref a, b, c, bias, scratch;
  Addend addend;
  Ref residual;              // added to C behind the bias, in the same places: the first of the epilogue, taken out by emit
  std::int64_t columns = 1;  // of C, where there is an addend
  EpiloguePlan epilogue;

  void operator()(const StepContext& context) const;
};
// Emits it, with its scratch.
void emit(PlanBuilder& builder, const char* name, ProductStep step, std::span<const Ref> reads = {}, std::span<const Ref> writes = {});

// The same in plain loops, for every type that products have: natural order, double sums for float32.
void emit_reference(PlanBuilder& builder, const char* name, std::int32_t dtype, const Problem& problem, Ref a, Ref b, Ref c,
                    const Addend& addend = {}, std::span<const Ref> reads = {}, std::span<const Ref> writes = {});
bool reference_takes(std::int32_t dtype);

}  // namespace tenon::cpu::gemm
