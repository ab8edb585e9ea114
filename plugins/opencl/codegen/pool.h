// Source of pools on channels-last images, windows or whole images: vectors of channels, one output pixel after another.
//
// A global pool is a window as large as the image. Pure functions; any thread.
#pragma once

#include <cstdint>

#include <tenon/types.h>

#include "plugins/opencl/codegen/conv_geometry.h"
#include "plugins/opencl/codegen/epilogue.h"
#include "plugins/opencl/codegen/types.h"
#include "plugins/opencl/device/kernels.h"
#include "plugins/opencl/device/profile.h"

namespace tenon::opencl {

struct PoolKernel {
  enum class Kind : std::uint8_t { max, average, lp } kind = Kind::max;
  int vec = 16, local = 1;
  std::int32_t input = TENON_DTYPE_FLOAT;  // computed in compute_of(input)
  std::int64_t p = 2;                      // of lp
  bool counts_padding = false;             // of an average
  bool takes_nan = false;                  // a maximum of NaN is NaN; else comparisons pass NaN by
  bool indices = false, column_major = false;  // of a maximum
};

// g.groups are the channels.
PoolKernel pool_form(const Profile& profile, const ConvGeometry& g, int lanes_of_type);

// Parameters: x (base and byte offset), conv_size_parameters(), int ED, EH, EW (the size of a dim and its trailing padding, for
// counts_padding), int pixels_each, with indices: their buffer and long strides of batch, channel and pixel; then the epilogue's.
KernelText pool_kernel(const PoolKernel& kernel, const Epilogue& epilogue);

struct PoolLaunch {
  ConvRange range;
  std::int32_t pixels_each = 1;  // neighbours in a row of outputs that a work item makes
};
PoolLaunch pool_launch(const Profile& profile, const PoolKernel& kernel, const ConvGeometry& g);

}  // namespace tenon::opencl
