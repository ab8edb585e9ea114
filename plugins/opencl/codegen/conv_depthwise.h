// Source of depthwise convolutions on channels-last images: vectors of channels, several output pixels of a row in registers.
//
// Pure: a kernel's description in, OpenCL C out. Weights are packed as a dense convolution's with one panel of all channels
// (depthwise_packing), so that each tap is a row of them. Any thread.
#pragma once

#include <tenon/types.h>

#include "plugins/opencl/codegen/conv_geometry.h"
#include "plugins/opencl/codegen/conv_weights.h"
#include "plugins/opencl/codegen/epilogue.h"
#include "plugins/opencl/codegen/types.h"
#include "plugins/opencl/device/kernels.h"
#include "plugins/opencl/device/profile.h"

namespace tenon::opencl {

struct DepthwiseKernel {
  int vec = 16, pixels = 7, local = 1;
  // Kernel width and stride along a row where they are part of the text, so that neighbouring outputs share what they read: with a
  // dilation of 1 and few taps. 0: arguments.
  int taps = 3, stride = 1;
  std::int32_t input = TENON_DTYPE_FLOAT, weight = TENON_DTYPE_FLOAT;
  Compute compute = Compute::f32;  // i32 for bytes, as ConvKernel

  bool integer() const { return compute == Compute::i32; }
};

// g.groups are the channels. lanes_of_type: as for conv_tile.
DepthwiseKernel depthwise_form(const Profile& profile, const ConvGeometry& g, int lanes_of_type);
ConvPacking depthwise_packing(const ConvGeometry& g);

// Parameters: x, w (base and byte offset each), conv_size_parameters(), int blocks_each, then the epilogue's.
KernelText depthwise_kernel(const DepthwiseKernel& kernel, const Epilogue& epilogue);

struct DepthwiseLaunch {
  ConvRange range;
  std::int32_t blocks_each = 1;  // blocks of pixels that a work item makes, one after another
};
DepthwiseLaunch depthwise_launch(const Profile& profile, const DepthwiseKernel& kernel, const ConvGeometry& g);

}  // namespace tenon::opencl
