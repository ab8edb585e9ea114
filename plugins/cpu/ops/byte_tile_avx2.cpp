// byte_tile for AVX2: sums in memory to bytes, 16 columns at a time.
#include <cstring>

#include "plugins/cpu/ops/byte_tile.h"
#include "plugins/cpu/simd.h"
// After simd.h.
#include <hwy/base.h>

#if defined(__x86_64__)
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES("avx2,fma")
namespace tenon::cpu {
namespace {

// As Finish and whole, for half a panel.
struct HalfFinish {
  __m256 low, high, most, scale, other_scale, less;
  __m256i zero;
  __m128i least, greatest, flip, other_flip;

  explicit HalfFinish(const ByteTileWork& t) {
    const ByteTarget& end = t.addition ? t.addition->to : *t.to;
    low = _mm256_set1_ps(t.to->low), high = _mm256_set1_ps(t.to->high), most = _mm256_set1_ps(1 << 30);
    scale = other_scale = less = _mm256_setzero_ps();
    other_flip = _mm_setzero_si128();
    if (const ByteAddition* a = t.addition) {
      scale = _mm256_set1_ps(a->scale), other_scale = _mm256_set1_ps(a->other_scale);
      less = _mm256_set1_ps(static_cast<float>(-a->other_zero) * a->other_scale);
      other_flip = _mm_set1_epi8(static_cast<char>(a->other_flip));
    }
    zero = _mm256_set1_epi16(static_cast<short>(end.zero));
    least = _mm_set1_epi8(static_cast<char>(static_cast<std::int32_t>(end.low) + end.zero));
    greatest = _mm_set1_epi8(static_cast<char>(static_cast<std::int32_t>(end.high) + end.zero));
    flip = _mm_set1_epi8(static_cast<char>(end.flip));
  }
};

// What 8 columns need; in registers for all rows.
struct HalfColumns {
  __m256i add;
  __m256 factor, shift;

  HalfColumns(const ByteColumns& c, std::int64_t column, bool added)
      : add(added ? _mm256_setzero_si256() : _mm256_loadu_si256(reinterpret_cast<const __m256i*>(c.add + column))),
        factor(_mm256_loadu_ps(c.factor + column)), shift(c.shift ? _mm256_loadu_ps(c.shift + column) : _mm256_setzero_ps()) {}
};

template <bool Adds>
[[gnu::always_inline]] inline __m256i half(const std::int32_t* sums, const HalfColumns& c, __m128i other, const HalfFinish& f) {
  const __m256i sum = _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums)), c.add);
  __m256 x = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), c.factor, c.shift);
  if constexpr (Adds) {
    const __m256 one = _mm256_round_ps(_mm256_min_ps(_mm256_max_ps(x, f.low), f.high), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 second = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(other));
    x = _mm256_fmadd_ps(one, f.scale, _mm256_fmadd_ps(second, f.other_scale, f.less));
  }
  return _mm256_cvtps_epi32(_mm256_min_ps(x, f.most));
}

template <bool Adds>
[[gnu::always_inline]] inline __m128i sixteen(const std::int32_t* sums, const HalfColumns& front, const HalfColumns& back, const std::uint8_t* other,
                                              const HalfFinish& f) {
  __m128i second = _mm_setzero_si128();
  if constexpr (Adds) second = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(other)), f.other_flip);
  const __m256i low = half<Adds>(sums, front, second, f), high = half<Adds>(sums + 8, back, _mm_srli_si128(second, 8), f);
  const __m256i words = _mm256_adds_epi16(_mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8), f.zero);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  return _mm_xor_si128(_mm_min_epu8(_mm_max_epu8(bytes, f.least), f.greatest), f.flip);
}

template <bool Adds>
void avx2_sums(const ByteTileWork& t, const std::int32_t* sums, std::int64_t sums_row, bool added) {
  const HalfFinish f(t);
  const std::int64_t rows = t.rows, out_row = t.out_row;  // bytes that are stored might be those of t
  for (std::int64_t p = 0; p < t.n; p += 16) {
    const HalfColumns front(t.columns, p, added), back(t.columns, p + 8, added);
    const auto some = static_cast<std::size_t>(t.n - p);
    const std::int32_t* from = sums + p;
    const std::uint8_t* other = Adds ? t.other + p : nullptr;
    std::uint8_t* out = t.out + p;
    for (std::int64_t r = 0; some >= 16 && r < rows; ++r)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + r * out_row),
                       sixteen<Adds>(from + r * sums_row, front, back, Adds ? other + r * out_row : nullptr, f));
    for (std::int64_t r = 0; some < 16 && r < rows; ++r) {
      std::uint8_t rest[16] = {};
      if constexpr (Adds) std::memcpy(rest, other + r * out_row, some);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(rest), sixteen<Adds>(from + r * sums_row, front, back, rest, f));
      std::memcpy(out + r * out_row, rest, some);
    }
  }
}
}  // namespace

void byte_sums_avx2(const ByteTileWork& t, const std::int32_t* sums, std::int64_t sums_row, bool added) {
  return t.addition ? avx2_sums<true>(t, sums, sums_row, added) : avx2_sums<false>(t, sums, sums_row, added);
}

}  // namespace tenon::cpu
HWY_POP_ATTRIBUTES
#endif
