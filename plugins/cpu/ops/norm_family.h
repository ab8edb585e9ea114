// The files that norm_rows() gathers, and what they share.
// Read-only tables; any thread.
#pragma once

#include <algorithm>
#include <span>

#include "plugins/cpu/epilogue.h"
#include "plugins/cpu/op.h"

namespace tenon::cpu {

std::span<const OpRow> layer_norm_rows();  // norm.cpp: LayerNormalization, RMSNormalization and their com.microsoft kin
std::span<const OpRow> batch_norm_rows();  // norm_batch.cpp
std::span<const OpRow> group_norm_rows();  // norm_group.cpp: InstanceNormalization, GroupNormalization
std::span<const OpRow> softmax_rows();     // softmax.cpp: Softmax, LogSoftmax
std::span<const OpRow> lrn_rows();         // lrn.cpp: LRN, LpNormalization

// Emits the (logarithm of the) softmax along the middle one of [outer, n, inner].
void plan_softmax(PlanBuilder& builder, std::int32_t dtype, std::int64_t outer, std::int64_t n, std::int64_t inner, bool log, Ref x, Ref y);

// True when every item is a function of the tile alone, so that neither layout nor position matter.
inline bool pointwise(const Epilogue& epilogue) {
  return std::none_of(epilogue.items().begin(), epilogue.items().end(), [](const EpilogueItem& item) { return item.binary; });
}

// apply_epilogue for elements [offset, offset + n) that may lie in several rows.
inline void apply_epilogue_rows(const EpiloguePlan& plan, const StepContext& context, float* x, std::int64_t offset, std::int64_t n) {
  if (plan.count == 0) return;
  const std::int64_t last = plan.rank > 0 ? plan.dims[plan.rank - 1] : 1;
  while (n > 0) {
    const std::int64_t part = std::min(n, last - offset % last);
    apply_epilogue(plan, context, x, offset, part);
    x += part, offset += part, n -= part;
  }
}

// Lets the output take input 0's memory, unless the epilogue reads that input once more.
inline void offer_inplace(PlanBuilder& builder, const Epilogue& epilogue) {
  for (const EpilogueItem& item : epilogue.items()) {
    if (item.binary && builder.in_ref(item.input).operand == builder.in_ref(0).operand) return;
  }
  builder.inplace(0, 0);
}

}  // namespace tenon::cpu
