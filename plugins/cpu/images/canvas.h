// Canvas: what the codecs write on. Turns their pixels into the format that was asked for, in the caller's memory.
//
// One object a decode, used by one thread. Codecs throw ImageError; decode.cpp turns it into a code and a text.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "plugins/cpu/images/codecs.h"

namespace tenon::cpu::images {

struct ImageError {
  std::int32_t code;
  std::string text;
};
[[noreturn]] void damaged(const std::string& text);      // DATA_LOSS
[[noreturn]] void unsupported(const std::string& text);  // UNIMPLEMENTED

using Bytes = std::span<const std::uint8_t>;

class Canvas {
 public:
  explicit Canvas(const ImageRequest& request) : request_(request) {}

  // Checks the size and takes the memory. orientation: 1 to 8 as in TIFF and EXIF, where the first row and column of what
  // is written stand in the result; 4 is bottom up. Throws: RESOURCE_EXHAUSTED above the limits, CANCELLED without memory.
  void open(std::uint64_t width, std::uint64_t height, int orientation = 1);
  std::uint64_t width() const { return width_; }
  std::uint64_t height() const { return height_; }
  PixelFormat format() const { return request_.format; }
  bool gray() const { return request_.format == PixelFormat::grayscale; }

  // n pixels of row y from column x on; step: bytes from one pixel to the next. REQUIRES that they lie inside.
  void put_gray(std::uint64_t y, std::uint64_t x, std::uint64_t n, const std::uint8_t* pixels, std::size_t step = 1);
  void put_rgb(std::uint64_t y, std::uint64_t x, std::uint64_t n, const std::uint8_t* pixels, std::size_t step = 3);
  // Cyan, magenta, yellow, black: 0 is no ink.
  void put_cmyk(std::uint64_t y, std::uint64_t x, std::uint64_t n, const std::uint8_t* pixels, std::size_t step = 4);

  // The memory itself: rows of width() pixels of format(). For codecs that write such rows themselves.
  std::uint8_t* memory() { return start_; }

 private:
  void set(std::uint8_t* to, std::uint8_t r, std::uint8_t g, std::uint8_t b) const;
  std::uint8_t* at(std::uint64_t y, std::uint64_t x) const {
    return start_ + static_cast<std::ptrdiff_t>(y) * row_ + static_cast<std::ptrdiff_t>(x) * column_;
  }

  const ImageRequest& request_;
  std::uint64_t width_ = 0, height_ = 0;
  std::uint8_t* start_ = nullptr;  // of the pixel (0, 0) as it is written
  std::ptrdiff_t row_ = 0, column_ = 0;
};

// A number of an image file at an offset that the caller has checked.
inline std::uint32_t little16(const std::uint8_t* p) { return p[0] | static_cast<std::uint32_t>(p[1]) << 8; }
inline std::uint32_t little32(const std::uint8_t* p) { return little16(p) | little16(p + 2) << 16; }

// One function a format, each in the file of its name.
void decode_bmp(Bytes bytes, Canvas& canvas);
void decode_jpeg(Bytes bytes, Canvas& canvas);
void decode_jpeg2000(Bytes bytes, Canvas& canvas);
void decode_png(Bytes bytes, Canvas& canvas);
void decode_pnm(Bytes bytes, Canvas& canvas);
void decode_tiff(Bytes bytes, Canvas& canvas);
void decode_webp(Bytes bytes, Canvas& canvas);

}  // namespace tenon::cpu::images
