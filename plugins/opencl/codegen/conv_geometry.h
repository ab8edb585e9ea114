// ConvGeometry: the sizes of a convolution or pool of one to three spatial dims, as kernels get them.
//
// Plain data, made from attributes and shapes when a plan is made; any thread. Dims that an operator does not have are 1.
#pragma once

#include <cstdint>
#include <vector>

namespace tenon::opencl {

// One spatial dim: output o reads the inputs o * stride - pad + k * dilation for k < kernel, those outside being padding.
struct ConvAxis {
  std::int64_t in = 1, out = 1, kernel = 1, stride = 1, dilation = 1, pad = 0;

  bool operator==(const ConvAxis&) const = default;
};

struct ConvGeometry {
  std::int64_t n = 1;
  ConvAxis d, h, w;
  std::int64_t groups = 1, ic = 1, oc = 1;  // channels of one group

  std::int64_t taps() const { return d.kernel * h.kernel * w.kernel; }
  std::int64_t in_pixels() const { return d.in * h.in * w.in; }
  std::int64_t out_pixels() const { return d.out * h.out * w.out; }
  // One tap and no padding: a product of a matrix of pixels.
  bool pointwise() const { return taps() == 1 && d.pad == 0 && h.pad == 0 && w.pad == 0; }
  bool depthwise() const { return ic == 1 && oc == 1; }
  // Kernels count elements of an image and pixels of a batch in int.
  bool fits() const;
  // The size arguments that every kernel of convolutions and pools begins with, after its buffers.
  std::vector<std::int32_t> arguments() const;
};

// Their declarations, each after ", ".
const char* conv_size_parameters();

// How a kernel is started: reqd_work_group_size is {local, 1, 1}.
struct ConvRange {
  std::uint64_t global[3] = {1, 1, 1};
  std::uint64_t local = 1;
};

}  // namespace tenon::opencl
