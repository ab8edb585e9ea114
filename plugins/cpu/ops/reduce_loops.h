// ReduceLoops: the loops of a ReduceShape as a step carries them.
//
// Trivially copyable; the arrays are kept by the plan. Any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/ops/reduce.h"

namespace tenon::cpu {

constexpr int max_reduce_loops = 16;

struct ReduceLoops {
  const ReduceLoop* kept;
  const ReduceLoop* reduced;
  std::int32_t kept_count, reduced_count;
  std::int64_t units, folded, cols;

  std::int64_t unit_offset(std::int64_t unit) const {
    std::int64_t offset = 0;
    for (std::int32_t i = kept_count; i-- > 0;) {
      offset += unit % kept[i].size * kept[i].stride;
      unit /= kept[i].size;
    }
    return offset;
  }

  // Calls f(offset, size, stride) for each innermost reduced loop, the outermost one limited to [begin, end).
  template <class F>
  void each(std::int64_t begin, std::int64_t end, const F& f) const {
    const ReduceLoop inner = reduced[reduced_count - 1];
    if (reduced_count == 1) {
      f(begin * inner.stride, end - begin, inner.stride);
      return;
    }
    if (folded == 0 || begin >= end) return;
    std::int64_t index[max_reduce_loops] = {};
    index[0] = begin;
    for (;;) {
      std::int64_t offset = 0;
      for (std::int32_t i = 0; i < reduced_count - 1; ++i) offset += index[i] * reduced[i].stride;
      f(offset, inner.size, inner.stride);
      std::int32_t i = reduced_count - 2;
      for (; i >= 0; --i) {
        if (++index[i] < (i == 0 ? end : reduced[i].size)) break;
        index[i] = 0;
      }
      if (i < 0) return;
    }
  }
};

inline Fold fold_of(ReduceKind kind) {
  switch (kind) {
    case ReduceKind::max: return Fold::max;
    case ReduceKind::min: return Fold::min;
    case ReduceKind::prod: return Fold::prod;
    case ReduceKind::l1: return Fold::sum_abs;
    case ReduceKind::l2:
    case ReduceKind::sum_square: return Fold::sum_square;
    case ReduceKind::log_sum_exp: return Fold::sum_exp;
    default: return Fold::sum;
  }
}

// Scalar loops for every type: the oracle of float32.
void plan_reduce_plain(PlanBuilder& builder, ReduceKind kind, std::int32_t dtype, const ReduceLoops& loops, Ref x, Ref y);

}  // namespace tenon::cpu
