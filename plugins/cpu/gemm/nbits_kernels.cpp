#include "plugins/cpu/gemm/nbits.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/gemm/nbits_kernels.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include "plugins/cpu/gemm/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::gemm {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
typedef std::uint32_t Bits __attribute__((vector_size(16)));
typedef std::int32_t Ints __attribute__((vector_size(16)));
HWY_INLINE Bits load_bits(const std::uint32_t* p) {
  Bits v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <int kShift>
HWY_INLINE Bits shifted(Bits v) { return v >> kShift; }
template <int kBits>
struct Decode {
  HWY_INLINE Vec operator()(Bits v) const {
    const Ints i = (Ints)(v & ((1u << kBits) - 1)) - (1 << (kBits - 1));
    return __builtin_convertvector(i, Vec);
  }
};
HWY_INLINE Vec mul(Vec a, Vec b) { return a * b; }
HWY_INLINE Vec sub(Vec a, Vec b) { return a - b; }
#else
using BitsTag = hn::ScalableTag<std::uint32_t>;
using IntsTag = hn::ScalableTag<std::int32_t>;
using Bits = hn::Vec<BitsTag>;
HWY_INLINE Bits load_bits(const std::uint32_t* p) { return hn::LoadU(BitsTag(), p); }
template <int kShift>
HWY_INLINE Bits shifted(Bits v) { return hn::ShiftRight<kShift>(v); }
HWY_INLINE Vec mul(Vec a, Vec b) { return hn::Mul(a, b); }
HWY_INLINE Vec sub(Vec a, Vec b) { return hn::Sub(a, b); }
// The lowest weight of each lane, less 2^(bits - 1).
template <int kBits>
struct Decode {
  HWY_INLINE Vec operator()(Bits v) const {
    const auto low = hn::BitCast(IntsTag(), hn::And(v, hn::Set(BitsTag(), (1u << kBits) - 1)));
    return hn::ConvertTo(Tag(), hn::Sub(low, hn::Set(IntsTag(), 1 << (kBits - 1))));
  }
};
#if HWY_TARGET <= HWY_AVX3
// A table look-up heeds the four low bits only.
template <>
struct Decode<4> {
  Vec table;
  HWY_INLINE Decode() : table(hn::Sub(hn::Iota(Tag(), 0), hn::Set(Tag(), 8.0f))) {}
  HWY_INLINE Vec operator()(Bits v) const { return Vec{_mm512_permutexvar_ps(v.raw, table.raw)}; }
};
#endif
#endif

template <int kBits, int kRows>
void rows_of(const Quantized& q, std::int64_t panel, const float* a, std::int64_t a_row, const float* sums, float* out) {
  constexpr int kPerStep = 32 / kBits;
  constexpr int kChains = kRows == 4 ? 2 : 4;  // sums per row, to hide the latency of an addition
  const Decode<kBits> decode;
  const std::int64_t steps = q.block_steps();
  const std::uint32_t* w = q.weights + panel * q.blocks * steps * kLanes;
  const float* scale = q.scales + panel * q.blocks * kLanes;
  const float* zero = q.zeros ? q.zeros + panel * q.blocks * kLanes : nullptr;
  Vec total[kRows];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) total[r] = gemm::HWY_NAMESPACE::zero();
  for (std::int64_t b = 0; b < q.blocks; ++b) {
    Vec sum[kRows][kChains];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int c = 0; c < kChains; ++c) sum[r][c] = gemm::HWY_NAMESPACE::zero();
    const std::int64_t k0 = b * q.block, depth = q.k - k0 < q.block ? q.k - k0 : q.block;
    const float* ab = a + k0;
    std::int64_t k = 0;
    for (; k + kPerStep <= depth; k += kPerStep) {
      Bits bits = load_bits(w);
      __builtin_prefetch(w + 32 * kLanes, 0, 3);
      w += kLanes;
#pragma GCC unroll 16
      for (int i = 0; i < kPerStep; ++i) {
        const Vec v = decode(bits);
        bits = shifted<kBits>(bits);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) sum[r][i % kChains] = mul_add(v, set(ab[r * a_row + k + i]), sum[r][i % kChains]);
      }
    }
    if (k < depth) {
      Bits bits = load_bits(w);
      for (; k < depth; ++k) {
        const Vec v = decode(bits);
        bits = shifted<kBits>(bits);
        for (int r = 0; r < kRows; ++r) sum[r][0] = mul_add(v, set(ab[r * a_row + k]), sum[r][0]);
      }
    }
    const Vec s = load(scale);
    scale += kLanes;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 1; c < kChains; ++c) sum[r][0] = add(sum[r][0], sum[r][c]);
      if (zero) sum[r][0] = sub(sum[r][0], mul(load(zero), set(sums[r * q.blocks + b])));
      total[r] = mul_add(s, sum[r][0], total[r]);
    }
    if (zero) zero += kLanes;
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) store(total[r], out + r * kLanes);
}

template <int kBits>
void rows_bits(const Quantized& q, std::int64_t panel, const float* a, std::int64_t a_row, std::int64_t rows, const float* sums,
               float* out) {
  while (rows >= 4) {
    rows_of<kBits, 4>(q, panel, a, a_row, sums, out);
    a += 4 * a_row, sums += sums ? 4 * q.blocks : 0, out += 4 * kLanes, rows -= 4;
  }
  if (rows >= 2) {
    rows_of<kBits, 2>(q, panel, a, a_row, sums, out);
    a += 2 * a_row, sums += sums ? 2 * q.blocks : 0, out += 2 * kLanes, rows -= 2;
  }
  if (rows) rows_of<kBits, 1>(q, panel, a, a_row, sums, out);
}

template <int kBits>
void fill_bits(const Quantized& q, std::int64_t panel, std::int64_t k0, std::int64_t depth, float* dst, std::int64_t width) {
  constexpr int kPerStep = 32 / kBits;
  const Decode<kBits> decode;
  std::int64_t b = k0 / q.block;
  const std::uint32_t* w = q.weights + (panel * q.blocks * q.block_steps() + k0 / kPerStep) * kLanes;
  for (std::int64_t k = 0; k < depth; ++b) {
    const std::int64_t block_end = (b + 1) * q.block - k0, end = block_end < depth ? block_end : depth;
    const Vec scale = load(q.scales + (panel * q.blocks + b) * kLanes);
    const Vec zero = q.zeros ? load(q.zeros + (panel * q.blocks + b) * kLanes) : gemm::HWY_NAMESPACE::zero();
    for (; k < end; w += kLanes) {
      Bits bits = load_bits(w);
      const std::int64_t stop = end - k < kPerStep ? end : k + kPerStep;
      for (; k < stop; ++k) {
        store(mul(sub(decode(bits), zero), scale), dst + k * width);
        bits = shifted<kBits>(bits);
      }
    }
  }
}

void rows(const Quantized& q, std::int64_t panel, const float* a, std::int64_t a_row, std::int64_t rows, const float* sums, float* out) {
  if (q.bits == 2) return rows_bits<2>(q, panel, a, a_row, rows, sums, out);
  if (q.bits == 8) return rows_bits<8>(q, panel, a, a_row, rows, sums, out);
  rows_bits<4>(q, panel, a, a_row, rows, sums, out);
}

void fill(const Quantized& q, std::int64_t panel, std::int64_t k0, std::int64_t depth, float* dst, std::int64_t width) {
  if (q.bits == 2) return fill_bits<2>(q, panel, k0, depth, dst, width);
  if (q.bits == 8) return fill_bits<8>(q, panel, k0, depth, dst, width);
  fill_bits<4>(q, panel, k0, depth, dst, width);
}

const QuantizedKernels& quantized_table() {
  static constexpr QuantizedKernels kTable{kLanes, &rows, &fill};
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu::gemm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu::gemm {

const QuantizedKernels& quantized_kernels(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return N_AVX3::quantized_table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return N_AVX2::quantized_table();
#endif
  return HWY_STATIC_DISPATCH(quantized_table)();
}

}  // namespace tenon::cpu::gemm
#endif
