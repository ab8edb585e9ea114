// byte_depthwise_line: a row of outputs of a depthwise convolution of bytes, 16 channels of it, by VNNI.
//
// Four rows of the image are woven into one line of quads, so that one instruction multiplies a column of four taps; neighbours
// share the line. Results are those of byte_finish's kernels. Free functions on plain memory; any thread.
#pragma once

#include "plugins/cpu/ops/byte_finish.h"
#include "plugins/cpu/ops/conv_shape.h"

namespace tenon::cpu {

constexpr std::int64_t depthwise_lanes = 16;  // channels that are computed together

struct ByteDepthwiseLine {
  const std::uint8_t* const* rows;  // the image's rows at these channels, one for each row of the kernel
  const std::int64_t* steps;        // between pixels of each: 0 where all are padding
  std::int64_t height;              // of the kernel
  Window columns;
  std::uint8_t zero;                // what is left and right of the image
  const std::int8_t* weights;       // [four rows][column][channel][row]
  std::int64_t channels;            // that are there: at most depthwise_lanes
  ByteColumns numbers;              // of the first channel
  const ByteTarget* to;
  const ByteAddition* addition;     // null: none
  const std::uint8_t* other;        // as out, of the tensor that is added
  std::uint8_t* out;
  std::int64_t out_step;            // between pixels
  std::uint8_t* line;               // depthwise_line_bytes

  std::int64_t quads() const { return (height + 3) / 4; }
  // Columns of the image that the row reads, padding among them.
  static std::int64_t width(const Window& w) { return (w.out - 1) * w.stride + w.reach(); }
};
inline std::int64_t depthwise_line_bytes(std::int64_t height, const Window& columns) {
  return (height + 3) / 4 * ByteDepthwiseLine::width(columns) * depthwise_lanes * 4;
}

using ByteDepthwiseLineFn = void (*)(const ByteDepthwiseLine& work);
// Null where the instructions are missing.
ByteDepthwiseLineFn byte_depthwise_line(Isa isa);

}  // namespace tenon::cpu
