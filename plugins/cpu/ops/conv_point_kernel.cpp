#include "plugins/cpu/ops/conv_point_kernel.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/conv_point_kernel.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#if HWY_TARGET <= HWY_AVX2
HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <int kTiles>
void point_tiles(const PointArgs& args) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  constexpr std::int64_t kLanes = hn::MaxLanes(hn::ScalableTag<float>()), kChannels = 2 * kLanes, kAhead = 12 * kChannels;
  const std::int64_t inputs = args.inputs, tile = inputs * kChannels;
  V sum[kTiles][2];
#pragma GCC unroll 4
  for (int t = 0; t < kTiles; ++t) {
    sum[t][0] = hn::LoadU(d, args.bias + t * kChannels);
    sum[t][1] = hn::LoadU(d, args.bias + t * kChannels + kLanes);
  }
  const float* w = args.weights;
  for (std::int64_t k = 0; k < inputs; ++k, w += kChannels) {
    const V x = hn::Set(d, args.x[k]);
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) {
      const float* wt = w + t * tile;
      __builtin_prefetch(wt + kAhead);
      if constexpr (kLanes == 16) __builtin_prefetch(wt + kAhead + kLanes);
      sum[t][0] = hn::MulAdd(x, hn::LoadU(d, wt), sum[t][0]);
      sum[t][1] = hn::MulAdd(x, hn::LoadU(d, wt + kLanes), sum[t][1]);
    }
  }
  const V low = hn::Set(d, args.low), high = hn::Set(d, args.high);
#pragma GCC unroll 4
  for (int t = 0; t < kTiles; ++t)
    for (int j = 0; j < 2; ++j)
      hn::StoreU(hn::Min(high, hn::Max(low, sum[t][j])), d, args.y + t * kChannels + j * kLanes);  // in this order NaN stays
}

void point(const PointArgs& args) {
  static constexpr PointFn kTiles[] = {point_tiles<1>, point_tiles<2>, point_tiles<3>, point_tiles<4>};
  kTiles[args.tiles - 1](args);
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tenon::cpu {

PointFn point_products(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return &N_AVX3::point;
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return &N_AVX2::point;
#endif
  return nullptr;
}

}  // namespace tenon::cpu
#endif
