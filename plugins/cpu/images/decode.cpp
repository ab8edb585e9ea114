// The one function that a library of codecs exports: finds the format by the first bytes (formats_*.cpp) and hands over.
#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <string_view>

#include <tenon/types.h>

#include "plugins/cpu/images/formats.h"

namespace tenon::cpu::images {
namespace {

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
  const auto format = find_format(bytes);
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
