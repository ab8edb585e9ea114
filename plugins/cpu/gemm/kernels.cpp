#include "plugins/cpu/gemm/kernels.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/gemm/kernels.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include "plugins/cpu/gemm/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::gemm {
namespace HWY_NAMESPACE {

template <int kMr, int kNv>
void tile(const TileArgs& args) {
  Vec sum[kMr][kNv];
#pragma GCC unroll 16
  for (int i = 0; i < kMr; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kNv; ++j) sum[i][j] = zero();
  float* c = args.c;
#pragma GCC unroll 16
  for (int i = 0; i < kMr; ++i) {
    __builtin_prefetch(c + i * args.c_row, 1);
    if constexpr (kNv * kLanes > 16) __builtin_prefetch(c + i * args.c_row + kNv * kLanes - 1, 1);
  }
  if (args.addend) {
#pragma GCC unroll 16
    for (int i = 0; i < kMr; ++i) {
      __builtin_prefetch(args.addend + i * args.c_row, 0, 2);
      if constexpr (kNv * kLanes > 16) __builtin_prefetch(args.addend + i * args.c_row + kNv * kLanes - 1, 0, 2);
    }
  }
  const Columns<kNv> columns{args.b, args.b_k};
  if (args.prefetch) multiply<kMr, kNv, true>(args, columns, sum);
  else multiply<kMr, kNv, false>(args, columns, sum);

  if (args.accumulate)
#pragma GCC unroll 16
    for (int i = 0; i < kMr; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kNv; ++j) sum[i][j] = add(load(c + i * args.c_row + j * kLanes), sum[i][j]);
  if (args.last) {
    const Vec alpha = set(args.alpha);
#pragma GCC unroll 2
    for (int j = 0; j < kNv; ++j) {
      const Vec bias = load(args.bias + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kMr; ++i) sum[i][j] = mul_add(sum[i][j], alpha, bias);
    }
    if (args.addend)
#pragma GCC unroll 16
      for (int i = 0; i < kMr; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < kNv; ++j) sum[i][j] = add(sum[i][j], load(args.addend + i * args.c_row + j * kLanes));
  }
#pragma GCC unroll 16
  for (int i = 0; i < kMr; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kNv; ++j) store(sum[i][j], c + i * args.c_row + j * kLanes);
}

// One row over four interleaved sums, so that the latency of an addition is hidden.
template <int kNv>
void gemv(const TileArgs& args) {
  Vec sum[4][kNv];
#pragma GCC unroll 4
  for (int u = 0; u < 4; ++u)
#pragma GCC unroll 2
    for (int j = 0; j < kNv; ++j) sum[u][j] = zero();
  const float* a = args.a;
  const float* b = args.b;
  const std::int64_t a_k = args.a_k, b_k = args.b_k;
  std::int64_t k = 0;
  for (; k + 4 <= args.k; k += 4) {
    __builtin_prefetch(b + 1024, 0, 2);  // over the page's end, where the hardware stops
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) {
      const Vec va = set(a[u * a_k]);
#pragma GCC unroll 2
      for (int j = 0; j < kNv; ++j) sum[u][j] = mul_add(va, load(b + u * b_k + j * kLanes), sum[u][j]);
    }
    a += 4 * a_k;
    b += 4 * b_k;
  }
  for (; k < args.k; ++k) {
    const Vec va = set(*a);
    for (int j = 0; j < kNv; ++j) sum[0][j] = mul_add(va, load(b + j * kLanes), sum[0][j]);
    a += a_k;
    b += b_k;
  }
#pragma GCC unroll 2
  for (int j = 0; j < kNv; ++j) {
    Vec v = add(add(sum[0][j], sum[1][j]), add(sum[2][j], sum[3][j]));
    if (args.accumulate) v = add(load(args.c + j * kLanes), v);
    if (args.last) {
      v = mul_add(v, set(args.alpha), load(args.bias + j * kLanes));
      if (args.addend) v = add(v, load(args.addend + j * kLanes));
    }
    store(v, args.c + j * kLanes);
  }
}

// Rows that are contiguous in k: 4 × 4 blocks are turned in registers, while the next four rows come from wherever another worker
// or the step before has left them.
HWY_INLINE void pack_turned(float* dst, std::int64_t width, const float* src, std::int64_t i_stride, std::int64_t i, std::int64_t depth) {
  const float* row = src + i * i_stride;
  float* out = dst + i;
  std::int64_t k = 0;
  for (; k + 4 <= depth; k += 4) {
    __builtin_prefetch(row + (4 + (k >> 2 & 3)) * i_stride + (k & ~std::int64_t{15}), 0, 2);
    Vec4 r0 = load4(row + k), r1 = load4(row + i_stride + k), r2 = load4(row + 2 * i_stride + k), r3 = load4(row + 3 * i_stride + k);
    turn4(r0, r1, r2, r3);
    store4(r0, out);
    store4(r1, out + width);
    store4(r2, out + 2 * width);
    store4(r3, out + 3 * width);
    out += 4 * width;
  }
  for (; k < depth; ++k) {
    for (std::int64_t r = 0; r < 4; ++r) out[r] = row[r * i_stride + k];
    out += width;
  }
}

#if HWY_TARGET != HWY_SCALAR
// Eight rows: two blocks of 4 × 4 in a vector.
void pack_turned8(float* dst, std::int64_t width, const float* src, std::int64_t i_stride, std::int64_t i, std::int64_t depth) {
  const hn::FixedTag<float, 8> d;
  const float* row = src + i * i_stride;
  const float* lower = row + 4 * i_stride;
  float* out = dst + i;
  std::int64_t k = 0;
  for (; k + 4 <= depth; k += 4) {
    const std::int64_t ahead = (8 + 2 * (k >> 2 & 3)) * i_stride + (k & ~std::int64_t{15});
    __builtin_prefetch(row + ahead, 0, 2);
    __builtin_prefetch(row + ahead + i_stride, 0, 2);
    auto r0 = hn::Combine(d, load4(lower + k), load4(row + k));
    auto r1 = hn::Combine(d, load4(lower + i_stride + k), load4(row + i_stride + k));
    auto r2 = hn::Combine(d, load4(lower + 2 * i_stride + k), load4(row + 2 * i_stride + k));
    auto r3 = hn::Combine(d, load4(lower + 3 * i_stride + k), load4(row + 3 * i_stride + k));
    turn_blocks(d, r0, r1, r2, r3);
    hn::StoreU(r0, d, out);
    hn::StoreU(r1, d, out + width);
    hn::StoreU(r2, d, out + 2 * width);
    hn::StoreU(r3, d, out + 3 * width);
    out += 4 * width;
  }
  for (; k < depth; ++k) {
    for (std::int64_t r = 0; r < 8; ++r) out[r] = row[r * i_stride + k];
    out += width;
  }
}
#endif

void pack(float* dst, std::int64_t width, const float* src, std::int64_t i_stride, std::int64_t k_stride, std::int64_t count,
          std::int64_t depth) {
  if (k_stride == 1 && count >= 4) {
    std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
    for (; i + 8 <= count; i += 8) pack_turned8(dst, width, src, i_stride, i, depth);
    if (i > 0 && count - i > 4) {
      pack_turned8(dst, width, src, i_stride, count - 8, depth);  // overlapping
      i = count;
    }
#endif
    for (; i + 4 <= count; i += 4) pack_turned(dst, width, src, i_stride, i, depth);
    if (i < count) pack_turned(dst, width, src, i_stride, count - 4, depth);  // the last four again, overlapping
  } else if (i_stride == 1 && count >= kLanes) {
    for (std::int64_t k = 0; k < depth; ++k) {
      const float* from = src + k * k_stride;
      float* to = dst + k * width;
      std::int64_t i = 0;
      for (; i + kLanes <= count; i += kLanes) store(load(from + i), to + i);
      if (i < count) store(load(from + count - kLanes), to + count - kLanes);
    }
  } else {
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t i = 0; i < count; ++i) dst[k * width + i] = src[i * i_stride + k * k_stride];
  }
  if (count < width)
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t i = count; i < width; ++i) dst[k * width + i] = 0;
}

template <int kN>
HWY_INLINE void dot_group(const float* a, const float* b, std::int64_t b_row, std::int64_t k_count, float* out) {
  constexpr int kSums = kN == 1 ? 4 : kN;
  Vec sum[kSums];
#pragma GCC unroll 4
  for (int j = 0; j < kSums; ++j) sum[j] = zero();
  std::int64_t k = 0;
  if constexpr (kN == 1) {
    for (; k + 4 * kLanes <= k_count; k += 4 * kLanes)
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u)
        sum[u] = mul_add(load(a + k + u * kLanes), load(b + k + u * kLanes), sum[u]);
  }
  for (; k + kLanes <= k_count; k += kLanes) {
    const Vec va = load(a + k);
#pragma GCC unroll 4
    for (int j = 0; j < kN; ++j) sum[j] = mul_add(va, load(b + j * b_row + k), sum[j]);
  }
  if (k < k_count) {
    const Vec va = load_first(a + k, k_count - k);
#pragma GCC unroll 4
    for (int j = 0; j < kN; ++j) sum[j] = mul_add(va, load_first(b + j * b_row + k, k_count - k), sum[j]);
  }
  if constexpr (kN == 1) {
    out[0] = sum_lanes(add(add(sum[0], sum[1]), add(sum[2], sum[3])));
  } else {
#pragma GCC unroll 4
    for (int j = 0; j < kN; ++j) out[j] = sum_lanes(sum[j]);
  }
}

void dots(const float* a, std::int64_t a_row, const float* b, std::int64_t b_row, std::int64_t m, std::int64_t n, std::int64_t k,
          float alpha, const float* bias, std::int64_t bias_row, std::int64_t bias_column, float* c, std::int64_t c_row,
          std::int64_t c_column) {
  for (std::int64_t j = 0; j < n; j += 4) {
    const int group = n - j >= 4 ? 4 : 1;
    for (std::int64_t jj = j; jj < n && jj < j + 4; jj += group)
      for (std::int64_t i = 0; i < m; ++i) {
        float out[4];
        if (group == 4) dot_group<4>(a + i * a_row, b + jj * b_row, b_row, k, out);
        else dot_group<1>(a + i * a_row, b + jj * b_row, b_row, k, out);
        for (int g = 0; g < group; ++g) c[i * c_row + (jj + g) * c_column] = out[g] * alpha + bias[i * bias_row + (jj + g) * bias_column];
      }
  }
}

template <int kMr, int kNv>
constexpr void fill(TileFn* table) {
  table[kMr - 1] = &tile<kMr, kNv>;
  if constexpr (kMr > 1) fill<kMr - 1, kNv>(table);
}

const Kernels& table() {
  static constexpr Kernels kTable = [] {
    Kernels t{};
    t.lanes = kLanes;
    t.rows = kRows;
    t.columns = 2 * kLanes;
    fill<kRows, 2>(t.tiles[0]);
    fill<kRows, 1>(t.tiles[1]);
    t.gemv[0] = &gemv<2>;
    t.gemv[1] = &gemv<1>;
    t.pack = &pack;
    t.dots = &dots;
    return t;
  }();
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu::gemm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu::gemm {

const Kernels& kernels(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return N_AVX3::table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return N_AVX2::table();
#endif
  return HWY_STATIC_DISPATCH(table)();
}

}  // namespace tenon::cpu::gemm
#endif
