#include "plugins/cpu/ops/conv_split_kernel.h"

#include <cstring>

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
namespace tenon::cpu {
namespace {

// The nearest bfloat16, as float32: halves go away from zero. A NaN may come out as a number; x less that is one still.
HWY_INLINE __m512 rounded(__m512 x) {
  const __m512i up = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
  return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}
// 16 + 16 numbers to bfloat16 in order.
HWY_INLINE __m512i narrowed(__m512 low, __m512 high) { return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)); }

template <int kParts>
void split(const float* x, std::int64_t pixels, std::uint16_t* to, std::int64_t part_step) {
  for (std::int64_t i = 0; i < pixels; ++i, x += 32, to += 32) {
    __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    std::uint16_t* out = to;
    for (int p = 0; p + 1 < kParts; ++p, out += part_step) {
      const __m512 l = rounded(low), h = rounded(high);
      _mm512_storeu_si512(out, narrowed(l, h));
      low = _mm512_sub_ps(low, l), high = _mm512_sub_ps(high, h);
    }
    _mm512_storeu_si512(out, narrowed(low, high));
  }
}

// Rounds to bfloat16 but stays finite; what is not finite stays as it is and leaves nothing.
HWY_INLINE __m512 part_of(__m512& x) {
  const __m512 most = _mm512_castsi512_ps(_mm512_set1_epi32(0x7f7f0000));
  const __mmask16 finite = _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(__builtin_huge_valf()), _CMP_LT_OQ);
  const __m512 y = _mm512_mask_mov_ps(x, finite, _mm512_max_ps(_mm512_min_ps(rounded(x), most), _mm512_sub_ps(_mm512_setzero_ps(), most)));
  x = _mm512_maskz_sub_ps(finite, x, y);
  return y;
}

template <int kParts>
void split_weights(const float* w, std::int64_t columns, std::uint16_t* to) {
  // Even elements of k in the lower halves of words, odd ones in the upper halves.
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2,
                                         17, 1, 16, 0);
  for (std::int64_t j = 0; j < columns; j += 16)
    for (std::int64_t pair = 0; pair < 16; ++pair) {
      __m512 even = _mm512_loadu_ps(w + 2 * pair * columns + j), odd = _mm512_loadu_ps(w + (2 * pair + 1) * columns + j);
      for (int p = 0; p < kParts; ++p)
        _mm512_storeu_si512(to + (p * columns + j + pair) * 32, _mm512_permutexvar_epi16(order, narrowed(part_of(even), part_of(odd))));
    }
}

void finish(const SplitFinish& work) {
  const __m512 bias = _mm512_loadu_ps(work.bias), low = _mm512_set1_ps(work.low), high = _mm512_set1_ps(work.high);
  for (std::int64_t i = 0; i < work.pixels; ++i) {
    __m512 y = _mm512_add_ps(_mm512_loadu_ps(work.sums + i * work.sums_row), bias);
    if (work.residual) y = _mm512_add_ps(y, _mm512_loadu_ps(work.residual + i * work.out_pixel));
    // The second operand is what comes out where one is no number.
    _mm512_storeu_ps(work.out + i * work.out_pixel, _mm512_min_ps(high, _mm512_max_ps(low, y)));
  }
}

bool finite(const float* x, std::int64_t x_row, std::int64_t rows, std::int64_t columns) {
  const __m512 infinity = _mm512_set1_ps(__builtin_huge_valf());
  unsigned wrong = 0;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t j = 0; j < columns; j += 16)
      wrong |= _mm512_cmp_ps_mask(_mm512_abs_ps(_mm512_loadu_ps(x + r * x_row + j)), infinity, _CMP_NLT_UQ);
  return wrong == 0;
}

template <int kParts>
constexpr SplitConvKernels kernels_of{kParts, &split<kParts>, &split_weights<kParts>, &finish, &finite};

}  // namespace
}  // namespace tenon::cpu
HWY_POP_ATTRIBUTES
#endif

namespace tenon::cpu {

const SplitConvKernels* split_conv_kernels(Isa isa, Precision precision) {
#if defined(__x86_64__)
  if (isa < Isa::amx) return nullptr;
  switch (precision) {
    case Precision::highest: return &kernels_of<3>;
    case Precision::high: return &kernels_of<2>;
    case Precision::medium: return &kernels_of<1>;
  }
#endif
  (void)isa, (void)precision;
  return nullptr;
}

float split_weight(const std::uint16_t* step, int parts, std::int64_t columns, std::int64_t k, std::int64_t j) {
  float sum = 0;
  for (int p = parts; p-- > 0;) {
    const std::uint32_t bits = std::uint32_t{step[(p * columns + j / 16 * 16 + k / 2) * 32 + j % 16 * 2 + k % 2]} << 16;
    float part;
    std::memcpy(&part, &bits, sizeof part);
    sum += part;
  }
  return sum;
}

}  // namespace tenon::cpu
