// BMP, by hand: the libraries at hand either drop bits of 16-bit pixels (libnsbmp) or are no decoders of untrusted data.
// Bits of 1, 4, 8, 16, 24, 32; palettes, bit fields, both run-length forms; bottom up and top down; OS/2 headers.
#include <array>
#include <bit>
#include <vector>

#include "plugins/cpu/images/canvas.h"

namespace tenon::cpu::images {
namespace {

enum : std::uint32_t { plain = 0, rle8 = 1, rle4 = 2, fields = 3, alpha_fields = 6 };

struct Header {
  std::uint64_t width = 0, height = 0, pixels = 0;  // pixels: offset of the first row
  bool top_down = false;
  std::uint32_t bits = 0, compression = plain;
  std::array<std::uint32_t, 3> masks{};
  std::vector<std::uint8_t> palette;  // red, green, blue; 256 entries, or none
};

void need(Bytes bytes, std::uint64_t offset, std::uint64_t n) {
  if (offset > bytes.size() || n > bytes.size() - offset) damaged("the data end too early");
}

void read_palette(Bytes bytes, Header& h, std::uint64_t at, std::uint32_t entry, std::uint32_t colours) {
  const std::uint32_t most = 1u << h.bits;
  if (colours == 0 || colours > most) colours = most;
  need(bytes, at, std::uint64_t{colours} * entry);
  h.palette.assign(256 * 3, 0);
  for (std::uint32_t c = 0; c < colours; ++c)
    for (std::uint32_t i = 0; i < 3; ++i) h.palette[c * 3 + i] = bytes[at + std::uint64_t{c} * entry + 2 - i];
}

Header read_header(Bytes bytes) {
  need(bytes, 0, 18);
  Header h;
  h.pixels = little32(&bytes[10]);
  const std::uint32_t size = little32(&bytes[14]);
  const std::uint8_t* p = &bytes[14];
  std::uint32_t colours = 0;
  if (size == 12) {
    need(bytes, 14, size);
    h.width = little16(p + 4), h.height = little16(p + 6), h.bits = little16(p + 10);
  } else if (size == 40 || size == 52 || size == 56 || size == 64 || size == 108 || size == 124) {
    need(bytes, 14, size);
    const auto height = static_cast<std::int32_t>(little32(p + 8));
    h.width = little32(p + 4);
    h.top_down = height < 0;
    h.height = static_cast<std::uint64_t>(h.top_down ? -std::int64_t{height} : height);
    h.bits = little16(p + 14), h.compression = little32(p + 16), colours = little32(p + 32);
  } else {
    unsupported("a header of " + std::to_string(size) + " bytes");
  }
  std::uint64_t after = 14 + std::uint64_t{size};
  if (h.bits == 16) h.masks = {0x7c00, 0x3e0, 0x1f};
  else h.masks = {0xff0000, 0xff00, 0xff};
  if (h.compression == fields || h.compression == alpha_fields) {
    if (h.bits != 16 && h.bits != 24 && h.bits != 32) damaged("bit fields in pixels of " + std::to_string(h.bits) + " bits");
    need(bytes, 54, 12);  // inside the larger headers, behind the one of 40 bytes
    const std::array<std::uint32_t, 3> given = {little32(&bytes[54]), little32(&bytes[58]), little32(&bytes[62])};
    if (given[0] || given[1] || given[2]) h.masks = given;
    if (size == 40) after += h.compression == fields ? 12 : 16;
    h.compression = plain;
  }
  const bool run_lengths = (h.compression == rle8 && h.bits == 8) || (h.compression == rle4 && h.bits == 4);
  if (h.compression != plain && !run_lengths)
    unsupported("compression " + std::to_string(h.compression) + " of " + std::to_string(h.bits) + " bits");
  if (h.bits == 1 || h.bits == 4 || h.bits == 8) read_palette(bytes, h, after, size == 12 ? 3 : 4, colours);
  else if (h.bits != 16 && h.bits != 24 && h.bits != 32) unsupported("pixels of " + std::to_string(h.bits) + " bits");
  return h;
}

// A field of a pixel as 0 to 255.
struct Field {
  std::uint32_t mask, shift, most;

  explicit Field(std::uint32_t m) : mask(m), shift(m ? static_cast<std::uint32_t>(std::countr_zero(m)) : 0), most(m >> shift) {
    if (most & (most + 1)) unsupported("a bit field with gaps");
  }
  std::uint8_t operator()(std::uint32_t pixel) const {
    return most ? static_cast<std::uint8_t>(std::uint64_t{(pixel & mask) >> shift} * 255 / most) : 0;
  }
};

void put_indices(const Header& h, Canvas& canvas, std::uint64_t y, const std::uint8_t* indices, std::vector<std::uint8_t>& row) {
  for (std::uint64_t x = 0; x < h.width; ++x)
    for (int i = 0; i < 3; ++i) row[x * 3 + static_cast<std::uint64_t>(i)] = h.palette[indices[x] * 3u + static_cast<std::uint32_t>(i)];
  canvas.put_rgb(y, 0, h.width, row.data());
}

void decode_rows(const Header& h, Bytes bytes, Canvas& canvas) {
  const std::uint64_t stride = (h.width * h.bits + 31) / 32 * 4, used = (h.width * h.bits + 7) / 8;
  need(bytes, h.pixels, stride * (h.height - 1) + used);
  std::vector<std::uint8_t> row(h.width * 3), indices(h.bits <= 8 ? h.width : 0);
  const Field red(h.masks[0]), green(h.masks[1]), blue(h.masks[2]);
  for (std::uint64_t y = 0; y < h.height; ++y) {
    const std::uint8_t* from = &bytes[h.pixels + y * stride];
    if (h.bits <= 8) {
      const std::uint32_t in_byte = 8 / h.bits;
      for (std::uint64_t x = 0; x < h.width; ++x)
        indices[x] = static_cast<std::uint8_t>(from[x / in_byte] >> (8 - h.bits * (x % in_byte + 1)) & ((1u << h.bits) - 1));
      put_indices(h, canvas, y, indices.data(), row);
      continue;
    }
    for (std::uint64_t x = 0; x < h.width; ++x, from += h.bits / 8) {
      const std::uint32_t low = little16(from);
      const std::uint32_t pixel = h.bits == 16 ? low : h.bits == 24 ? low | std::uint32_t{from[2]} << 16 : little32(from);
      row[x * 3] = red(pixel), row[x * 3 + 1] = green(pixel), row[x * 3 + 2] = blue(pixel);
    }
    canvas.put_rgb(y, 0, h.width, row.data());
  }
}

// Runs of one byte, and stretches of plain pixels; what they leave out has index 0.
void decode_runs(const Header& h, Bytes bytes, Canvas& canvas) {
  std::vector<std::uint8_t> indices(h.width * h.height);
  std::uint64_t at = h.pixels, x = 0, y = 0;
  const bool halves = h.bits == 4;
  const auto byte = [&] {
    need(bytes, at, 1);
    return bytes[at++];
  };
  const auto put = [&](std::uint8_t index) {
    if (x < h.width && y < h.height) indices[y * h.width + x] = index;
    ++x;
  };
  for (bool more = true; more && y < h.height;) {
    const std::uint32_t count = byte(), value = byte();
    if (count) {
      for (std::uint32_t i = 0; i < count; ++i) put(static_cast<std::uint8_t>(!halves ? value : i % 2 ? value & 15 : value >> 4));
    } else if (value == 0) {
      x = 0, ++y;
    } else if (value == 1) {
      more = false;
    } else if (value == 2) {
      x += byte(), y += byte();
    } else {
      std::uint8_t pair = 0;
      for (std::uint32_t i = 0; i < value; ++i) {
        if (!halves || i % 2 == 0) pair = byte();
        put(static_cast<std::uint8_t>(!halves ? pair : i % 2 ? pair & 15 : pair >> 4));
      }
      if ((halves ? (value + 1) / 2 : value) % 2) byte();
    }
  }
  std::vector<std::uint8_t> row(h.width * 3);
  for (std::uint64_t line = 0; line < h.height; ++line) put_indices(h, canvas, line, &indices[line * h.width], row);
}

}  // namespace

void decode_bmp(Bytes bytes, Canvas& canvas) {
  const Header h = read_header(bytes);
  if (h.compression == plain) {  // before the memory: rows that are not there need none
    const std::uint64_t stride = (std::min<std::uint64_t>(h.width, max_image_side) * h.bits + 31) / 32 * 4;
    need(bytes, h.pixels, stride * (std::min<std::uint64_t>(h.height, max_image_side) - (h.height ? 1 : 0)));
  }
  canvas.open(h.width, h.height, h.top_down ? 1 : 4);
  if (h.compression == plain) decode_rows(h, bytes, canvas);
  else decode_runs(h, bytes, canvas);
}

}  // namespace tenon::cpu::images
