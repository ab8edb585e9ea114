#include "plugins/cpu/ops/attention_online.h"

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

// p * 2^n for n from -126 to 0.
template <class D, class V>
HWY_INLINE V scale_down(D d, V p, Whole<V> w) {
#if HWY_TARGET == HWY_AVX3
  (void)d;
  return V{_mm512_scalef_ps(p.raw, w.n.raw)};
#else
  return p * power_of_two(d, w);
#endif
}

// 2^d for d <= 0 or NaN; below -126 it is 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE HWY_ATTR V exp2_negative(D d, V x) {
  constexpr float c[] = {1.0f, 0.693147242f, 0.24022235f, 0.0555030815f, 0.0096718967f, 0.00134072884f};
  const Whole<V> w = nearest_whole(d, x);
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -126.0f)), scale_down(d, polynomial(d, x - w.n, c), w));
}

template <bool kNatural, class D, class V = hn::Vec<D>>
HWY_INLINE HWY_ATTR V power(D d, V x) {
  return exp2_negative(d, kNatural ? hn::Mul(x, hn::Set(d, 1.44269504088896341f)) : x);
}

// Adds the mask; the greatest score.
HWY_ATTR float online_top(const OnlineRow& r) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), n = r.end - r.begin;
  const V low = hn::Set(d, -HUGE_VALF);
  for (std::int64_t j = 0; j < r.begin; ++j) r.x[j] = 0;
  for (std::int64_t j = r.end; j < r.n; ++j) r.x[j] = 0;
  float* x = r.x + r.begin;
  V t0 = low, t1 = low;
  std::int64_t i = 0;
  if (r.mask) {
    for (; i + lanes <= n; i += lanes) {
      const V v = hn::Add(hn::LoadU(d, r.mask + i), hn::LoadU(d, x + i));
      hn::StoreU(v, d, x + i);
      t0 = hn::Max(t0, v);
    }
    if (i < n) {
      const V v = hn::Add(norm_math::load_tail(d, r.mask + i, n - i, low), norm_math::load_tail(d, x + i, n - i, low));
      norm_math::store_tail(v, d, x + i, n - i);
      t1 = hn::Max(t1, v);
    }
  } else {
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
      t0 = hn::Max(t0, hn::LoadU(d, x + i));
      t1 = hn::Max(t1, hn::LoadU(d, x + i + lanes));
    }
    for (; i + lanes <= n; i += lanes) t0 = hn::Max(t0, hn::LoadU(d, x + i));
    if (i < n) t1 = hn::Max(t1, norm_math::load_tail(d, x + i, n - i, low));
  }
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(t0, t1)));
}

// Exponentials; here: the greatest of these scores.
template <bool kNatural>
HWY_ATTR void online_row(const OnlineRow& r, float here) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), n = r.end - r.begin;
  if (n <= 0) return;
  float* x = r.x + r.begin;
  const float old = r.state[0], top = here <= old ? old : here;  // NaN stays
  // Where all is minus infinity so far the exponentials are 0, not NaN.
  const V from = hn::Set(d, top == -HUGE_VALF ? 0.0f : top), low = hn::Set(d, -HUGE_VALF);
  V s0 = hn::Zero(d), s1 = s0;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const V e0 = power<kNatural>(d, hn::Sub(hn::LoadU(d, x + i), from)), e1 = power<kNatural>(d, hn::Sub(hn::LoadU(d, x + i + lanes), from));
    hn::StoreU(e0, d, x + i);
    hn::StoreU(e1, d, x + i + lanes);
    s0 = hn::Add(s0, e0), s1 = hn::Add(s1, e1);
  }
  for (; i + lanes <= n; i += lanes) {
    const V e = power<kNatural>(d, hn::Sub(hn::LoadU(d, x + i), from));
    hn::StoreU(e, d, x + i);
    s0 = hn::Add(s0, e);
  }
  if (i < n) {
    const V e = power<kNatural>(d, hn::Sub(norm_math::load_tail(d, x + i, n - i, low), from));
    norm_math::store_tail(e, d, x + i, n - i);
    s1 = hn::Add(s1, e);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
  if (top != old && old != -HUGE_VALF) {
    const V factor = power<kNatural>(d, hn::Set(d, old - top));
    sum += r.state[1] * hn::GetLane(factor);
    for (std::int64_t j = 0; j < r.width; j += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, r.gathered + j), factor), d, r.gathered + j);
  } else {
    sum += r.state[1];
  }
  r.state[0] = top, r.state[1] = sum;
}

// All maxima first: no row's exponentials wait for its own.
HWY_ATTR void online_rows_kernel(const OnlineRow* rows, std::int64_t count) {
  float tops[gemm::kMaxRows];
  for (std::int64_t r = 0; r < count; ++r) tops[r] = online_top(rows[r]);
  for (std::int64_t r = 0; r < count; ++r) rows[r].natural ? online_row<true>(rows[r], tops[r]) : online_row<false>(rows[r], tops[r]);
}

HWY_ATTR void fill_hidden_kernel(float* x, std::int64_t n, const std::uint8_t* chosen, bool keeps, float fill) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const hn::RebindToSigned<decltype(d)> di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto filled = hn::Set(d, fill);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto no = hn::RebindMask(d, hn::Eq(hn::PromoteTo(di, hn::LoadU(bytes, chosen + i)), hn::Zero(di)));
    const auto v = hn::LoadU(d, x + i);
    hn::StoreU(keeps ? hn::IfThenElse(no, filled, v) : hn::IfThenElse(no, v, filled), d, x + i);
  }
  for (; i < n; ++i)
    if ((chosen[i] != 0) != keeps) x[i] = fill;
}

HWY_ATTR void online_scale_kernel(float* x, std::int64_t n, float factor) {
  const hn::ScalableTag<float> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto f = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + i), f), d, x + i);
  for (; i < n; ++i) x[i] *= factor;
}

HWY_ATTR void online_finish_kernel(const float* gathered, std::int64_t n, float sum, float* y) {
  const hn::ScalableTag<float> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float factor = 1 / sum;
  const auto f = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, gathered + i), f), d, y + i);
  for (; i < n; ++i) y[i] = gathered[i] * factor;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

TENON_SIMD_EXPORT(softcap_kernel);
TENON_SIMD_EXPORT(online_rows_kernel);
TENON_SIMD_EXPORT(fill_hidden_kernel);
TENON_SIMD_EXPORT(online_scale_kernel);
TENON_SIMD_EXPORT(online_finish_kernel);

void softcap_run(float* x, std::int64_t n, float cap) { TENON_SIMD(softcap_kernel)(x, n, cap); }

void online_rows(const OnlineRow* rows, std::int64_t count) { TENON_SIMD(online_rows_kernel)(rows, count); }

void fill_hidden(float* x, std::int64_t n, const std::uint8_t* chosen, std::int64_t step, bool keeps, float fill) {
  if (step != 0) TENON_SIMD(fill_hidden_kernel)(x, n, chosen, keeps, fill);
  else if ((*chosen != 0) != keeps) std::fill(x, x + n, fill);
}

void online_scale(float* x, std::int64_t n, float factor) { TENON_SIMD(online_scale_kernel)(x, n, factor); }

void online_finish(const float* gathered, std::int64_t n, float sum, float* y) { TENON_SIMD(online_finish_kernel)(gathered, n, sum, y); }

}  // namespace tenon::cpu
#endif
