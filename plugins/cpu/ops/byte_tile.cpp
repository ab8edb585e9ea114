#include "plugins/cpu/ops/byte_tile.h"

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

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace tenon::cpu {
namespace {

constexpr int kPanels = 4;

// What all rows of a tile need to become bytes.
struct Finish {
  __m512 low, high, most, scale, other_scale, less;
  __m512i zero, least, greatest, flip, other_flip, order;

  explicit Finish(const ByteTileWork& t) {
    const ByteTarget& end = t.addition ? t.addition->to : *t.to;
    low = _mm512_set1_ps(t.to->low), high = _mm512_set1_ps(t.to->high), most = _mm512_set1_ps(1 << 30);
    scale = other_scale = less = _mm512_setzero_ps();
    other_flip = _mm512_setzero_si512();
    if (const ByteAddition* a = t.addition) {
      scale = _mm512_set1_ps(a->scale), other_scale = _mm512_set1_ps(a->other_scale);
      less = _mm512_set1_ps(static_cast<float>(-a->other_zero) * a->other_scale);
      other_flip = _mm512_set1_epi8(static_cast<char>(a->other_flip));
    }
    const auto byte = [&](float bound) { return _mm512_set1_epi8(static_cast<char>(static_cast<std::int32_t>(bound) + end.zero)); };
    zero = _mm512_set1_epi16(static_cast<short>(end.zero));
    least = byte(end.low), greatest = byte(end.high);
    flip = _mm512_set1_epi8(static_cast<char>(end.flip));
    // Packing takes four numbers of each vector in turn.
    order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  }
};

// Whole numbers of panel V, not yet between their bounds: what is too small for int32 becomes the smallest of all.
template <int V, bool Adds>
[[gnu::always_inline]] inline __m512i whole(__m512i sum, const ByteColumns& c, __m512i other, const Finish& f) {
  const __m512 shift = c.shift ? _mm512_loadu_ps(c.shift + V * 16) : _mm512_setzero_ps();
  __m512 x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(c.factor + V * 16), shift);
  if constexpr (Adds) {
    x = _mm512_min_ps(_mm512_max_ps(x, f.low), f.high);
    const __m512 one = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 second = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(other, V)));
    x = _mm512_fmadd_ps(one, f.scale, _mm512_fmadd_ps(second, f.other_scale, f.less));
  }
  return _mm512_cvt_roundps_epi32(_mm512_min_ps(x, f.most), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// Unrolled by packs of indices: with loops gcc keeps the sums in memory.
template <int... I>
using Indices = std::integer_sequence<int, I...>;
template <int N>
using UpTo = std::make_integer_sequence<int, N>;

template <int P, int... I>
[[gnu::always_inline]] inline void start(__m512i* sum, const std::int32_t* add, Indices<I...>) {
  ((sum[I] = _mm512_loadu_si512(add + I % P * 16)), ...);
}
template <int... V>
[[gnu::always_inline]] inline void load(__m512i* b, const std::int8_t* w, std::int64_t panel_bytes, Indices<V...>) {
  ((b[V] = _mm512_loadu_si512(w + V * panel_bytes)), ...);
}
[[gnu::always_inline]] inline __m512i four(const std::uint8_t* x) {
  std::int32_t bytes;
  std::memcpy(&bytes, x, sizeof bytes);
  return _mm512_set1_epi32(bytes);
}
template <int... V>
[[gnu::always_inline]] inline void multiply_row(__m512i* sum, __m512i x, const __m512i* b, Indices<V...>) {
  ((sum[V] = _mm512_dpbusd_epi32(sum[V], x, b[V])), ...);
}
template <int P, int... R>
[[gnu::always_inline]] inline void multiply(__m512i* sum, const std::uint8_t* const* x, std::int64_t q, const __m512i* b, Indices<R...>) {
  (multiply_row(sum + R * P, four(x[R] + q), b, UpTo<P>()), ...);
}
template <bool Adds, int... V>
[[gnu::always_inline]] inline void finish_row(const ByteTileWork& t, std::int64_t r, const __m512i* sum, const Finish& f, __mmask64 inside,
                                              Indices<V...>) {
  __m512i other = _mm512_setzero_si512(), x[kPanels] = {other, other, other, other};
  if constexpr (Adds) {
    const std::uint8_t* from = t.other + r * t.out_row;
    other = _mm512_xor_si512(t.n >= 64 ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi8(inside, from), f.other_flip);
  }
  ((x[V] = whole<V, Adds>(sum[V], t.columns, other, f)), ...);
  // Saturation keeps what is out of range out of range.
  const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(x[0], x[1]), f.zero), high = _mm512_adds_epi16(_mm512_packs_epi32(x[2], x[3]), f.zero);
  const __m512i inside_bounds = _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(low, high), f.least), f.greatest);
  const __m512i bytes = _mm512_xor_si512(_mm512_permutexvar_epi32(f.order, inside_bounds), f.flip);
  // Masked stores of bytes are slow on some processors.
  if (t.n >= 64) _mm512_storeu_si512(t.out + r * t.out_row, bytes);
  else _mm512_mask_storeu_epi8(t.out + r * t.out_row, inside, bytes);
}
template <int P, bool Adds, int... R>
[[gnu::always_inline]] inline void finish(const ByteTileWork& t, const __m512i* sum, const Finish& f, __mmask64 inside, Indices<R...>) {
  (finish_row<Adds>(t, R, sum + R * P, f, inside, UpTo<P>()), ...);
}
[[gnu::always_inline]] inline void in_register(__m512i& v) { asm("" : "+v"(v)); }
// Sums that are needed behind the loop are in registers there: gcc would write them to the stack in every round of it.
template <int... I>
[[gnu::always_inline]] inline void settle(__m512i* sum, Indices<I...>) {
  (in_register(sum[I]), ...);
}
template <int... R>
[[gnu::always_inline]] inline void pieces(const std::uint8_t** x, const std::uint8_t* const* a, std::int64_t offset, Indices<R...>) {
  ((x[R] = a[R] + offset), ...);
}

template <int R, int P, bool Adds>
void vnni_tile(const ByteTileWork& t) {
  __m512i sum[R * P];
  start<P>(sum, t.columns.add, UpTo<R * P>());
  const std::uint8_t* const* a = t.a;
  const std::int8_t *w = t.w, *const stop = w + t.segments * t.quads * 64;
  const std::int64_t panel_bytes = t.panel_bytes, length = 4 * t.quads;
  for (; w < stop; a += R) {
    const std::uint8_t* x[R];
    pieces(x, a, t.offset, UpTo<R>());
    for (std::int64_t q = 0; q < length; q += 4, w += 64) {
      __m512i b[P];
      load(b, w, panel_bytes, UpTo<P>());
      multiply<P>(sum, x, q, b, UpTo<R>());
    }
  }
  settle(sum, UpTo<R * P>());
  const __mmask64 inside = t.n >= 64 ? ~__mmask64{0} : (__mmask64{1} << t.n) - 1;
  finish<P, Adds>(t, sum, Finish(t), inside, UpTo<R>());
}

template <int... V>
[[gnu::always_inline]] inline void add_columns(__m512i* sum, const std::int32_t* add, Indices<V...>) {
  ((sum[V] = _mm512_add_epi32(sum[V], _mm512_loadu_si512(add + V * 16))), ...);
}
template <int P, bool Adds>
void finish_sums(const ByteTileWork& t, const std::int32_t* sums, std::int64_t sums_row, bool added) {
  const Finish f(t);
  const __mmask64 inside = t.n >= 64 ? ~__mmask64{0} : (__mmask64{1} << t.n) - 1;
  for (std::int64_t r = 0; r < t.rows; ++r) {
    __m512i sum[P];
    start<P>(sum, sums + r * sums_row, UpTo<P>());
    if (!added) add_columns(sum, t.columns.add, UpTo<P>());
    finish_row<Adds>(t, r, sum, f, inside, UpTo<P>());
  }
}
template <bool Adds>
void finish_any(const ByteTileWork& t, const std::int32_t* sums, std::int64_t sums_row, bool added) {
  return t.panels == 4   ? finish_sums<4, Adds>(t, sums, sums_row, added)
         : t.panels == 3 ? finish_sums<3, Adds>(t, sums, sums_row, added)
         : t.panels == 2 ? finish_sums<2, Adds>(t, sums, sums_row, added)
                         : finish_sums<1, Adds>(t, sums, sums_row, added);
}

template <int P, bool Adds>
ByteTileFn of_rows(std::int64_t rows) {
  static constexpr ByteTileFn table[gemm::byte_rows] = {&vnni_tile<1, P, Adds>, &vnni_tile<2, P, Adds>, &vnni_tile<3, P, Adds>,
                                                        &vnni_tile<4, P, Adds>, &vnni_tile<5, P, Adds>, &vnni_tile<6, P, Adds>};
  return table[rows - 1];
}

template <bool Adds>
void vnni(const ByteTileWork& t) {
  const ByteTileFn fn = t.panels == 4   ? of_rows<4, Adds>(t.rows)
                        : t.panels == 3 ? of_rows<3, Adds>(t.rows)
                        : t.panels == 2 ? of_rows<2, Adds>(t.rows)
                                        : of_rows<1, Adds>(t.rows);
  fn(t);
}
void vnni_any(const ByteTileWork& t) { return t.addition ? vnni<true>(t) : vnni<false>(t); }
void vnni_sums(const ByteTileWork& t, const std::int32_t* sums, std::int64_t sums_row, bool added) {
  return t.addition ? finish_any<true>(t, sums, sums_row, added) : finish_any<false>(t, sums, sums_row, added);
}

}  // namespace
}  // namespace tenon::cpu
HWY_POP_ATTRIBUTES

namespace tenon::cpu {

ByteTileFn byte_tile(Isa isa) { return isa >= Isa::avx512_vnni ? &vnni_any : nullptr; }
ByteSumsFn byte_sums(Isa isa) { return isa >= Isa::avx512_vnni ? &vnni_sums : isa >= Isa::avx2 ? &byte_sums_avx2 : nullptr; }

}  // namespace tenon::cpu
#else
namespace tenon::cpu {
ByteTileFn byte_tile(Isa) { return nullptr; }
ByteSumsFn byte_sums(Isa) { return nullptr; }
}  // namespace tenon::cpu
#endif
