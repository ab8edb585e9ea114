#include "plugins/cpu/images/canvas.h"

#include <cstring>

#include <tenon/types.h>

namespace tenon::cpu::images {

void damaged(const std::string& text) { throw ImageError{TENON_DATA_LOSS, text}; }
void unsupported(const std::string& text) { throw ImageError{TENON_UNIMPLEMENTED, text}; }

void Canvas::open(std::uint64_t width, std::uint64_t height, int orientation) {
  const std::string size = std::to_string(width) + " x " + std::to_string(height);
  if (width == 0 || height == 0) damaged("an image of " + size + " pixels");
  if (width > max_image_side || height > max_image_side || width * height > max_image_pixels)
    throw ImageError{TENON_RESOURCE_EXHAUSTED, "an image of " + size + " pixels; at most " + std::to_string(max_image_pixels) +
                                                   " pixels and " + std::to_string(max_image_side) + " a side are decoded"};
  width_ = width, height_ = height;
  const std::ptrdiff_t channels = gray() ? 1 : 3;
  const bool turned = orientation >= 5;
  const auto columns = static_cast<std::ptrdiff_t>(turned ? height : width), rows = static_cast<std::ptrdiff_t>(turned ? width : height);
  start_ = request_.open(request_.user, rows, columns, channels);
  if (!start_) throw ImageError{TENON_CANCELLED, "no memory for an image of " + size + " pixels"};
  // Where the first pixel stands, and whether the written columns and rows run backwards.
  const bool right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool bottom = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  start_ += ((right ? columns - 1 : 0) + (bottom ? (rows - 1) * columns : 0)) * channels;
  const std::ptrdiff_t sideways = right ? -channels : channels, down = (bottom ? -columns : columns) * channels;
  column_ = turned ? down : sideways;
  row_ = turned ? sideways : down;
}

void Canvas::set(std::uint8_t* to, std::uint8_t r, std::uint8_t g, std::uint8_t b) const {
  switch (request_.format) {
    case PixelFormat::rgb: to[0] = r, to[1] = g, to[2] = b; break;
    case PixelFormat::bgr: to[0] = b, to[1] = g, to[2] = r; break;
    // ITU-R 601-2 luma, rounded; equal channels stay as they are.
    case PixelFormat::grayscale: *to = static_cast<std::uint8_t>((r * 19595u + g * 38470u + b * 7471u + 0x8000u) >> 16); break;
  }
}

void Canvas::put_gray(std::uint64_t y, std::uint64_t x, std::uint64_t n, const std::uint8_t* pixels, std::size_t step) {
  std::uint8_t* to = at(y, x);
  if (gray() && step == 1 && column_ == 1) {
    std::memcpy(to, pixels, n);
    return;
  }
  for (std::uint64_t i = 0; i < n; ++i, to += column_, pixels += step) {
    if (gray()) *to = *pixels;
    else to[0] = to[1] = to[2] = *pixels;
  }
}

void Canvas::put_rgb(std::uint64_t y, std::uint64_t x, std::uint64_t n, const std::uint8_t* pixels, std::size_t step) {
  std::uint8_t* to = at(y, x);
  if (request_.format == PixelFormat::rgb && step == 3 && column_ == 3) {
    std::memcpy(to, pixels, n * 3);
    return;
  }
  for (std::uint64_t i = 0; i < n; ++i, to += column_, pixels += step) set(to, pixels[0], pixels[1], pixels[2]);
}

void Canvas::put_cmyk(std::uint64_t y, std::uint64_t x, std::uint64_t n, const std::uint8_t* pixels, std::size_t step) {
  std::uint8_t* to = at(y, x);
  for (std::uint64_t i = 0; i < n; ++i, to += column_, pixels += step) {
    const int white = 255 - pixels[3];
    const auto light = [&](int ink) {
      const int product = ink * white + 128;  // divided by 255 and rounded
      return static_cast<std::uint8_t>(white - (((product >> 8) + product) >> 8));
    };
    set(to, light(pixels[0]), light(pixels[1]), light(pixels[2]));
  }
}

}  // namespace tenon::cpu::images
