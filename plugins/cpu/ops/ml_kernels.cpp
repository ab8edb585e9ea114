#include "plugins/cpu/ops/ml_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/ml_kernels.cpp"
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
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using norm_math::load_tail;
using norm_math::store_tail;

HWY_ATTR float dot_kernel(const float* a, const float* b, std::int64_t n) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V zero = hn::Zero(d);
  V s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
    s1 = hn::MulAdd(hn::LoadU(d, a + i + lanes), hn::LoadU(d, b + i + lanes), s1);
    s2 = hn::MulAdd(hn::LoadU(d, a + i + 2 * lanes), hn::LoadU(d, b + i + 2 * lanes), s2);
    s3 = hn::MulAdd(hn::LoadU(d, a + i + 3 * lanes), hn::LoadU(d, b + i + 3 * lanes), s3);
  }
  for (; i + lanes <= n; i += lanes) s0 = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), s0);
  if (i < n) s1 = hn::MulAdd(load_tail(d, a + i, n - i, zero), load_tail(d, b + i, n - i, zero), s1);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

template <bool Distance>
HWY_INLINE HWY_ATTR V term(V x, V m, V acc) {
  if constexpr (!Distance) return hn::MulAdd(x, m, acc);
  const V t = hn::Sub(x, m);
  return hn::MulAdd(t, t, acc);
}

template <bool Distance>
HWY_ATTR void columns_of(const float* x, const float* m, std::int64_t rows, std::int64_t cols, float* out) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V zero = hn::Zero(d);
  std::int64_t c = 0;
  for (; c + 4 * lanes <= cols; c += 4 * lanes) {
    V s0 = zero, s1 = zero, s2 = zero, s3 = zero;
    for (std::int64_t r = 0; r < rows; ++r) {
      const V v = hn::Set(d, x[r]);
      const float* p = m + r * cols + c;
      s0 = term<Distance>(v, hn::LoadU(d, p), s0);
      s1 = term<Distance>(v, hn::LoadU(d, p + lanes), s1);
      s2 = term<Distance>(v, hn::LoadU(d, p + 2 * lanes), s2);
      s3 = term<Distance>(v, hn::LoadU(d, p + 3 * lanes), s3);
    }
    hn::StoreU(s0, d, out + c);
    hn::StoreU(s1, d, out + c + lanes);
    hn::StoreU(s2, d, out + c + 2 * lanes);
    hn::StoreU(s3, d, out + c + 3 * lanes);
  }
  for (; c + lanes <= cols; c += lanes) {
    V s = zero;
    for (std::int64_t r = 0; r < rows; ++r) s = term<Distance>(hn::Set(d, x[r]), hn::LoadU(d, m + r * cols + c), s);
    hn::StoreU(s, d, out + c);
  }
  if (c < cols) {
    V s = zero;
    for (std::int64_t r = 0; r < rows; ++r) s = term<Distance>(hn::Set(d, x[r]), load_tail(d, m + r * cols + c, cols - c, zero), s);
    store_tail(s, d, out + c, cols - c);
  }
}

HWY_ATTR void dot_columns_kernel(const float* x, const float* m, std::int64_t rows, std::int64_t cols, float* out) {
  columns_of<false>(x, m, rows, cols, out);
}
HWY_ATTR void distance_columns_kernel(const float* x, const float* m, std::int64_t rows, std::int64_t cols, float* out) {
  columns_of<true>(x, m, rows, cols, out);
}

HWY_ATTR void exp_kernel(const float* x, std::int64_t n, float scale, float* y) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V s = hn::Set(d, scale);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(HWY_NAMESPACE::exp(d, hn::Mul(s, hn::LoadU(d, x + i))), d, y + i);
  if (i < n) store_tail(HWY_NAMESPACE::exp(d, hn::Mul(s, load_tail(d, x + i, n - i, s))), d, y + i, n - i);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

TENON_SIMD_EXPORT(dot_kernel);
TENON_SIMD_EXPORT(dot_columns_kernel);
TENON_SIMD_EXPORT(distance_columns_kernel);
TENON_SIMD_EXPORT(exp_kernel);

float dot_run(const float* a, const float* b, std::int64_t n) { return TENON_SIMD(dot_kernel)(a, b, n); }

void dot_columns(const float* x, const float* m, std::int64_t rows, std::int64_t cols, float* out) {
  TENON_SIMD(dot_columns_kernel)(x, m, rows, cols, out);
}

void distance_columns(const float* x, const float* m, std::int64_t rows, std::int64_t cols, float* out) {
  TENON_SIMD(distance_columns_kernel)(x, m, rows, cols, out);
}

void exp_run(const float* x, std::int64_t n, float scale, float* y) { TENON_SIMD(exp_kernel)(x, n, scale, y); }

}  // namespace tenon::cpu
#endif
