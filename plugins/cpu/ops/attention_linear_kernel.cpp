#include "plugins/cpu/ops/attention_linear_kernel.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/attention_linear_kernel.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// kVectors vectors of columns from column c on; they stay in registers while the rows go by.
template <int kVectors, class D>
void columns_of(D d, const LinearToken& t, std::int64_t c) {
  using V = hn::Vec<D>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V change[kVectors], sum[kVectors];
  for (int v = 0; v < kVectors; ++v) change[v] = hn::LoadU(d, t.value + c + v * lanes), sum[v] = hn::Zero(d);
  if (t.delta) {
    for (std::int64_t i = 0; i < t.key_depth; ++i) {
      const float* row = t.state + i * t.stride + c;
      const V key = hn::Set(d, t.decay ? t.key[i] * t.decay[i] : t.key[i]);
      for (int v = 0; v < kVectors; ++v) change[v] = hn::NegMulAdd(key, hn::LoadU(d, row + v * lanes), change[v]);
    }
    for (int v = 0; v < kVectors; ++v) change[v] = hn::Mul(change[v], hn::Set(d, t.rate));
  }
  for (std::int64_t i = 0; i < t.key_depth; ++i) {
    float* row = t.state + i * t.stride + c;
    const V key = hn::Set(d, t.key[i]), query = hn::Set(d, t.answers > 0 ? t.queries[i] : 0.0f);
    const V factor = hn::Set(d, t.decay ? t.decay[i] : 1.0f);
    for (int v = 0; v < kVectors; ++v) {
      V x = hn::LoadU(d, row + v * lanes);
      if (t.decay) x = hn::Mul(x, factor);
      x = hn::MulAdd(key, change[v], x);
      hn::StoreU(x, d, row + v * lanes);
      sum[v] = hn::MulAdd(query, x, sum[v]);
    }
  }
  for (std::int64_t a = 0; a < t.answers; ++a) {
    if (a > 0) {
      for (int v = 0; v < kVectors; ++v) sum[v] = hn::Zero(d);
      for (std::int64_t i = 0; i < t.key_depth; ++i) {
        const V query = hn::Set(d, t.queries[a * t.key_depth + i]);
        for (int v = 0; v < kVectors; ++v) sum[v] = hn::MulAdd(query, hn::LoadU(d, t.state + i * t.stride + c + v * lanes), sum[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[v], d, t.out + a * t.out_stride + c + v * lanes);
  }
}

void token(const LinearToken& t) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + 4 * lanes <= t.columns; c += 4 * lanes) columns_of<4>(d, t, c);
  for (; c + lanes <= t.columns; c += lanes) columns_of<1>(d, t, c);
  for (; c < t.columns; ++c) columns_of<1>(hn::CappedTag<float, 1>(), t, c);
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

TENON_SIMD_EXPORT(token);

void linear_token(const LinearToken& t) { TENON_SIMD(token)(t); }

}  // namespace tenon::cpu
#endif
