#include "plugins/cpu/ops/recurrent_bytes_kernels.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/ops/byte_finish.h"
#include "plugins/cpu/ops/quantize.h"
#include "plugins/cpu/ops/recurrent_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/recurrent_bytes_kernels.cpp"
#include "plugins/cpu/simd.h"
// After simd.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
// Two weights of a column at a time, as int16.
template <int Rows>
HWY_ATTR void pairs(const ByteRow* rows, const BytePanel& panel, std::int64_t groups, float* out, std::int64_t out_row) {
  const hn::CappedTag<float, max_panel_lanes> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Repartition<std::int16_t, decltype(d)> d16;
  const hn::Rebind<std::int8_t, decltype(d16)> d8;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<decltype(di)> acc[Rows][byte_gates];
  for (int r = 0; r < Rows; ++r)
    for (int g = 0; g < byte_gates; ++g) acc[r][g] = hn::Zero(di);
  auto none = hn::Zero(di);  // these targets keep all sums in one vector
  const std::int8_t* w = panel.weights;
  for (std::int64_t k = 0; k < groups; ++k, w += byte_gates * 2 * lanes) {
    hn::Vec<decltype(d16)> x[Rows];
    HWY_UNROLL(4)
    for (int r = 0; r < Rows; ++r)
      x[r] = hn::BitCast(d16, hn::Set(di, rows[r].q[2 * k] | rows[r].q[2 * k + 1] << 16));
    HWY_UNROLL(4)
    for (int g = 0; g < byte_gates; ++g) {
      const auto wide = hn::PromoteTo(d16, hn::LoadU(d8, w + g * 2 * lanes));
      HWY_UNROLL(4)
      for (int r = 0; r < Rows; ++r) acc[r][g] = hn::ReorderWidenMulAccumulate(di, x[r], wide, acc[r][g], none);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (std::int64_t g = 0, at = 0; g < byte_gates; ++g, at += lanes) {
      const auto column = hn::Mul(hn::Set(di, rows[r].scale.zero), hn::LoadU(di, panel.sums + at));
      const auto row = hn::Mul(hn::Set(di, rows[r].sum), hn::LoadU(di, panel.zeros + at));
      const auto whole = hn::ConvertTo(d, hn::Sub(hn::Sub(acc[r][g], column), row));
      const auto scale = hn::Mul(hn::Set(d, rows[r].scale.scale), hn::LoadU(d, panel.scales + at));
      hn::StoreU(panel.add ? hn::MulAdd(whole, scale, hn::LoadU(d, panel.add + at)) : hn::Mul(whole, scale), d, out + r * out_row + at);
    }
  }
}
#else
template <int Rows>
void pairs(const ByteRow* rows, const BytePanel& panel, std::int64_t groups, float* out, std::int64_t out_row) {
  const std::int64_t columns = byte_gates * static_cast<std::int64_t>(hn::Lanes(hn::CappedTag<float, max_panel_lanes>()));
  for (int r = 0; r < Rows; ++r) {
    for (std::int64_t j = 0; j < columns; ++j) {
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < groups; ++k) {
        const std::int8_t* w = panel.weights + (k * columns + j) * 2;
        sum += rows[r].q[2 * k] * w[0] + rows[r].q[2 * k + 1] * w[1];
      }
      const auto whole = static_cast<float>(sum - rows[r].scale.zero * panel.sums[j] - rows[r].sum * panel.zeros[j]);
      const float scale = rows[r].scale.scale * panel.scales[j];
      out[r * out_row + j] = panel.add ? whole * scale + panel.add[j] : whole * scale;
    }
  }
}
#endif

HWY_ATTR void pairs_kernel(const ByteRow* rows, std::int64_t count, const BytePanel& panel, std::int64_t groups, float* out,
                           std::int64_t out_row) {
  constexpr int tall = HWY_TARGET <= HWY_AVX3 ? 4 : 2;
  for (; count >= tall; count -= tall, rows += tall, out += tall * out_row) pairs<tall>(rows, panel, groups, out, out_row);
  for (; count > 0; --count, ++rows, out += out_row) pairs<1>(rows, panel, groups, out, out_row);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#if defined(__x86_64__)
#include <immintrin.h>
#if !defined(__clang__)  // gcc takes the intrinsics' "undefined" operands for mistakes
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace tenon::cpu {
namespace {

template <int Rows>
void quads(const ByteRow* rows, const BytePanel& panel, std::int64_t groups, float* out, std::int64_t out_row) {
  constexpr int chains = Rows == 1 ? 2 : 1;  // to hide the latency of an addition
  constexpr std::int64_t step = byte_gates * 64;
  __m512i acc[chains][Rows][byte_gates];
  for (auto& chain : acc)
    for (auto& row : chain)
      for (__m512i& sum : row) sum = _mm512_setzero_si512();
  const std::int8_t* w = panel.weights;
  const auto take = [&](std::int64_t k, __m512i (&sums)[Rows][byte_gates]) __attribute__((always_inline)) {
    __m512i x[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      std::int32_t four;
      std::memcpy(&four, rows[r].q + 4 * k, sizeof four);
      x[r] = _mm512_set1_epi32(four);
    }
#pragma GCC unroll 4
    for (int g = 0; g < byte_gates; ++g) {
      const __m512i b = _mm512_loadu_si512(w + k * step + g * 64);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) sums[r][g] = _mm512_dpbusd_epi32(sums[r][g], x[r], b);
    }
  };
  std::int64_t k = 0;
  for (; k + chains <= groups; k += chains) {
#pragma GCC unroll 2
    for (int u = 0; u < chains; ++u) take(k + u, acc[u]);
  }
  if (k < groups) take(k, acc[0]);
  for (int r = 0; r < Rows; ++r) {
    for (int g = 0, at = 0; g < byte_gates; ++g, at += 16) {
      __m512i sum = acc[0][r][g];
      if (chains == 2) sum = _mm512_add_epi32(sum, acc[chains - 1][r][g]);
      sum = _mm512_sub_epi32(sum, _mm512_mullo_epi32(_mm512_set1_epi32(rows[r].scale.zero), _mm512_loadu_si512(panel.sums + at)));
      sum = _mm512_sub_epi32(sum, _mm512_mullo_epi32(_mm512_set1_epi32(rows[r].sum), _mm512_loadu_si512(panel.zeros + at)));
      const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(rows[r].scale.scale), _mm512_loadu_ps(panel.scales + at));
      const __m512 whole = _mm512_cvtepi32_ps(sum);
      _mm512_storeu_ps(out + r * out_row + at, panel.add ? _mm512_fmadd_ps(whole, scale, _mm512_loadu_ps(panel.add + at)) : _mm512_mul_ps(whole, scale));
    }
  }
}

void quads_kernel(const ByteRow* rows, std::int64_t count, const BytePanel& panel, std::int64_t groups, float* out,
                  std::int64_t out_row) {
  for (; count >= 4; count -= 4, rows += 4, out += 4 * out_row) quads<4>(rows, panel, groups, out, out_row);
  if (count >= 2) quads<2>(rows, panel, groups, out, out_row), count -= 2, rows += 2, out += 2 * out_row;
  if (count) quads<1>(rows, panel, groups, out, out_row);
}

}  // namespace
}  // namespace tenon::cpu
HWY_POP_ATTRIBUTES
#endif

namespace tenon::cpu {

TENON_SIMD_EXPORT(pairs_kernel);

std::int64_t byte_group(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::avx512_vnni && panel_lanes() == 16) return 4;
#endif
  (void)isa;
  return 2;
}

ByteScale byte_scale(float least, float greatest) {
  const float factor = (greatest - least) / 255.0f;
  ByteScale s{factor > 0 ? factor : 1.0f, 0};
  const float exact = std::clamp(0.0f - least / s.scale, 0.0f, 255.0f);
  if (exact == exact) s.zero = static_cast<std::int32_t>(round_even(exact));  // infinite numbers have no zero
  return s;
}

ByteRow quantize_row(const float* x, std::int64_t n, ByteScale scale, std::uint8_t* q) {
  const ByteFinish& finish = byte_finish(detect_isa());
  finish.quantize_real(x, n, scale.scale, byte_target(false, scale.zero), q);
  std::memset(q + n, 0, static_cast<std::size_t>((most_byte_group - n % most_byte_group) % most_byte_group));
  return {q, scale, finish.total(q, n) - static_cast<std::int32_t>(n) * scale.zero};
}

void byte_panel_products(const ByteRow* rows, std::int64_t count, const BytePanel& panel, std::int64_t groups, std::int64_t group,
                         float* out, std::int64_t out_row) {
#if defined(__x86_64__)
  if (group == 4) return quads_kernel(rows, count, panel, groups, out, out_row);
#endif
  (void)group;
  TENON_SIMD(pairs_kernel)(rows, count, panel, groups, out, out_row);
}

}  // namespace tenon::cpu
#endif
