#include "plugins/cpu/ops/scatter_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/scatter_rows.cpp"
#include "plugins/cpu/simd.h"
// After simd.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "plugins/cpu/ops/norm_simd-inl.h"

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

constexpr std::int32_t ahead = 8;  // rows of lists, which stand anywhere

// N vectors of one target and of the rows first to last of its list, which stand where `from` says.
template <int N, class D>
HWY_INLINE void add_columns(D d, float* to, const float* from, std::int64_t row, const RowLists& lists, std::int32_t first, std::int32_t last) {
  constexpr std::int64_t line = 16;
  const std::int32_t all = lists.ends[lists.targets - 1];
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::VFromD<D> sum[N];
#pragma GCC unroll 4
  for (int u = 0; u < N; ++u) sum[u] = hn::LoadU(d, to + u * lanes);
  for (std::int32_t i = first; i < last; ++i) {
    if (i + ahead < all) {
      const float* next = from + lists.from[i + ahead] * row;
      for (std::int64_t at = 0; at < N * lanes; at += line) __builtin_prefetch(next + at);
    }
    const float* f = from + lists.from[i] * row;
#pragma GCC unroll 4
    for (int u = 0; u < N; ++u) sum[u] = hn::Add(sum[u], hn::LoadU(d, f + u * lanes));
  }
#pragma GCC unroll 4
  for (int u = 0; u < N; ++u) hn::StoreU(sum[u], d, to + u * lanes);
}

// The same of `count` columns, fewer than a vector has.
template <class D>
HWY_INLINE void add_last_columns(D d, float* to, const float* from, std::int64_t row, const RowLists& lists, std::int32_t first,
                                 std::int32_t last, std::int64_t count) {
  const std::int32_t all = lists.ends[lists.targets - 1];
  auto sum = norm_math::load_tail(d, to, count, hn::Zero(d));
  for (std::int32_t i = first; i < last; ++i) {
    if (i + ahead < all) __builtin_prefetch(from + lists.from[i + ahead] * row);
    sum = hn::Add(sum, norm_math::load_tail(d, from + lists.from[i] * row, count, hn::Zero(d)));
  }
  norm_math::store_tail(sum, d, to, count);
}

HWY_ATTR void add_row_lists_kernel(float* to, const float* from, std::int64_t row, const RowLists& lists, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<float> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int32_t first = 0;
  for (std::int64_t t = 0; t < lists.targets; ++t, to += row) {
    const std::int32_t last = lists.ends[t];
    if (first == last) continue;
    std::int64_t j = begin;
    for (; j + 4 * lanes <= end; j += 4 * lanes) add_columns<4>(d, to + j, from + j, row, lists, first, last);
    for (; j + lanes <= end; j += lanes) add_columns<1>(d, to + j, from + j, row, lists, first, last);
    if (j < end) add_last_columns(d, to + j, from + j, row, lists, first, last, end - j);
    first = last;
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
TENON_SIMD_EXPORT(add_row_lists_kernel);

void add_rows(float* to, const float* from, std::int64_t row, const RowPairs& pairs, std::int64_t begin, std::int64_t end) {
  if (row == 1 && begin < end) return TENON_SIMD(add_numbers_kernel)(to, from, pairs);
  TENON_SIMD(add_rows_kernel)(to, from, row, pairs, begin, end);
}

void add_row_lists(float* to, const float* from, std::int64_t row, const RowLists& lists, std::int64_t begin, std::int64_t end) {
  if (lists.targets > 0 && begin < end) TENON_SIMD(add_row_lists_kernel)(to, from, row, lists, begin, end);
}

}  // namespace tenon::cpu
#endif
