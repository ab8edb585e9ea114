// The kernel that copies between tensors whose innermost axes differ: square tiles are turned over in registers.
//
// Axis A has neighbours in the result, axis B in the source. For CPU-like devices: one work item goes over a stretch of B and all of A.
// Pure function.
#pragma once

#include <cstdint>

#include "plugins/opencl/device/kernels.h"

namespace tenon::opencl {

struct TileForm {
  std::int32_t dtype = 0;  // an unsigned integer of the element's size
  int width = 16;          // elements of a tile's side: 4, 8 or 16
  int outer = 0;           // axes besides A and B
};

// Parameters: y, x (base, byte offset each), int a, int b, int stretch (of B, a multiple of width), int y_b, int x_a (the strides that are not
// 1), int size of each outer axis but the first, then int stride of each outer axis in y, then in x.
// Global: [ceil(b / stretch), product of the outer sizes, 1].
KernelText tile_kernel(const TileForm& form);

}  // namespace tenon::opencl
