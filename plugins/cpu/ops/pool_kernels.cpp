#include "plugins/cpu/ops/pool_kernels.h"

#include <type_traits>

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/pool_kernels.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Max of a and b; b where a is NaN.
struct TakeMax {
  template <class D, class V>
  HWY_INLINE V operator()(D, V acc, V x) const {
    return hn::Max(x, acc);
  }
  template <class T>
  HWY_INLINE T one(T acc, T x) const {
    return x > acc ? x : acc;
  }
};
struct TakeSum {
  template <class D, class V>
  HWY_INLINE V operator()(D, V acc, V x) const {
    return hn::Add(acc, x);
  }
  template <class T>
  HWY_INLINE T one(T acc, T x) const {
    return static_cast<T>(acc + x);
  }
};

template <class T, class F>
void fold(T* acc, const T* x, std::int64_t n) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const F f;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(d, hn::LoadU(d, acc + i), hn::LoadU(d, x + i)), d, acc + i);
  for (; i < n; ++i) acc[i] = f.one(acc[i], x[i]);
}

// kLanes channels at a time; block is a multiple.
template <int kLanes, bool kMax>
void row_of(const PoolRow& r) {
  const hn::CappedTag<float, kLanes> d;
  for (std::int64_t o = 0; o < r.outputs; ++o) {
    const PoolSpan span = r.spans[o];
    const std::int64_t first = (o * r.stride - r.pad + span.begin * r.dilation) * r.block, step = r.dilation * r.block;
    const std::int64_t taps = span.end - span.begin;
    for (std::int64_t c = 0; c < r.block; c += kLanes) {
      auto acc = hn::Set(d, kMax ? -__builtin_inff() : 0.0f);
      for (std::int64_t k = 0; k < r.row_count; ++k) {
        const float* x = r.rows[k] + first + c;
        for (std::int64_t t = 0; t < taps; ++t, x += step) {
          if constexpr (kMax) acc = hn::Max(hn::LoadU(d, x), acc);
          else acc = hn::Add(acc, hn::LoadU(d, x));
        }
      }
      if constexpr (!kMax) acc = hn::Div(acc, hn::Set(d, static_cast<float>(r.outer_count * span.count)));
      hn::StoreU(acc, d, r.out + o * r.block + c);
    }
  }
}

// First down the rows of the windows, then along the row.
template <bool kMax>
void dense_row(const DenseRow& r) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::conditional_t<kMax, TakeMax, TakeSum> f;
  constexpr float nothing = kMax ? -__builtin_inff() : 0.0f;
  float* to = r.folded + r.left;
  std::int64_t i = 0;
  for (; i + lanes <= r.inside; i += lanes) {
    auto acc = hn::Set(d, nothing);
    for (std::int64_t k = 0; k < r.row_count; ++k) acc = f(d, acc, hn::LoadU(d, r.rows[k] + i));
    hn::StoreU(acc, d, to + i);
  }
  for (; i < r.inside; ++i) {
    to[i] = nothing;
    for (std::int64_t k = 0; k < r.row_count; ++k) to[i] = f.one(to[i], r.rows[k][i]);
  }
  std::int64_t o = 0;
#if HWY_TARGET != HWY_SCALAR
  if (r.stride <= 2 && (r.stride == 1 || r.dilation == 1))
    for (; o + lanes <= r.outputs; o += lanes) {
      auto acc = hn::Set(d, nothing);
      const float* x = r.folded + o * r.stride;
      if (r.stride == 1) {
        for (std::int64_t k = 0; k < r.kernel; ++k) acc = f(d, acc, hn::LoadU(d, x + k * r.dilation));
      } else {
        for (std::int64_t k = 0; k < r.kernel; k += 2) {
          hn::Vec<decltype(d)> even, odd;
          hn::LoadInterleaved2(d, x + k, even, odd);
          acc = f(d, acc, even);
          if (k + 1 < r.kernel) acc = f(d, acc, odd);
        }
      }
      if constexpr (!kMax) acc = hn::Div(acc, hn::LoadU(d, r.counts + o));
      hn::StoreU(acc, d, r.out + o);
    }
#endif
  for (; o < r.outputs; ++o) {
    float acc = nothing;
    for (std::int64_t k = 0; k < r.kernel; ++k) acc = f.one(acc, r.folded[o * r.stride + k * r.dilation]);
    if constexpr (!kMax) acc /= r.counts[o];
    r.out[o] = acc;
  }
}

template <bool kMax>
void row(const PoolRow& r) {
#if HWY_TARGET <= HWY_AVX3
  if (r.block % 16 == 0) return row_of<16, kMax>(r);
#endif
#if HWY_TARGET == HWY_SCALAR
  row_of<1, kMax>(r);
#else
  row_of<8, kMax>(r);
#endif
}

const PoolKernels& pool_kernel_table() {
  static constexpr PoolKernels kTable{&fold<std::uint8_t, TakeMax>, &fold<std::int8_t, TakeMax>,
                                      &row<true>, &row<false>, &dense_row<true>, &dense_row<false>};
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

const PoolKernels& pool_kernels(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return N_AVX3::pool_kernel_table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return N_AVX2::pool_kernel_table();
#endif
  return HWY_STATIC_DISPATCH(pool_kernel_table)();
}

}  // namespace tenon::cpu
#endif
