#include "plugins/cpu/ops/conv_depthwise_kernel.h"

#include <utility>

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/conv_depthwise_kernel.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include "plugins/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Where inputs beyond the edges of a row are read: any multiple of 0 leaves a sum as it is.
alignas(64) constexpr float kNothing[16] = {};

// ---- kernels of 3, 5 and 7 columns that move by 1 or 2, where a vector has all channels of a block ----

// kColumns outputs from o on. Every input is read once and used for all outputs that it is part of. Not inline: distances between
// pixels are constants, and registers are for one tile alone. kRows: of the input, where their number is known; else 0.
template <int kLanes, int kKernel, int kStride, int kColumns, int kRows>
HWY_NOINLINE void depthwise_tile(const DepthwiseRow& r, std::int64_t o) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kInputs = (kColumns - 1) * kStride + kKernel, kBeyond = kKernel / 2;
  const std::int64_t at = o * kStride - r.pad, in = r.in - at, row_count = kRows > 0 ? kRows : r.row_count;
  V sum[kColumns];
  const V bias = hn::LoadU(d, r.bias);
#pragma GCC unroll 16
  for (int t = 0; t < kColumns; ++t) sum[t] = bias;
  if (r.residual) {
    const float* add = r.residual + o * kLanes;
#pragma GCC unroll 16
    for (int t = 0; t < kColumns; ++t) sum[t] = hn::Add(sum[t], hn::LoadU(d, add + t * kLanes));
  }
#pragma GCC unroll 3
  for (std::int64_t k = 0; k < (kRows > 0 ? kRows : row_count); ++k) {
    const float* x = r.rows[k] + at * kLanes;
    const float* from = r.weights[k];
    V w[kKernel];
#pragma GCC unroll 8
    for (int i = 0; i < kKernel; ++i) w[i] = hn::LoadU(d, from + i * 16);
#pragma GCC unroll 40
    for (int p = 0; p < kInputs; ++p) {
      const float* px = x + p * kLanes;
      if (p < kBeyond && at + p < 0) px = kNothing;
      if (p >= kInputs - kBeyond && p >= in) px = kNothing;
      const V vx = hn::LoadU(d, px);
#pragma GCC unroll 8
      for (int i = 0; i < kKernel; ++i) {
        const int t = p - i;
        if (t >= 0 && t % kStride == 0 && t / kStride < kColumns) sum[t / kStride] = hn::MulAdd(vx, w[i], sum[t / kStride]);
      }
    }
  }
  float* dst = r.dst + o * kLanes;
  const V low = hn::Set(d, r.low), high = hn::Set(d, r.high);
#pragma GCC unroll 16
  for (int t = 0; t < kColumns; ++t) hn::StoreU(hn::Min(high, hn::Max(low, sum[t])), d, dst + t * kLanes);  // in this order NaN stays
}

template <int kLanes, int kKernel, int kStride, int kRows = 0>
HWY_INLINE void depthwise_tiles(const DepthwiseRow& r) {
  if constexpr (kKernel == 3 && kStride == 2 && kRows == 0) {
    if (r.row_count == 3) return depthwise_tiles<kLanes, kKernel, kStride, 3>(r);
  }
  static constexpr void (*kTiles[])(const DepthwiseRow&, std::int64_t) = {  // static: gcc builds others on the stack in every call
      depthwise_tile<kLanes, kKernel, kStride, 1, kRows>, depthwise_tile<kLanes, kKernel, kStride, 2, kRows>,
      depthwise_tile<kLanes, kKernel, kStride, 3, kRows>,
      depthwise_tile<kLanes, kKernel, kStride, 4, kRows>, depthwise_tile<kLanes, kKernel, kStride, 5, kRows>,
      depthwise_tile<kLanes, kKernel, kStride, 6, kRows>,
      depthwise_tile<kLanes, kKernel, kStride, 7, kRows>, depthwise_tile<kLanes, kKernel, kStride, 8, kRows>};
  if constexpr (HWY_TARGET <= HWY_AVX3 && kKernel == 3) {  // there are registers for more, and widths that they divide are common
    if (r.out % 14 == 0) {
      for (std::int64_t o = 0; o < r.out; o += 14) depthwise_tile<kLanes, kKernel, kStride, 14, kRows>(r, o);
      return;
    }
  }
  const std::int64_t pieces = (r.out + 7) / 8;
  if (pieces == 1) return kTiles[r.out - 1](r, 0);
  const std::int64_t columns = r.out / pieces, longer = r.out % pieces;  // so many have one column more
  for (std::int64_t p = 0, o = 0; p < pieces; ++p) {
    const std::int64_t some = columns + (p < longer ? 1 : 0);
    kTiles[some - 1](r, o);
    o += some;
  }
}

template <int kLanes>
HWY_INLINE bool depthwise_known(const DepthwiseRow& r) {
  // A window may reach over an edge by half the kernel.
  const std::int64_t beyond = r.kernel / 2, right = (r.out - 1) * r.stride - r.pad + r.kernel - r.in;
  if (r.block != kLanes || r.dilation != 1 || r.stride > 2 || r.pad < 0 || r.pad > beyond || right > beyond) return false;
  switch (r.kernel * 2 + r.stride) {
    case 7: depthwise_tiles<kLanes, 3, 1>(r); return true;
    case 8: depthwise_tiles<kLanes, 3, 2>(r); return true;
    case 11: depthwise_tiles<kLanes, 5, 1>(r); return true;
    case 12: depthwise_tiles<kLanes, 5, 2>(r); return true;
    case 15: depthwise_tiles<kLanes, 7, 1>(r); return true;
    case 16: depthwise_tiles<kLanes, 7, 2>(r); return true;
    default: return false;
  }
}

// ---- any other ----

// kColumns outputs from o on, for channels [c, c + lanes), with kernel positions [begin, end) only.
template <int kLanes, int kColumns>
HWY_INLINE void depthwise_columns(const DepthwiseRow& r, std::int64_t c, std::int64_t o, std::int64_t begin, std::int64_t end) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  const std::int64_t block = r.block, step = r.stride * block, tap = r.dilation * block;
  const std::int64_t first = (o * r.stride - r.pad + begin * r.dilation) * block + c;
  V sum[kColumns];
#pragma GCC unroll 8
  for (int t = 0; t < kColumns; ++t) sum[t] = hn::LoadU(d, r.bias + c);
  if (r.residual) {
#pragma GCC unroll 8
    for (int t = 0; t < kColumns; ++t) sum[t] = hn::Add(sum[t], hn::LoadU(d, r.residual + (o + t) * block + c));
  }
  for (std::int64_t k = 0; k < r.row_count; ++k) {
    const float* x = r.rows[k] + first;
    const float* w = r.weights[k] + begin * 16 + c;
    for (std::int64_t i = begin; i < end; ++i, x += tap, w += 16) {
      const V vw = hn::LoadU(d, w);
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) sum[t] = hn::MulAdd(hn::LoadU(d, x + t * step), vw, sum[t]);
    }
  }
  const V low = hn::Set(d, r.low), high = hn::Set(d, r.high);
#pragma GCC unroll 8
  for (int t = 0; t < kColumns; ++t) hn::StoreU(hn::Min(high, hn::Max(low, sum[t])), d, r.dst + (o + t) * block + c);
}

// An output whose window reaches over an edge of the row.
template <int kLanes>
HWY_INLINE void depthwise_edge(const DepthwiseRow& r, std::int64_t c, std::int64_t o) {
  const std::int64_t at = o * r.stride - r.pad;
  std::int64_t begin = at >= 0 ? 0 : (-at + r.dilation - 1) / r.dilation;
  std::int64_t end = at >= r.in ? 0 : (r.in - at + r.dilation - 1) / r.dilation;
  begin = begin < r.kernel ? begin : r.kernel;
  end = end < r.kernel ? end : r.kernel;
  depthwise_columns<kLanes, 1>(r, c, o, begin, end);
}

template <int kLanes>
HWY_INLINE void depthwise_piece(const DepthwiseRow& r, std::int64_t c) {
  if (depthwise_known<kLanes>(r)) return;
  // Outputs [left, right) read inside the row only.
  const std::int64_t reach = (r.kernel - 1) * r.dilation + 1, room = r.in + r.pad - reach;
  std::int64_t left = r.pad <= 0 ? 0 : (r.pad + r.stride - 1) / r.stride;
  left = left < r.out ? left : r.out;
  std::int64_t right = room < 0 ? 0 : room / r.stride + 1;
  right = right < r.out ? right : r.out;
  right = right < left ? left : right;
  std::int64_t o = 0;
  while (o < left) depthwise_edge<kLanes>(r, c, o++);
  for (; o + 8 <= right; o += 8) depthwise_columns<kLanes, 8>(r, c, o, 0, r.kernel);
  for (; o + 4 <= right; o += 4) depthwise_columns<kLanes, 4>(r, c, o, 0, r.kernel);
  while (o < right) depthwise_columns<kLanes, 1>(r, c, o++, 0, r.kernel);
  while (o < r.out) depthwise_edge<kLanes>(r, c, o++);
}

void depthwise_sums(const DepthwiseRow& r) {
#if HWY_TARGET <= HWY_AVX3
  if (r.block % 16 == 0) {
    for (std::int64_t c = 0; c < r.block; c += 16) depthwise_piece<16>(r, c);
    return;
  }
#endif
#if HWY_TARGET <= HWY_AVX2
  for (std::int64_t c = 0; c < r.block; c += 8) depthwise_piece<8>(r, c);
#else
  for (std::int64_t c = 0; c < r.block; ++c) depthwise_piece<1>(r, c);
#endif
}

struct HardSwish {
  template <class D, class V>
  HWY_INLINE V operator()(D d, V x) const {
    return hn::Mul(x, hn::Min(hn::Set(d, 1.0f), hn::Max(hn::Zero(d), hn::MulAdd(hn::Set(d, 1.0f / 6.0f), x, hn::Set(d, 0.5f)))));
  }
};
struct Swish {
  template <class D, class V>
  HWY_INLINE V operator()(D d, V x) const {
    return swish(d, x);
  }
};

// x is in the first-level cache; n is a multiple of 8.
template <class F>
void apply_in_place(float* x, std::int64_t n) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 8> d8;
  const F f;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d)), lanes8 = static_cast<std::int64_t>(hn::Lanes(d8));
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const auto a = f(d, hn::LoadU(d, x + i)), b = f(d, hn::LoadU(d, x + i + lanes));
    hn::StoreU(a, d, x + i);
    hn::StoreU(b, d, x + i + lanes);
  }
  for (; i < n; i += lanes8) hn::StoreU(f(d8, hn::LoadU(d8, x + i)), d8, x + i);
}

void finish_in_place(DepthwiseFinish finish, float* x, std::int64_t n) {
  if (finish == DepthwiseFinish::hard_swish) apply_in_place<HardSwish>(x, n);
  else if (finish == DepthwiseFinish::swish) apply_in_place<Swish>(x, n);
}

void depthwise(const DepthwiseRow& r) {
  depthwise_sums(r);
  finish_in_place(r.finish, r.dst, r.out * r.block);
}

#if HWY_TARGET <= HWY_AVX2
// As many sums as registers hold beside the weights; where there are 16 registers some weights are read from memory.
constexpr int kPairColumns = HWY_TARGET <= HWY_AVX3 ? 8 : 4;

template <int kLanes, int kColumns>
HWY_NOINLINE void pair_tile(const DepthwisePair& r, std::int64_t o) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kInputs = kColumns + 2;
  const std::int64_t at = o - r.pad;
  const bool before = at < 0, beyond = at + kInputs > r.in;
  V sum[2][kColumns], w[9];
  const V bias = hn::LoadU(d, r.bias);
#pragma GCC unroll 9
  for (int i = 0; i < 9; ++i) w[i] = hn::LoadU(d, r.weights + i * 16);
#pragma GCC unroll 2
  for (int y = 0; y < 2; ++y) {
#pragma GCC unroll 8
    for (int t = 0; t < kColumns; ++t) sum[y][t] = bias;
    if (!r.residual) continue;
    const float* add = r.residual + (y * r.out + o) * kLanes;
#pragma GCC unroll 8
    for (int t = 0; t < kColumns; ++t) sum[y][t] = hn::Add(sum[y][t], hn::LoadU(d, add + t * kLanes));
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    if (!r.rows[k]) continue;
    const float* x = r.rows[k] + at * kLanes;
#pragma GCC unroll 10
    for (int p = 0; p < kInputs; ++p) {
      const float* px = (p == 0 && before) || (p == kInputs - 1 && beyond) ? kNothing : x + p * kLanes;
      const V vx = hn::LoadU(d, px);
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        const int t = p - i;
        if (t < 0 || t >= kColumns) continue;
        if (k < 3) sum[0][t] = hn::MulAdd(vx, w[k * 3 + i], sum[0][t]);
        if (k > 0) sum[1][t] = hn::MulAdd(vx, w[(k - 1) * 3 + i], sum[1][t]);
      }
    }
  }
  const V low = hn::Set(d, r.low), high = hn::Set(d, r.high);
#pragma GCC unroll 2
  for (int y = 0; y < 2; ++y) {
    float* dst = r.dst + (y * r.out + o) * kLanes;
#pragma GCC unroll 8
    for (int t = 0; t < kColumns; ++t) hn::StoreU(hn::Min(high, hn::Max(low, sum[y][t])), d, dst + t * kLanes);
  }
}

template <int kLanes, int... kColumns>
void pair_rows(const DepthwisePair& r, std::integer_sequence<int, kColumns...>) {
  static constexpr void (*kTiles[])(const DepthwisePair&, std::int64_t) = {pair_tile<kLanes, kColumns + 1>...};
  const std::int64_t pieces = (r.out + kPairColumns - 1) / kPairColumns, columns = r.out / pieces, longer = r.out % pieces;
  for (std::int64_t p = 0, o = 0; p < pieces; ++p) {
    const std::int64_t some = columns + (p < longer ? 1 : 0);
    kTiles[some - 1](r, o);
    o += some;
  }
  finish_in_place(r.finish, r.dst, 2 * r.out * kLanes);
}
template <int kLanes>
void depthwise_two(const DepthwisePair& r) {
  pair_rows<kLanes>(r, std::make_integer_sequence<int, kPairColumns>());
}
#endif

DepthwiseFn depthwise_function() { return &depthwise; }

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

DepthwiseFn depthwise_row(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return N_AVX3::depthwise_function();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return N_AVX2::depthwise_function();
#endif
  return HWY_STATIC_DISPATCH(depthwise_function)();
}

DepthwisePairFn depthwise_pair(Isa isa, std::int64_t block) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512 && block == 16) return &N_AVX3::depthwise_two<16>;
  if (isa >= Isa::avx512 && block == 8) return &N_AVX3::depthwise_two<8>;
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2 && block == 8) return &N_AVX2::depthwise_two<8>;
#endif
  return nullptr;
}

}  // namespace tenon::cpu
#endif
