// Vector mathematics on float32 for Highway: exp, log, tanh, erf, sigmoid, sin, cos, pow, gelu and their kin.
//
// Included once per target, inside a file that uses foreach_target.h. Polynomials are minimax fits; x86 semantics of Min and
// Max are relied on: where an operand is NaN, the second one is the result, so constants stand first and NaN passes.
#if defined(TENON_CPU_SIMD_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TENON_CPU_SIMD_MATH_INL_H
#undef TENON_CPU_SIMD_MATH_INL_H
#else
#define TENON_CPU_SIMD_MATH_INL_H
#endif

#include <math.h>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// c[0] + c[1] x + ...: by Horner's rule; long ones with even and odd powers apart, which halves the latency.
template <class D, class V, class T, std::size_t N>
HWY_INLINE V polynomial(D d, V x, const T (&c)[N]) {
  if constexpr (N < 8) {
    V p = hn::Set(d, c[N - 1]);
    for (std::size_t i = N - 1; i-- > 0;) p = hn::MulAdd(p, x, hn::Set(d, c[i]));
    return p;
  } else {
    static_assert(N % 2 == 0);
    const V z = x * x;
    V odd = hn::Set(d, c[N - 1]), even = hn::Set(d, c[N - 2]);
    for (std::size_t i = N - 2; i > 0; i -= 2) {
      odd = hn::MulAdd(odd, z, hn::Set(d, c[i - 1]));
      even = hn::MulAdd(even, z, hn::Set(d, c[i - 2]));
    }
    return hn::MulAdd(odd, x, even);
  }
}

// A whole number from -2^21 to 2^21, and the sum whose low bits hold it: cheaper than a conversion to integer.
template <class V>
struct Whole {
  V n, sum;
};
template <class D, class V>
HWY_INLINE Whole<V> nearest_whole(D d, V x) {
#if HWY_TARGET == HWY_AVX3
  return {hn::Round(x), x};
#else
  const V shift = hn::Set(d, 12582912.0f), sum = x + shift;  // 1.5 * 2^23
  return {sum - shift, sum};
#endif
}
#if HWY_TARGET == HWY_AVX3
// p * 2^floor(n), whatever n.
template <class V>
HWY_INLINE V scale_by_floor(V p, V n) {
  if constexpr (sizeof(p.raw) == 64) return V{_mm512_scalef_ps(p.raw, n.raw)};
  else if constexpr (sizeof(p.raw) == 32) return V{_mm256_scalef_ps(p.raw, n.raw)};
  else return V{_mm_scalef_ps(p.raw, n.raw)};
}
#endif
// p * 2^n for n from -250 to 250; the result may be 0, denormal or infinite.
template <class D, class V>
HWY_INLINE V scale_by_power(D d, V p, Whole<V> w) {
#if HWY_TARGET == HWY_AVX3
  (void)d;
  return scale_by_floor(p, w.n);
#else
  const hn::RebindToSigned<D> di;
  const auto k = hn::BitCast(di, w.sum) - hn::Set(di, 0x4b400000), half = hn::ShiftRight<1>(k), bias = hn::Set(di, 127);
  return p * hn::BitCast(d, hn::ShiftLeft<23>(half + bias)) * hn::BitCast(d, hn::ShiftLeft<23>(k - half + bias));
#endif
}
// 2^n for n from -126 to 127.
template <class D, class V>
HWY_INLINE V power_of_two(D d, Whole<V> w) {
#if HWY_TARGET == HWY_AVX3
  return scale_by_floor(hn::Set(d, 1.0f), w.n);
#else
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, w.sum) + hn::Set(di, 127)));
#endif
}

// x = n ln 2 + r, and e^r - 1.
template <class D, class V>
HWY_INLINE V exp_reduced(D d, V x, Whole<V>& w) {
  constexpr float q[] = {0.5f, 0.166665182f, 0.041666206f, 0.0083688898f, 0.00139504916f};
  w = nearest_whole(d, x * hn::Set(d, 1.44269504f));
  V r = hn::NegMulAdd(w.n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(w.n, hn::Set(d, -2.12194440e-4f), r);
  return hn::MulAdd(polynomial(d, r, q), r * r, r);
}
template <class D, class V>
HWY_INLINE V exp(D d, V x) {
  x = hn::Min(hn::Set(d, 130.0f), hn::Max(hn::Set(d, -150.0f), x));
  Whole<V> w;
  const V t = exp_reduced(d, x, w);
  return scale_by_power(d, t + hn::Set(d, 1.0f), w);
}
// e^x - 1 for x <= 0 (above: not larger than 2^127), exact to the last places near 0.
template <class D, class V>
HWY_INLINE V expm1(D d, V x) {
  x = hn::Min(hn::Set(d, 88.0f), hn::Max(hn::Set(d, -87.0f), x));
  Whole<V> w;
  const V t = exp_reduced(d, x, w), s = power_of_two(d, w);
  return hn::MulAdd(t, s, s - hn::Set(d, 1.0f));
}

template <class D, class V>
HWY_INLINE V log(D d, V x0) {
  constexpr float c[] = {0.333333313f, -0.250008196f, 0.200012267f, -0.166233569f,
                         0.142017573f, -0.13160184f,  0.127615824f, -0.0763449743f};
  const hn::RebindToSigned<D> di;
  const V one = hn::Set(d, 1.0f), infinity = hn::Set(d, HUGE_VALF);
  const auto tiny = hn::Lt(x0, hn::Set(d, 1.17549435e-38f));
  const V x = hn::IfThenElse(tiny, x0 * hn::Set(d, 33554432.0f), x0);
  // The exponent that leaves the mantissa between sqrt(1/2) and sqrt(2).
  const auto bits = hn::BitCast(di, x), e = hn::ShiftRight<23>(bits - hn::Set(di, 0x3f3504f3));
  const V f = hn::BitCast(d, bits - hn::ShiftLeft<23>(e)) - one, z = f * f;
  const V n = hn::ConvertTo(d, e) - hn::IfThenElseZero(tiny, hn::Set(d, 25.0f));
  V y = f * z * polynomial(d, f, c);
  y = hn::MulAdd(n, hn::Set(d, -2.12194440e-4f), y);
  y = hn::NegMulAdd(hn::Set(d, 0.5f), z, y);
  y = hn::MulAdd(n, hn::Set(d, 0.693359375f), y + f);
  y = hn::IfThenElse(hn::Eq(x0, infinity), x0, y);
  y = hn::IfThenElse(hn::Eq(x0, hn::Zero(d)), hn::Neg(infinity), y);
  return hn::IfThenElse(hn::Ge(x0, hn::Zero(d)), y, hn::Set(d, NAN));  // negative or NaN
}
// log(1 + t) for t from 0 to 1.
template <class D, class V>
HWY_INLINE V log1p_unit(D d, V t) {
  constexpr float c[] = {1.0f, -0.499999017f, 0.333299637f, -0.249541342f, 0.196759403f, -0.153055936f, 0.106036544f, -0.0569595248f,
                         0.0198514536f, -0.00324402261f};
  return t * polynomial(d, t, c);
}

template <class V>
struct Fraction {
  V p, q;
};
// tanh(x) = p / q, but for the last place next to 1 and -1.
template <class D, class V>
HWY_INLINE Fraction<V> tanh_fraction(D d, V x) {
  constexpr float p[] = {1.0f, 0.133797154f, 0.00349403243f, 2.05834458e-05f, 1.33190259e-08f};
  constexpr float q[] = {1.0f, 0.467130303f, 0.0258710645f, 0.000328308932f, 7.76200011e-07f};
  x = hn::Min(hn::Set(d, 9.02f), hn::Max(hn::Set(d, -9.02f), x));
  const V z = x * x;
  return {x * polynomial(d, z, p), polynomial(d, z, q)};
}
template <class D, class V>
HWY_INLINE V tanh(D d, V x) {
  const Fraction<V> f = tanh_fraction(d, x);
  return hn::Min(hn::Set(d, 1.0f), hn::Max(hn::Set(d, -1.0f), f.p / f.q));
}
template <class D, class V>
HWY_INLINE V erf(D d, V x) {
  constexpr float p[] = {1.12837911f, 0.193545491f, 0.0531017929f, 0.00388336019f, 0.000284565962f, 1.98677526e-06f};
  constexpr float q[] = {1.0f, 0.504857779f, 0.115350172f, 0.0152072841f, 0.00118557457f, 3.74201045e-05f};
  x = hn::Min(hn::Set(d, 4.0f), hn::Max(hn::Set(d, -4.0f), x));
  const V z = x * x, y = x * polynomial(d, z, p) / polynomial(d, z, q);
  return hn::Min(hn::Set(d, 1.0f), hn::Max(hn::Set(d, -1.0f), y));
}
// 2^f - 1 = f c(f) where f is at most half a step of 2^-kRootBits, and what to multiply 2^f with for the steps: from a table as
// large as a vector, which is as exact as a longer polynomial and costs less.
#if HWY_TARGET == HWY_AVX3
constexpr int kRootBits = 4;
constexpr float kRootPolynomial[] = {0.693147182f, 0.240234286f, 0.05550595f};
alignas(64) constexpr float kRoots[] = {1.0f,        1.04427373f, 1.09050775f, 1.13878858f, 1.18920708f, 1.24185777f,
                                        1.29683959f, 1.35425556f, 1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f,
                                        1.68179286f, 1.75625217f, 1.8340081f,  1.91520655f};
#elif HWY_TARGET == HWY_AVX2
constexpr int kRootBits = 3;
constexpr float kRootPolynomial[] = {0.693147182f, 0.240257636f, 0.0555114746f};
alignas(32) constexpr float kRoots[] = {1.0f, 1.09050775f, 1.18920708f, 1.29683959f, 1.41421354f, 1.54221082f, 1.68179286f, 1.8340081f};
#else
constexpr int kRootBits = 0;
constexpr float kRootPolynomial[] = {0.693147182f, 0.240226507f, 0.0555035695f, 0.00961808302f, 0.00133908633f, 0.000154531634f};
#endif
// 2^(k / 2^kRootBits) for k in the low bits of sum.
template <class D, class V>
HWY_INLINE V root_of_two(D d, V sum) {
#if HWY_TARGET == HWY_AVX3
  (void)d;
  if constexpr (sizeof(sum.raw) == 64) {
    return V{_mm512_permutexvar_ps(_mm512_castps_si512(sum.raw), _mm512_load_ps(kRoots))};
  } else {
    static_assert(sizeof(sum.raw) == 32);
    return V{_mm256_permutex2var_ps(_mm256_load_ps(kRoots), _mm256_castps_si256(sum.raw), _mm256_load_ps(kRoots + 8))};
  }
#elif HWY_TARGET == HWY_AVX2
  (void)d;
  static_assert(sizeof(sum.raw) == 32);
  return V{_mm256_permutevar8x32_ps(_mm256_load_ps(kRoots), _mm256_castps_si256(sum.raw))};
#else
  (void)sum;
  return hn::Set(d, 1.0f);
#endif
}
// y / (1 + e^-u).
template <class D, class V>
HWY_INLINE V over_one_plus_exp(D d, V y, V u) {
  u = hn::Min(hn::Set(d, 87.0f), hn::Max(hn::Set(d, -104.0f), u));
  // -u / ln 2 = n + f, n in steps. The product is not rounded before n is taken off, the constant has a second part.
  const V scale = hn::Set(d, -1.44269502f), shift = hn::Set(d, 12582912.0f / (1 << kRootBits));  // 1.5 * 2^23
  const V sum = hn::MulAdd(u, scale, shift), n = sum - shift;
  const V f = hn::MulAdd(u, hn::Set(d, -1.92596303e-8f), hn::MulSub(u, scale, n));
  const V root = root_of_two(d, sum), p = hn::MulAdd(root, f * polynomial(d, f, kRootPolynomial), root);
#if HWY_TARGET == HWY_AVX3
  const V power = scale_by_floor(p, n);
#else
  const hn::RebindToSigned<D> di;
  const auto whole = hn::ShiftLeft<23 - kRootBits>(hn::BitCast(di, sum)) & hn::Set(di, ~0x7fffff);
  const V power = hn::IfThenElse(hn::Lt(u, hn::Set(d, -88.7228f)), hn::Set(d, HUGE_VALF), hn::BitCast(d, hn::BitCast(di, p) + whole));
#endif
  return y / (hn::Set(d, 1.0f) + power);
}
template <class D, class V>
HWY_INLINE V sigmoid(D d, V x) {
  return over_one_plus_exp(d, hn::Set(d, 1.0f), x);
}
// x sigmoid(a x)
template <class D, class V>
HWY_INLINE V swish(D d, V x, V a) {
  return over_one_plus_exp(d, x, a * x);
}
template <class D, class V>
HWY_INLINE V swish(D d, V x) {
  return over_one_plus_exp(d, x, x);
}

// x Phi(x), Phi the normal distribution. log2 Phi(-|x|) is smooth enough for one polynomial, so that the negative side keeps its
// relative precision, which 1 + erf loses.
template <class D, class V>
HWY_INLINE V gelu_erf(D d, V x) {
  constexpr float c[] = {-0.99999994f, -1.15110624f, -0.459206462f, -0.0524759926f, 0.0069823442f, -1.21785897e-05f,
                         -0.00028494664f, 8.27705298e-05f, -1.33964522e-05f, 1.33317133e-06f, -7.61007755e-08f, 1.9095443e-09f};
  constexpr float e[] = {1.0f, 0.693147242f, 0.24022235f, 0.0555030815f, 0.0096718967f, 0.00134072884f};
  const V a = hn::Min(hn::Set(d, 7.0f), hn::Abs(x));
  const V p = polynomial(d, a, c);
  const Whole<V> w = nearest_whole(d, p);
  const V tail = a * polynomial(d, p - w.n, e);
  // The larger of 0 and x, and of -infinity NaN, as the operator's formula has it.
  const V half = hn::Set(d, 0.5f), positive = hn::MulAdd(half, hn::Abs(x), half * x);
  return hn::NegMulAdd(tail, power_of_two(d, w), positive);
}
// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = x / (1 + e^(-2 u))
template <class D, class V>
HWY_INLINE V gelu_tanh(D d, V x) {
  const V u = x * hn::MulAdd(hn::Set(d, -0.0713548162726f), x * x, hn::Set(d, -1.59576912161f));
  return x / (hn::Set(d, 1.0f) + exp(d, u));
}
template <class D, class V>
HWY_INLINE V softplus(D d, V x) {
  return hn::Max(hn::Zero(d), x) + log1p_unit(d, exp(d, hn::Neg(hn::Abs(x))));
}
// x tanh(softplus(x)), with n = (1 + e^x)^2 - 1
template <class D, class V>
HWY_INLINE V mish(D d, V x) {
  const V two = hn::Set(d, 2.0f), e = exp(d, hn::Min(hn::Set(d, 20.0f), x)), n = e * (e + two);
  return x * (n / (n + two));
}

// sin(x + quarter * pi / 2)
template <class D, class V>
HWY_INLINE V sin_shifted(D d, V x, int quarter) {
  constexpr float s[] = {-0.166666552f, 0.00833217334f, -0.000195166547f};
  constexpr float c[] = {0.0416666456f, -0.00138873619f, 2.44377297e-05f};
  const hn::RebindToSigned<D> di;
  if (HWY_UNLIKELY(!hn::AllTrue(d, hn::Le(hn::Abs(x), hn::Set(d, 8192.0f))))) {
    // The reduction below would lose precision (or x is NaN).
    HWY_ALIGN float lanes[hn::MaxLanes(D())];
    hn::Store(x, d, lanes);
    for (float& f : lanes) f = quarter ? ::cosf(f) : ::sinf(f);
    return hn::Load(d, lanes);
  }
  const V shift = hn::Set(d, 12582912.0f), sum = hn::MulAdd(x, hn::Set(d, 0.636619772f), shift), n = sum - shift;
  V r = hn::NegMulAdd(n, hn::Set(d, 1.5703125f), x);
  r = hn::NegMulAdd(n, hn::Set(d, 4.837512969970703125e-4f), r);
  r = hn::NegMulAdd(n, hn::Set(d, 7.54978995489188216e-8f), r);
  const V z = r * r;
  const V sine = hn::MulAdd(r * z, polynomial(d, z, s), r);
  const V cosine = hn::MulAdd(z * z, polynomial(d, z, c), hn::NegMulAdd(hn::Set(d, 0.5f), z, hn::Set(d, 1.0f)));
  const auto k = hn::BitCast(di, sum) + hn::Set(di, quarter);
  const auto odd = hn::RebindMask(d, hn::Ne(k & hn::Set(di, 1), hn::Zero(di)));
  const V sign = hn::BitCast(d, hn::ShiftLeft<30>(k & hn::Set(di, 2)));
  return hn::Xor(hn::IfThenElse(odd, cosine, sine), sign);
}

#if HWY_TARGET != HWY_SCALAR  // which has no halves of vectors
// x^y for finite x > 0 and finite y, in float64: the exponent needs more bits than float32 has.
template <class DH, class VH>
HWY_INLINE VH pow_positive(DH dh, VH x, VH y) {
  const hn::Rebind<double, DH> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  // 2 / ln 2 / (2 k + 1), and ln(2)^k / k!
  constexpr double l[] = {2.8853900817779268, 0.96179669392597560, 0.57707801635558535, 0.41219858311113240,
                          0.32059889797532520, 0.26230818925253880, 0.22195308321368668};
  constexpr double e[] = {1.0, 0.69314718055994531, 0.24022650695910072, 0.055504108664821580, 0.0096181291076284772,
                          0.0013333558146428443, 1.5403530393381609e-4, 1.5252733804059841e-5, 1.3215486790144309e-6,
                          1.0178086009239699e-7};
  using V = hn::Vec<decltype(d)>;
  const auto bits = hn::BitCast(du, hn::PromoteTo(d, x)), biased = bits - hn::Set(du, 0x3fe6a09e667f3bcdULL);
  // biased has the exponent (from -149 on) in its upper 12 bits, as a signed number.
  const auto up = hn::ShiftRight<52>(biased + hn::Set(du, std::uint64_t{1024} << 52));
  const V n = hn::BitCast(d, hn::Or(up, hn::Set(du, 0x4330000000000000ULL))) - hn::Set(d, 4503599627370496.0 + 1024);
  const V m = hn::BitCast(d, bits - hn::ShiftLeft<52>(up - hn::Set(du, 1024)));
  const V one = hn::Set(d, 1.0), s = (m - one) / (m + one);
  const V log2x = hn::MulAdd(s, polynomial(d, s * s, l), n);
  const V p = hn::Min(hn::Set(d, 200.0), hn::Max(hn::Set(d, -200.0), hn::PromoteTo(d, y) * log2x));
  const V k = hn::Round(p), t = polynomial(d, p - k, e);
  const auto scale = hn::ShiftLeft<52>(hn::BitCast(du, k + hn::Set(d, 6755399441055744.0)) + hn::Set(du, 1023));
  return hn::DemoteTo(dh, t * hn::BitCast(d, scale));
}
template <class D, class V>
HWY_INLINE V pow(D d, V x, V y) {
  const hn::Half<D> dh;
  const V ax = hn::Abs(x), max = hn::Set(d, 3.40282347e38f), zero = hn::Zero(d);
  const auto easy = hn::And(hn::And(hn::Gt(ax, zero), hn::Le(ax, max)), hn::Le(hn::Abs(y), max));
  if (HWY_UNLIKELY(!hn::AllTrue(d, easy))) {
    HWY_ALIGN float xs[hn::MaxLanes(D())], ys[hn::MaxLanes(D())];
    hn::Store(x, d, xs), hn::Store(y, d, ys);
    for (std::size_t i = 0; i < hn::Lanes(d); ++i) xs[i] = ::powf(xs[i], ys[i]);
    return hn::Load(d, xs);
  }
  V r = hn::Combine(d, pow_positive(dh, hn::UpperHalf(dh, ax), hn::UpperHalf(dh, y)),
                    pow_positive(dh, hn::LowerHalf(dh, ax), hn::LowerHalf(dh, y)));
  const auto negative = hn::Lt(x, zero);
  if (HWY_UNLIKELY(!hn::AllFalse(d, negative))) {
    const V h = y * hn::Set(d, 0.5f);
    const auto odd = hn::Ne(hn::Floor(h), h), whole = hn::Eq(hn::Floor(y), y);
    r = hn::IfThenElse(hn::And(negative, odd), hn::Neg(r), r);
    r = hn::IfThenElse(hn::AndNot(whole, negative), hn::Set(d, NAN), r);
  }
  return r;
}
#endif

}  // namespace tenon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, flipped by foreach_target.h
