// Windows: kernel, stride, dilation and padding of convolutions and pools, as attributes and for one set of sizes.
//
// Plain data, read from a node in make, resolved in plan; any thread. Errors: Failure INVALID_ARGUMENT for sizes that do not fit.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

constexpr int kMaxSpatial = 3;

enum class AutoPad : std::uint8_t { notset, same_upper, same_lower, valid };

// One spatial dim: output o reads the inputs o * stride - pad + k * dilation for k < kernel.
struct Window {
  std::int64_t in = 1, out = 1, kernel = 1, stride = 1, dilation = 1, pad = 0;

  std::int64_t reach() const { return (kernel - 1) * dilation + 1; }
  // The kernel positions that read inside, for output o: a range, since they are evenly spaced.
  void inside(std::int64_t o, std::int64_t& begin, std::int64_t& end) const {
    const std::int64_t at = o * stride - pad;
    begin = at >= 0 ? 0 : dilation == 1 ? -at : (-at + dilation - 1) / dilation;  // once a row: divisions would be felt
    end = at >= in ? 0 : dilation == 1 ? in - at : (in - at + dilation - 1) / dilation;
    if (begin > kernel) begin = kernel;
    if (end > kernel) end = kernel;
    if (end < begin) end = begin;
  }
};

// The attributes; lists are as long as there are spatial dims.
struct WindowAttributes {
  int spatial = 0;
  std::int64_t kernel[kMaxSpatial] = {}, strides[kMaxSpatial], dilations[kMaxSpatial], pads_begin[kMaxSpatial], pads_end[kMaxSpatial];
  AutoPad auto_pad = AutoPad::notset;
  bool ceil_mode = false;

  // "" or what is wrong with the node. kernel_shape stays 0 where the attribute is absent.
  static std::string read(const NodeView& node, int spatial, WindowAttributes& out);
  // Sizes of spatial dim d for an input and a kernel, of a convolution or pool. Throws Failure.
  Window resolve(int d, std::int64_t in, std::int64_t kernel_size) const;
};

// A refusal for what no convolution or pool of ours does; reason 0 if fine. rank counts batch and channels.
Support supports_window(const NodeView& node, std::int32_t min_rank = 3);

// Throws Failure INVALID_ARGUMENT with text unless ok.
void require(bool ok, const std::string& text);

}  // namespace tenon::cpu
