// TIFF through libtiff: strips and tiles, chunky and planar, gray, palette, RGB, CMYK and YCbCr; turned by its orientation.
// Alpha is dropped; 16 bits of a colour lose their lower byte, gray of more than 8 bits is cut off at 255.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include <tiffio.h>

#include "plugins/cpu/images/canvas.h"

namespace tenon::cpu::images {
namespace {

struct Source {
  Bytes bytes;
  std::uint64_t at = 0;
  std::string message;  // the first one says most
};

Source& source_of(thandle_t h) { return *static_cast<Source*>(h); }

tmsize_t read_source(thandle_t h, void* to, tmsize_t n) {
  Source& s = source_of(h);
  if (n <= 0 || s.at >= s.bytes.size()) return 0;
  const auto taken = std::min<std::uint64_t>(static_cast<std::uint64_t>(n), s.bytes.size() - s.at);
  std::memcpy(to, s.bytes.data() + s.at, taken);
  s.at += taken;
  return static_cast<tmsize_t>(taken);
}
toff_t seek_source(thandle_t h, toff_t offset, int from) {
  Source& s = source_of(h);
  s.at = from == SEEK_SET ? offset : from == SEEK_CUR ? s.at + offset : s.bytes.size() + offset;
  return s.at;
}
int map_source(thandle_t h, void** base, toff_t* size) {
  *base = const_cast<std::uint8_t*>(source_of(h).bytes.data());  // opened for reading: nobody writes there
  *size = source_of(h).bytes.size();
  return 1;
}

int keep_message(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  auto& source = *static_cast<Source*>(user);
  char text[256];
  std::vsnprintf(text, sizeof text, format, arguments);
  if (source.message.empty()) source.message = text;
  return 1;
}

using Tiff = std::unique_ptr<TIFF, void (*)(TIFF*)>;

Tiff open_tiff(Source& source) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
  if (!options) throw std::bad_alloc();
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), tmsize_t{1} << 31);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_message, &source);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), [](TIFF*, void*, const char*, const char*, va_list) { return 1; }, nullptr);
  Tiff tiff(TIFFClientOpenExt("image", "r", &source, read_source, [](thandle_t, void*, tmsize_t) { return tmsize_t{0}; }, seek_source,
                              [](thandle_t) { return 0; }, [](thandle_t h) { return toff_t{source_of(h).bytes.size()}; }, map_source,
                              [](thandle_t, void*, toff_t) {}, options.get()),
            TIFFClose);
  if (!tiff) damaged(source.message.empty() ? "its header is damaged" : source.message);
  return tiff;
}

struct Layout {
  std::uint32_t width = 0, height = 0;
  std::uint16_t bits = 1, samples = 1, photometric = 0, format = SAMPLEFORMAT_UINT, planar = PLANARCONFIG_CONTIG;
  std::uint16_t compression = COMPRESSION_NONE, orientation = 1;
  bool premultiplied = false;
  std::size_t colours = 1;              // samples that make a pixel, alpha not counted
  std::vector<std::uint8_t> palette;  // red, green, blue
};

void read_palette(TIFF* tiff, Layout& l) {
  std::uint16_t* channels[3] = {};
  if (!TIFFGetField(tiff, TIFFTAG_COLORMAP, &channels[0], &channels[1], &channels[2])) damaged("its palette is missing");
  const std::size_t colours = std::size_t{1} << l.bits;
  l.palette.resize(colours * 3);
  for (std::size_t c = 0; c < colours; ++c)
    for (std::size_t i = 0; i < 3; ++i) l.palette[c * 3 + i] = static_cast<std::uint8_t>(channels[i][c] >> 8);
}

Layout read_layout(TIFF* tiff) {
  Layout l;
  const bool sized = TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &l.width) && TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &l.height);
  if (!sized) damaged("its size is missing");
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &l.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &l.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &l.format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &l.planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &l.compression);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &l.orientation);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &l.photometric);
  if (l.orientation < 1 || l.orientation > 8) l.orientation = 1;
  std::uint16_t extra = 0, *kinds = nullptr;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &extra, &kinds);
  l.premultiplied = extra > 0 && kinds[0] == EXTRASAMPLE_ASSOCALPHA;
  if (l.samples == 0 || l.samples > 8) unsupported(std::to_string(l.samples) + " samples a pixel");
  return l;
}

[[noreturn]] void refuse(const Layout& l) {
  unsupported("pixels of " + std::to_string(l.samples) + " x " + std::to_string(l.bits) + " bits, photometric interpretation " +
              std::to_string(l.photometric) + ", sample format " + std::to_string(l.format));
}

// True: rows of samples are read here; false: left to the library's own conversion (YCbCr that is no JPEG).
bool own_rows(TIFF* tiff, Layout& l) {
  if (l.photometric == PHOTOMETRIC_YCBCR && l.samples >= 3) {
    if (l.compression != COMPRESSION_JPEG || l.planar != PLANARCONFIG_CONTIG) return false;
    TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  }
  const bool uint = l.format == SAMPLEFORMAT_UINT, to8 = l.bits == 1 || l.bits == 2 || l.bits == 4 || l.bits == 8;
  bool known = false;
  switch (l.photometric) {
    case PHOTOMETRIC_MINISWHITE: known = to8 && uint; break;
    case PHOTOMETRIC_MINISBLACK: case PHOTOMETRIC_YCBCR:
      known = (to8 && uint) || (l.bits == 16 && l.format <= SAMPLEFORMAT_INT) || (l.bits == 32 && l.format <= SAMPLEFORMAT_IEEEFP);
      break;
    case PHOTOMETRIC_PALETTE: known = to8 && uint; break;
    case PHOTOMETRIC_RGB: known = (l.bits == 8 || l.bits == 16) && uint; break;
    case PHOTOMETRIC_SEPARATED: known = (l.bits == 8 || l.bits == 16) && uint; break;
    default: break;
  }
  const bool three = l.photometric == PHOTOMETRIC_RGB || (l.photometric == PHOTOMETRIC_YCBCR && l.samples >= 3);
  l.colours = l.photometric == PHOTOMETRIC_SEPARATED ? 4 : three ? 3 : 1;
  if (!known || l.samples < l.colours) refuse(l);
  l.premultiplied = l.premultiplied && l.samples > l.colours;  // damaged files declare alpha that they have no samples of
  if (l.photometric == PHOTOMETRIC_PALETTE) read_palette(tiff, l);
  return true;
}

template <class T>
T load(const std::uint8_t* row, std::size_t i) {
  T v;
  std::memcpy(&v, row + i * sizeof(T), sizeof(T));
  return v;
}
template <class T>
std::uint8_t cut(T v) {
  return v > T{0} ? static_cast<std::uint8_t>(std::min<T>(v, T{255})) : 0;
}

// Sample i of a row in the machine's byte order.
std::uint8_t sample(const Layout& l, const std::uint8_t* row, std::size_t i) {
  switch (l.bits) {
    case 8: return row[i];
    case 16:
      if (l.colours > 1) return static_cast<std::uint8_t>(load<std::uint16_t>(row, i) >> 8);
      return l.format == SAMPLEFORMAT_INT ? cut(load<std::int16_t>(row, i)) : cut(load<std::uint16_t>(row, i));
    case 32:
      if (l.format == SAMPLEFORMAT_IEEEFP) return cut(load<float>(row, i));
      return l.format == SAMPLEFORMAT_INT ? cut(load<std::int32_t>(row, i)) : cut(load<std::uint32_t>(row, i));
    default: {
      const std::size_t in_byte = 8u / l.bits, most = (std::size_t{1} << l.bits) - 1;
      const std::size_t v = row[i / in_byte] >> (8 - l.bits * (i % in_byte + 1)) & most;
      return static_cast<std::uint8_t>(l.photometric == PHOTOMETRIC_PALETTE ? v : v * (255 / most));
    }
  }
}

// A stretch of n pixels: planes[c] holds sample c of the pixels; planes[0] holds all when they are chunky.
void put(const Layout& l, Canvas& canvas, std::uint64_t y, std::uint64_t x, std::size_t n, const std::vector<const std::uint8_t*>& planes,
         std::vector<std::uint8_t>& pixels) {
  const bool chunky = l.planar != PLANARCONFIG_SEPARATE;
  const std::size_t step = l.premultiplied ? l.colours + 1 : l.colours;
  pixels.resize(n * step);
  for (std::size_t c = 0; c < step; ++c) {
    const std::uint8_t* row = planes[chunky ? 0 : c];
    for (std::size_t i = 0; i < n; ++i) pixels[i * step + c] = sample(l, row, chunky ? i * l.samples + c : i);
  }
  if (l.premultiplied)
    for (std::size_t i = 0; i < n; ++i) {
      std::uint8_t* p = &pixels[i * step];
      const std::uint32_t alpha = p[l.colours];
      if (alpha != 255)
        for (std::size_t c = 0; c < l.colours; ++c) p[c] = alpha ? static_cast<std::uint8_t>(std::min(p[c] * 255 / alpha, 255u)) : 0;
    }
  if (l.photometric == PHOTOMETRIC_MINISWHITE)
    for (std::uint8_t& v : pixels) v = static_cast<std::uint8_t>(255 - v);
  if (l.photometric == PHOTOMETRIC_PALETTE) {
    std::vector<std::uint8_t> colours(n * 3);
    for (std::size_t i = 0; i < n; ++i) std::memcpy(&colours[i * 3], &l.palette[std::size_t{pixels[i * step]} * 3], 3);
    canvas.put_rgb(y, x, n, colours.data());
  } else if (l.colours == 1) {
    canvas.put_gray(y, x, n, pixels.data(), step);
  } else if (l.colours == 4) {
    canvas.put_cmyk(y, x, n, pixels.data(), step);
  } else {
    canvas.put_rgb(y, x, n, pixels.data(), step);
  }
}

// Blocks are strips, as wide as the image, or tiles.
void read_blocks(TIFF* tiff, const Layout& l, Canvas& canvas, const Source& source) {
  const bool tiled = TIFFIsTiled(tiff) != 0;
  std::uint32_t columns = l.width, rows = l.height;
  if (tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &columns);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &rows);
  } else {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &rows);
    rows = std::min(rows, l.height);
  }
  const tmsize_t bytes = tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff);
  const tmsize_t row_bytes = tiled ? TIFFTileRowSize(tiff) : TIFFScanlineSize(tiff);
  const std::size_t planes = l.planar == PLANARCONFIG_SEPARATE ? l.premultiplied ? l.colours + 1 : l.colours : 1;
  const std::uint64_t per_pixel = std::uint64_t{l.bits} * (l.planar == PLANARCONFIG_SEPARATE ? 1 : l.samples);
  if (!columns || !rows || bytes <= 0 || row_bytes <= 0 || static_cast<std::uint64_t>(row_bytes) < (columns * per_pixel + 7) / 8 ||
      static_cast<std::uint64_t>(bytes) < static_cast<std::uint64_t>(row_bytes) * rows)
    damaged("the sizes of its strips or tiles contradict its own");
  if (static_cast<std::uint64_t>(bytes) > max_image_pixels * 8) unsupported("a strip or tile of " + std::to_string(bytes) + " bytes");
  std::vector<std::unique_ptr<std::uint8_t[]>> blocks;
  for (std::size_t p = 0; p < planes; ++p) blocks.emplace_back(new std::uint8_t[static_cast<std::size_t>(bytes)]);
  std::vector<const std::uint8_t*> starts(planes);
  std::vector<std::uint8_t> pixels;
  for (std::uint64_t y = 0; y < l.height; y += rows)
    for (std::uint64_t x = 0; x < l.width; x += columns) {
      const std::uint64_t height = std::min<std::uint64_t>(rows, l.height - y), width = std::min<std::uint64_t>(columns, l.width - x);
      for (std::size_t p = 0; p < planes; ++p) {
        const auto plane = static_cast<std::uint16_t>(p);
        const auto x32 = static_cast<std::uint32_t>(x), y32 = static_cast<std::uint32_t>(y);
        const tmsize_t wanted = tiled ? bytes : row_bytes * static_cast<tmsize_t>(height);
        const tmsize_t got = tiled ? TIFFReadEncodedTile(tiff, TIFFComputeTile(tiff, x32, y32, 0, plane), blocks[p].get(), bytes)
                                   : TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, y32, plane), blocks[p].get(), wanted);
        if (got < wanted) damaged("row " + std::to_string(y) + ": " + (source.message.empty() ? "the data end too early" : source.message));
      }
      for (std::uint64_t r = 0; r < height; ++r) {
        for (std::size_t p = 0; p < planes; ++p) starts[p] = blocks[p].get() + r * static_cast<std::uint64_t>(row_bytes);
        put(l, canvas, y + r, x, width, starts, pixels);
      }
    }
}

void read_converted(TIFF* tiff, const Layout& l, Canvas& canvas, const Source& source) {
  std::vector<std::uint32_t> pixels(std::size_t{l.width} * l.height);
  // In the order of the file: the canvas turns the image.
  if (!TIFFReadRGBAImageOriented(tiff, l.width, l.height, pixels.data(), l.orientation, 1))
    damaged(source.message.empty() ? "its pixels are damaged" : source.message);
  for (std::uint64_t y = 0; y < l.height; ++y)
    canvas.put_rgb(y, 0, l.width, reinterpret_cast<const std::uint8_t*>(&pixels[y * l.width]), 4);
}

}  // namespace

void decode_tiff(Bytes bytes, Canvas& canvas) {
  Source source{bytes, 0, {}};
  const Tiff tiff = open_tiff(source);
  Layout l = read_layout(tiff.get());
  const bool own = own_rows(tiff.get(), l);
  canvas.open(l.width, l.height, l.orientation);
  if (own) read_blocks(tiff.get(), l, canvas, source);
  else read_converted(tiff.get(), l, canvas, source);
}

}  // namespace tenon::cpu::images
