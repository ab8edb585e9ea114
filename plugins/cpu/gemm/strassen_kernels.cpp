#include "plugins/cpu/gemm/strassen.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/gemm/strassen_kernels.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include "plugins/cpu/gemm/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::gemm {
namespace HWY_NAMESPACE {
namespace {

// The sum or difference of two panels, kept on the way: the additions fit beside the products.
template <bool kSubtract>
struct SumOfColumns {
  const float *b, *other;
  float* kept;

  HWY_INLINE void next(Vec (&vb)[2]) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      __builtin_prefetch(b + (16 + j) * kLanes, 0, 3);
      __builtin_prefetch(other + (16 + j) * kLanes, 0, 3);
      const Vec x = load(b + j * kLanes), y = load(other + j * kLanes);
      vb[j] = kSubtract ? subtract(x, y) : add(x, y);
      store(vb[j], kept + j * kLanes);
    }
    b += 2 * kLanes, other += 2 * kLanes, kept += 2 * kLanes;
  }
};

template <int kMr>
HWY_INLINE void fetch(const StrassenTarget& target) {
  if (!target.far) return;
#pragma GCC unroll 16
  for (int i = 0; i < kMr; ++i) {
    __builtin_prefetch(target.far + i * target.far_row, 1);
    if constexpr (2 * kLanes > 16) __builtin_prefetch(target.far + i * target.far_row + 2 * kLanes - 1, 1);
  }
}

template <int kMr>
HWY_INLINE void put(const Vec (&sum)[kMr][2], const StrassenTarget& target, float factor) {
  if (!target.to) return;
  const Vec sign = set(target.subtract ? -1.0f : 1.0f), alpha = set(factor);
#pragma GCC unroll 16
  for (int i = 0; i < kMr; ++i) {
    if (i >= target.rows) break;
    float* const to = target.to + i * target.to_row;
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      Vec v = sum[i][j];
      if (target.from) v = mul_add(sign, v, load(target.from + i * target.from_row + j * kLanes));
      if (target.last) {
        v = mul_add(v, alpha, load(target.bias + j * kLanes));
        if (target.addend) v = add(v, load(target.addend + i * target.to_row + j * kLanes));
      }
      store(v, to + j * kLanes);
    }
  }
}

template <int kMr>
void tile(const StrassenTileArgs& args) {
  Vec sum[kMr][2];
#pragma GCC unroll 16
  for (int i = 0; i < kMr; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) sum[i][j] = zero();
  const TileArgs& t = args.tile;
  fetch<kMr>(args.to[0]);
  fetch<kMr>(args.to[1]);
  if (args.b_other && args.b_subtract) multiply<kMr, 2, false>(t, SumOfColumns<true>{t.b, args.b_other, args.b_sum}, sum);
  else if (args.b_other) multiply<kMr, 2, false>(t, SumOfColumns<false>{t.b, args.b_other, args.b_sum}, sum);
  else if (t.prefetch) multiply<kMr, 2, true>(t, Columns<2>{t.b, t.b_k}, sum);
  else multiply<kMr, 2, false>(t, Columns<2>{t.b, t.b_k}, sum);
  put<kMr>(sum, args.to[0], t.alpha);
  put<kMr>(sum, args.to[1], t.alpha);
}

void combine(float* to, const float* x, const float* y, std::int64_t n, bool subtract) {
  const Vec sign = set(subtract ? -1.0f : 1.0f);
  for (std::int64_t i = 0; i < n; i += kLanes) store(mul_add(sign, load(y + i), load(x + i)), to + i);
}

// Zero times what is not finite is not zero.
bool finite(const float* c, std::int64_t c_row, std::int64_t rows, std::int64_t n) {
  Vec sum[2] = {zero(), zero()};
  for (std::int64_t i = 0; i < rows; ++i, c += c_row)
    for (std::int64_t j = 0; j < n; j += 2 * kLanes)
#pragma GCC unroll 2
      for (std::int64_t u = 0; u < 2; ++u) sum[u] = mul_add(load(c + j + u * kLanes), zero(), sum[u]);
  return sum_lanes(add(sum[0], sum[1])) == 0.0f;
}

template <int kMr>
constexpr void fill(StrassenKernels& table) {
  table.tiles[kMr - 1] = &tile<kMr>;
  if constexpr (kMr > 1) fill<kMr - 1>(table);
}

const StrassenKernels& strassen_table() {
  static constexpr StrassenKernels kTable = [] {
    StrassenKernels t{};
    fill<kRows>(t);
    t.combine = &combine;
    t.finite = &finite;
    return t;
  }();
  return kTable;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu::gemm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu::gemm {

const StrassenKernels& strassen_kernels(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return N_AVX3::strassen_table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return N_AVX2::strassen_table();
#endif
  return HWY_STATIC_DISPATCH(strassen_table)();
}

}  // namespace tenon::cpu::gemm
#endif
