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

// Columns come in groups of three at 0, 1 and 2 times the column step: one address register per group.
template <int kLanes, int kColumns, int kVectors>
void conv_tile(const ConvTileArgs& args) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kGroups = (kColumns + 2) / 3;
  constexpr int kChannels = kLanes * kVectors;
  const std::int64_t step = args.column;
  const std::int64_t dst_column = args.dst_column;

  V sum[kColumns][kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    if (args.bias) {
      const V bias = hn::LoadU(d, args.bias + j * kLanes);
#pragma GCC unroll 16
      for (int t = 0; t < kColumns; ++t) sum[t][j] = bias;
    } else {
#pragma GCC unroll 16
      for (int t = 0; t < kColumns; ++t) sum[t][j] = hn::LoadU(d, args.dst[j] + t * dst_column);
    }
    if (args.residual[j]) {
#pragma GCC unroll 16
      for (int t = 0; t < kColumns; ++t) sum[t][j] = hn::Add(sum[t][j], hn::LoadU(d, args.residual[j] + t * dst_column));
    }
  }

  const char* ahead = args.prefetch;
  const std::int64_t ahead_step = args.prefetch_step;
  const std::int64_t blocks = args.blocks, tap_count = args.tap_count;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t length = block + 1 == blocks ? args.last_length : args.length;
    const float* src = args.src + block * args.block_src;
    const float* weights = args.weights + block * args.block_weight;
    if (tap_count == 1) {  // a short run, far from the next
      const float* next = src + args.taps[0].src + args.block_src;
#pragma GCC unroll 16
      for (int t = 0; t < kColumns; ++t) __builtin_prefetch(next + t * step);
    }
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

  const V low = hn::Set(d, args.low), high = hn::Set(d, args.high);
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j)
#pragma GCC unroll 16
    for (int t = 0; t < kColumns; ++t)
      hn::StoreU(hn::Min(high, hn::Max(low, sum[t][j])), d, args.dst[j] + t * dst_column);  // in this order NaN stays
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

// Sums, weights and one input must fit the registers: 32 with AVX-512, else 16.
const ConvTiles& conv_tile_table() {
#if HWY_TARGET <= HWY_AVX3
  static constexpr ConvTiles kTable{4, {make_kind<16, 14, 2>(), make_kind<16, 14, 1>(), make_kind<8, 9, 3>(), make_kind<8, 14, 1>()}};
#elif HWY_TARGET <= HWY_AVX2
  static constexpr ConvTiles kTable{2, {make_kind<8, 6, 2>(), make_kind<8, 12, 1>()}};
#else
  static constexpr ConvTiles kTable{2, {make_kind<1, 3, 4>(), make_kind<1, 6, 1>()}};
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
