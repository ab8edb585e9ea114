// PBM, PGM, PPM, by hand: a header and plain samples. P1 to P3 in digits, P4 to P6 in bytes; up to 16 bits a sample.
#include <cmath>
#include <vector>

#include "plugins/cpu/images/canvas.h"

namespace tenon::cpu::images {
namespace {

struct Text {
  Bytes rest;

  std::uint8_t take() {
    if (rest.empty()) damaged("the data end too early");
    const std::uint8_t c = rest.front();
    rest = rest.subspan(1);
    return c;
  }
  static bool blank(std::uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  // The next character that is neither blank nor part of a comment.
  std::uint8_t solid() {
    for (;;) {
      std::uint8_t c = take();
      if (c == '#')
        while (c != '\n' && c != '\r') c = take();
      if (!blank(c)) return c;
    }
  }
  // A number and the one character behind it.
  std::uint32_t number(const char* what) {
    std::uint64_t n = 0;
    for (std::uint8_t c = solid();; c = take()) {
      if (c < '0' || c > '9') damaged(std::string("its ") + what + " is no number");
      n = n * 10 + (c - '0');
      if (n > UINT32_MAX) damaged(std::string("its ") + what + " is too large");
      if (rest.empty()) break;  // the last sample of a file in digits
      if (blank(rest.front())) {
        take();
        break;
      }
    }
    return static_cast<std::uint32_t>(n);
  }
};

// The least that the pixels can take in the file, so that a header alone gets no memory.
void check_size(const Text& text, char kind, std::uint64_t width, std::uint64_t height, std::uint32_t most) {
  if (width > max_image_side || height > max_image_side) return;  // the canvas says more
  const std::uint64_t samples = width * height * (kind == '3' || kind == '6' ? 3 : 1);
  const std::uint64_t least = kind == '4'                  ? (width + 7) / 8 * height
                              : kind == '1'                ? samples
                              : kind == '2' || kind == '3' ? samples * 2 - 1
                                                           : samples * (most > 255 ? 2 : 1);
  if (samples && text.rest.size() < least) damaged("the data end too early");
}

}  // namespace

void decode_pnm(Bytes bytes, Canvas& canvas) {
  const char kind = static_cast<char>(bytes[1]);
  Text text{bytes.subspan(2)};
  const bool bits = kind == '1' || kind == '4', digits = kind <= '3', colour = kind == '3' || kind == '6';
  const std::uint64_t width = text.number("width"), height = text.number("height");
  const std::uint32_t most = bits ? 1 : text.number("largest value");
  if (most == 0 || most > 65535) damaged("its largest value " + std::to_string(most) + " is outside 1 to 65535");
  check_size(text, kind, width, height, most);
  canvas.open(width, height);
  // Gray of more than 8 bits is spread to 16 and cut off at 255, colours are spread to 8.
  const bool cut = !colour && most > 255;
  std::vector<std::uint8_t> levels(most + 1);
  for (std::uint32_t v = 0; v <= most; ++v)
    levels[v] = static_cast<std::uint8_t>(std::min(std::nearbyint(static_cast<double>(v) / most * (cut ? 65535 : 255)), 255.0));
  std::vector<std::uint8_t> row(width * (colour ? 3 : 1));
  for (std::uint64_t y = 0; y < height; ++y) {
    std::uint8_t packed = 0;
    for (std::uint64_t i = 0; i < row.size(); ++i) {
      if (bits) {  // 1 is black
        if (digits) packed = text.solid();
        else if (i % 8 == 0) packed = text.take();
        if (digits && packed != '0' && packed != '1') damaged("a pixel that is neither 0 nor 1");
        row[i] = (digits ? packed == '1' : packed >> (7 - i % 8) & 1) ? 0 : 255;
        continue;
      }
      std::uint32_t v = digits ? text.number("sample") : text.take();
      if (!digits && most > 255) v = v << 8 | text.take();
      if (digits && v > most) damaged("a sample of " + std::to_string(v) + " above its largest value " + std::to_string(most));
      row[i] = levels[std::min(v, most)];
    }
    if (colour) canvas.put_rgb(y, 0, width, row.data());
    else canvas.put_gray(y, 0, width, row.data());
  }
}

}  // namespace tenon::cpu::images
