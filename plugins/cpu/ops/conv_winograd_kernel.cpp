#include "plugins/cpu/ops/conv_winograd_kernel.h"

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/conv_winograd_kernel.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Written out: compilers do not find these few sums in a product with a constant matrix.
template <class D, class V>
HWY_INLINE void transform_input(D d, const V* x, V* t) {
  const V two = hn::Set(d, 2.0f), four = hn::Set(d, 4.0f), five = hn::Set(d, 5.0f);
  t[0] = hn::MulAdd(four, x[0], hn::NegMulAdd(five, x[2], x[4]));
  const V a = hn::NegMulAdd(four, x[2], x[4]), b = hn::NegMulAdd(four, x[1], x[3]);
  t[1] = hn::Add(a, b);
  t[2] = hn::Sub(a, b);
  const V c = hn::Sub(x[4], x[2]), e = hn::Sub(x[3], x[1]);
  t[3] = hn::MulAdd(two, e, c);
  t[4] = hn::NegMulAdd(two, e, c);
  t[5] = hn::MulAdd(four, x[1], hn::NegMulAdd(five, x[3], x[5]));
}

template <class D, class V>
HWY_INLINE void transform_output(D d, const V* m, V* y) {
  const V two = hn::Set(d, 2.0f), four = hn::Set(d, 4.0f), eight = hn::Set(d, 8.0f);
  const V s = hn::Add(m[1], m[2]), e = hn::Sub(m[1], m[2]), s2 = hn::Add(m[3], m[4]), e2 = hn::Sub(m[3], m[4]);
  y[0] = hn::Add(hn::Add(m[0], s), s2);
  y[1] = hn::MulAdd(two, e2, e);
  y[2] = hn::MulAdd(four, s2, s);
  y[3] = hn::Add(hn::MulAdd(eight, e2, e), m[5]);
}

template <int kLanes>
void winograd_input(const WinogradInput& args) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  for (std::int64_t t = 0; t < args.count; ++t)
    for (int c = 0; c < 16; c += kLanes) {
      const float* src = args.src + t * 4 * 16 + c;
      V rows[6][6];
#pragma GCC unroll 6
      for (int r = 0; r < 6; ++r) {
        V x[6];
#pragma GCC unroll 6
        for (int k = 0; k < 6; ++k) x[k] = hn::LoadU(d, src + r * args.row + k * 16);
        transform_input(d, x, rows[r]);
      }
      float* dst = args.dst + t * 16 + c;
#pragma GCC unroll 6
      for (int k = 0; k < 6; ++k) {
        const V x[6] = {rows[0][k], rows[1][k], rows[2][k], rows[3][k], rows[4][k], rows[5][k]};
        V y[6];
        transform_input(d, x, y);
#pragma GCC unroll 6
        for (int r = 0; r < 6; ++r) hn::StoreU(y[r], d, dst + (r * 6 + k) * args.point);
      }
    }
}

template <int kLanes>
void winograd_output(const WinogradOutput& args) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  V rows[6][4];
#pragma GCC unroll 6
  for (int r = 0; r < 6; ++r) {
    V m[6];
#pragma GCC unroll 6
    for (int k = 0; k < 6; ++k) m[k] = hn::LoadU(d, args.src + (r * 6 + k) * args.point);
    transform_output(d, m, rows[r]);
  }
  const V bias = hn::LoadU(d, args.bias), low = hn::Set(d, args.low), high = hn::Set(d, args.high);
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    if (k >= args.width) break;
    const V m[6] = {rows[0][k], rows[1][k], rows[2][k], rows[3][k], rows[4][k], rows[5][k]};
    V y[4];
    transform_output(d, m, y);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      if (r >= args.height) break;
      const std::int64_t at = r * args.row + k * args.pixel;
      V v = hn::Add(y[r], bias);
      if (args.residual) v = hn::Add(v, hn::LoadU(d, args.residual + at));
      hn::StoreU(hn::Min(high, hn::Max(low, v)), d, args.dst + at);
    }
  }
}

template <int kLanes>
void line_input(const WinogradLineInput& args) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  for (std::int64_t t = 0; t < args.count; ++t)
    for (int c = 0; c < 16; c += kLanes) {
      const float* src = args.src + t * args.tile + c;
      V x[6], y[6];
#pragma GCC unroll 6
      for (int k = 0; k < 6; ++k) x[k] = hn::LoadU(d, src + k * args.tap);
      transform_input(d, x, y);
#pragma GCC unroll 6
      for (int p = 0; p < 6; ++p) hn::StoreU(y[p], d, args.dst + p * args.point + t * 16 + c);
    }
}

template <int kLanes>
void line_output(const WinogradLineOutput& args) {
  const hn::CappedTag<float, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  const V bias = hn::LoadU(d, args.bias), low = hn::Set(d, args.low), high = hn::Set(d, args.high);
  for (std::int64_t t = 0; t < args.count; ++t) {
    V m[6], y[4];
#pragma GCC unroll 6
    for (int p = 0; p < 6; ++p) m[p] = hn::LoadU(d, args.src + p * args.point + t * args.src_tile);
    transform_output(d, m, y);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      if (t * args.step + k * args.dilation >= args.limit) break;
      const std::int64_t at = t * args.tile + k * args.tap;
      V v = hn::Add(y[k], bias);
      if (args.residual) v = hn::Add(v, hn::LoadU(d, args.residual + at));
      hn::StoreU(hn::Min(high, hn::Max(low, v)), d, args.dst + at);
    }
  }
}

const WinogradKernels& winograd_table() {
#if HWY_TARGET <= HWY_AVX3
  static constexpr WinogradKernels kTable{&winograd_input<16>, &winograd_output<16>, &winograd_output<8>, &line_input<16>, &line_output<16>, &line_output<8>, 16};
#elif HWY_TARGET <= HWY_AVX2
  static constexpr WinogradKernels kTable{&winograd_input<8>, &winograd_output<8>, nullptr, &line_input<8>, &line_output<8>, nullptr, 8};
#else
  static constexpr WinogradKernels kTable{&winograd_input<1>, &winograd_output<1>, nullptr, &line_input<1>, &line_output<1>, nullptr, 1};
#endif
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {

const WinogradKernels& winograd_kernels(Isa isa) {
#if HWY_TARGETS & HWY_AVX3
  if (isa >= Isa::avx512) return N_AVX3::winograd_table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (isa >= Isa::avx2) return N_AVX2::winograd_table();
#endif
  return HWY_STATIC_DISPATCH(winograd_table)();
}

}  // namespace tenon::cpu
#endif
