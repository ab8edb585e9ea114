// Vectors of float32 for the norms and reductions: loads and stores of part of a vector, exponential of numbers up to 0.
// Per-target part: included once for each Highway target.
#if defined(TENON_CPU_NORM_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TENON_CPU_NORM_SIMD_INL_H
#undef TENON_CPU_NORM_SIMD_INL_H
#else
#define TENON_CPU_NORM_SIMD_INL_H
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {
namespace norm_math {

namespace hn = hwy::HWY_NAMESPACE;

// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, for x <= 0 or NaN; below -87 it is 0. Relative error 2e-7.
template <class D, class V = hn::Vec<D>>
HWY_INLINE HWY_ATTR V exp_negative(D d, V x) {
  const hn::RebindToSigned<D> di;
  // Adding 1.5 * 2^23 rounds to an integer; with 127 more, the low bits are the exponent field of 2^n.
  const V magic = hn::Set(d, 12582912.0f + 127.0f);
  const V t = hn::MulAdd(x, hn::Set(d, 1.44269504088896341f), magic);
  const V scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, t)));
  const V r = hn::NegMulAdd(hn::Sub(t, magic), hn::Set(d, 0.693147180559945309f), x);
  V p = hn::MulAdd(hn::Set(d, 0.008290272206068039f), r, hn::Set(d, 0.04189816117286682f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.1666763871908188f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.4999914765357971f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.9999997019767761f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.0f)), hn::Mul(p, scale));
}

// The first n < Lanes(d) elements of p; `fill` in the others. Reads nothing beyond n.
template <class D>
HWY_INLINE HWY_ATTR hn::Vec<D> load_tail(D d, const float* p, std::int64_t n, hn::Vec<D> fill) {
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(n));
#if HWY_TARGET <= HWY_AVX2
  return hn::IfThenElse(mask, hn::MaskedLoad(mask, d, p), fill);
#else
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)] = {};
  for (std::int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return hn::IfThenElse(mask, hn::Load(d, lanes), fill);
#endif
}

// Stores the first n < Lanes(d) elements.
template <class D>
HWY_INLINE HWY_ATTR void store_tail(hn::Vec<D> v, D d, float* p, std::int64_t n) {
#if HWY_TARGET <= HWY_AVX2
  hn::BlendedStore(v, hn::FirstN(d, static_cast<std::size_t>(n)), d, p);
#else
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(v, d, lanes);
  for (std::int64_t i = 0; i < n; ++i) p[i] = lanes[i];
#endif
}

}  // namespace norm_math
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#endif
