#include "plugins/cpu/ops/byte_depthwise_line.h"

#include <algorithm>
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

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace tenon::cpu {
namespace {

constexpr std::int64_t quad_bytes = depthwise_lanes * 4;

// Rows first to first + Rows of the kernel become the bytes of quads, lowest first.
template <int Rows>
void weave(const ByteDepthwiseLine& t, std::int64_t first, std::uint8_t* line) {
  const auto there = static_cast<__mmask16>((1u << t.channels) - 1);
  const __m512i outside = _mm512_set1_epi8(static_cast<char>(t.zero));
  const std::int64_t width = ByteDepthwiseLine::width(t.columns), left = std::min(t.columns.pad, width),
                     right = std::min(t.columns.pad + t.columns.in, width);
  const auto row = [&](int r, std::int64_t column) {
    return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(there, t.rows[first + r] + column * t.steps[first + r]));
  };
  std::int64_t p = 0;
  for (; p < left; ++p) _mm512_storeu_si512(line + p * quad_bytes, outside);
  for (; p < right; ++p) {
    const std::int64_t column = p - t.columns.pad;
    __m512i quad = row(0, column);
    if constexpr (Rows > 1) quad = _mm512_or_si512(quad, _mm512_slli_epi32(row(1, column), 8));
    if constexpr (Rows > 2) quad = _mm512_or_si512(quad, _mm512_slli_epi32(row(2, column), 16));
    if constexpr (Rows > 3) quad = _mm512_or_si512(quad, _mm512_slli_epi32(row(3, column), 24));
    _mm512_storeu_si512(line + p * quad_bytes, quad);
  }
  for (; p < width; ++p) _mm512_storeu_si512(line + p * quad_bytes, outside);
}

struct Finish {
  __m512 factor, shift, low, high, magic, scale, other_scale, less, last_low, last_high;
  __m128i zero, other_flip;
  __mmask16 there;

  explicit Finish(const ByteDepthwiseLine& t) {
    there = static_cast<__mmask16>((1u << t.channels) - 1);
    factor = _mm512_loadu_ps(t.numbers.factor), shift = t.numbers.shift ? _mm512_loadu_ps(t.numbers.shift) : _mm512_setzero_ps();
    low = _mm512_set1_ps(t.to->low), high = _mm512_set1_ps(t.to->high), magic = _mm512_set1_ps(12582912.0f);
    const ByteTarget& end = t.addition ? t.addition->to : *t.to;
    last_low = _mm512_set1_ps(end.low), last_high = _mm512_set1_ps(end.high);
    zero = _mm_set1_epi8(static_cast<char>(end.zero ^ end.flip));
    scale = other_scale = less = _mm512_setzero_ps();
    other_flip = _mm_setzero_si128();
    if (const ByteAddition* a = t.addition) {
      scale = _mm512_set1_ps(a->scale), other_scale = _mm512_set1_ps(a->other_scale);
      less = _mm512_set1_ps(static_cast<float>(-a->other_zero) * a->other_scale);
      other_flip = _mm_set1_epi8(static_cast<char>(a->other_flip));
    }
  }

  void store(const ByteDepthwiseLine& t, std::int64_t pixel, __m512i sum) const {
    __m512 x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), factor, shift);
    x = _mm512_min_ps(_mm512_max_ps(x, low), high);
    if (t.addition) {
      const __m512 one = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      const __m128i other = _mm_xor_si128(_mm_maskz_loadu_epi8(there, t.other + pixel * t.out_step), other_flip);
      x = _mm512_fmadd_ps(one, scale, _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(other)), other_scale, less));
      x = _mm512_min_ps(_mm512_max_ps(x, last_low), last_high);
    }
    // Half to even, as an addition of 1.5 * 2^23 rounds; the low bits are the number.
    const __m128i bytes = _mm_add_epi8(_mm512_cvtepi32_epi8(_mm512_castps_si512(_mm512_add_ps(x, magic))), zero);
    std::uint8_t* to = t.out + pixel * t.out_step;
    if (t.channels == depthwise_lanes) _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
    else _mm_mask_storeu_epi8(to, there, bytes);
  }
};

// Taps: four rows of one column each, with their weights in registers; 0: any number.
template <int Taps>
void multiply(const ByteDepthwiseLine& t) {
  constexpr std::int64_t most = Taps > 0 ? Taps : 1;
  const Finish finish(t);
  const __m512i add = _mm512_loadu_si512(t.numbers.add);
  const std::int64_t width = ByteDepthwiseLine::width(t.columns), kernel = t.columns.kernel, taps = Taps > 0 ? Taps : t.quads() * kernel;
  const auto offset = [&](std::int64_t tap) { return (tap / kernel * width + tap % kernel * t.columns.dilation) * quad_bytes; };
  __m512i w[most];
  std::int64_t at[most];
  for (int k = 0; k < Taps; ++k) w[k] = _mm512_loadu_si512(t.weights + k * quad_bytes), at[k] = offset(k);
  const std::uint8_t* from = t.line;
  for (std::int64_t o = 0; o < t.columns.out; ++o, from += t.columns.stride * quad_bytes) {
    __m512i sum = add;
    if constexpr (Taps > 0) {
#pragma GCC unroll 16
      for (int k = 0; k < Taps; ++k) sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(from + at[k]), w[k]);
    } else {
      for (std::int64_t k = 0; k < taps; ++k)
        sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(from + offset(k)), _mm512_loadu_si512(t.weights + k * quad_bytes));
    }
    finish.store(t, o, sum);
  }
}

void depthwise_line(const ByteDepthwiseLine& t) {
  const std::int64_t width = ByteDepthwiseLine::width(t.columns);
  for (std::int64_t q = 0; q < t.quads(); ++q) {
    std::uint8_t* line = t.line + q * width * quad_bytes;
    switch (t.height - 4 * q) {
      case 1: weave<1>(t, 4 * q, line); break;
      case 2: weave<2>(t, 4 * q, line); break;
      case 3: weave<3>(t, 4 * q, line); break;
      default: weave<4>(t, 4 * q, line);
    }
  }
  switch (t.quads() * t.columns.kernel) {
    case 3: return multiply<3>(t);
    case 10: return multiply<10>(t);
    default: return multiply<0>(t);
  }
}

}  // namespace

ByteDepthwiseLineFn byte_depthwise_line(Isa isa) { return isa >= Isa::avx512_vnni ? depthwise_line : nullptr; }

}  // namespace tenon::cpu
HWY_POP_ATTRIBUTES
#else
namespace tenon::cpu {
ByteDepthwiseLineFn byte_depthwise_line(Isa) { return nullptr; }
}  // namespace tenon::cpu
#endif
