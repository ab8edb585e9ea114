// ConvPacking: how a convolution's weights lie in the buffer that its kernels read.
//
// In order: for integers a header of kConvPackedHeader bytes that begins with the input's zero point as int; a bias for every column,
// 0 where there is none; the weights [panel][tap][input channel][column], columns behind the last channel being 0; a pixel of zeros
// that stands for padding. Packed on the host once for constants, by a kernel of the device for weights that are made at run time.
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include <tenon/types.h>

#include "plugins/opencl/codegen/conv_geometry.h"
#include "plugins/opencl/codegen/types.h"
#include "plugins/opencl/device/kernels.h"

namespace tenon::opencl {

constexpr int kConvPackedHeader = 64;  // bytes
constexpr int kConvZeros = 16;         // at least so many zeros stand at the end: a vector of channels

struct ConvPacking {
  std::int64_t groups = 1, ic = 1, oc = 1, taps = 1;  // channels of a group
  int width = 64;                                     // columns of a panel: ConvTile::width
  int weight_bytes = 4, compute_bytes = 4, input_bytes = 4;
  bool integer = false;
  bool transposed = false;  // weights come as [groups * ic][oc][taps]

  std::int64_t panels() const { return (oc + width - 1) / width * groups; }
  std::uint64_t bias_at() const { return integer ? kConvPackedHeader : 0; }
  std::uint64_t weights_at() const { return bias_at() + static_cast<std::uint64_t>(panels() * width * compute_bytes); }
  std::uint64_t zeros_at() const { return weights_at() + static_cast<std::uint64_t>(panels() * width * ic * taps * weight_bytes); }
  std::uint64_t bytes() const { return (zeros_at() + static_cast<std::uint64_t>((ic > kConvZeros ? ic : kConvZeros) * input_bytes) + 63) / 64 * 64; }
  std::string key() const;  // names the form among the packed forms of one constant
};

// weights: [groups * oc][ic][taps] (or transposed) of weight_bytes each; bias: groups * oc of compute_bytes each, or null.
void pack_conv_weights(const ConvPacking& p, const void* weights, const void* bias, void* out);

// From bytes, signed or not. zero_points: one, or one for each output channel, of the weights' type, or null.
struct ByteWeights {
  const void* weights = nullptr;
  bool is_signed = true;
  const void* zero_points = nullptr;
  std::int64_t zero_point_count = 0;
  std::int32_t input_zero_point = 0;
};
void pack_conv_bytes(const ConvPacking& p, const ByteWeights& from, const std::int32_t* bias, void* out);

// The same on the device, a work item for some channels of a panel. Storage types. Parameters (a buffer is base and byte
// offset, all else int): out, w, bias, has_bias, groups, ic, oc, taps, and for integers zero, zero_count, input_zero, has_input_zero;
// absent ones are any buffer and 0.
struct ConvPackKernel {
  int width = 64;
  std::int32_t weight = TENON_DTYPE_FLOAT, bias = TENON_DTYPE_FLOAT, input = TENON_DTYPE_FLOAT;
  Compute compute = Compute::f32;
  bool transposed = false;
};
KernelText conv_pack_kernel(const ConvPackKernel& kernel);
ConvRange conv_pack_range(const ConvPacking& p);

}  // namespace tenon::opencl
