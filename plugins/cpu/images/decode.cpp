// The one function that the library exports: finds the format by the first bytes and hands over.
#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

#include <tenon/types.h>

#include "plugins/cpu/images/canvas.h"

namespace tenon::cpu::images {
namespace {

using Decoder = void (*)(Bytes, Canvas&);
struct Format {
  const char* name;
  std::string_view magic;
  Decoder decode;
};

using namespace std::string_view_literals;
constexpr Format formats[] = {
    {"JPEG", "\xff\xd8\xff"sv, decode_jpeg},
    {"PNG", "\x89PNG\r\n\x1a\n"sv, decode_png},
    {"JPEG2000", "\0\0\0\x0cjP  \r\n\x87\n"sv, decode_jpeg2000},
    {"JPEG2000", "\xff\x4f\xff\x51"sv, decode_jpeg2000},
    {"TIFF", "II*\0"sv, decode_tiff},
    {"TIFF", "MM\0*"sv, decode_tiff},
    {"TIFF", "II+\0"sv, decode_tiff},
    {"TIFF", "MM\0+"sv, decode_tiff},
    {"BMP", "BM"sv, decode_bmp},
};

const Format* find_format(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const Format& f : formats)
    if (text.starts_with(f.magic)) return &f;
  static constexpr Format webp{"WebP", "", decode_webp}, pnm{"PNM", "", decode_pnm};
  if (text.size() >= 12 && text.starts_with("RIFF") && text.substr(8, 4) == "WEBP") return &webp;
  const bool blank = text.size() >= 3 && " \t\r\n#"sv.find(text[2]) != std::string_view::npos;
  if (blank && text[0] == 'P' && text[1] >= '1' && text[1] <= '6') return &pnm;
  return nullptr;
}

std::string first_bytes(Bytes bytes) {
  std::string out;
  for (std::size_t i = 0; i < std::min<std::size_t>(bytes.size(), 8); ++i) {
    static constexpr char digits[] = "0123456789abcdef";
    out += out.empty() ? "" : " ";
    out += digits[bytes[i] >> 4], out += digits[bytes[i] & 15];
  }
  return out;
}

std::int32_t fail(const ImageRequest& request, std::int32_t code, std::string_view text) {
  const std::size_t n = std::min<std::size_t>(text.size(), request.message_bytes - 1);
  std::memcpy(request.message, text.data(), n);
  request.message[n] = 0;
  return code;
}

std::int32_t decode(const ImageRequest& request) {
  const Bytes bytes(request.data, request.bytes);
  const Format* format = find_format(bytes);
  if (!format) {
    std::string text = std::to_string(bytes.size()) + " bytes";
    if (!bytes.empty()) text += " that begin with " + first_bytes(bytes);
    return fail(request, TENON_DATA_LOSS, text + " are no image that is known: BMP, JPEG, JPEG2000, PNG, PNM, TIFF or WebP");
  }
  const std::string name = std::string(format->name) + " of " + std::to_string(bytes.size()) + " bytes: ";
  try {
    Canvas canvas(request);
    format->decode(bytes, canvas);
    return TENON_OK;
  } catch (const ImageError& e) {
    return fail(request, e.code, name + e.text);
  } catch (const std::bad_alloc&) {
    return fail(request, TENON_RESOURCE_EXHAUSTED, name + "no memory");
  } catch (...) {
    return fail(request, TENON_INTERNAL, name + "an exception of an unknown kind");
  }
}

}  // namespace
}  // namespace tenon::cpu::images

extern "C" __attribute__((visibility("default"))) std::int32_t tenon_image_decode_1(const tenon::cpu::ImageRequest* request) {
  return tenon::cpu::images::decode(*request);
}
