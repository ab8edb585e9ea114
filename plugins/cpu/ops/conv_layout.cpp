#include "plugins/cpu/ops/conv_layout.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/cpu/ops/conv_layout.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tenon::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// rows and columns are multiples of 4.
void transpose_blocks(const float* src, std::int64_t src_stride, std::int64_t rows, std::int64_t columns, float* dst,
                      std::int64_t dst_stride) {
#if HWY_TARGET == HWY_SCALAR
  for (std::int64_t c = 0; c < columns; ++c)
    for (std::int64_t r = 0; r < rows; ++r) dst[c * dst_stride + r] = src[r * src_stride + c];
#else
  const hn::CappedTag<float, 4> d;
  const hn::CappedTag<double, 2> dd;
  for (std::int64_t c = 0; c < columns; c += 4)
    for (std::int64_t r = 0; r < rows; r += 4) {
      const float* from = src + r * src_stride + c;
      float* to = dst + c * dst_stride + r;
      const auto w = hn::LoadU(d, from), x = hn::LoadU(d, from + src_stride), y = hn::LoadU(d, from + 2 * src_stride),
                 z = hn::LoadU(d, from + 3 * src_stride);
      const auto wx0 = hn::BitCast(dd, hn::InterleaveLower(d, w, x)), wx1 = hn::BitCast(dd, hn::InterleaveUpper(d, w, x));
      const auto yz0 = hn::BitCast(dd, hn::InterleaveLower(d, y, z)), yz1 = hn::BitCast(dd, hn::InterleaveUpper(d, y, z));
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dd, wx0, yz0)), d, to);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dd, wx0, yz0)), d, to + dst_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dd, wx1, yz1)), d, to + 2 * dst_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dd, wx1, yz1)), d, to + 3 * dst_stride);
    }
#endif
}

// Three rows next to each other, as colours are: columns [0, the result) are done.
std::int64_t interleave_three([[maybe_unused]] const float* src, [[maybe_unused]] std::int64_t src_stride,
                              [[maybe_unused]] std::int64_t columns, [[maybe_unused]] float* dst) {
  std::int64_t c = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (; c + lanes <= columns; c += lanes)
    hn::StoreInterleaved3(hn::LoadU(d, src + c), hn::LoadU(d, src + src_stride + c), hn::LoadU(d, src + 2 * src_stride + c), d, dst + c * 3);
#endif
  return c;
}

}  // namespace HWY_NAMESPACE
}  // namespace tenon::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon::cpu {
TENON_SIMD_EXPORT(transpose_blocks);
TENON_SIMD_EXPORT(interleave_three);
namespace {

template <std::int64_t kWidth>
void copy_fixed(const float* src, std::int64_t src_stride, std::int64_t count, float* dst, std::int64_t dst_stride) {
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(dst + i * dst_stride, src + i * src_stride, kWidth * sizeof(float));
}

}  // namespace

void transpose_rows(const float* src, std::int64_t src_stride, std::int64_t rows, std::int64_t columns, float* dst,
                    std::int64_t dst_stride) {
  if (rows == 3 && dst_stride == 3) {
    for (std::int64_t c = TENON_SIMD(interleave_three)(src, src_stride, columns, dst); c < columns; ++c)
      for (std::int64_t r = 0; r < 3; ++r) dst[c * 3 + r] = src[r * src_stride + c];
    return;
  }
  const std::int64_t r4 = rows / 4 * 4, c4 = columns / 4 * 4;
  TENON_SIMD(transpose_blocks)(src, src_stride, r4, c4, dst, dst_stride);
  for (std::int64_t r = r4; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) dst[c * dst_stride + r] = src[r * src_stride + c];
  for (std::int64_t r = 0; r < r4; ++r)
    for (std::int64_t c = c4; c < columns; ++c) dst[c * dst_stride + r] = src[r * src_stride + c];
}

void copy_pixels(const float* src, std::int64_t src_stride, std::int64_t count, std::int64_t width, float* dst, std::int64_t dst_stride) {
  if (src_stride == width && dst_stride == width) {
    if (count > 0) std::memcpy(dst, src, static_cast<std::size_t>(count * width) * sizeof(float));
    return;
  }
  switch (width) {
    case 4: return copy_fixed<4>(src, src_stride, count, dst, dst_stride);
    case 8: return copy_fixed<8>(src, src_stride, count, dst, dst_stride);
    case 16: return copy_fixed<16>(src, src_stride, count, dst, dst_stride);
    default:
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t k = 0; k < width; ++k) dst[i * dst_stride + k] = src[i * src_stride + k];
  }
}

void gather_pixels(const float* image, const ImageLayout& layout, std::int64_t channel, std::int64_t count, std::int64_t pixel,
                   std::int64_t pixel_step, std::int64_t n, float* dst, std::int64_t pitch) {
  if (layout.block == 0) {
    const float* src = image + layout.at(channel, pixel);
    if (pixel_step == 1) return transpose_rows(src, layout.pixels, count, n, dst, pitch);
    for (std::int64_t c = 0; c < count; ++c)
      for (std::int64_t i = 0; i < n; ++i) dst[i * pitch + c] = src[c * layout.pixels + i * pixel_step];
    return;
  }
  for (std::int64_t c = 0; c < count;) {
    const std::int64_t some = layout.together(channel + c, count - c);
    copy_pixels(image + layout.at(channel + c, pixel), layout.block * pixel_step, n, some, dst + c, pitch);
    c += some;
  }
}

void scatter_pixels(const float* src, std::int64_t pitch, std::int64_t n, float* image, const ImageLayout& layout, std::int64_t channel,
                    std::int64_t count, std::int64_t pixel, std::int64_t pixel_step) {
  if (layout.block == 0) {
    float* dst = image + layout.at(channel, pixel);
    if (pixel_step == 1) return transpose_rows(src, pitch, n, count, dst, layout.pixels);
    for (std::int64_t c = 0; c < count; ++c)
      for (std::int64_t i = 0; i < n; ++i) dst[c * layout.pixels + i * pixel_step] = src[i * pitch + c];
    return;
  }
  for (std::int64_t c = 0; c < count;) {
    const std::int64_t some = layout.together(channel + c, count - c);
    copy_pixels(src + c, pitch, n, some, image + layout.at(channel + c, pixel), layout.block * pixel_step);
    c += some;
  }
}

}  // namespace tenon::cpu
#endif
