#include "plugins/cpu/gemm/byte_gemm.h"

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
#endif

namespace tenon::cpu::gemm {
namespace {

inline std::int32_t sum_of_four(std::uint32_t v) {
  return static_cast<std::int8_t>(v) + static_cast<std::int8_t>(v >> 8) + static_cast<std::int8_t>(v >> 16) + static_cast<std::int8_t>(v >> 24);
}

// A quad of a panel that lies inside the weights whole, for the two orders in which weights are stored.
void pack_quad_by_k(const std::uint8_t* from, std::int64_t by_column, std::uint32_t turn, std::int32_t* sums, std::int8_t* to) {
  for (std::int64_t lane = 0; lane < byte_columns; ++lane) {
    std::uint32_t v;
    std::memcpy(&v, from + lane * by_column, sizeof v);
    v ^= turn;
    sums[lane] += sum_of_four(v);
    std::memcpy(to + 4 * lane, &v, sizeof v);
  }
}
void pack_quad_by_column(const std::uint8_t* from, std::int64_t by_k, std::uint32_t turn, std::int32_t* sums, std::int8_t* to) {
  const std::uint8_t *a = from, *b = a + by_k, *c = b + by_k, *d = c + by_k;
  for (std::int64_t lane = 0; lane < byte_columns; ++lane) {
    const std::uint32_t v =
        (a[lane] | static_cast<std::uint32_t>(b[lane]) << 8 | static_cast<std::uint32_t>(c[lane]) << 16 | static_cast<std::uint32_t>(d[lane]) << 24) ^ turn;
    sums[lane] += sum_of_four(v);
    std::memcpy(to + 4 * lane, &v, sizeof v);
  }
}

}  // namespace

void pack_byte_weights(const ByteForm& form, const void* w, bool flip, std::int64_t by_segment, std::int64_t by_k, std::int64_t by_column,
                       std::int8_t* to) {
  const auto* from = static_cast<const std::uint8_t*>(w);
  const std::uint8_t turn = flip ? 0x80 : 0;
  auto* sums = reinterpret_cast<std::int32_t*>(to + form.panels() * form.panel_bytes());
  std::memset(sums, 0, static_cast<std::size_t>(form.padded()) * sizeof *sums);
  for (std::int64_t panel = 0; panel < form.panels(); ++panel)
    for (std::int64_t s = 0; s < form.segments; ++s)
      for (std::int64_t q = 0; q < form.quads(); ++q) {
        const std::int64_t first = panel * byte_columns;
        if (4 * q + 4 <= form.piece && first + byte_columns <= form.n && (by_k == 1 || by_column == 1)) {
          const std::uint8_t* quad = from + s * by_segment + 4 * q * by_k + first * by_column;
          if (by_k == 1) pack_quad_by_k(quad, by_column, turn * 0x01010101u, sums + first, to);
          else pack_quad_by_column(quad, by_k, turn * 0x01010101u, sums + first, to);
          to += 4 * byte_columns;
          continue;
        }
        for (std::int64_t lane = 0; lane < byte_columns; ++lane)
          for (std::int64_t k = 4 * q; k < 4 * q + 4; ++k) {
            const std::int64_t j = panel * byte_columns + lane;
            const bool inside = k < form.piece && j < form.n;
            const auto v = inside ? static_cast<std::int8_t>(from[s * by_segment + k * by_k + j * by_column] ^ turn) : std::int8_t{0};
            sums[j] += v;
            *to++ = v;
          }
      }
  std::memset(sums + form.padded(), 0, 1024);
}

#if defined(__x86_64__)
namespace {

using TileFn = void (*)(const std::uint8_t* const*, std::int64_t, std::int64_t, const std::int8_t*, std::int64_t, std::int32_t*,
                        std::int64_t);

inline std::int32_t four(const std::uint8_t* p) {
  std::int32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

}  // namespace
}  // namespace tenon::cpu::gemm

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace tenon::cpu::gemm {
namespace {

constexpr int kWide = 4;  // panels of a VNNI tile

template <int R, int P>
void vnni_tile(const std::uint8_t* const* a, std::int64_t segments, std::int64_t quads, const std::int8_t* w, std::int64_t panel_bytes,
               std::int32_t* c, std::int64_t c_row) {
  __m512i sum[R][P];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < P; ++v) sum[r][v] = _mm512_setzero_si512();
  for (std::int64_t s = 0; s < segments; ++s, a += R) {
    const std::uint8_t* x[R];
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) x[r] = a[r];
    for (std::int64_t q = 0; q < 4 * quads; q += 4, w += 64) {
      __m512i b[P];
#pragma GCC unroll 4
      for (int v = 0; v < P; ++v) b[v] = _mm512_loadu_si512(w + v * panel_bytes);
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
        const __m512i y = _mm512_set1_epi32(four(x[r] + q));
#pragma GCC unroll 4
        for (int v = 0; v < P; ++v) sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], y, b[v]);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < P; ++v) _mm512_storeu_si512(c + r * c_row + v * 16, sum[r][v]);
}

template <int P>
TileFn vnni_of_rows(std::int64_t rows) {
  static constexpr TileFn table[byte_rows] = {&vnni_tile<1, P>, &vnni_tile<2, P>, &vnni_tile<3, P>,
                                              &vnni_tile<4, P>, &vnni_tile<5, P>, &vnni_tile<6, P>};
  return table[rows - 1];
}

void vnni(const std::uint8_t* const* a, std::int64_t segments, std::int64_t quads, const std::int8_t* w, std::int64_t panel_bytes,
          std::int64_t rows, std::int64_t panels, std::int32_t* c, std::int64_t c_row) {
  const TileFn fn = panels == 4   ? vnni_of_rows<4>(rows)
                    : panels == 3 ? vnni_of_rows<3>(rows)
                    : panels == 2 ? vnni_of_rows<2>(rows)
                                  : vnni_of_rows<1>(rows);
  fn(a, segments, quads, w, panel_bytes, c, c_row);
}

}  // namespace
}  // namespace tenon::cpu::gemm
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("avx2")
namespace tenon::cpu::gemm {
namespace {

// Bytes as int16: the even and the odd ones of each quad apart, in the same places for both operands.
template <int R>
void avx2_tile(const std::uint8_t* const* a, std::int64_t segments, std::int64_t quads, const std::int8_t* w, std::int64_t, std::int32_t* c,
               std::int64_t c_row) {
  const __m256i low = _mm256_set1_epi16(0xff);
  __m256i sum[R][2];
#pragma GCC unroll 3
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
  for (std::int64_t s = 0; s < segments; ++s, a += R)
    for (std::int64_t q = 0; q < 4 * quads; q += 4, w += 64) {
      __m256i even[2], odd[2];
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32 * v));
        even[v] = _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8);
        odd[v] = _mm256_srai_epi16(b, 8);
      }
#pragma GCC unroll 3
      for (int r = 0; r < R; ++r) {
        const __m256i x = _mm256_set1_epi32(four(a[r] + q));
        const __m256i x_even = _mm256_and_si256(x, low), x_odd = _mm256_srli_epi16(x, 8);
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const __m256i both = _mm256_add_epi32(_mm256_madd_epi16(x_even, even[v]), _mm256_madd_epi16(x_odd, odd[v]));
          sum[r][v] = _mm256_add_epi32(sum[r][v], both);
        }
      }
    }
#pragma GCC unroll 3
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + r * c_row + v * 8), sum[r][v]);
}

void avx2(const std::uint8_t* const* a, std::int64_t segments, std::int64_t quads, const std::int8_t* w, std::int64_t panel_bytes,
          std::int64_t rows, std::int64_t, std::int32_t* c, std::int64_t c_row) {
  static constexpr TileFn table[byte_rows] = {&avx2_tile<1>, &avx2_tile<2>, &avx2_tile<3>, &avx2_tile<4>, &avx2_tile<5>, &avx2_tile<6>};
  table[rows - 1](a, segments, quads, w, panel_bytes, c, c_row);
}

}  // namespace
}  // namespace tenon::cpu::gemm
HWY_POP_ATTRIBUTES

namespace tenon::cpu::gemm {

const ByteKernels* byte_kernels(Isa isa) {
  static constexpr ByteKernels with_vnni{kWide, &vnni}, with_avx2{1, &avx2};
  return isa >= Isa::avx512_vnni ? &with_vnni : isa >= Isa::avx2 ? &with_avx2 : nullptr;
}
#else
const ByteKernels* byte_kernels(Isa) { return nullptr; }
#endif

}  // namespace tenon::cpu::gemm
