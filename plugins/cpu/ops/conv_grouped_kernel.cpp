#include "plugins/cpu/ops/conv_grouped_kernel.h"

#include <utility>

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/conv_grouped_kernel.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#if HWY_TARGET <= HWY_AVX2
HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Where inputs beyond the edges of a row are read.
alignas(64) constexpr float kNothing[8] = {};

// Of a tile: one sum each, weights and an input must fit the registers, 32 with AVX-512, else 16.
constexpr int kMostColumns = HWY_TARGET <= HWY_AVX3 ? 14 : 8;

// kColumns outputs from o on. An input is spread over a vector once and used for all outputs that it is part of. Where columns are
// few and registers are not, the middle taps have sums of their own: three products in a row would have to wait for each other.
template <int kBlock, int kStride, int kColumns>
HWY_NOINLINE void grouped_tile(const GroupedRow& r, std::int64_t o) {
  const hn::CappedTag<float, 8> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kInputs = (kColumns - 1) * kStride + 3;
  constexpr bool kApart = kMostColumns > 8 && kColumns <= 8;
  const std::int64_t at = o * kStride - r.pad, dst_block = r.dst_block, count = r.count;
  const bool before = at < 0, beyond = at + kInputs > r.in;
  V sum[kColumns], middle[kColumns];
  const V bias = hn::LoadU(d, r.bias);
#pragma GCC unroll 16
  for (int t = 0; t < kColumns; ++t) sum[t] = bias, middle[t] = hn::Zero(d);
  if (r.residual) {
#pragma GCC unroll 16
    for (int t = 0; t < kColumns; ++t) sum[t] = hn::Add(sum[t], hn::LoadU(d, r.residual + (o + t) * dst_block));
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const float *x = r.inputs[i] + at * kBlock, *w = r.weights[i];
    const float *first = before ? kNothing : x, *last = beyond ? kNothing : x + (kInputs - 1) * kBlock;
    for (int k = 0; k < 8; ++k, ++x, ++first, ++last, w += 24) {
      const V w0 = hn::LoadU(d, w), w1 = hn::LoadU(d, w + 8), w2 = hn::LoadU(d, w + 16);
#pragma GCC unroll 32
      for (int p = 0; p < kInputs; ++p) {
        const V vx = hn::Set(d, p == 0 ? *first : p == kInputs - 1 ? *last : x[p * kBlock]);
        if (p % kStride == 0 && p / kStride < kColumns) sum[p / kStride] = hn::MulAdd(vx, w0, sum[p / kStride]);
        if (p >= 1 && (p - 1) % kStride == 0 && (p - 1) / kStride < kColumns) {
          V& to = (kApart ? middle : sum)[(p - 1) / kStride];
          to = hn::MulAdd(vx, w1, to);
        }
        if (p >= 2 && (p - 2) % kStride == 0) sum[(p - 2) / kStride] = hn::MulAdd(vx, w2, sum[(p - 2) / kStride]);
      }
    }
  }
  const V low = hn::Set(d, r.low), high = hn::Set(d, r.high);
  float* dst = r.dst + o * dst_block;
#pragma GCC unroll 16
  for (int t = 0; t < kColumns; ++t) {
    if (kApart) sum[t] = hn::Add(sum[t], middle[t]);
    hn::StoreU(hn::Min(high, hn::Max(low, sum[t])), d, dst + t * dst_block);  // in this order NaN stays
  }
}

template <int kBlock, int kStride, int... kColumns>
void grouped_tiles(const GroupedRow& r, std::integer_sequence<int, kColumns...>) {
  static constexpr void (*kTiles[])(const GroupedRow&, std::int64_t) = {grouped_tile<kBlock, kStride, kColumns + 1>...};
  const std::int64_t pieces = (r.out + kMostColumns - 1) / kMostColumns;
  if (pieces == 1) return kTiles[r.out - 1](r, 0);
  const std::int64_t columns = r.out / pieces, longer = r.out % pieces;  // so many have one column more
  for (std::int64_t p = 0, o = 0; p < pieces; ++p) {
    const std::int64_t some = columns + (p < longer ? 1 : 0);
    kTiles[some - 1](r, o);
    o += some;
  }
}

void grouped(const GroupedRow& r) {
  constexpr std::make_integer_sequence<int, kMostColumns> kColumns;
  if (r.src_block == 16) return r.stride == 1 ? grouped_tiles<16, 1>(r, kColumns) : grouped_tiles<16, 2>(r, kColumns);
  return r.stride == 1 ? grouped_tiles<8, 1>(r, kColumns) : grouped_tiles<8, 2>(r, kColumns);
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tenon::cpu {

GroupedFn grouped_row(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return &N_AVX3::grouped;
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return &N_AVX2::grouped;
#endif
  return nullptr;
}

}  // namespace tenon::cpu
#endif
