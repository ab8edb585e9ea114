// The texts of Resize along one axis: which elements an element of the result is made of, and with which weights.
//
// A table is made on the device by a small kernel, once a run and axis: [taps, out] indices (-1: the extrapolation value) and weights.
// Coordinates are computed in double where the device has it. Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace tenon::opencl {

enum class ResizeMode : std::uint8_t { nearest, linear, cubic };
enum class NearestMode : std::uint8_t { round_prefer_floor, round_prefer_ceil, floor, ceil };
enum class CoordinateMode : std::uint8_t { half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, asymmetric, tf_crop_and_resize };

struct ResizeRule {
  ResizeMode mode = ResizeMode::nearest;
  NearestMode nearest = NearestMode::round_prefer_floor;
  CoordinateMode coordinates = CoordinateMode::half_pixel;
  bool antialias = false, exclude_outside = false;
};

// Statements for result index c0. They read the variables in, out, taps, lead (int: sizes, taps, the first tap's distance from the element left
// of the coordinate), scale, begin, end, stretch, cubic_a (of type `real`), and write index[k * out + c0] and, unless nearest, weight[...].
std::string resize_table_text(const ResizeRule& rule, const std::string& real);

}  // namespace tenon::opencl
