#include "plugins/cpu/gemm/short_gemm.h"

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

namespace tenon::cpu::gemm {
namespace {

// Unrolled by packs of indices: with loops gcc keeps sums in memory. Sums are [row][vector of columns].
template <int... I>
using Indices = std::integer_sequence<int, I...>;
template <int N>
using UpTo = std::make_integer_sequence<int, N>;

inline std::int32_t two(const std::int16_t* p) {
  std::int32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline std::int32_t row_term(const ShortTile& t, int r) { return t.row_add ? t.row_add[r] : 0; }

}  // namespace
}  // namespace tenon::cpu::gemm

HWY_PUSH_ATTRIBUTES("avx2")
namespace tenon::cpu::gemm {
namespace {

[[gnu::always_inline]] inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
[[gnu::always_inline]] inline void store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }

template <int... I>
[[gnu::always_inline]] inline void start(__m256i* sum, const ShortTile& t, Indices<I...>) {
  ((sum[I] = _mm256_add_epi32(load(t.add + I % 2 * 8), _mm256_set1_epi32(row_term(t, I / 2)))), ...);
}
template <int... I>
[[gnu::always_inline]] inline void resume(__m256i* sum, const ShortTile& t, Indices<I...>) {
  ((sum[I] = load(t.c + I / 2 * t.c_row + I % 2 * 8)), ...);
}
template <int... I>
[[gnu::always_inline]] inline void save(const __m256i* sum, std::int32_t* c, std::int64_t c_row, Indices<I...>) {
  (store(c + I / 2 * c_row + I % 2 * 8, sum[I]), ...);
}
// What gcc may not add up in another order: it would hold more sums than there are registers.
[[gnu::always_inline]] inline void keep(__m256i& sum) { asm("" : "+x"(sum)); }
[[gnu::always_inline]] inline void crossed_row(__m256i* sum, const std::int16_t* a, const __m256i* b) {
  const __m256i front = _mm256_set1_epi32(two(a)), back = _mm256_set1_epi32(two(a + 2));
  sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(_mm256_add_epi16(front, b[2]), _mm256_add_epi16(back, b[0])));
  sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(_mm256_add_epi16(front, b[3]), _mm256_add_epi16(back, b[1])));
  keep(sum[0]), keep(sum[1]);
}
template <int... R>
[[gnu::always_inline]] inline void crossed_quad(__m256i* sum, const std::int16_t* a, std::int64_t a_row, const std::int16_t* b, Indices<R...>) {
  const __m256i quad[4] = {load(b), load(b + 16), load(b + 32), load(b + 48)};
  (crossed_row(sum + 2 * R, a + R * a_row, quad), ...);
}
template <int R>
void crossed_tile(const ShortTile& t) {
  __m256i sum[2 * R];
  if (t.add) start(sum, t, UpTo<2 * R>());
  else resume(sum, t, UpTo<2 * R>());
  const std::int16_t *a = t.a, *b = t.b, *const stop = b + t.quads * short_quad;
  const std::int64_t a_row = t.a_row;
  // Two at once: with eight sums the loop's own instructions count.
  for (; b + short_quad < stop; a += 8, b += 2 * short_quad) {
    crossed_quad(sum, a, a_row, b, UpTo<R>());
    crossed_quad(sum, a + 4, a_row, b + short_quad, UpTo<R>());
  }
  if (b < stop) crossed_quad(sum, a, a_row, b, UpTo<R>());
  save(sum, t.c, t.c_row, UpTo<2 * R>());
}
// More rows than 4 need more registers than there are.
void crossed(const ShortTile& t) {
  static constexpr void (*of_rows[4])(const ShortTile&) = {&crossed_tile<1>, &crossed_tile<2>, &crossed_tile<3>, &crossed_tile<4>};
  of_rows[t.rows - 1](t);
}

void row_terms(const std::int16_t* a, std::int64_t a_row, std::int64_t quads, std::int64_t rows, std::int32_t* row_add) {
  for (std::int64_t r = 0; r < rows; ++r, a += a_row) {
    __m256i sum = _mm256_setzero_si256();
    std::int64_t q = 0;
    // Products with the pairs of quads exchanged: each counts twice.
    for (; q + 4 <= quads; q += 4) {
      const __m256i x = load(a + 4 * q);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, _mm256_shuffle_epi32(x, 0xb1)));
    }
    const __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    const __m128i pair = _mm_add_epi32(half, _mm_srli_si128(half, 8));
    std::int32_t total = -_mm_cvtsi128_si32(pair);
    for (; q < quads; ++q) total -= a[4 * q] * a[4 * q + 2] + a[4 * q + 1] * a[4 * q + 3];
    row_add[r] = total;
  }
}

void column_terms(const std::int16_t* b, std::int64_t quads, std::int32_t* add) {
  __m256i low = _mm256_setzero_si256(), high = low;
  for (const std::int16_t* stop = b + quads * short_quad; b < stop; b += short_quad) {
    low = _mm256_sub_epi32(low, _mm256_madd_epi16(load(b), load(b + 32)));
    high = _mm256_sub_epi32(high, _mm256_madd_epi16(load(b + 16), load(b + 48)));
  }
  store(add, low), store(add + 8, high);
}

void widen_row(const std::uint8_t* x, std::int64_t n, std::int16_t* to) {
  const __m128i turn = _mm_set1_epi8(static_cast<char>(0x80));
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    store(to + i, _mm256_cvtepi8_epi16(_mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i)), turn)));
  if (i + 8 <= n) {
    const __m128i eight = _mm_xor_si128(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x + i)), turn);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm_cvtepi8_epi16(eight));
    i += 8;
  }
  for (; i < n; ++i) to[i] = static_cast<std::int16_t>(x[i] - 128);
}

void widen_panel(const std::int8_t* w, std::int64_t quads, const std::int32_t* zeros, std::int16_t* to) {
  // A byte into the upper half of an int16, for the front and the back of each quad.
  const __m256i front = _mm256_set1_epi64x(0x05ff04ff01ff00ff), back = _mm256_set1_epi64x(0x07ff06ff03ff02ff);
  const __m256i lane = _mm256_setr_epi64x(0, 0x0800080008000800, 0, 0x0800080008000800);
  const __m256i to_front = _mm256_or_si256(front, lane), to_back = _mm256_or_si256(back, lane);
  __m256i zero[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (int half = 0; zeros && half < 2; ++half) {
    const __m256i z = load(zeros + half * 8);
    zero[half] = _mm256_or_si256(_mm256_and_si256(z, _mm256_set1_epi32(0xffff)), _mm256_slli_epi32(z, 16));
  }
  for (const std::int8_t* stop = w + quads * short_quad; w < stop; w += short_quad, to += short_quad)
    for (int half = 0; half < 2; ++half) {
      const __m256i x = load(w + half * 32);
      store(to + half * 16, _mm256_sub_epi16(_mm256_srai_epi16(_mm256_shuffle_epi8(x, to_front), 8), zero[half]));
      store(to + 32 + half * 16, _mm256_sub_epi16(_mm256_srai_epi16(_mm256_shuffle_epi8(x, to_back), 8), zero[half]));
    }
}

}  // namespace
}  // namespace tenon::cpu::gemm
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace tenon::cpu::gemm {
namespace {

template <int P, int... I>
[[gnu::always_inline]] inline void start(__m512i* sum, const ShortTile& t, Indices<I...>) {
  ((sum[I] = _mm512_add_epi32(_mm512_loadu_si512(t.add + I % P * 16), _mm512_set1_epi32(row_term(t, I / P)))), ...);
}
template <int P, int... I>
[[gnu::always_inline]] inline void resume(__m512i* sum, const ShortTile& t, Indices<I...>) {
  ((sum[I] = _mm512_loadu_si512(t.c + I / P * t.c_row + I % P * 16)), ...);
}
template <int P, int... I>
[[gnu::always_inline]] inline void save(const __m512i* sum, std::int32_t* c, std::int64_t c_row, Indices<I...>) {
  (_mm512_storeu_si512(c + I / P * c_row + I % P * 16, sum[I]), ...);
}
template <int... V>
[[gnu::always_inline]] inline void vnni_row(__m512i* sum, __m512i x, const __m512i* b, Indices<V...>) {
  ((sum[V] = _mm512_dpwssd_epi32(sum[V], x, b[V])), ...);
}
template <int... V>
[[gnu::always_inline]] inline void vnni_load(__m512i* b, const std::int16_t* from, std::int64_t panel, Indices<V...>) {
  ((b[V] = _mm512_loadu_si512(from + V * panel)), ...);
}
template <int P, int... R>
[[gnu::always_inline]] inline void vnni_pair(__m512i* sum, const std::int16_t* a, std::int64_t a_row, const __m512i* b, Indices<R...>) {
  (vnni_row(sum + R * P, _mm512_set1_epi32(two(a + R * a_row)), b, UpTo<P>()), ...);
}
template <int R, int P>
void vnni_tile(const ShortTile& t) {
  __m512i sum[R * P];
  if (t.add) start<P>(sum, t, UpTo<R * P>());
  else resume<P>(sum, t, UpTo<R * P>());
  const std::int16_t *a = t.a, *b = t.b, *const stop = b + t.quads * short_quad;
  const std::int64_t a_row = t.a_row, panel = t.b_panel;
  for (; b < stop; a += 2, b += short_quad / 2) {
    __m512i pair[P];
    vnni_load(pair, b, panel, UpTo<P>());
    vnni_pair<P>(sum, a, a_row, pair, UpTo<R>());
  }
  save<P>(sum, t.c, t.c_row, UpTo<R * P>());
}
template <int P, int... R>
void vnni_rows(const ShortTile& t, Indices<R...>) {
  static constexpr void (*of_rows[sizeof...(R)])(const ShortTile&) = {&vnni_tile<R + 1, P>...};
  of_rows[t.rows - 1](t);
}
constexpr int vnni_most_rows = 12;
void vnni(const ShortTile& t) {
  if (t.panels == 2) vnni_rows<2>(t, UpTo<vnni_most_rows>());
  else vnni_rows<1>(t, UpTo<vnni_most_rows>());
}

}  // namespace
}  // namespace tenon::cpu::gemm
HWY_POP_ATTRIBUTES

namespace tenon::cpu::gemm {

const ShortKernels* short_kernels(Isa isa) {
  static constexpr ShortKernels with_avx2{4, 1, &crossed, true, &row_terms, &column_terms, &widen_row, &widen_panel},
      with_vnni{vnni_most_rows, 2, &vnni, false, &row_terms, &column_terms, &widen_row, &widen_panel};
  return isa >= Isa::avx512_vnni ? &with_vnni : isa >= Isa::avx2 ? &with_avx2 : nullptr;
}

}  // namespace tenon::cpu::gemm
#else
namespace tenon::cpu::gemm {
const ShortKernels* short_kernels(Isa) { return nullptr; }
}  // namespace tenon::cpu::gemm
#endif
