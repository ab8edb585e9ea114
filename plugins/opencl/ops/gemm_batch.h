// The batch dims of products, of which kernels have four.
//
// Pure functions; any thread.
#pragma once

#include <array>
#include <vector>

#include "plugins/opencl/op.h"

namespace tenon::opencl {

// One batch dim with the strides of two tensors.
struct BatchDim {
  std::int64_t size;
  std::array<std::int64_t, 2> strides;
};
using BatchDims = std::vector<BatchDim>;

// Dims without a size of 1, neighbours joined where every stride allows.
BatchDims joined(const BatchDims& dims);
// Four dims for kernels. Throws Failure: UNSUPPORTED_SHAPE where there are more that cannot be joined; what: the thing they belong to.
BatchDims four_dims(const BatchDims& dims, const char* what);
// One stride per axis of `batch` for a tensor [batch..., rows, columns] that is broadcast to it.
Dims batch_strides(const Tensor& t, const Dims& batch);
// Of one tensor: the arguments batch1 to batch3 and four strides.
void add_batch_args(std::vector<Arg>& args, const Tensor& t, const char* what);

}  // namespace tenon::opencl
