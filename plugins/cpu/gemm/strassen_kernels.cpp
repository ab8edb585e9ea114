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

// A copy of the target: its members stay in registers, whatever is stored.
template <bool kFrom, bool kLast, int kMr>
HWY_INLINE void put_rows(const Vec (&sum)[kMr][2], const StrassenTarget target, Vec alpha) {
  const Vec sign = set(target.subtract ? -1.0f : 1.0f);
  const float *from = target.from, *addend = target.addend;
  float* to = target.to;
  Vec bias[2] = {zero(), zero()};
  if constexpr (kLast) bias[0] = load(target.bias), bias[1] = load(target.bias + kLanes);
#pragma GCC unroll 16
  for (int i = 0; i < kMr; ++i) {
    if (i == kMr - 1 && target.rows < kMr) break;
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      Vec v = sum[i][j];
      if constexpr (kFrom) v = mul_add(sign, v, load(from + j * kLanes));
      if constexpr (kLast) {
        v = mul_add(v, alpha, bias[j]);
        if (addend) v = add(v, load(addend + j * kLanes));
      }
      store(v, to + j * kLanes);
    }
    to += target.to_row;
    if constexpr (kFrom) from += target.from_row;
    if constexpr (kLast)
      if (addend) addend += target.to_row;
  }
}

template <int kMr>
HWY_INLINE void put(const Vec (&sum)[kMr][2], const StrassenTileArgs& args) {
  const Vec alpha = set(args.tile.alpha);
  for (const StrassenTarget& target : args.to) {
    if (!target.to || target.rows <= 0) continue;
    if (target.last) put_rows<true, true>(sum, target, alpha);
    else if (target.from) put_rows<true, false>(sum, target, alpha);
    else put_rows<false, false>(sum, target, alpha);
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
  put<kMr>(sum, args);
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
