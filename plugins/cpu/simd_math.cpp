// Compiled once per target: tables of loops around simd_math-inl.h.
#include "plugins/cpu/simd_math.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/simd_math.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"
#include "plugins/cpu/simd_math-inl.h"

// The baseline runs the scalar loops.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));

// ---- functions of one number; b and c are the parameters a and b of Unary ----

struct Relu { static HWY_INLINE V call(D d, V x, V, V) { return hn::Max(hn::Zero(d), x); } };
struct Clip { static HWY_INLINE V call(D, V x, V a, V b) { return hn::Min(b, hn::Max(a, x)); } };
struct LeakyRelu { static HWY_INLINE V call(D d, V x, V a, V) { return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), a * x, x); } };
struct Elu { static HWY_INLINE V call(D d, V x, V a, V) { return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, a * expm1(d, x)); } };
struct Selu {
  static HWY_INLINE V call(D d, V x, V a, V b) { return b * hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, a * expm1(d, x)); }
};
struct Celu {
  static HWY_INLINE V call(D d, V x, V a, V) { return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, a * expm1(d, x / a)); }
};
struct Sigmoid { static HWY_INLINE V call(D d, V x, V, V) { return sigmoid(d, x); } };
struct Tanh { static HWY_INLINE V call(D d, V x, V, V) { return tanh(d, x); } };
struct Swish { static HWY_INLINE V call(D d, V x, V a, V) { return swish(d, x, a); } };
struct Silu { static HWY_INLINE V call(D d, V x, V, V) { return swish(d, x); } };
struct HardSigmoid {
  static HWY_INLINE V call(D d, V x, V a, V b) { return hn::Min(hn::Set(d, 1.0f), hn::Max(hn::Zero(d), hn::MulAdd(a, x, b))); }
};
struct HardSwish {
  static HWY_INLINE V call(D d, V x, V, V) {
    return x * HardSigmoid::call(d, x, hn::Set(d, 1.0f / 6.0f), hn::Set(d, 0.5f));
  }
};
struct Mish { static HWY_INLINE V call(D d, V x, V, V) { return mish(d, x); } };
struct GeluErf { static HWY_INLINE V call(D d, V x, V, V) { return gelu_erf(d, x); } };
struct GeluTanh { static HWY_INLINE V call(D d, V x, V, V) { return gelu_tanh(d, x); } };
struct Softplus { static HWY_INLINE V call(D d, V x, V, V) { return softplus(d, x); } };
struct Softsign { static HWY_INLINE V call(D d, V x, V, V) { return x / (hn::Set(d, 1.0f) + hn::Abs(x)); } };
struct ThresholdedRelu { static HWY_INLINE V call(D, V x, V a, V) { return hn::IfThenElseZero(hn::Gt(x, a), x); } };
struct Erf { static HWY_INLINE V call(D d, V x, V, V) { return erf(d, x); } };
struct Exp { static HWY_INLINE V call(D d, V x, V, V) { return exp(d, x); } };
struct Log { static HWY_INLINE V call(D d, V x, V, V) { return log(d, x); } };
struct Sqrt { static HWY_INLINE V call(D, V x, V, V) { return hn::Sqrt(x); } };
struct Reciprocal { static HWY_INLINE V call(D d, V x, V, V) { return hn::Set(d, 1.0f) / x; } };
struct Square { static HWY_INLINE V call(D, V x, V, V) { return x * x; } };
struct Abs { static HWY_INLINE V call(D, V x, V, V) { return hn::Abs(x); } };
struct Neg { static HWY_INLINE V call(D, V x, V, V) { return hn::Neg(x); } };
struct Floor { static HWY_INLINE V call(D, V x, V, V) { return hn::Floor(x); } };
struct Ceil { static HWY_INLINE V call(D, V x, V, V) { return hn::Ceil(x); } };
struct Round { static HWY_INLINE V call(D, V x, V, V) { return hn::Round(x); } };
struct Sign {
  static HWY_INLINE V call(D d, V x, V, V) {
    const V zero = hn::Zero(d), one = hn::Set(d, 1.0f);
    const V s = hn::IfThenElse(hn::Gt(x, zero), one, x);
    return hn::IfThenElse(hn::Lt(x, zero), hn::Neg(one), s);
  }
};
struct Sin { static HWY_INLINE V call(D d, V x, V, V) { return sin_shifted(d, x, 0); } };
struct Cos { static HWY_INLINE V call(D d, V x, V, V) { return sin_shifted(d, x, 1); } };
struct Affine { static HWY_INLINE V call(D, V x, V a, V b) { return hn::MulAdd(a, x, b); } };
struct Scale { static HWY_INLINE V call(D, V x, V a, V) { return a * x; } };
struct Shift { static HWY_INLINE V call(D, V x, V, V b) { return x + b; } };
struct Cube { static HWY_INLINE V call(D, V x, V, V) { return x * x * x; } };
struct Fourth { static HWY_INLINE V call(D, V x, V, V) { return (x * x) * (x * x); } };
struct ReciprocalRoot { static HWY_INLINE V call(D d, V x, V, V) { return hn::Set(d, 1.0f) / hn::Sqrt(x); } };

// ---- functions of two numbers ----

struct Add { static HWY_INLINE V call(D, V x, V y) { return x + y; } };
struct Sub { static HWY_INLINE V call(D, V x, V y) { return x - y; } };
struct Rsub { static HWY_INLINE V call(D, V x, V y) { return y - x; } };
struct Mul { static HWY_INLINE V call(D, V x, V y) { return x * y; } };
struct Div { static HWY_INLINE V call(D, V x, V y) { return x / y; } };
struct Rdiv { static HWY_INLINE V call(D, V x, V y) { return y / x; } };
struct Maximum { static HWY_INLINE V call(D, V x, V y) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Max(x, y)); } };
struct Minimum { static HWY_INLINE V call(D, V x, V y) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Min(x, y)); } };
struct Pow { static HWY_INLINE V call(D d, V x, V y) { return pow(d, x, y); } };
struct Rpow { static HWY_INLINE V call(D d, V x, V y) { return pow(d, y, x); } };
struct Prelu { static HWY_INLINE V call(D d, V x, V y) { return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), x * y, x); } };

// ---- loops ----

// The first n lanes, 1 in the others: a number that no function is slow on.
HWY_INLINE V load_some(D d, const float* p, std::int64_t n) {
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(n));
  return hn::IfThenElse(mask, hn::MaskedLoad(mask, d, p), hn::Set(d, 1.0f));
}
HWY_INLINE void store_some(D d, V v, float* p, std::int64_t n) { hn::BlendedStore(v, hn::FirstN(d, static_cast<std::size_t>(n)), d, p); }

template <class F>
void unary_loop(const float* x, float* out, std::int64_t n, float a, float b) {
  const D d;
  const V va = hn::Set(d, a), vb = hn::Set(d, b);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const V x0 = hn::LoadU(d, x + i), x1 = hn::LoadU(d, x + i + lanes);
    const V y0 = F::call(d, x0, va, vb), y1 = F::call(d, x1, va, vb);
    hn::StoreU(y0, d, out + i);
    hn::StoreU(y1, d, out + i + lanes);
  }
  for (; i + lanes <= n; i += lanes) hn::StoreU(F::call(d, hn::LoadU(d, x + i), va, vb), d, out + i);
  if (i < n) store_some(d, F::call(d, load_some(d, x + i, n - i), va, vb), out + i, n - i);
}
template <class F>
void binary_loop(const float* x, const float* y, float* out, std::int64_t n) {
  const D d;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(F::call(d, hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, out + i);
  if (i < n) store_some(d, F::call(d, load_some(d, x + i, n - i), load_some(d, y + i, n - i)), out + i, n - i);
}
template <class F>
void scalar_loop(const float* x, float y, float* out, std::int64_t n) {
  const D d;
  const V vy = hn::Set(d, y);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(F::call(d, hn::LoadU(d, x + i), vy), d, out + i);
  if (i < n) store_some(d, F::call(d, load_some(d, x + i, n - i), vy), out + i, n - i);
}

// a = 1 and b = 0 have loops of their own: they keep the sign of a zero.
void affine_loop(const float* x, float* out, std::int64_t n, float a, float b) {
  if (b == 0) unary_loop<Scale>(x, out, n, a, b);
  else if (a == 1) unary_loop<Shift>(x, out, n, a, b);
  else unary_loop<Affine>(x, out, n, a, b);
}
void swish_loop(const float* x, float* out, std::int64_t n, float a, float b) {
  if (a == 1) unary_loop<Silu>(x, out, n, a, b);
  else unary_loop<Swish>(x, out, n, a, b);
}
void pow_loop(const float* x, float y, float* out, std::int64_t n) {
  if (y == 2) unary_loop<Square>(x, out, n, 0, 0);
  else if (y == 3) unary_loop<Cube>(x, out, n, 0, 0);
  else if (y == 4) unary_loop<Fourth>(x, out, n, 0, 0);
  else if (y == 1) unary_loop<Scale>(x, out, n, 1, 0);
  else if (y == 0.5f) unary_loop<Sqrt>(x, out, n, 0, 0);
  else if (y == -0.5f) unary_loop<ReciprocalRoot>(x, out, n, 0, 0);
  else if (y == -1) unary_loop<Reciprocal>(x, out, n, 0, 0);
  else scalar_loop<Pow>(x, y, out, n);
}

template <class F>
void set(MathKernels& t, Unary f) {
  t.unary[static_cast<std::size_t>(f)] = unary_loop<F>;
}
template <class F>
void set(MathKernels& t, Binary f) {
  t.binary[static_cast<std::size_t>(f)] = binary_loop<F>;
  t.scalar[static_cast<std::size_t>(f)] = scalar_loop<F>;
}

}  // namespace

void fill_kernels(MathKernels& t) {
  set<Relu>(t, Unary::relu), set<Clip>(t, Unary::clip), set<LeakyRelu>(t, Unary::leaky_relu), set<Elu>(t, Unary::elu);
  set<Selu>(t, Unary::selu), set<Celu>(t, Unary::celu), set<Sigmoid>(t, Unary::sigmoid), set<Tanh>(t, Unary::tanh);
  set<HardSigmoid>(t, Unary::hard_sigmoid), set<HardSwish>(t, Unary::hard_swish), set<Mish>(t, Unary::mish);
  set<GeluErf>(t, Unary::gelu_erf), set<GeluTanh>(t, Unary::gelu_tanh), set<Softplus>(t, Unary::softplus),
      set<Softsign>(t, Unary::softsign);
  set<ThresholdedRelu>(t, Unary::thresholded_relu), set<Erf>(t, Unary::erf), set<Exp>(t, Unary::exp), set<Log>(t, Unary::log);
  set<Sqrt>(t, Unary::sqrt), set<Reciprocal>(t, Unary::reciprocal), set<Square>(t, Unary::square), set<Abs>(t, Unary::abs);
  set<Neg>(t, Unary::neg), set<Floor>(t, Unary::floor), set<Ceil>(t, Unary::ceil), set<Round>(t, Unary::round), set<Sign>(t, Unary::sign);
  set<Sin>(t, Unary::sin), set<Cos>(t, Unary::cos);
  t.unary[static_cast<std::size_t>(Unary::affine)] = affine_loop;
  t.unary[static_cast<std::size_t>(Unary::swish)] = swish_loop;
  set<Add>(t, Binary::add), set<Sub>(t, Binary::sub), set<Rsub>(t, Binary::rsub), set<Mul>(t, Binary::mul), set<Div>(t, Binary::div);
  set<Rdiv>(t, Binary::rdiv), set<Maximum>(t, Binary::max), set<Minimum>(t, Binary::min), set<Pow>(t, Binary::pow);
  set<Rpow>(t, Binary::rpow), set<Prelu>(t, Binary::prelu);
  t.scalar[static_cast<std::size_t>(Binary::pow)] = pow_loop;
}

}  // namespace tenon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tenon::cpu {
namespace {

template <Unary f>
void plain_unary(const float* x, float* out, std::int64_t n, float a, float b) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = apply_unary(f, a, b, x[i]);
}
template <Binary f>
void plain_binary(const float* x, const float* y, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = apply_binary(f, x[i], y[i]);
}
template <Binary f>
void plain_scalar(const float* x, float y, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = apply_binary(f, x[i], y);
}
template <std::size_t... u, std::size_t... b>
constexpr MathKernels plain_kernels(std::index_sequence<u...>, std::index_sequence<b...>) {
  return {{plain_unary<static_cast<Unary>(u)>...}, {plain_binary<static_cast<Binary>(b)>...}, {plain_scalar<static_cast<Binary>(b)>...}};
}
constexpr MathKernels plain = plain_kernels(std::make_index_sequence<unary_kinds>(), std::make_index_sequence<binary_kinds>());

template <void (*fill)(MathKernels&)>
const MathKernels& filled() {
  static const MathKernels table = [] {
    MathKernels t = plain;
    fill(t);
    return t;
  }();
  return table;
}

}  // namespace

const MathKernels& math_kernels(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return filled<N_AVX3::fill_kernels>();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return filled<N_AVX2::fill_kernels>();
#endif
  return plain;
}

}  // namespace tenon::cpu
#endif  // HWY_ONCE
