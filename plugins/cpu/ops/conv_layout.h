// Moving float32 between channels-in-rows (dense) and channels-together (blocked) layouts.
//
// Plain functions on caller's memory, any alignment, no overlap; any thread.
#pragma once

#include <cstdint>

namespace tenon::cpu {

// dst[c * dst_stride + r] = src[r * src_stride + c] for r < rows, c < columns.
void transpose_rows(const float* src, std::int64_t src_stride, std::int64_t rows, std::int64_t columns, float* dst,
                    std::int64_t dst_stride);

// dst[i * dst_stride + k] = src[i * src_stride + k] for i < count, k < width.
void copy_pixels(const float* src, std::int64_t src_stride, std::int64_t count, std::int64_t width, float* dst, std::int64_t dst_stride);

// One image's channels [channel, channel + count) at pixels [pixel, pixel + n): where they are in [C / block, pixels, block],
// or [C, pixels] when block is 0.
struct ImageLayout {
  std::int64_t block = 0, pixels = 0;

  std::int64_t at(std::int64_t channel, std::int64_t pixel) const {
    return block == 0 ? channel * pixels + pixel : (channel / block * pixels + pixel) * block + channel % block;
  }
  // Floats between pixels.
  std::int64_t step() const { return block == 0 ? 1 : block; }
  // Channels from here on that lie side by side, at most count.
  std::int64_t together(std::int64_t channel, std::int64_t count) const {
    if (block == 0) return count;
    const std::int64_t left = block - channel % block;
    return left < count ? left : count;
  }
};

// Reads channels [channel, channel + count) of n pixels, pixel_step apart, into dst[i * pitch + c].
void gather_pixels(const float* image, const ImageLayout& layout, std::int64_t channel, std::int64_t count, std::int64_t pixel,
                   std::int64_t pixel_step, std::int64_t n, float* dst, std::int64_t pitch);
// The way back: src[i * pitch + c] to pixels that are pixel_step apart.
void scatter_pixels(const float* src, std::int64_t pitch, std::int64_t n, float* image, const ImageLayout& layout, std::int64_t channel,
                    std::int64_t count, std::int64_t pixel, std::int64_t pixel_step);

}  // namespace tenon::cpu
