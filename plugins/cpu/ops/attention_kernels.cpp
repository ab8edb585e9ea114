#include "plugins/cpu/ops/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/attention_kernels.cpp"
#include "plugins/cpu/simd.h"
// After simd.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "plugins/cpu/ops/norm_simd-inl.h"
#include "plugins/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

HWY_ATTR void softcap_kernel(float* x, std::int64_t n, float cap) {
  const hn::ScalableTag<float> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto c = hn::Set(d, cap), inv = hn::Set(d, 1.0f / cap);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Mul(c, HWY_NAMESPACE::tanh(d, hn::Mul(inv, hn::LoadU(d, x + i)))), d, x + i);
  if (i < n) {
    const auto v = norm_math::load_tail(d, x + i, n - i, c);
    norm_math::store_tail(hn::Mul(c, HWY_NAMESPACE::tanh(d, hn::Mul(inv, v))), d, x + i, n - i);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

TENON_SIMD_EXPORT(softcap_kernel);

void softcap_run(float* x, std::int64_t n, float cap) { TENON_SIMD(softcap_kernel)(x, n, cap); }

}  // namespace tenon::cpu
#endif
