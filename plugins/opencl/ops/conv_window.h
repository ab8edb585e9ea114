// Windows: kernel, stride, dilation and padding of convolutions and pools, as attributes and for one set of sizes.
//
// Plain data, read from a node in make, resolved in plan; any thread. Errors: Failure INVALID_ARGUMENT for sizes that do not fit.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/opencl/codegen/conv_geometry.h"
#include "plugins/opencl/op.h"

namespace tenon::opencl {

constexpr int kMaxSpatial = 3;

// Lists are as long as there are spatial dims.
struct ConvWindow {
  enum class AutoPad : std::uint8_t { notset, same_upper, same_lower, valid };

  int spatial = 0;
  std::int64_t kernel[kMaxSpatial] = {}, strides[kMaxSpatial] = {1, 1, 1}, dilations[kMaxSpatial] = {1, 1, 1};
  std::int64_t pads_begin[kMaxSpatial] = {}, pads_end[kMaxSpatial] = {};
  AutoPad auto_pad = AutoPad::notset;
  bool ceil_mode = false;

  // "" or what is wrong with the node. kernel stays 0 where kernel_shape is absent.
  static std::string read(const Node& node, int spatial, ConvWindow& out);
  // Spatial dim d for an input and a kernel. Throws Failure.
  ConvAxis resolve(int d, std::int64_t in, std::int64_t kernel_size) const;
  // How far padding reaches behind the input of an axis that resolve made.
  std::int64_t pad_end(int d, const ConvAxis& axis) const;
  // The axis of a geometry that spatial dim d is: the last is always w.
  ConvAxis& axis(ConvGeometry& g, int d) const;
};

// A refusal for what no convolution or pool of ours does. min_rank counts batch and channels.
Support supports_window(const Node& node, std::int32_t min_rank = 3);

// Throws Failure INVALID_ARGUMENT with text unless ok.
void require(bool ok, const std::string& text);

// A convolution's or pool's output as its epilogue sees it: image, pixel, channel.
TileSpace image_space(std::int64_t rank);

}  // namespace tenon::opencl
