// Compiled once per target.
#include "plugins/cpu/ops/byte_finish.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/byte_finish.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using I = hn::RebindToSigned<D>;
using B = hn::Rebind<std::uint8_t, D>;

HWY_ATTR hn::Vec<D> bounded(hn::Vec<D> x, const ByteTarget& to) {
  const D d;
  return hn::Min(hn::Max(x, hn::Set(d, to.low)), hn::Set(d, to.high));
}
// Rounds half to even, as an addition of 1.5 * 2^23 does; the low bits are the number.
HWY_ATTR hn::Vec<B> bytes(hn::Vec<D> x, const ByteTarget& to) {
  const B b;
  const auto whole = hn::BitCast(hn::RebindToUnsigned<I>(), hn::Add(bounded(x, to), hn::Set(D(), 12582912.0f)));
  return hn::Add(hn::TruncateTo(b, whole), hn::Set(b, static_cast<std::uint8_t>(to.zero ^ to.flip)));
}
struct Column {
  hn::Vec<I> add;
  hn::Vec<D> factor, shift;
};
HWY_ATTR Column column(const ByteColumns& c, std::int64_t i) {
  const D d;
  return {hn::LoadU(I(), c.add + i), hn::LoadU(d, c.factor + i), c.shift ? hn::LoadU(d, c.shift + i) : hn::Zero(d)};
}
HWY_ATTR hn::Vec<D> scaled(const std::int32_t* sums, const Column& c) {
  return hn::MulAdd(hn::ConvertTo(D(), hn::Add(hn::LoadU(I(), sums), c.add)), c.factor, c.shift);
}
HWY_ATTR void store(hn::Vec<B> x, std::uint8_t* out, std::int64_t n) {
  const B b;
  if (n >= static_cast<std::int64_t>(hn::Lanes(b))) return hn::StoreU(x, b, out);
  std::uint8_t whole[16];
  hn::StoreU(x, b, whole);
  std::memcpy(out, whole, static_cast<std::size_t>(n));
}

HWY_ATTR void quantize(const ByteTile& t, const ByteColumns& columns, const ByteTarget& to) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(D()));
  for (std::int64_t i = 0; i < t.n; i += lanes) {
    const Column c = column(columns, i);
    for (std::int64_t r = 0; r < t.rows; ++r) store(bytes(scaled(t.sums + r * t.sums_row + i, c), to), t.out + r * t.out_row + i, t.n - i);
  }
}

HWY_ATTR void add(const ByteTile& t, const ByteColumns& columns, const ByteTarget& first, const ByteAddition& addition,
                  const std::uint8_t* other) {
  const D d;
  const I di;
  const B b;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scale = hn::Set(d, addition.scale), other_scale = hn::Set(d, addition.other_scale);
  const auto flip = hn::Set(b, addition.other_flip);
  const auto less = hn::Set(d, static_cast<float>(-addition.other_zero) * addition.other_scale);
  for (std::int64_t i = 0; i < t.n; i += lanes) {
    const Column c = column(columns, i);
    const bool whole = t.n - i >= lanes;
    for (std::int64_t r = 0; r < t.rows; ++r) {
      const std::uint8_t* y = other + r * t.out_row + i;
      std::uint8_t rest[16] = {};
      if (!whole) y = static_cast<const std::uint8_t*>(std::memcpy(rest, y, static_cast<std::size_t>(t.n - i)));
      const auto second = hn::ConvertTo(d, hn::PromoteTo(di, hn::Xor(hn::LoadU(b, y), flip)));
      const auto one = hn::Round(bounded(scaled(t.sums + r * t.sums_row + i, c), first));
      store(bytes(hn::MulAdd(one, scale, hn::MulAdd(second, other_scale, less)), addition.to), t.out + r * t.out_row + i, t.n - i);
    }
  }
}

HWY_ATTR void depthwise(const std::uint8_t* const* taps, std::int64_t count, const float* w, std::int64_t w_row, std::int64_t n,
                        std::int32_t* sums) {
  const D d;
  const I di;
  const B b;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    auto sum = hn::Zero(d);
    for (std::int64_t t = 0; t < count; ++t)
      sum = hn::MulAdd(hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(b, taps[t] + i))), hn::LoadU(d, w + t * w_row + i), sum);
    hn::StoreU(hn::ConvertTo(di, sum), di, sums + i);
  }
  for (; i < n; ++i) {
    float sum = 0;
    for (std::int64_t t = 0; t < count; ++t) sum += static_cast<float>(taps[t][i]) * w[t * w_row + i];
    sums[i] = static_cast<std::int32_t>(sum);
  }
}

HWY_ATTR std::int32_t total(const std::uint8_t* x, std::int64_t n) {
  const hn::ScalableTag<std::uint8_t> d;
  const hn::Repartition<std::uint64_t, decltype(d)> d64;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto sums = hn::Zero(d64);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sums = hn::Add(sums, hn::SumsOf8(hn::LoadU(d, x + i)));
  auto sum = static_cast<std::int32_t>(hn::GetLane(hn::SumOfLanes(d64, sums)));
  for (; i < n; ++i) sum += x[i];
  return sum;
}

HWY_ATTR void real(const std::int32_t* sums, const std::int32_t* add, std::int64_t n, float* out) {
  const D d;
  const I di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::ConvertTo(d, hn::Add(hn::LoadU(di, sums + i), hn::LoadU(di, add + i))), d, out + i);
  for (; i < n; ++i)
    out[i] = static_cast<float>(static_cast<std::int32_t>(static_cast<std::uint32_t>(sums[i]) + static_cast<std::uint32_t>(add[i])));
}

template <class Tag>
HWY_ATTR void greatest_at(const std::uint8_t* const* taps, std::int64_t count, std::uint8_t flip, std::int64_t at, std::uint8_t* out) {
  const Tag d;
  const auto turn = hn::Set(d, flip);
  auto most = hn::Xor(hn::LoadU(d, taps[0] + at), turn);
  for (std::int64_t t = 1; t < count; ++t) most = hn::Max(most, hn::Xor(hn::LoadU(d, taps[t] + at), turn));
  hn::StoreU(hn::Xor(most, turn), d, out + at);
}
// Few channels are less than a vector; the last short one may begin inside the one before.
HWY_ATTR void greatest(const std::uint8_t* const* taps, std::int64_t count, std::uint8_t flip, std::int64_t n, std::uint8_t* out) {
  using Whole = hn::ScalableTag<std::uint8_t>;
  using Short = hn::CappedTag<std::uint8_t, 16>;
  const auto whole = static_cast<std::int64_t>(hn::Lanes(Whole())), some = static_cast<std::int64_t>(hn::Lanes(Short()));
  std::int64_t i = 0;
  for (; i + whole <= n; i += whole) greatest_at<Whole>(taps, count, flip, i, out);
  for (; i < n && n >= some; i += some) greatest_at<Short>(taps, count, flip, std::min(i, n - some), out);
  for (; i < n; ++i) {
    int most = 0;
    for (std::int64_t t = 0; t < count; ++t) most = std::max(most, taps[t][i] ^ flip);
    out[i] = static_cast<std::uint8_t>(most ^ flip);
  }
}

// Sixteen entries at a time: what is not among them has its top bit set, which looks up a zero.
HWY_ATTR void map(const std::uint8_t* table, const std::uint8_t* x, std::int64_t n, std::uint8_t* out) {
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<std::uint8_t> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; i + lanes <= n; i += lanes) {
    const auto at = hn::LoadU(d, x + i);
    auto found = hn::Zero(d);
    for (int k = 0; k < 16; ++k) {
      const auto index = hn::SaturatedAdd(hn::Xor(at, hn::Set(d, static_cast<std::uint8_t>(16 * k))), hn::Set(d, std::uint8_t{0x70}));
      found = hn::Or(found, hn::TableLookupBytesOr0(hn::LoadDup128(d, table + 16 * k), index));
    }
    hn::StoreU(found, d, out + i);
  }
#endif
  for (; i < n; ++i) out[i] = table[x[i]];
}

// Squares of 16: four times the lower and the upper halves of rows 8 apart are interleaved.
HWY_ATTR void transpose(const std::uint8_t* in, std::int64_t in_row, std::int64_t rows, std::int64_t columns, std::uint8_t* out, std::int64_t out_row) {
  std::int64_t c = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::Full128<std::uint8_t> d;
  for (; c + 16 <= columns; c += 16) {
    std::int64_t r = 0;
    for (; r + 16 <= rows; r += 16) {
      hn::VFromD<hn::Full128<std::uint8_t>> a[16], b[16];
      for (int k = 0; k < 16; ++k) a[k] = hn::LoadU(d, in + (r + k) * in_row + c);
      for (int round = 0; round < 2; ++round) {
        for (int k = 0; k < 8; ++k) b[2 * k] = hn::InterleaveLower(d, a[k], a[k + 8]), b[2 * k + 1] = hn::InterleaveUpper(d, a[k], a[k + 8]);
        for (int k = 0; k < 8; ++k) a[2 * k] = hn::InterleaveLower(d, b[k], b[k + 8]), a[2 * k + 1] = hn::InterleaveUpper(d, b[k], b[k + 8]);
      }
      for (int k = 0; k < 16; ++k) hn::StoreU(a[k], d, out + (c + k) * out_row + r);
    }
    for (std::int64_t k = c; k < c + 16; ++k)
      for (std::int64_t q = r; q < rows; ++q) out[k * out_row + q] = in[q * in_row + k];
  }
#endif
  for (; c < columns; ++c)
    for (std::int64_t r = 0; r < rows; ++r) out[c * out_row + r] = in[r * in_row + c];
}

HWY_ATTR void quantize_real(const float* x, std::int64_t n, float scale, const ByteTarget& to, std::uint8_t* out) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto divisor = hn::Set(d, scale);
  for (std::int64_t i = 0; i < n; i += lanes) {
    float rest[16] = {};
    if (n - i < lanes) std::memcpy(rest, x + i, static_cast<std::size_t>(n - i) * sizeof *x);
    const auto q = hn::Div(hn::LoadU(d, n - i < lanes ? rest : x + i), divisor);
    store(bytes(hn::IfThenElseZero(hn::Eq(q, q), q), to), out + i, n - i);
  }
}

HWY_ATTR void dequantize(const std::uint8_t* x, std::int64_t n, std::int32_t zero, std::uint8_t flip, float scale, float* out) {
  const D d;
  const I di;
  const B b;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto turn = hn::Set(b, flip);
  const auto less = hn::Set(di, zero);
  const auto factor = hn::Set(d, scale);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto whole = hn::PromoteTo(di, hn::Xor(hn::LoadU(b, x + i), turn));
    hn::StoreU(hn::Mul(hn::ConvertTo(d, hn::Sub(whole, less)), factor), d, out + i);
  }
  for (; i < n; ++i) out[i] = static_cast<float>((x[i] ^ flip) - zero) * scale;
}

// Min and Max give their second operand where one is no number.
HWY_ATTR void extremes(const float* x, std::int64_t n, float* least, float* greatest) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto low = hn::Set(d, *least), low2 = low, high = hn::Set(d, *greatest), high2 = high;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + i + lanes);
    low = hn::Min(a, low), low2 = hn::Min(b, low2);
    high = hn::Max(a, high), high2 = hn::Max(b, high2);
  }
  float lows[16], highs[16];
  hn::StoreU(hn::Min(low, low2), d, lows);
  hn::StoreU(hn::Max(high, high2), d, highs);
  for (std::int64_t j = 0; j < lanes; ++j) *least = std::min(*least, lows[j]), *greatest = std::max(*greatest, highs[j]);
  for (; i < n; ++i) {
    *least = x[i] < *least ? x[i] : *least;
    *greatest = x[i] > *greatest ? x[i] : *greatest;
  }
}

}  // namespace

const ByteFinish* byte_finish_table() {
  static constexpr ByteFinish kernels{&quantize, &add, &depthwise, &total, &real, &quantize_real, &dequantize, &extremes, &greatest, &map, &transpose};
  return &kernels;
}

}  // namespace tenon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {
namespace {

TENON_SIMD_EXPORT(byte_finish_table);

}  // namespace

const ByteFinish& byte_finish(Isa) { return *TENON_SIMD(byte_finish_table)(); }

}  // namespace tenon::cpu
#endif
