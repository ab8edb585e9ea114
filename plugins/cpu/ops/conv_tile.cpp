#include "plugins/cpu/ops/conv_tile.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/conv_tile.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Keeps an address in its register: left alone, gcc computes one address per column and spills.
HWY_INLINE void pin_address(const float*& p) { __asm__("" : "+r"(p)); }

// What a run of products brings near for those that follow, a line at a time.
HWY_INLINE const char* fetch_ahead(const char* ahead, std::int64_t bytes) {
  const char* end = ahead + bytes;
  for (; ahead < end; ahead += 64) __builtin_prefetch(ahead, 0, 2);
  return end;
}

// Columns come in groups of three at 0, 1 and 2 times the column step: one address register per group.
template <int kLanes, int kColumns, int kVectors>
void conv_tile(const ConvTileArgs& args) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kGroups = (kColumns + 2) / 3;
  constexpr int kChannels = kLanes * kVectors;
  const std::int64_t step = args.column;
  const std::int64_t dst_column = args.dst_column;

  // Neighbours share a line where they are half of one; more prefetches than lines would take the loads' place.
  constexpr int kLineColumns = kLanes == 8 ? 2 : 1;
  const int dst_lines = dst_column > kLanes ? 1 : kLineColumns;
  V sum[kColumns][kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    if (args.far) {
      for (int t = 0; t < kColumns; t += dst_lines) __builtin_prefetch(args.dst[j] + t * dst_column, 1);
      if (args.residual[j] && args.residual[j] != args.dst[j])
        for (int t = 0; t < kColumns; t += dst_lines) __builtin_prefetch(args.residual[j] + t * dst_column);
    }
    const V bias = args.bias ? hn::LoadU(d, args.bias + j * kLanes) : hn::Zero(d);
#pragma GCC unroll 16
    for (int t = 0; t < kColumns; ++t) sum[t][j] = bias;
  }

  const char* ahead = args.prefetch;
  const std::int64_t ahead_step = args.prefetch_step;
  const std::int64_t blocks = args.blocks, tap_count = args.tap_count;
  if (tap_count == 1) {  // short runs, each far from the next
    const float* src = args.src + args.taps[0].src;
    const float* w = args.weights + args.taps[0].weight;
    const std::int64_t block_src = args.block_src, weight_gap = args.block_weight - args.length * kChannels;
    for (std::int64_t block = blocks; block > 0; --block, src += block_src, w += weight_gap) {
      const std::int64_t length = block == 1 ? args.last_length : args.length;
      const float* next = src + block_src;
      if (step > 8) {
#pragma GCC unroll 16
        for (int t = 0; t < kColumns; ++t) __builtin_prefetch(next + t * step);
      } else {
#pragma GCC unroll 16
        for (int t = 0; t < kColumns; t += 2) __builtin_prefetch(next + t * step);
      }
      ahead = fetch_ahead(ahead, length * ahead_step);
      const float* a[kGroups];
#pragma GCC unroll 5
      for (int g = 0; g < kGroups; ++g) a[g] = src + 3 * g * step;
      for (std::int64_t k = length; k > 0; --k) {
        V vw[kVectors];
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) vw[j] = hn::LoadU(d, w + j * kLanes);
#pragma GCC unroll 16
        for (int t = 0; t < kColumns; ++t) {
          const V x = hn::Set(d, a[t / 3][(t % 3) * step]);
#pragma GCC unroll 4
          for (int j = 0; j < kVectors; ++j) sum[t][j] = hn::MulAdd(x, vw[j], sum[t][j]);
        }
#pragma GCC unroll 5
        for (int g = 0; g < kGroups; ++g) {
          ++a[g];
          pin_address(a[g]);
        }
        w += kChannels;
      }
    }
  } else {
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t length = block + 1 == blocks ? args.last_length : args.length;
      const float* src = args.src + block * args.block_src;
      const float* weights = args.weights + block * args.block_weight;
      for (std::int64_t tap = 0; tap < tap_count; ++tap) {
        const float* w = weights + args.taps[tap].weight;
        const float* a[kGroups];
#pragma GCC unroll 5
        for (int g = 0; g < kGroups; ++g) a[g] = src + args.taps[tap].src + 3 * g * step;
        for (std::int64_t k = length; k > 0; --k) {
          V vw[kVectors];
#pragma GCC unroll 4
          for (int j = 0; j < kVectors; ++j) vw[j] = hn::LoadU(d, w + j * kLanes);
          __builtin_prefetch(ahead, 0, 2);
          ahead += ahead_step;
#pragma GCC unroll 16
          for (int t = 0; t < kColumns; ++t) {
            const V x = hn::Set(d, a[t / 3][(t % 3) * step]);
#pragma GCC unroll 4
            for (int j = 0; j < kVectors; ++j) sum[t][j] = hn::MulAdd(x, vw[j], sum[t][j]);
          }
#pragma GCC unroll 5
          for (int g = 0; g < kGroups; ++g) {
            ++a[g];
            pin_address(a[g]);
          }
          w += kChannels;
        }
      }
    }
  }

  const V low = hn::Set(d, args.low), high = hn::Set(d, args.high);
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    float* dst = args.dst[j];
    if (!args.bias) {
#pragma GCC unroll 16
      for (int t = 0; t < kColumns; ++t) sum[t][j] = hn::Add(sum[t][j], hn::LoadU(d, dst + t * dst_column));
    }
    if (args.residual[j]) {
#pragma GCC unroll 16
      for (int t = 0; t < kColumns; ++t) sum[t][j] = hn::Add(sum[t][j], hn::LoadU(d, args.residual[j] + t * dst_column));
    }
#pragma GCC unroll 16
    for (int t = 0; t < kColumns; ++t)
      hn::StoreU(hn::Min(high, hn::Max(low, sum[t][j])), d, dst + t * dst_column);  // in this order NaN stays
  }
}

template <int kLanes, int kColumns, int kVectors>
constexpr void fill_tiles(ConvTileFn* table) {
  table[kColumns - 1] = &conv_tile<kLanes, kColumns, kVectors>;
  if constexpr (kColumns > 1) fill_tiles<kLanes, kColumns - 1, kVectors>(table);
}

template <int kLanes, int kColumns, int kVectors>
constexpr ConvTileKind make_kind() {
  ConvTileKind kind{kLanes, kLanes * kVectors, kColumns, {}};
  fill_tiles<kLanes, kColumns, kVectors>(kind.tiles);
  return kind;
}

void scale_rows(const float* weights, const float* scale, std::int64_t rows, std::int64_t channels, float* out) {
  const hn::CappedTag<float, HWY_TARGET <= HWY_AVX2 ? 8 : 1> d;  // every kind has multiples of it
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto s = hn::Set(d, scale[r]);
    for (std::int64_t end = (r + 1) * channels, i = r * channels; i < end; i += lanes)
      hn::StoreU(hn::Mul(hn::LoadU(d, weights + i), s), d, out + i);
  }
}

// Sums, weights and one input must fit the registers: 32 with AVX-512, else 16.
const ConvTiles& conv_tile_table() {
#if HWY_TARGET <= HWY_AVX3
  static constexpr ConvTiles kTable{
      4, {make_kind<16, 14, 2>(), make_kind<16, 14, 1>(), make_kind<8, 9, 3>(), make_kind<8, 14, 1>()}, &scale_rows};
#elif HWY_TARGET <= HWY_AVX2
  static constexpr ConvTiles kTable{2, {make_kind<8, 6, 2>(), make_kind<8, 12, 1>()}, &scale_rows};
#else
  static constexpr ConvTiles kTable{2, {make_kind<1, 3, 4>(), make_kind<1, 6, 1>()}, &scale_rows};
#endif
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

const ConvTiles& conv_tiles(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return N_AVX3::conv_tile_table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return N_AVX2::conv_tile_table();
#endif
  return HWY_STATIC_DISPATCH(conv_tile_table)();
}

}  // namespace tenon::cpu
#endif
