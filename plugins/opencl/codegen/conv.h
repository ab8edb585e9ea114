// Source of dense and grouped convolutions on channels-last images: an implicit product of output pixels with packed weights.
//
// A transposed convolution is done phase by phase: outputs that are a stride apart read the same taps, so that each phase is a dense
// convolution. Pure: a kernel's description in, OpenCL C out. No barriers and no local memory, whatever the device. Any thread.
#pragma once

#include <tenon/types.h>

#include "plugins/opencl/codegen/conv_geometry.h"
#include "plugins/opencl/codegen/conv_tile.h"
#include "plugins/opencl/codegen/epilogue.h"
#include "plugins/opencl/codegen/types.h"
#include "plugins/opencl/device/kernels.h"

namespace tenon::opencl {

// What the text of a kernel depends on; sizes are arguments.
struct ConvKernel {
  ConvTile tile;
  bool pointwise = false;  // ConvGeometry::pointwise
  bool planar = false;     // the input is channels-first: a first layer, channels given
  bool transposed = false;  // ConvTranspose: axis.in and axis.out are its own input and output
  bool batched = false;     // each group is a product of its own: its pixels lie together, and groups are the epilogue's batch
  int channels = 0;        // input channels where they are few (1 to 4) and part of the text, else 0
  // Storage types, and what is computed in: f32, f64, or i32 for bytes, whose weights are packed as int16 with their zero point taken off.
  std::int32_t input = TENON_DTYPE_FLOAT, weight = TENON_DTYPE_FLOAT;
  Compute compute = Compute::f32;

  bool integer() const { return compute == Compute::i32; }
};

// Parameters: x, w (base and byte offset each), conv_size_parameters(), int panels_first, then the epilogue's. w is what ConvPacking
// describes. Started as conv_launch says.
KernelText conv_kernel(const ConvKernel& kernel, const Epilogue& epilogue);

}  // namespace tenon::opencl
