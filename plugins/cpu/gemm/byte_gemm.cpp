#include "plugins/cpu/gemm/byte_gemm.h"

#include <cstring>
#include <utility>

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

using TileFn = void (*)(const std::uint8_t* const*, std::int64_t, std::int64_t, std::int64_t, const std::int8_t*, std::int64_t,
                        std::int32_t*, std::int64_t);

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
void vnni_tile(const std::uint8_t* const* a, std::int64_t offset, std::int64_t segments, std::int64_t quads, const std::int8_t* w, std::int64_t panel_bytes,
               std::int32_t* c, std::int64_t c_row) {
  __m512i sum[R][P];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < P; ++v) sum[r][v] = _mm512_setzero_si512();
  for (std::int64_t s = 0; s < segments; ++s, a += R) {
    const std::uint8_t* x[R];
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) x[r] = a[r] + offset;
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

void vnni(const std::uint8_t* const* a, std::int64_t offset, std::int64_t segments, std::int64_t quads, const std::int8_t* w, std::int64_t panel_bytes,
          std::int64_t rows, std::int64_t panels, std::int32_t* c, std::int64_t c_row) {
  const TileFn fn = panels == 4   ? vnni_of_rows<4>(rows)
                    : panels == 3 ? vnni_of_rows<3>(rows)
                    : panels == 2 ? vnni_of_rows<2>(rows)
                                  : vnni_of_rows<1>(rows);
  fn(a, offset, segments, quads, w, panel_bytes, c, c_row);
}

}  // namespace
}  // namespace tenon::cpu::gemm
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("avx2")
namespace tenon::cpu::gemm {
namespace {

// Unrolled by packs of indices: with loops gcc keeps sums in memory. Sums are [row][2].
template <int... I>
using Indices = std::integer_sequence<int, I...>;
template <int N>
using UpTo = std::make_integer_sequence<int, N>;

template <int... I>
[[gnu::always_inline]] inline void clear(__m256i* sum, Indices<I...>) {
  ((sum[I] = _mm256_setzero_si256()), ...);
}
template <int... I>
[[gnu::always_inline]] inline void save(const __m256i* sum, std::int32_t* c, std::int64_t c_row, Indices<I...>) {
  (_mm256_storeu_si256(reinterpret_cast<__m256i*>(c + I / 2 * c_row + I % 2 * 8), sum[I]), ...);
}
[[gnu::always_inline]] inline __m256i half(const std::int8_t* w) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)); }

// Bytes as int16: the even and the odd ones of each quad apart, in the same places for both operands.
struct Halves {
  __m256i even[2], odd[2];
};
[[gnu::always_inline]] inline void wide_row(__m256i* sum, __m256i x, const Halves& w) {
  const __m256i even = _mm256_and_si256(x, _mm256_set1_epi16(0xff)), odd = _mm256_srli_epi16(x, 8);
  sum[0] = _mm256_add_epi32(sum[0], _mm256_add_epi32(_mm256_madd_epi16(even, w.even[0]), _mm256_madd_epi16(odd, w.odd[0])));
  sum[1] = _mm256_add_epi32(sum[1], _mm256_add_epi32(_mm256_madd_epi16(even, w.even[1]), _mm256_madd_epi16(odd, w.odd[1])));
}
template <int... R>
[[gnu::always_inline]] inline void wide_quad(__m256i* sum, const std::uint8_t* const* a, std::int64_t q, const std::int8_t* w, Indices<R...>) {
  const __m256i low = half(w), high = half(w + 32);
  const Halves b{{_mm256_srai_epi16(_mm256_slli_epi16(low, 8), 8), _mm256_srai_epi16(_mm256_slli_epi16(high, 8), 8)},
                 {_mm256_srai_epi16(low, 8), _mm256_srai_epi16(high, 8)}};
  (wide_row(sum + 2 * R, _mm256_set1_epi32(four(a[R] + q)), b), ...);
}
template <int R>
void wide_tile(const std::uint8_t* const* a, std::int64_t offset, std::int64_t segments, std::int64_t quads, const std::int8_t* w,
               std::int32_t* c, std::int64_t c_row) {
  __m256i sum[2 * R];
  clear(sum, UpTo<2 * R>());
  for (std::int64_t s = 0; s < segments; ++s, a += R)
    for (std::int64_t q = offset; q < offset + 4 * quads; q += 4, w += 64) wide_quad(sum, a, q, w, UpTo<R>());
  save(sum, c, c_row, UpTo<2 * R>());
}

using PanelFn = void (*)(const std::uint8_t* const*, std::int64_t, std::int64_t, std::int64_t, const std::int8_t*, std::int32_t*,
                         std::int64_t);

void avx2(const std::uint8_t* const* a, std::int64_t offset, std::int64_t segments, std::int64_t quads, const std::int8_t* w, std::int64_t, std::int64_t rows,
          std::int64_t, std::int32_t* c, std::int64_t c_row) {
  static constexpr PanelFn of_rows[byte_rows] = {&wide_tile<1>, &wide_tile<2>, &wide_tile<3>, &wide_tile<4>, &wide_tile<5>, &wide_tile<6>};
  of_rows[rows - 1](a, offset, segments, quads, w, c, c_row);
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
