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
void split(const float* from_low, const float* from_high, std::int64_t step, std::int64_t pixels, std::uint16_t* to, std::int64_t part_step) {
  for (std::int64_t i = 0; i < pixels; ++i, from_low += step, from_high += step, to += 32) {
    __m512 low = _mm512_loadu_ps(from_low), high = _mm512_loadu_ps(from_high);
    std::uint16_t* out = to;
    for (int p = 0; p + 1 < kParts; ++p, out += part_step) {
      const __m512 l = rounded(low), h = rounded(high);
      _mm512_storeu_si512(out, narrowed(l, h));
      low = _mm512_sub_ps(low, l), high = _mm512_sub_ps(high, h);
    }
    _mm512_storeu_si512(out, narrowed(low, high));
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
constexpr SplitConvKernels kernels_of{kParts, &split<kParts>, &finish, &finite};

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
