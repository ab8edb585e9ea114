// The loop over k of a tile: sums in registers, for the product kernels.
// Included inside each target's pass after <hwy/highway.h>; no state.
#if defined(TENON_CPU_GEMM_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TENON_CPU_GEMM_TILE_INL_H_
#undef TENON_CPU_GEMM_TILE_INL_H_
#else
#define TENON_CPU_GEMM_TILE_INL_H_
#endif

#include <cstdint>

#include "plugins/cpu/gemm/kernels.h"
#include "plugins/cpu/gemm/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::gemm {
namespace HWY_NAMESPACE {

// Accumulators, two vectors of B and one of A must fit the registers: 32 with AVX-512, else 16.
constexpr std::int64_t kRows = HWY_TARGET <= HWY_AVX3 ? 14 : 6;

// Keeps an address in its register: left alone, gcc computes one address per row and spills.
HWY_INLINE void pin(const float*& p) { __asm__("" : "+r"(p)); }

// B as it lies.
template <int kNv>
struct Columns {
  const float* b;
  std::int64_t b_k;

  HWY_INLINE void next(Vec (&vb)[kNv]) {
#pragma GCC unroll 2
    for (int j = 0; j < kNv; ++j) vb[j] = load(b + j * kLanes);
    b += b_k;
  }
};

// sum[i][j] += A[i, k] B[k, j]. Row i is at group i / 3 of a, offset i % 3: 0, 1 or 2 times the stride.
// columns.next(vb) loads B[k, ...] for one k after the other.
template <int kMr, int kNv, bool kPrefetch, class Columns>
HWY_INLINE void multiply(const TileArgs& args, Columns columns, Vec (&sum)[kMr][kNv]) {
  constexpr int kGroups = (kMr + 2) / 3;
  const std::int64_t row = args.a_row, a_k = args.a_k, ahead_k = args.prefetch_k;
  const float* a[kGroups];
#pragma GCC unroll 5
  for (int g = 0; g < kGroups; ++g) a[g] = args.a + 3 * g * row;
  const float* ahead = args.prefetch;
  for (std::int64_t k = args.k; k > 0; --k) {
    Vec vb[kNv];
    columns.next(vb);
    if constexpr (kPrefetch) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += ahead_k;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kMr; ++i) {
      const Vec va = set(a[i / 3][(i % 3) * row]);
#pragma GCC unroll 2
      for (int j = 0; j < kNv; ++j) sum[i][j] = mul_add(va, vb[j], sum[i][j]);
    }
#pragma GCC unroll 5
    for (int g = 0; g < kGroups; ++g) {
      a[g] += a_k;
      pin(a[g]);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu::gemm
HWY_AFTER_NAMESPACE();

#endif
