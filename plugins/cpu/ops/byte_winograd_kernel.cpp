// Compiled once per target.
#include "plugins/cpu/ops/byte_winograd_kernel.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/byte_winograd_kernel.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
using V = hn::Vec<D>;

// A line of B^T d.
template <class D>
HWY_INLINE void input_line(D, const V<D>* d, V<D>* to) {
  const auto even = hn::Sub(d[4], hn::ShiftLeft<2>(d[2])), odd = hn::Sub(d[3], hn::ShiftLeft<2>(d[1]));
  const auto front = hn::Sub(d[4], d[2]), back = hn::Sub(d[3], d[1]), twice = hn::Add(back, back);
  to[0] = hn::Add(hn::Sub(even, d[2]), hn::ShiftLeft<2>(d[0]));
  to[1] = hn::Add(even, odd);
  to[2] = hn::Sub(even, odd);
  to[3] = hn::Add(front, twice);
  to[4] = hn::Sub(front, twice);
  to[5] = hn::Sub(hn::Sub(d[5], d[3]), hn::ShiftLeft<2>(back));
}
// A line of G g, each number times the least that makes it whole: 4, -6, -6, 24, 24, 1.
template <class D>
HWY_INLINE void weight_line(D, const V<D>* g, V<D>* to) {
  const auto ends = hn::Add(g[0], g[2]), far = hn::Add(g[0], hn::ShiftLeft<2>(g[2])), twice = hn::Add(g[1], g[1]);
  to[0] = g[0];
  to[1] = hn::Add(ends, g[1]);
  to[2] = hn::Sub(ends, g[1]);
  to[3] = hn::Add(far, twice);
  to[4] = hn::Sub(far, twice);
  to[5] = g[2];
}
// A line of A^T m, times 24, of sums as weight_line leaves them.
template <class D>
HWY_INLINE void output_line(D, const V<D>* m, V<D>* to) {
  const auto sum = hn::Add(m[1], m[2]), difference = hn::Sub(m[1], m[2]);
  const auto far = hn::Add(m[3], m[4]), apart = hn::Sub(m[3], m[4]), twice = hn::Add(apart, apart);
  const auto six = [](auto x) { const auto two = hn::Add(x, x); return hn::Add(hn::Add(two, two), two); };
  to[0] = hn::Add(hn::Sub(far, hn::ShiftLeft<2>(sum)), six(m[0]));
  to[1] = hn::Sub(twice, hn::ShiftLeft<2>(difference));
  to[2] = hn::ShiftLeft<2>(hn::Sub(far, sum));
  to[3] = hn::ShiftLeft<2>(hn::Add(hn::Sub(twice, difference), six(m[5])));
}

HWY_ATTR void input(const std::uint8_t* const* pixels, std::int64_t channels, std::int16_t* to, std::int64_t point) {
  const hn::CappedTag<std::int16_t, 16> d;
  const hn::Rebind<std::int8_t, decltype(d)> d8;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  using W = V<decltype(d)>;
  const auto turn = hn::Set(bytes, 0x80);
  for (std::int64_t c = 0; c < channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
    W lines[6][6];  // [column][row of B^T]
    for (int x = 0; x < 6; ++x) {
      W pixel[6];
      for (int y = 0; y < 6; ++y) pixel[y] = hn::PromoteTo(d, hn::BitCast(d8, hn::Xor(hn::LoadU(bytes, pixels[6 * y + x] + c), turn)));
      input_line(d, pixel, lines[x]);
    }
    for (int y = 0; y < 6; ++y) {
      const W line[6] = {lines[0][y], lines[1][y], lines[2][y], lines[3][y], lines[4][y], lines[5][y]};
      W points[6];
      input_line(d, line, points);
      for (int x = 0; x < 6; ++x) hn::StoreU(points[x], d, to + (6 * y + x) * point + c);
    }
  }
}

HWY_ATTR void weights(const std::int16_t* taps, std::int64_t tap, std::int64_t count, std::int16_t* to, std::int64_t point) {
  const hn::CappedTag<std::int16_t, 32> d;
  using W = V<decltype(d)>;
  for (std::int64_t i = 0; i < count; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    W lines[3][6];  // [column][row of G]
    for (int x = 0; x < 3; ++x) {
      const W column[3] = {hn::LoadU(d, taps + x * tap + i), hn::LoadU(d, taps + (3 + x) * tap + i), hn::LoadU(d, taps + (6 + x) * tap + i)};
      weight_line(d, column, lines[x]);
    }
    for (int y = 0; y < 6; ++y) {
      const W line[3] = {lines[0][y], lines[1][y], lines[2][y]};
      W points[6];
      weight_line(d, line, points);
      for (int x = 0; x < 6; ++x) hn::StoreU(points[x], d, to + (6 * y + x) * point + i);
    }
  }
}

HWY_ATTR void output(const std::int32_t* sums, std::int64_t point, const std::int32_t* add, std::int64_t columns, std::int32_t* to,
                     std::int64_t row) {
  const hn::CappedTag<std::int32_t, 16> d;
  using W = V<decltype(d)>;
  const auto ninth = hn::Set(d, 954437177);  // times 9 it is 1 modulo 2^32
  for (std::int64_t c = 0; c < columns; c += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto more = hn::LoadU(d, add + c);
    W lines[6][4];  // [column][row of A^T]
    for (int x = 0; x < 6; ++x) {
      W m[6];
      for (int y = 0; y < 6; ++y) m[y] = hn::LoadU(d, sums + (6 * y + x) * point + c);
      output_line(d, m, lines[x]);
    }
    for (int y = 0; y < 4; ++y) {
      const W line[6] = {lines[0][y], lines[1][y], lines[2][y], lines[3][y], lines[4][y], lines[5][y]};
      W pixels[4];
      output_line(d, line, pixels);
      for (int x = 0; x < 4; ++x)
        hn::StoreU(hn::Add(hn::ShiftRight<6>(hn::Mul(pixels[x], ninth)), more), d, to + y * row + x * columns + c);
    }
  }
}

}  // namespace

const ByteWinogradKernels* byte_winograd_table() {
  static constexpr ByteWinogradKernels kernels{&input, &weights, &output};
  return &kernels;
}

}  // namespace tenon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {
namespace {

TENON_SIMD_EXPORT(byte_winograd_table);

}  // namespace

const ByteWinogradKernels& byte_winograd_kernels(Isa) { return *TENON_SIMD(byte_winograd_table)(); }

}  // namespace tenon::cpu
#endif
