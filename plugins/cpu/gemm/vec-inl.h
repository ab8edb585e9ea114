// Float32 vectors of the current Highway target, for the product kernels. Where Highway has no vectors (the baseline is
// scalar with gcc) the compiler's own 16-byte vectors stand in.
// Included inside each target's pass after <hwy/highway.h>; no state.
#if defined(TENON_CPU_GEMM_VEC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TENON_CPU_GEMM_VEC_INL_H_
#undef TENON_CPU_GEMM_VEC_INL_H_
#else
#define TENON_CPU_GEMM_VEC_INL_H_
#endif

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::gemm {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

typedef float Vec __attribute__((vector_size(16)));
typedef float Vec4 __attribute__((vector_size(16)));
constexpr std::int64_t kLanes = 4;

HWY_INLINE Vec zero() { return Vec{}; }
HWY_INLINE Vec set(float x) { return Vec{x, x, x, x}; }
HWY_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
HWY_INLINE Vec load_first(const float* p, std::int64_t n) {
  Vec v{};
  for (std::int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
HWY_INLINE void store(Vec v, float* p) { __builtin_memcpy(p, &v, sizeof v); }
HWY_INLINE Vec add(Vec a, Vec b) { return a + b; }
HWY_INLINE Vec subtract(Vec a, Vec b) { return a - b; }
HWY_INLINE Vec mul_add(Vec a, Vec b, Vec c) { return a * b + c; }
HWY_INLINE float sum_lanes(Vec v) { return (v[0] + v[1]) + (v[2] + v[3]); }

HWY_INLINE Vec4 load4(const float* p) { return load(p); }
HWY_INLINE void store4(Vec4 v, float* p) { store(v, p); }
// Turns four rows of four into columns.
HWY_INLINE void turn4(Vec4& a, Vec4& b, Vec4& c, Vec4& d) {
  const Vec4 r[4] = {a, b, c, d};
  a = Vec4{r[0][0], r[1][0], r[2][0], r[3][0]};
  b = Vec4{r[0][1], r[1][1], r[2][1], r[3][1]};
  c = Vec4{r[0][2], r[1][2], r[2][2], r[3][2]};
  d = Vec4{r[0][3], r[1][3], r[2][3], r[3][3]};
}

#else

using Tag = hn::ScalableTag<float>;
using Tag4 = hn::FixedTag<float, 4>;
using Vec = hn::Vec<Tag>;
using Vec4 = hn::Vec<Tag4>;
constexpr std::int64_t kLanes = HWY_LANES(float);

HWY_INLINE Vec zero() { return hn::Zero(Tag()); }
HWY_INLINE Vec set(float x) { return hn::Set(Tag(), x); }
HWY_INLINE Vec load(const float* p) { return hn::LoadU(Tag(), p); }
HWY_INLINE Vec load_first(const float* p, std::int64_t n) {
  return hn::MaskedLoad(hn::FirstN(Tag(), static_cast<std::size_t>(n)), Tag(), p);
}
HWY_INLINE void store(Vec v, float* p) { hn::StoreU(v, Tag(), p); }
HWY_INLINE Vec add(Vec a, Vec b) { return hn::Add(a, b); }
HWY_INLINE Vec subtract(Vec a, Vec b) { return hn::Sub(a, b); }
HWY_INLINE Vec mul_add(Vec a, Vec b, Vec c) { return hn::MulAdd(a, b, c); }
HWY_INLINE float sum_lanes(Vec v) { return hn::GetLane(hn::SumOfLanes(Tag(), v)); }

HWY_INLINE Vec4 load4(const float* p) { return hn::LoadU(Tag4(), p); }
HWY_INLINE void store4(Vec4 v, float* p) { hn::StoreU(v, Tag4(), p); }
// In each block of four lanes.
template <class F>
HWY_INLINE void turn_blocks(F f, hn::Vec<F>& a, hn::Vec<F>& b, hn::Vec<F>& c, hn::Vec<F>& d) {
  const hn::Repartition<double, F> pair;
  const auto q0 = hn::BitCast(pair, hn::InterleaveLower(f, a, b)), q1 = hn::BitCast(pair, hn::InterleaveUpper(f, a, b));
  const auto q2 = hn::BitCast(pair, hn::InterleaveLower(f, c, d)), q3 = hn::BitCast(pair, hn::InterleaveUpper(f, c, d));
  a = hn::BitCast(f, hn::InterleaveLower(pair, q0, q2));
  b = hn::BitCast(f, hn::InterleaveUpper(pair, q0, q2));
  c = hn::BitCast(f, hn::InterleaveLower(pair, q1, q3));
  d = hn::BitCast(f, hn::InterleaveUpper(pair, q1, q3));
}
HWY_INLINE void turn4(Vec4& a, Vec4& b, Vec4& c, Vec4& d) { turn_blocks(Tag4(), a, b, c, d); }

#endif

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu::gemm
HWY_AFTER_NAMESPACE();

#endif
