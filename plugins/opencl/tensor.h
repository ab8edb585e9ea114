// Tensor: a value as kernels find it: a strided window of one buffer of a plan.
//
// Plain data, made while a plan is made. Views (Transpose, Slice, Expand, Reshape where it fits) are tensors of the same buffer with other
// dims and strides; whoever needs dense memory asks PlanBuilder for it.
#pragma once

#include <cstdint>
#include <vector>

#include <tenon/types.h>

namespace tenon::opencl {

using Dims = std::vector<std::int64_t>;

enum class Layout : std::uint8_t {
  dense,          // row-major
  channels_last,  // [N, C, spatial...] stored as [N, spatial..., C]
};

struct Tensor {
  std::int32_t dtype = TENON_DTYPE_UNDEFINED;  // UNDEFINED: omitted
  std::uint32_t buffer = TENON_NO_VALUE;       // of the plan
  Dims dims;
  Dims strides;             // elements; 0: one element stands for the whole axis
  std::int64_t offset = 0;  // elements, from the buffer's start
  const void* known = nullptr;  // the elements in host memory, dense, where they are known while planning

  bool present() const { return dtype != TENON_DTYPE_UNDEFINED; }
  std::int64_t rank() const { return static_cast<std::int64_t>(dims.size()); }
  std::int64_t count() const {
    std::int64_t n = 1;
    for (std::int64_t d : dims) n *= d;
    return n;
  }
  std::int64_t dim(std::int64_t axis) const { return dims[static_cast<std::size_t>(axis < 0 ? axis + rank() : axis)]; }
};

// Strides of dims in a layout.
Dims strides_of(const Dims& dims, Layout layout);
// True where the elements stand in that layout without gaps (axes of size 1 do not matter).
bool is_laid_out(const Tensor& t, Layout layout);
inline bool is_dense(const Tensor& t) { return is_laid_out(t, Layout::dense); }

// ---- views: the same elements under other dims. Each REQUIRES arguments that the operator has checked. ----

Tensor permuted(const Tensor& t, const std::vector<std::int64_t>& order);
// t broadcast to dims, aligned at the right. Throws Failure where it does not fit.
Tensor broadcast(const Tensor& t, const Dims& dims);
// Elements begin, begin + step, ... of one axis.
Tensor sliced(const Tensor& t, std::int64_t axis, std::int64_t begin, std::int64_t count, std::int64_t step);
// True and out filled where dims can be seen without moving anything. Throws Failure: INVALID_ARGUMENT for another number of elements.
bool reshaped(const Tensor& t, const Dims& dims, Tensor& out);

}  // namespace tenon::opencl
