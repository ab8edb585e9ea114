// Everything but TIFF, which has a library of its own.
#include <string_view>

#include "plugins/cpu/images/formats.h"

namespace tenon::cpu::images {

std::optional<Format> find_format(Bytes bytes) {
  using namespace std::string_view_literals;
  struct Known {
    std::string_view magic;
    Format format;
  };
  static constexpr Known known[] = {
      {"\xff\xd8\xff"sv, {"JPEG", decode_jpeg}},
      {"\x89PNG\r\n\x1a\n"sv, {"PNG", decode_png}},
      {"\0\0\0\x0cjP  \r\n\x87\n"sv, {"JPEG2000", decode_jpeg2000}},
      {"\xff\x4f\xff\x51"sv, {"JPEG2000", decode_jpeg2000}},
      {"BM"sv, {"BMP", decode_bmp}},
  };
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const Known& k : known)
    if (text.starts_with(k.magic)) return k.format;
  if (text.size() >= 12 && text.starts_with("RIFF") && text.substr(8, 4) == "WEBP") return Format{"WebP", decode_webp};
  const bool blank = text.size() >= 3 && " \t\r\n#"sv.find(text[2]) != std::string_view::npos;
  if (blank && text[0] == 'P' && text[1] >= '1' && text[1] <= '6') return Format{"PNM", decode_pnm};
  return std::nullopt;
}

}  // namespace tenon::cpu::images
