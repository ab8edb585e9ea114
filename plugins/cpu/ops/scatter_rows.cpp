#include "plugins/cpu/ops/scatter_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/scatter_rows.cpp"
#include "plugins/cpu/simd.h"
// After simd.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

HWY_ATTR void add_rows_kernel(float* to, const float* from, std::int64_t row, const RowPairs& pairs, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 4> few;  // masked stores are slow, and what they wrote slow to read again
  constexpr std::int64_t ahead = 6;   // rows, which stand anywhere
  constexpr std::int64_t line = 16;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), some = static_cast<std::int64_t>(hn::Lanes(few));
  for (std::int64_t i = 0; i < pairs.count; ++i) {
    if (i + ahead < pairs.count) {
      const float *next_to = to + pairs.to[i + ahead] * row, *next_from = from + pairs.from[i + ahead] * row;
      for (std::int64_t j = begin; j < end; j += line) __builtin_prefetch(next_to + j, 1), __builtin_prefetch(next_from + j);
    }
    float* t = to + pairs.to[i] * row;
    const float* f = from + pairs.from[i] * row;
    std::int64_t j = begin;
    for (; j + lanes <= end; j += lanes) hn::StoreU(hn::Add(hn::LoadU(d, t + j), hn::LoadU(d, f + j)), d, t + j);
    for (; j + some <= end; j += some) hn::StoreU(hn::Add(hn::LoadU(few, t + j), hn::LoadU(few, f + j)), few, t + j);
    for (; j < end; ++j) t[j] += f[j];
  }
}

// Rows of one number: nothing to vectorise, everything to keep short.
HWY_ATTR void add_numbers_kernel(float* to, const float* from, const RowPairs& pairs) {
  for (std::int64_t i = 0; i < pairs.count; ++i) to[pairs.to[i]] += from[pairs.from[i]];
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

TENON_SIMD_EXPORT(add_rows_kernel);
TENON_SIMD_EXPORT(add_numbers_kernel);

void add_rows(float* to, const float* from, std::int64_t row, const RowPairs& pairs, std::int64_t begin, std::int64_t end) {
  if (row == 1 && begin < end) return TENON_SIMD(add_numbers_kernel)(to, from, pairs);
  TENON_SIMD(add_rows_kernel)(to, from, row, pairs, begin, end);
}

}  // namespace tenon::cpu
#endif
