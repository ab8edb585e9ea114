#include "plugins/cpu/ops/conv_depthwise_kernel.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/conv_depthwise_kernel.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// kColumns outputs from o on, for channels [c, c + lanes), with kernel positions [begin, end) only.
template <int kLanes, int kColumns>
HWY_INLINE void depthwise_columns(const DepthwiseRow& r, std::int64_t c, std::int64_t o, std::int64_t begin, std::int64_t end) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  const std::int64_t block = r.block, step = r.stride * block, tap = r.dilation * block;
  const std::int64_t first = (o * r.stride - r.pad + begin * r.dilation) * block + c;
  V sum[kColumns];
#pragma GCC unroll 8
  for (int t = 0; t < kColumns; ++t) sum[t] = hn::LoadU(d, r.bias + c);
  if (r.residual) {
#pragma GCC unroll 8
    for (int t = 0; t < kColumns; ++t) sum[t] = hn::Add(sum[t], hn::LoadU(d, r.residual + (o + t) * block + c));
  }
  for (std::int64_t k = 0; k < r.row_count; ++k) {
    const float* x = r.rows[k] + first;
    const float* w = r.weights[k] + begin * 16 + c;
    for (std::int64_t i = begin; i < end; ++i, x += tap, w += 16) {
      const V vw = hn::LoadU(d, w);
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) sum[t] = hn::MulAdd(hn::LoadU(d, x + t * step), vw, sum[t]);
    }
  }
  const V low = hn::Set(d, r.low), high = hn::Set(d, r.high);
#pragma GCC unroll 8
  for (int t = 0; t < kColumns; ++t) hn::StoreU(hn::Min(high, hn::Max(low, sum[t])), d, r.dst + (o + t) * block + c);
}

template <int kLanes>
HWY_INLINE void depthwise_some(const DepthwiseRow& r, std::int64_t c, std::int64_t o, std::int64_t count) {
  switch (count) {
    case 8: return depthwise_columns<kLanes, 8>(r, c, o, 0, r.kernel);
    case 7: return depthwise_columns<kLanes, 7>(r, c, o, 0, r.kernel);
    case 6: return depthwise_columns<kLanes, 6>(r, c, o, 0, r.kernel);
    case 5: return depthwise_columns<kLanes, 5>(r, c, o, 0, r.kernel);
    case 4: return depthwise_columns<kLanes, 4>(r, c, o, 0, r.kernel);
    case 3: return depthwise_columns<kLanes, 3>(r, c, o, 0, r.kernel);
    case 2: return depthwise_columns<kLanes, 2>(r, c, o, 0, r.kernel);
    default: return depthwise_columns<kLanes, 1>(r, c, o, 0, r.kernel);
  }
}

// An output whose window reaches over an edge of the row.
template <int kLanes>
HWY_INLINE void depthwise_edge(const DepthwiseRow& r, std::int64_t c, std::int64_t o) {
  const std::int64_t at = o * r.stride - r.pad;
  std::int64_t begin = at >= 0 ? 0 : (-at + r.dilation - 1) / r.dilation;
  std::int64_t end = at >= r.in ? 0 : (r.in - at + r.dilation - 1) / r.dilation;
  begin = begin < r.kernel ? begin : r.kernel;
  end = end < r.kernel ? end : r.kernel;
  depthwise_columns<kLanes, 1>(r, c, o, begin, end);
}

template <int kLanes>
HWY_INLINE void depthwise_piece(const DepthwiseRow& r, std::int64_t c) {
  // Outputs [left, right) read inside the row only.
  const std::int64_t reach = (r.kernel - 1) * r.dilation + 1, room = r.in + r.pad - reach;
  std::int64_t left = r.pad <= 0 ? 0 : (r.pad + r.stride - 1) / r.stride;
  left = left < r.out ? left : r.out;
  std::int64_t right = room < 0 ? 0 : room / r.stride + 1;
  right = right < r.out ? right : r.out;
  right = right < left ? left : right;
  for (std::int64_t o = 0; o < left; ++o) depthwise_edge<kLanes>(r, c, o);
  const std::int64_t columns = right - left, pieces = (columns + 7) / 8;
  for (std::int64_t p = 0; p < pieces; ++p) {
    const std::int64_t o = left + columns * p / pieces;
    depthwise_some<kLanes>(r, c, o, left + columns * (p + 1) / pieces - o);
  }
  for (std::int64_t o = right; o < r.out; ++o) depthwise_edge<kLanes>(r, c, o);
}

void depthwise(const DepthwiseRow& r) {
#if HWY_TARGET <= HWY_AVX3
  if (r.block % 16 == 0) {
    for (std::int64_t c = 0; c < r.block; c += 16) depthwise_piece<16>(r, c);
    return;
  }
#endif
#if HWY_TARGET == HWY_SCALAR
  for (std::int64_t c = 0; c < r.block; ++c) depthwise_piece<1>(r, c);
#else
  for (std::int64_t c = 0; c < r.block; c += 8) depthwise_piece<8>(r, c);
#endif
}

DepthwiseFn depthwise_function() { return &depthwise; }

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

DepthwiseFn depthwise_row(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return N_AVX3::depthwise_function();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return N_AVX2::depthwise_function();
#endif
  return HWY_STATIC_DISPATCH(depthwise_function)();
}

}  // namespace tenon::cpu
#endif
