// ResizeTable: which input elements an output element along one axis is made of, and with which weights.
//
// Follows the ONNX reference: coordinates in double, `taps` neighbours from the one left of the coordinate on, indices
// clamped to the axis. Made while planning. Plain data; any thread.
#pragma once

#include <string_view>
#include <vector>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

enum class ResizeMode : std::uint8_t { nearest, linear, cubic };
enum class NearestMode : std::uint8_t { round_prefer_floor, round_prefer_ceil, floor, ceil };
enum class CoordinateMode : std::uint8_t {
  half_pixel,
  half_pixel_symmetric,
  pytorch_half_pixel,
  align_corners,
  asymmetric,
  tf_crop_and_resize
};

struct ResizeRule {
  ResizeMode mode = ResizeMode::nearest;
  NearestMode nearest = NearestMode::round_prefer_floor;
  CoordinateMode coordinates = CoordinateMode::half_pixel;
  bool antialias = false, exclude_outside = false;
  double cubic_a = -0.75;
};

struct ResizeTable {
  std::int64_t in = 1, out = 1, taps = 1;
  bool identity = false;             // out[i] = in[i]
  bool outside = false;              // some index is -1: the extrapolation value
  std::vector<std::int64_t> index;   // [out, taps]
  std::vector<double> weight;        // [out, taps]; empty for nearest
};

// scale: what the model says, or out / in; [begin, end] is the region of interest of this axis, in units of its length.
ResizeTable make_resize_table(const ResizeRule& rule, std::int64_t in, std::int64_t out, double scale, double begin, double end);

}  // namespace tenon::cpu
