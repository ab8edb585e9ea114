#include "plugins/cpu/ops/norm_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/norm_kernels.cpp"
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
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using norm_math::load_tail;
using norm_math::store_tail;

// Calls f(offset, count, whole) for vectors of up to Lanes elements; count is Lanes where whole.
template <class F>
HWY_INLINE HWY_ATTR void sweep(const D d, std::int64_t n, const F& f) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(i, lanes, hwy::SizeTag<1>());
  if (i < n) f(i, n - i, hwy::SizeTag<0>());
}

template <std::size_t Whole>
HWY_INLINE HWY_ATTR V load(const D d, const float* p, std::int64_t n, hwy::SizeTag<Whole>, V fill) {
  if constexpr (Whole == 1) return hn::LoadU(d, p);
  else return load_tail(d, p, n, fill);
}
template <std::size_t Whole>
HWY_INLINE HWY_ATTR void store(const V v, const D d, float* p, std::int64_t n, hwy::SizeTag<Whole>) {
  if constexpr (Whole == 1) hn::StoreU(v, d, p);
  else store_tail(v, d, p, n);
}

HWY_ATTR LayerStats<float> layer_kernel(const LayerRow<float>& r, std::int64_t n, float epsilon, bool rms) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V zero = hn::Zero(d);
  const float* t = r.x;
  V a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  const float count = static_cast<float>(n);
  if (r.skip || r.bias) {
    float* sum = r.sum ? r.sum : r.y;
    sweep(d, n, [&](std::int64_t i, std::int64_t k, auto whole) HWY_ATTR {
      V v = load(d, r.x + i, k, whole, zero);
      if (r.skip) v = hn::Add(v, load(d, r.skip + i, k, whole, zero));
      if (r.bias) v = hn::Add(v, load(d, r.bias + i, k, whole, zero));
      store(v, d, sum + i, k, whole);
    });
    t = sum;
  } else if (r.sum) {
    for (std::int64_t i = 0; i < n; ++i) r.sum[i] = r.x[i];
  }
  float mean = 0;
  std::int64_t i = 0;
  if (!rms) {
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
      a0 = hn::Add(a0, hn::LoadU(d, t + i));
      a1 = hn::Add(a1, hn::LoadU(d, t + i + lanes));
      a2 = hn::Add(a2, hn::LoadU(d, t + i + 2 * lanes));
      a3 = hn::Add(a3, hn::LoadU(d, t + i + 3 * lanes));
    }
    for (; i + lanes <= n; i += lanes) a0 = hn::Add(a0, hn::LoadU(d, t + i));
    if (i < n) a1 = hn::Add(a1, load_tail(d, t + i, n - i, zero));
    mean = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)))) / count;
  }
  const V m = hn::Set(d, mean);
  a0 = a1 = a2 = a3 = zero;
  i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    const V v0 = hn::Sub(hn::LoadU(d, t + i), m), v1 = hn::Sub(hn::LoadU(d, t + i + lanes), m);
    const V v2 = hn::Sub(hn::LoadU(d, t + i + 2 * lanes), m), v3 = hn::Sub(hn::LoadU(d, t + i + 3 * lanes), m);
    a0 = hn::MulAdd(v0, v0, a0), a1 = hn::MulAdd(v1, v1, a1), a2 = hn::MulAdd(v2, v2, a2), a3 = hn::MulAdd(v3, v3, a3);
  }
  for (; i + lanes <= n; i += lanes) {
    const V v = hn::Sub(hn::LoadU(d, t + i), m);
    a0 = hn::MulAdd(v, v, a0);
  }
  if (i < n) {
    const V v = hn::Sub(load_tail(d, t + i, n - i, m), m);
    a1 = hn::MulAdd(v, v, a1);
  }
  const float square = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a0, a1), hn::Add(a2, a3))));
  const float inv = 1.0f / __builtin_sqrtf(square / count + epsilon);
  const V vi = hn::Set(d, inv);
  if (r.gamma && r.beta) {
    sweep(d, n, [&](std::int64_t j, std::int64_t k, auto whole) HWY_ATTR {
      const V v = hn::Mul(hn::Sub(load(d, t + j, k, whole, zero), m), vi);
      store(hn::MulAdd(v, load(d, r.gamma + j, k, whole, zero), load(d, r.beta + j, k, whole, zero)), d, r.y + j, k, whole);
    });
  } else {
    sweep(d, n, [&](std::int64_t j, std::int64_t k, auto whole) HWY_ATTR {
      V v = hn::Mul(hn::Sub(load(d, t + j, k, whole, zero), m), vi);
      if (r.gamma) v = hn::Mul(v, load(d, r.gamma + j, k, whole, zero));
      if (r.beta) v = hn::Add(v, load(d, r.beta + j, k, whole, zero));
      store(v, d, r.y + j, k, whole);
    });
  }
  return {mean, inv};
}

// Rows of at most one vector.
HWY_ATTR void softmax_short_rows(const float* x, const float* mask, float scale, std::int64_t rows, std::int64_t n, bool log, float* y) {
  const D d;
  const V low = hn::Set(d, -HUGE_VALF), zero = hn::Zero(d), s = hn::Set(d, scale);
  const auto first = hn::FirstN(d, static_cast<std::size_t>(n));
  const V m = mask ? load_tail(d, mask, n, zero) : zero;
  for (std::int64_t r = 0; r < rows; ++r) {
    const V t = hn::IfThenElse(first, hn::MulAdd(load_tail(d, x + r * n, n, zero), s, m), low);
    const V shifted = hn::Sub(t, hn::MaxOfLanes(d, t));
    const V e = hn::IfThenElseZero(first, norm_math::exp_negative(d, shifted));
    const V sum = hn::SumOfLanes(d, e);
    const V v = log ? hn::Sub(shifted, hn::Set(d, __builtin_logf(hn::GetLane(sum)))) : hn::Div(e, sum);
    store_tail(v, d, y + r * n, n);
  }
}

// Fills y with exp(t - top) unless y is null, and returns the sum.
HWY_INLINE HWY_ATTR V exp_row(const D d, const float* t, V top, std::int64_t n, float* y) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t i = 0;
  const auto one = [&](std::int64_t at, V& sum) HWY_ATTR {
    const V e = norm_math::exp_negative(d, hn::Sub(hn::LoadU(d, t + at), top));
    if (y) hn::StoreU(e, d, y + at);
    sum = hn::Add(sum, e);
  };
  for (; i + 4 * lanes <= n; i += 4 * lanes) one(i, s0), one(i + lanes, s1), one(i + 2 * lanes, s2), one(i + 3 * lanes, s3);
  for (; i + lanes <= n; i += lanes) one(i, s0);
  if (i < n) {
    const auto first = hn::FirstN(d, static_cast<std::size_t>(n - i));
    const V e = hn::IfThenElseZero(first, norm_math::exp_negative(d, hn::Sub(load_tail(d, t + i, n - i, top), top)));
    if (y) store_tail(e, d, y + i, n - i);
    s1 = hn::Add(s1, e);
  }
  return hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

HWY_ATTR void softmax_row_kernel(const float* x, const float* mask, float scale, std::int64_t n, bool log, float* y) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V low = hn::Set(d, -HUGE_VALF), zero = hn::Zero(d);
  V t0 = low, t1 = low, t2 = low, t3 = low;
  const float* t = x;
  if (mask || scale != 1.0f) {
    const V s = hn::Set(d, scale);
    sweep(d, n, [&](std::int64_t i, std::int64_t k, auto whole) HWY_ATTR {
      V v = hn::Mul(load(d, x + i, k, whole, zero), s);
      if (mask) v = hn::Add(v, load(d, mask + i, k, whole, zero));
      store(v, d, y + i, k, whole);
      if (k < lanes) v = hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(k)), v, low);
      t0 = hn::Max(t0, v);
    });
    t = y;
  } else {
    std::int64_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
      t0 = hn::Max(t0, hn::LoadU(d, x + i));
      t1 = hn::Max(t1, hn::LoadU(d, x + i + lanes));
      t2 = hn::Max(t2, hn::LoadU(d, x + i + 2 * lanes));
      t3 = hn::Max(t3, hn::LoadU(d, x + i + 3 * lanes));
    }
    for (; i + lanes <= n; i += lanes) t0 = hn::Max(t0, hn::LoadU(d, x + i));
    if (i < n) t1 = hn::Max(t1, load_tail(d, x + i, n - i, low));
  }
  const V top = hn::MaxOfLanes(d, hn::Max(hn::Max(t0, t1), hn::Max(t2, t3)));
  if (log) {
    const V shift = hn::Set(d, __builtin_logf(hn::GetLane(exp_row(d, t, top, n, nullptr))));
    sweep(d, n, [&](std::int64_t j, std::int64_t k, auto whole) HWY_ATTR {
      store(hn::Sub(hn::Sub(load(d, t + j, k, whole, zero), top), shift), d, y + j, k, whole);
    });
    return;
  }
  const V inv = hn::Div(hn::Set(d, 1.0f), exp_row(d, t, top, n, y));
  sweep(d, n, [&](std::int64_t j, std::int64_t k, auto whole) HWY_ATTR {
    store(hn::Mul(load(d, y + j, k, whole, zero), inv), d, y + j, k, whole);
  });
}

HWY_ATTR void softmax_rows_kernel(const float* x, const float* mask, float scale, std::int64_t rows, std::int64_t n, bool log, float* y) {
  if (n <= static_cast<std::int64_t>(hn::Lanes(D()))) return softmax_short_rows(x, mask, scale, rows, n, log, y);
  for (std::int64_t r = 0; r < rows; ++r) softmax_row_kernel(x + r * n, mask, scale, n, log, y + r * n);
}

HWY_ATTR void softmax_columns_kernel(const float* x, std::int64_t n, std::int64_t stride, std::int64_t cols, bool log, float* y) {
  const D d;
  const V zero = hn::Zero(d);
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  sweep(d, cols, [&](std::int64_t c, std::int64_t k, auto whole) HWY_ATTR {
    V top = hn::Set(d, -HUGE_VALF), sum = zero;
    for (std::int64_t i = 0; i < n; ++i) top = hn::Max(top, load(d, x + i * stride + c, k, whole, zero));
    for (std::int64_t i = 0; i < n; ++i) {
      const V e = norm_math::exp_negative(d, hn::Sub(load(d, x + i * stride + c, k, whole, zero), top));
      if (!log) store(e, d, y + i * stride + c, k, whole);
      sum = hn::Add(sum, e);
    }
    if (log) {
      hn::Store(sum, d, lanes);
      for (std::int64_t i = 0; i < k; ++i) lanes[i] = __builtin_logf(lanes[i]);
      const V shift = hn::Load(d, lanes);
      for (std::int64_t i = 0; i < n; ++i) {
        store(hn::Sub(hn::Sub(load(d, x + i * stride + c, k, whole, zero), top), shift), d, y + i * stride + c, k, whole);
      }
      return;
    }
    const V inv = hn::Div(hn::Set(d, 1.0f), sum);
    for (std::int64_t i = 0; i < n; ++i) {
      store(hn::Mul(load(d, y + i * stride + c, k, whole, zero), inv), d, y + i * stride + c, k, whole);
    }
  });
}

HWY_ATTR void lrn_kernel(const float* x, const float* squares, std::int64_t n, float alpha, float beta, float bias, float* y) {
  const D d;
  const V a = hn::Set(d, alpha), b = hn::Set(d, bias), one = hn::Set(d, 1.0f), zero = hn::Zero(d);
  if (beta == 0.75f || beta == 0.5f || beta == 1.0f) {
    sweep(d, n, [&](std::int64_t i, std::int64_t k, auto whole) HWY_ATTR {
      const V s = hn::MulAdd(a, load(d, squares + i, k, whole, one), b);
      V power = s;
      if (beta != 1.0f) power = hn::Sqrt(s);
      if (beta == 0.75f) power = hn::Mul(power, hn::Sqrt(power));
      store(hn::Div(load(d, x + i, k, whole, zero), power), d, y + i, k, whole);
    });
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] * __builtin_powf(bias + alpha * squares[i], -beta);
}

HWY_ATTR void add_squares_kernel(const float* x, std::int64_t n, float* acc) {
  const D d;
  const V zero = hn::Zero(d);
  sweep(d, n, [&](std::int64_t i, std::int64_t k, auto whole) HWY_ATTR {
    const V v = load(d, x + i, k, whole, zero);
    store(hn::MulAdd(v, v, load(d, acc + i, k, whole, zero)), d, acc + i, k, whole);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

TENON_SIMD_EXPORT(layer_kernel);
TENON_SIMD_EXPORT(softmax_rows_kernel);
TENON_SIMD_EXPORT(softmax_columns_kernel);
TENON_SIMD_EXPORT(lrn_kernel);
TENON_SIMD_EXPORT(add_squares_kernel);

LayerStats<float> layer_norm_row(const LayerRow<float>& row, std::int64_t n, float epsilon, bool rms) {
  return TENON_SIMD(layer_kernel)(row, n, epsilon, rms);
}

void softmax_rows(const float* x, const float* mask, float scale, std::int64_t rows, std::int64_t n, bool log, float* y) {
  TENON_SIMD(softmax_rows_kernel)(x, mask, scale, rows, n, log, y);
}

void softmax_columns(const float* x, std::int64_t n, std::int64_t stride, std::int64_t cols, bool log, float* y) {
  TENON_SIMD(softmax_columns_kernel)(x, n, stride, cols, log, y);
}

void lrn_row(const float* x, const float* squares, std::int64_t n, float alpha, float beta, float bias, float* y) {
  TENON_SIMD(lrn_kernel)(x, squares, n, alpha, beta, bias, y);
}

void add_squares(const float* x, std::int64_t n, float* acc) { TENON_SIMD(add_squares_kernel)(x, n, acc); }

}  // namespace tenon::cpu
#endif
