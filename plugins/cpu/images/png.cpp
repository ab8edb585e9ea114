// PNG through libpng. Alpha is dropped; 16 bits of a colour lose their lower byte, 16 bits of gray are cut off at 255.
//
// The library leaves by longjmp. Whatever it is called from holds nothing that needs a destructor.
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include <png.h>

#include "plugins/cpu/images/canvas.h"

namespace tenon::cpu::images {
namespace {

struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Bytes rest;
  char message[256] = "";
  int passes = 1;

  Reader(Bytes bytes) : rest(bytes) {
    png = png_create_read_struct(
        PNG_LIBPNG_VER_STRING, this,
        [](png_structp p, png_const_charp text) {
          auto* self = static_cast<Reader*>(png_get_error_ptr(p));
          std::snprintf(self->message, sizeof self->message, "%s", text);
          png_longjmp(p, 1);
        },
        [](png_structp, png_const_charp) {});
    if (png) info = png_create_info_struct(png);
    if (!info) {
      png_destroy_read_struct(&png, nullptr, nullptr);
      throw std::bad_alloc();
    }
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

void take_bytes(png_structp p, png_bytep to, std::size_t n) {
  auto* self = static_cast<Reader*>(png_get_io_ptr(p));
  if (n > self->rest.size()) png_error(p, "the data end too early");
  std::memcpy(to, self->rest.data(), n);
  self->rest = self->rest.subspan(n);
}

bool read_header(Reader& r) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_set_read_fn(r.png, &r, take_bytes);
  png_set_user_limits(r.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the canvas has its own
  png_read_info(r.png, r.info);
  return true;
}

bool start(Reader& r, bool gray16) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  if (png_get_color_type(r.png, r.info) == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(r.png);
  else png_set_expand_gray_1_2_4_to_8(r.png);
  if (!gray16) png_set_strip_16(r.png);
  png_set_strip_alpha(r.png);
  r.passes = png_set_interlace_handling(r.png);
  png_read_update_info(r.png, r.info);
  return true;
}

bool read_row(Reader& r, std::uint8_t* row) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_read_row(r.png, row, nullptr);
  return true;
}

}  // namespace

void decode_png(Bytes bytes, Canvas& canvas) {
  Reader r(bytes);
  if (!read_header(r)) damaged(r.message);
  const bool gray16 = png_get_color_type(r.png, r.info) == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(r.png, r.info) == 16;
  canvas.open(png_get_image_width(r.png, r.info), png_get_image_height(r.png, r.info));
  if (!start(r, gray16)) damaged(r.message);
  const std::size_t row_bytes = png_get_rowbytes(r.png, r.info), channels = png_get_channels(r.png, r.info);
  if ((channels != 1 && channels != 3) || row_bytes != canvas.width() * channels * (gray16 ? 2 : 1)) unsupported("its colour type");
  // Passes of an interlaced image add to each other: all rows are kept until the last.
  const bool whole = r.passes > 1;
  std::vector<std::uint8_t> rows(row_bytes * (whole ? canvas.height() : 1));
  for (int pass = 0; pass < r.passes; ++pass)
    for (std::uint64_t y = 0; y < canvas.height(); ++y) {
      std::uint8_t* row = rows.data() + (whole ? y * row_bytes : 0);
      if (!read_row(r, row)) damaged("row " + std::to_string(y) + ": " + r.message);
      if (pass + 1 < r.passes) continue;
      if (gray16)
        for (std::uint64_t x = 0; x < canvas.width(); ++x) row[x] = row[2 * x] ? 255 : row[2 * x + 1];
      if (channels == 1) canvas.put_gray(y, 0, canvas.width(), row);
      else canvas.put_rgb(y, 0, canvas.width(), row);
    }
}

}  // namespace tenon::cpu::images
