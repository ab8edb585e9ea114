// Compiled once per target: float32 to and from the half types.
#include "plugins/cpu/ops/cast.h"

#include <bit>

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/cast_half.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<D>;
using DU = hn::RebindToUnsigned<D>;
using Half = hn::Rebind<hwy::float16_t, D>;
using U16 = hn::Rebind<std::uint16_t, D>;
using V = hn::Vec<D>;
constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));

// How vectors come from and go to memory.
struct Float32 {
  using T = float;
  static HWY_INLINE V load(const T* p) { return hn::LoadU(D(), p); }
  static HWY_INLINE void store(V v, T* p) { hn::StoreU(v, D(), p); }
};
struct Float16 {
  using T = std::uint16_t;
  static HWY_INLINE V load(const T* p) { return hn::PromoteTo(D(), hn::BitCast(Half(), hn::LoadU(U16(), p))); }
  static HWY_INLINE void store(V v, T* p) { hn::StoreU(hn::BitCast(U16(), hn::DemoteTo(Half(), v)), U16(), p); }
};
// The upper half of the bits, rounded.
HWY_INLINE hn::Vec<DU> bfloat16_bits(V v) {
  const DU d;
  const auto bits = hn::BitCast(d, v), odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1));
  const auto rounded = hn::ShiftRight<16>(bits + hn::Set(d, 0x7fff) + odd);
  const auto nan = hn::Or(hn::ShiftRight<16>(bits), hn::Set(d, 0x40));
  return hn::IfThenElse(hn::RebindMask(d, hn::IsNaN(v)), nan, rounded);
}
struct Bfloat16 {
  using T = std::uint16_t;
  static HWY_INLINE V load(const T* p) { return hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(DU(), hn::LoadU(U16(), p)))); }
  static HWY_INLINE void store(V v, T* p) { hn::StoreU(hn::DemoteTo(U16(), hn::BitCast(DI(), bfloat16_bits(v))), U16(), p); }
};
struct Same {
  static HWY_INLINE V call(V v) { return v; }
};
struct RoundFloat16 {
  static HWY_INLINE V call(V v) { return hn::PromoteTo(D(), hn::DemoteTo(Half(), v)); }
};
struct RoundBfloat16 {
  static HWY_INLINE V call(V v) { return hn::BitCast(D(), hn::ShiftLeft<16>(bfloat16_bits(v))); }
};

template <class From, class To, class F>
void loop(const typename From::T* from, typename To::T* to, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) To::store(F::call(From::load(from + i)), to + i);
  if (i == n) return;
  typename From::T some[lanes] = {};
  typename To::T results[lanes];
  for (std::int64_t j = i; j < n; ++j) some[j - i] = from[j];
  To::store(F::call(From::load(some)), results);
  for (std::int64_t j = i; j < n; ++j) to[j] = results[j - i];
}

}  // namespace

const HalfKernels& half_table() {
  static constexpr HalfKernels table = {loop<Float16, Float32, Same>,         loop<Bfloat16, Float32, Same>,
                                        loop<Float32, Float16, Same>,         loop<Float32, Bfloat16, Same>,
                                        loop<Float32, Float32, RoundFloat16>, loop<Float32, Float32, RoundBfloat16>};
  return table;
}

}  // namespace tenon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tenon::cpu {
namespace {

template <const SmallFloat& f>
void widen(const std::uint16_t* from, float* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(decode(f, from[i]));
}
template <const SmallFloat& f>
void narrow(const float* from, std::uint16_t* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<std::uint16_t>(encode(f, from[i], false));
}
template <const SmallFloat& f>
void round(const float* from, float* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(decode(f, encode(f, from[i], false)));
}
constexpr HalfKernels plain = {widen<float16_format>,   widen<bfloat16_format>, narrow<float16_format>,
                               narrow<bfloat16_format>, round<float16_format>,  round<bfloat16_format>};

}  // namespace

const HalfKernels& half_kernels(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return N_AVX3::half_table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return N_AVX2::half_table();
#endif
  return plain;
}

}  // namespace tenon::cpu
#endif  // HWY_ONCE
