#include "plugins/cpu/gemm/nbits_int8.h"

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
#endif

namespace tenon::cpu::gemm {

#if defined(__x86_64__)
namespace {

constexpr int kLanes = 16;
constexpr int kRows = 6;

// 16 numbers in the order in which weights leave a lane: step s of a lane has byte b from k = b * (8 / bits) + s.
__m128i lane_order(std::int32_t bits) {
  if (bits == 2) return _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  if (bits == 4) return _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  return _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

__mmask16 first(std::int64_t n) { return n >= kLanes ? __mmask16{0xffff} : n <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << n) - 1); }

void quantize(const Quantized& q, const float* a, std::int64_t a_row, const Int8Rows& to) {
  const __m128i order = lane_order(q.bits);
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  for (std::int64_t r = 0; r < to.rows; ++r)
    for (std::int64_t b = 0; b < q.blocks; ++b) {
      const float* x = a + r * a_row + b * q.block;
      const std::int64_t n = q.k - b * q.block;  // beyond it are zeros
      // As integers, so that an infinity or no number is the largest.
      __m512i largest = _mm512_setzero_si512();
      for (std::int64_t k = 0; k < q.block; k += kLanes)
        largest = _mm512_max_epi32(largest, _mm512_and_si512(magnitude, _mm512_castps_si512(_mm512_maskz_loadu_ps(first(n - k), x + k))));
      const std::int32_t top_bits = _mm512_reduce_max_epi32(largest);
      const bool finite = top_bits < 0x7f800000;
      float top;
      __builtin_memcpy(&top, &top_bits, sizeof top);
      // A tiny block would divide to infinity: it is zero.
      const bool some = finite && top > 1e-35f;
      const __m512 factor = _mm512_set1_ps(some ? 127.0f / top : 0.0f);
      __m512i sum = _mm512_setzero_si512();
      std::int32_t* out = to.numbers() + b * (q.block / 4) * to.rows + r;
      for (std::int64_t k = 0; k < q.block; k += kLanes) {
        __m512i v = _mm512_setzero_si512();
        if (some) v = _mm512_cvtps_epi32(_mm512_mul_ps(factor, _mm512_maskz_loadu_ps(first(n - k), x + k)));
        sum = _mm512_add_epi32(sum, v);
        alignas(16) std::int32_t words[4];
        _mm_store_si128(reinterpret_cast<__m128i*>(words), _mm_shuffle_epi8(_mm512_cvtsepi32_epi8(v), order));
        for (int w = 0; w < 4; ++w) out[(k / 4 + w) * to.rows] = words[w];
      }
      const std::int32_t total = _mm512_reduce_add_epi32(sum);
      to.scales(q)[b * to.rows + r] = some ? top / 127.0f : finite ? 0.0f : __builtin_nanf("");
      to.offsets(q)[b * to.rows + r] = -total * (1 << (q.bits - 1));
      to.sums(q)[b * to.rows + r] = static_cast<float>(total);
    }
}

template <int kBits, int kMr, int kNv, bool kZeros>
void tile_of(const Quantized& q, std::int64_t panel, const Int8Rows& a, float alpha, const float* bias, float* c, std::int64_t c_row) {
  constexpr int kSteps = 8 / kBits;                         // of four weights in a lane
  constexpr int kChains = kMr <= 2 && kSteps > 1 ? 2 : 1;   // to hide the latency of an addition
  const std::int64_t steps = q.block_steps();
  const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kBits) - 1));
  const std::uint32_t* w = q.weights + panel * q.blocks * steps * kLanes;
  const float* weight_scale = q.scales + panel * q.blocks * kLanes;
  const float* zero = kZeros ? q.zeros + panel * q.blocks * kLanes : nullptr;
  const std::int64_t next_panel = q.blocks * steps * kLanes, next_scale = q.blocks * kLanes;
  const std::int32_t* x = a.numbers();
  const std::int32_t* offset = a.offsets(q);
  const float *scale = a.scales(q), *row_sum = a.sums(q);
  __m512 total[kMr][kNv];
#pragma GCC unroll 6
  for (int r = 0; r < kMr; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kNv; ++v) total[r][v] = _mm512_setzero_ps();
  for (std::int64_t b = 0; b < q.blocks; ++b) {
    __m512i sum[kMr][kNv][kChains];
#pragma GCC unroll 6
    for (int r = 0; r < kMr; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kNv; ++v) {
        sum[r][v][0] = _mm512_set1_epi32(offset[r]);
        if constexpr (kChains == 2) sum[r][v][1] = _mm512_setzero_si512();
      }
    for (std::int64_t s = 0; s < steps; ++s) {
      __m512i bits[kNv];
#pragma GCC unroll 2
      for (int v = 0; v < kNv; ++v) bits[v] = _mm512_loadu_si512(w + v * next_panel);
      if constexpr (kMr <= 2) __builtin_prefetch(w + 32 * kLanes, 0, 3);
#pragma GCC unroll 4
      for (int i = 0; i < kSteps; ++i) {
        __m512i four[kNv];
#pragma GCC unroll 2
        for (int v = 0; v < kNv; ++v) {
          four[v] = kSteps == 1 ? bits[v] : _mm512_and_si512(bits[v], mask);
          if (i + 1 < kSteps) bits[v] = _mm512_srli_epi32(bits[v], kBits);
        }
#pragma GCC unroll 6
        for (int r = 0; r < kMr; ++r) {
          const __m512i y = _mm512_set1_epi32(x[i * kMr + r]);
#pragma GCC unroll 2
          for (int v = 0; v < kNv; ++v) sum[r][v][i % kChains] = _mm512_dpbusd_epi32(sum[r][v][i % kChains], four[v], y);
        }
      }
      x += kSteps * kMr;
      w += kLanes;
    }
#pragma GCC unroll 2
    for (int v = 0; v < kNv; ++v) {
      const __m512 ws = _mm512_loadu_ps(weight_scale + v * next_scale);
#pragma GCC unroll 6
      for (int r = 0; r < kMr; ++r) {
        __m512i n = sum[r][v][0];
        if constexpr (kChains == 2) n = _mm512_add_epi32(n, sum[r][v][1]);
        __m512 f = _mm512_cvtepi32_ps(n);
        if constexpr (kZeros) f = _mm512_fnmadd_ps(_mm512_loadu_ps(zero + v * next_scale), _mm512_set1_ps(row_sum[r]), f);
        total[r][v] = _mm512_fmadd_ps(f, _mm512_mul_ps(ws, _mm512_set1_ps(scale[r])), total[r][v]);
      }
    }
    weight_scale += kLanes, offset += kMr, scale += kMr, row_sum += kMr;
    if constexpr (kZeros) zero += kLanes;
  }
#pragma GCC unroll 2
  for (int v = 0; v < kNv; ++v) {
    const __m512 add = _mm512_loadu_ps(bias + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kMr; ++r) _mm512_storeu_ps(c + r * c_row + v * kLanes, _mm512_fmadd_ps(total[r][v], _mm512_set1_ps(alpha), add));
  }
}

using TileFn = void (*)(const Quantized&, std::int64_t, const Int8Rows&, float, const float*, float*, std::int64_t);

template <int kBits, int kNv, bool kZeros>
TileFn of_rows(std::int64_t rows) {
  static constexpr TileFn kTable[kRows] = {&tile_of<kBits, 1, kNv, kZeros>, &tile_of<kBits, 2, kNv, kZeros>, &tile_of<kBits, 3, kNv, kZeros>,
                                           &tile_of<kBits, 4, kNv, kZeros>, &tile_of<kBits, 5, kNv, kZeros>, &tile_of<kBits, 6, kNv, kZeros>};
  return kTable[rows - 1];
}

template <int kBits>
TileFn of_form(std::int64_t rows, bool two, bool zeros) {
  if (two) return zeros ? of_rows<kBits, 2, true>(rows) : of_rows<kBits, 2, false>(rows);
  return zeros ? of_rows<kBits, 1, true>(rows) : of_rows<kBits, 1, false>(rows);
}

void tile(const Quantized& q, std::int64_t panel, std::int64_t panels, const Int8Rows& a, float alpha, const float* bias, float* c,
          std::int64_t c_row) {
  const bool two = panels == 2, zeros = q.zeros != nullptr;
  const TileFn fn = q.bits == 2 ? of_form<2>(a.rows, two, zeros) : q.bits == 8 ? of_form<8>(a.rows, two, zeros) : of_form<4>(a.rows, two, zeros);
  fn(q, panel, a, alpha, bias, c, c_row);
}

}  // namespace
}  // namespace tenon::cpu::gemm
HWY_POP_ATTRIBUTES

namespace tenon::cpu::gemm {

const Int8Kernels* int8_kernels(Isa isa) {
  static constexpr Int8Kernels kKernels{kRows, &quantize, &tile};
  return isa >= Isa::avx512_vnni ? &kKernels : nullptr;
}
#else
const Int8Kernels* int8_kernels(Isa) { return nullptr; }
#endif

}  // namespace tenon::cpu::gemm
