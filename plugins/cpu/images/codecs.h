// codecs: the border between the CPU provider and its libraries of image codecs, shared objects that are opened when a model
// has an ImageDecoder, so that nobody else pays for the codecs or needs them. TIFF has one of its own: libtiff brings libraries
// along that not everybody may hand on.
//
// C layout, and no exception crosses it. Both sides are built from one tree: the symbol's number says which form this is.
// decode keeps nothing and has no state; any thread.
#pragma once

#include <cstdint>

namespace tenon::cpu {

enum class PixelFormat : std::int32_t { rgb, bgr, grayscale };

// Bounds on what encoded bytes may claim of themselves; checked before memory is taken.
inline constexpr std::uint64_t max_image_side = 1u << 20;
inline constexpr std::uint64_t max_image_pixels = 1u << 28;

struct ImageRequest {
  const std::uint8_t* data;
  std::uint64_t bytes;
  PixelFormat format;
  // Gives memory of [height, width, channels] u8, dense, 1 or 3 channels; asked once the size is known and allowed. null:
  // there is none, the caller has noted why, and decode returns TENON_CANCELLED.
  std::uint8_t* (*open)(void* user, std::int64_t height, std::int64_t width, std::int64_t channels);
  void* user;
  // Where the text of a failure goes; at least 1 byte, always terminated.
  char* message;
  std::uint64_t message_bytes;
};

// TENON_OK, or DATA_LOSS, UNIMPLEMENTED, RESOURCE_EXHAUSTED, CANCELLED with a message.
using ImageDecode = std::int32_t (*)(const ImageRequest* request);
inline constexpr const char* image_decode_symbol = "tenon_image_decode_1";

// What the TIFF library takes: classic and big files of both byte orders.
inline bool is_tiff(const std::uint8_t* data, std::uint64_t bytes) {
  if (bytes < 4) return false;
  const bool little = data[0] == 'I' && data[1] == 'I' && data[3] == 0 && (data[2] == 42 || data[2] == 43);
  const bool big = data[0] == 'M' && data[1] == 'M' && data[2] == 0 && (data[3] == 42 || data[3] == 43);
  return little || big;
}

}  // namespace tenon::cpu
