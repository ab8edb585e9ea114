// codecs: the border between the CPU provider and its library of image codecs, a shared object that is opened when a model
// has an ImageDecoder, so that nobody else pays for the codecs or needs them.
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

}  // namespace tenon::cpu
