#include "plugins/cpu/gemm/split.h"

#include "plugins/cpu/amx/split_tiles.h"
#include "plugins/cpu/gemm/kernels.h"
#include "plugins/cpu/gemm/strassen.h"
#include "plugins/cpu/simd.h"
// After simd.h.
#include <hwy/base.h>

#if defined(__x86_64__)
#include <immintrin.h>
#if !defined(__clang__)  // gcc takes the intrinsics' "undefined" operands for mistakes
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")

namespace tenon::cpu::gemm {
namespace {

constexpr std::int64_t kLanes = 16;

__mmask16 first(std::int64_t n) { return n >= kLanes ? __mmask16{0xffff} : n <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << n) - 1); }

// The nearest bfloat16, as float32: halves go away from zero. A NaN may come out as a number; x - rounded(x) is one still.
HWY_INLINE __m512 rounded(__m512 x) {
  const __m512i up = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
  return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}
// 16 + 16 numbers to bfloat16 in order.
HWY_INLINE __m512i narrowed(__m512 low, __m512 high) { return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)); }

// ---- A ------------------------------------------------------------------------------------------------------------------

template <int kParts>
void split_rows(const float* a, std::int64_t a_row, std::int64_t k, std::int64_t rows, std::int64_t height, std::uint16_t* to) {
  // A few steps of a row at a time: steps lie a multiple of the cache's way apart, so more of them would drive each other out.
  constexpr std::int64_t kTogether = 4 * kSplitStep;
  const std::int64_t part = height * kSplitStep;
  for (std::int64_t k0 = 0; k0 < k; k0 += kTogether, to += kTogether * height * kParts)
    for (std::int64_t r = 0; r < height; ++r) {
      const float* x = a + r * a_row + k0;
      std::uint16_t* out = to + r * kSplitStep;
      for (std::int64_t left = k - k0; left > 0 && left > k - k0 - kTogether; left -= kSplitStep, x += kSplitStep, out += kParts * part) {
        __m512 low = _mm512_setzero_ps(), high = low;
        if (r < rows && left >= kSplitStep) {
          low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + kLanes);
        } else if (r < rows) {
          low = _mm512_maskz_loadu_ps(first(left), x);
          high = _mm512_maskz_loadu_ps(first(left - kLanes), x + kLanes);
        }
#pragma GCC unroll 3
        for (int p = 0; p + 1 < kParts; ++p) {
          const __m512 l = rounded(low), h = rounded(high);
          _mm512_storeu_si512(out + p * part, narrowed(l, h));
          low = _mm512_sub_ps(low, l), high = _mm512_sub_ps(high, h);
        }
        _mm512_storeu_si512(out + (kParts - 1) * part, narrowed(low, high));
      }
    }
}

// ---- B ------------------------------------------------------------------------------------------------------------------

// Rounds to bfloat16 but stays finite; what is not finite stays as it is and leaves nothing.
HWY_INLINE __m512 part_of(__m512& x) {
  const __m512 most = _mm512_castsi512_ps(_mm512_set1_epi32(0x7f7f0000));
  const __mmask16 finite = _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(__builtin_huge_valf()), _CMP_LT_OQ);
  const __m512 y = _mm512_mask_mov_ps(x, finite, _mm512_max_ps(_mm512_min_ps(rounded(x), most), _mm512_sub_ps(_mm512_setzero_ps(), most)));
  x = _mm512_maskz_sub_ps(finite, x, y);
  return y;
}

// kExact: parts of what is not finite, or rounds to none, say what it is.
template <int kParts, bool kExact>
void split_columns(const float* b, std::int64_t b_k, std::int64_t width, std::uint16_t* to) {
  // Even elements of k in the lower halves of words, odd ones in the upper halves.
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2,
                                         17, 1, 16, 0);
  for (std::int64_t pair = 0; pair < kSplitStep / 2; ++pair)
    for (std::int64_t j = 0; j < width; j += kLanes) {
      __m512 even = _mm512_loadu_ps(b + 2 * pair * b_k + j), odd = _mm512_loadu_ps(b + (2 * pair + 1) * b_k + j);
      std::uint16_t* out = to + (j + pair) * kSplitStep;
#pragma GCC unroll 3
      for (int p = 0; p < kParts; ++p) {
        __m512 e = even, o = odd;
        if constexpr (kExact) {
          e = part_of(even), o = part_of(odd);
        } else if (p + 1 < kParts) {
          e = rounded(even), o = rounded(odd);
          even = _mm512_sub_ps(even, e), odd = _mm512_sub_ps(odd, o);
        }
        _mm512_storeu_si512(out + p * width * kSplitStep, _mm512_permutexvar_epi16(order, narrowed(e, o)));
      }
    }
}

// ---- products -----------------------------------------------------------------------------------------------------------

template <int kParts, int kRows, int kNv>
void vectors(const SplitTileArgs& args) {
  // Products of the first parts and the small ones have sums of their own, so that small ones are not rounded like large ones;
  // three parts have a sum for each step as well, as tiles have, so that long sums are no worse than float32's.
  // Few sums wait for each other: then several are kept for each vector of C.
  constexpr int kSums = kParts == 1 ? 1 : 2, kChains = kRows * kNv * kSums >= 8 ? 1 : kRows * kNv * kSums >= 4 ? 2 : 4;
  constexpr std::int64_t kPart = kNv * kLanes * kSplitStep;
  __m512 sum[kRows][kNv][kChains], small[kRows][kNv][kChains];
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kNv; ++v)
#pragma GCC unroll 4
      for (int c = 0; c < kChains; ++c) sum[r][v][c] = small[r][v][c] = _mm512_setzero_ps();
  __m512 total[kRows][kNv];
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kNv; ++v) total[r][v] = _mm512_setzero_ps();
  const std::uint16_t *a = args.a, *b = args.b;
  const char* ahead = args.prefetch;
  for (std::int64_t step = 0; step < args.steps; ++step) {
    if (ahead)
      for (std::int64_t l = 0; l < args.prefetch_lines; ++l, ahead += 64) _mm_prefetch(ahead, _MM_HINT_T1);
    const std::uint16_t* x = a;
    for (int pair = 0; pair < kSplitStep / 2; pair += kChains)
#pragma GCC unroll 4
      for (int c = 0; c < kChains; ++c) {
        __m512bh w[kParts][kNv];
#pragma GCC unroll 3
        for (int p = 0; p < kParts; ++p)
#pragma GCC unroll 2
          for (int v = 0; v < kNv; ++v)
            w[p][v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + p * kPart + v * kLanes * kSplitStep));
#pragma GCC unroll 14
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
          for (int p = 0; p < kParts; ++p) {
            std::int32_t two;
            __builtin_memcpy(&two, x + (p * kRows + r) * kSplitStep, sizeof two);
            const __m512bh y = reinterpret_cast<__m512bh>(_mm512_set1_epi32(two));
#pragma GCC unroll 3
            for (int q = kParts - 1 - p; q >= 0; --q)
#pragma GCC unroll 2
              for (int v = 0; v < kNv; ++v) {
                __m512& to = p + q == 0 ? sum[r][v][c] : small[r][v][c];
                to = _mm512_dpbf16_ps(to, y, w[q][v]);
              }
          }
        x += 2;
        b += kSplitStep;
      }
    a += kParts * kRows * kSplitStep;
    b += kParts * kPart - kSplitStep * kSplitStep / 2;
    if constexpr (kParts == 3)
#pragma GCC unroll 14
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < kNv; ++v)
#pragma GCC unroll 4
          for (int c = 0; c < kChains; ++c) {
            total[r][v] = _mm512_add_ps(total[r][v], sum[r][v][c]);
            sum[r][v][c] = _mm512_setzero_ps();
          }
  }
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kNv; ++v) {
      if constexpr (kSums == 2)
#pragma GCC unroll 4
        for (int c = 0; c < kChains; ++c) sum[r][v][c] = _mm512_add_ps(sum[r][v][c], small[r][v][c]);
      __m512 all = sum[r][v][0];
      if constexpr (kChains == 2) all = _mm512_add_ps(all, sum[r][v][1]);
      if constexpr (kChains == 4) all = _mm512_add_ps(_mm512_add_ps(all, sum[r][v][1]), _mm512_add_ps(sum[r][v][2], sum[r][v][3]));
      if constexpr (kParts == 3) all = _mm512_add_ps(total[r][v], all);
      float* c = args.c + r * args.c_row + v * kLanes;
      if (args.accumulate) all = _mm512_add_ps(_mm512_loadu_ps(c), all);
      _mm512_storeu_ps(c, all);
    }
}

// ---- what comes after ---------------------------------------------------------------------------------------------------

std::uint32_t finish(float* x, std::int64_t x_row, std::int64_t rows, std::int64_t columns, float alpha, const float* bias) {
  const __m512 factor = _mm512_set1_ps(alpha), infinity = _mm512_set1_ps(__builtin_huge_valf());
  const __mmask16 left = first(columns), right = first(columns - kLanes);
  const bool as_it_is = alpha == 1 && !bias;
  const __m512 add_left = bias ? _mm512_maskz_loadu_ps(left, bias) : _mm512_setzero_ps();
  const __m512 add_right = bias ? _mm512_maskz_loadu_ps(right, bias + kLanes) : _mm512_setzero_ps();
  std::uint32_t bad = 0;
  for (std::int64_t r = 0; r < rows; ++r, x += x_row) {
    const __m512 l = _mm512_maskz_loadu_ps(left, x), h = _mm512_maskz_loadu_ps(right, x + kLanes);
    const auto wrong = static_cast<__mmask16>(_mm512_cmp_ps_mask(_mm512_abs_ps(l), infinity, _CMP_NLT_UQ) |
                                              _mm512_cmp_ps_mask(_mm512_abs_ps(h), infinity, _CMP_NLT_UQ));
    bad |= static_cast<std::uint32_t>(wrong != 0) << r;
    if (as_it_is) continue;
    const __m512 y_left = _mm512_fmadd_ps(l, factor, add_left), y_right = _mm512_fmadd_ps(h, factor, add_right);
    if (columns == kSplitColumns) {
      _mm512_storeu_ps(x, y_left), _mm512_storeu_ps(x + kLanes, y_right);
    } else {
      _mm512_mask_storeu_ps(x, left, y_left), _mm512_mask_storeu_ps(x + kLanes, right, y_right);
    }
  }
  return bad;
}

template <int kParts>
void plain_row(const float* a, std::int64_t a_k, const std::uint16_t* b, std::int64_t width, std::int64_t k, float* sums) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  for (std::int64_t j = 0; j < width; j += kLanes) {
    __m512 sum = _mm512_setzero_ps();
    for (std::int64_t i = 0; i < k; i += 2) {
      const std::int64_t step = i / kSplitStep, pair = i % kSplitStep / 2;
      const std::uint16_t* w = b + (step * kParts * width + j + pair) * kSplitStep;
      __m512 even = _mm512_setzero_ps(), odd = even;
      for (int p = kParts - 1; p >= 0; --p) {
        const __m512i both = _mm512_loadu_si512(w + p * width * kSplitStep);
        even = _mm512_add_ps(even, _mm512_castsi512_ps(_mm512_slli_epi32(both, 16)));
        odd = _mm512_add_ps(odd, _mm512_castsi512_ps(_mm512_and_si512(both, upper)));
      }
      sum = _mm512_fmadd_ps(_mm512_set1_ps(a[i * a_k]), even, sum);
      if (i + 1 < k) sum = _mm512_fmadd_ps(_mm512_set1_ps(a[(i + 1) * a_k]), odd, sum);
    }
    _mm512_storeu_ps(sums + j, sum);
  }
}

template <int kParts, int kRows>
constexpr void fill_rows(SplitKernels& t) {
  t.vectors[0][kRows - 1] = &vectors<kParts, kRows, 2>;
  t.vectors[1][kRows - 1] = &vectors<kParts, kRows, 1>;
  if constexpr (kRows > 1) fill_rows<kParts, kRows - 1>(t);
}

template <int kParts, bool kTiles>
constexpr SplitKernels table_of() {
  constexpr int kMost = kParts == 1 ? kVectorRows : 4;
  SplitKernels t{};
  t.parts = kParts;
  t.vector_rows = kMost;
  fill_rows<kParts, kMost>(t);
  if (kTiles)
    for (int half = 0; half < 2; ++half)
      for (int low = 0; low < 2; ++low) t.tiles[half][low] = amx::split_tile(kParts, half != 0, low != 0);
  t.split_rows = &split_rows<kParts>;
  t.split_constant = &split_columns<kParts, true>;
  t.split_columns = &split_columns<kParts, false>;
  t.finish = &finish;
  t.plain_row = &plain_row<kParts>;
  return t;
}

}  // namespace
}  // namespace tenon::cpu::gemm
HWY_POP_ATTRIBUTES

namespace tenon::cpu::gemm {

const SplitKernels* split_kernels(Isa isa, Precision precision) {
  static constexpr SplitKernels kVectors = table_of<1, false>(), kOne = table_of<1, true>(), kTwo = table_of<2, true>(),
                                kThree = table_of<3, true>();
  if (isa >= Isa::amx) return precision == Precision::highest ? &kThree : precision == Precision::high ? &kTwo : &kOne;
  return isa >= Isa::avx512_bf16 && precision == Precision::medium ? &kVectors : nullptr;
}
#else
namespace tenon::cpu::gemm {

const SplitKernels* split_kernels(Isa, Precision) { return nullptr; }
#endif

const Kernels& kernels(Isa isa, Precision precision) {
  const SplitKernels* split = split_kernels(isa, precision);
  if (!split) {
    if (precision == Precision::highest) return kernels(isa);
    const auto with_sums = [](Isa of) {
      Kernels k = kernels(of);
      k.strassen = &strassen_kernels(of);
      return k;
    };
    static const Kernels sums[] = {with_sums(Isa::plain), with_sums(Isa::avx2), with_sums(Isa::avx512)};
    return sums[isa >= Isa::avx512 ? 2 : isa >= Isa::avx2 ? 1 : 0];
  }
  const auto with = [](Isa of, Precision p) {
    Kernels k = kernels(of);
    k.split = split_kernels(of, p);
    return k;
  };
  static const Kernels vectors = with(Isa::avx512_bf16, Precision::medium);
  static const Kernels tiles[] = {with(Isa::amx, Precision::highest), with(Isa::amx, Precision::high), with(Isa::amx, Precision::medium)};
  return isa >= Isa::amx ? tiles[static_cast<int>(precision)] : vectors;
}

}  // namespace tenon::cpu::gemm
