// Indices: elements of an index tensor (int32 or int64) as a step reads them, checked against their bounds.
//
// Negative indices count from the end. What is out of bounds becomes a failure that names index and bound. Plain data;
// any thread.
#pragma once

#include "plugins/cpu/ops/elements.h"

namespace tenon::cpu {

struct Indices {
  Ref ref;
  bool wide = true;  // int64
};

inline Indices indices_of(const PlanBuilder& builder, std::uint32_t input) {
  return {builder.in_ref(input), builder.in(input).dtype == TENON_DTYPE_INT64};
}

inline std::string index_text(const char* op, std::int64_t index, std::int64_t position, std::int64_t bound) {
  return std::string(op) + ": index " + std::to_string(index) + " at position " + std::to_string(position) + " is outside [" +
         std::to_string(-bound) + ", " + std::to_string(bound) + ")";
}

class IndexList {
 public:
  IndexList(const StepContext& context, const Indices& indices) : data_(context.ptr<const char>(indices.ref)), wide_(indices.wide) {}

  std::int64_t operator[](std::int64_t k) const {
    return wide_ ? reinterpret_cast<const std::int64_t*>(data_)[k] : reinterpret_cast<const std::int32_t*>(data_)[k];
  }
  // The index as an offset in [0, bound); -1 when it is outside.
  std::int64_t resolve(std::int64_t k, std::int64_t bound) const {
    std::int64_t at = (*this)[k];
    if (at < 0) at += bound;
    return at < 0 || at >= bound ? -1 : at;
  }
  void fail(const StepContext& context, const char* op, std::int64_t k, std::int64_t bound) const {
    context.fail(TENON_OUT_OF_RANGE, index_text(op, (*this)[k], k, bound));
  }

 private:
  const char* data_;
  bool wide_;
};

// Tuples of indices into the leading dims of data: of GatherND and ScatterND.
struct IndexSpace {
  static constexpr int max_depth = 16;
  std::int64_t depth = 0, size = 1;  // size: all dims multiplied
  std::int64_t dims[max_depth] = {};

  // The tuple in row `row` as one offset in [0, size); -1, and the failure reported, when it is outside.
  std::int64_t locate(const StepContext& context, const IndexList& list, std::int64_t row, const char* op) const {
    std::int64_t at = 0;
    for (std::int64_t k = 0; k < depth; ++k) {
      const std::int64_t i = list.resolve(row * depth + k, dims[k]);
      if (i < 0) {
        list.fail(context, op, row * depth + k, dims[k]);
        return -1;
      }
      at = at * dims[k] + i;
    }
    return at;
  }
  // The same of rows [row, row + count); false when one is outside.
  bool locate(const StepContext& context, const IndexList& list, std::int64_t row, std::int64_t count, const char* op, std::int64_t* out) const {
    bool inside = depth == 1;
    for (std::int64_t i = 0; depth == 1 && i < count; ++i) {
      const std::int64_t at = list[row + i];
      out[i] = at < 0 ? at + size : at;
      inside &= static_cast<std::uint64_t>(out[i]) < static_cast<std::uint64_t>(size);
    }
    for (std::int64_t i = 0; !inside && i < count; ++i) {
      if ((out[i] = locate(context, list, row + i, op)) < 0) return false;
    }
    return true;
  }
};

// Tuples of `depth` indices into the dims of data from `first` on. Throws Failure.
inline IndexSpace index_space(const char* op, const Shape& data, std::int64_t first, std::int64_t depth) {
  if (depth < 0 || first + depth > data.rank())
    throw Failure{TENON_INVALID_ARGUMENT, std::string(op) + ": an index tuple of " + std::to_string(depth) + " is too long for data"};
  if (depth > IndexSpace::max_depth) throw Failure{TENON_UNIMPLEMENTED, std::string(op) + ": an index tuple of " + std::to_string(depth)};
  IndexSpace s;
  s.depth = depth;
  for (std::int64_t k = 0; k < depth; ++k) s.dims[k] = data[first + k], s.size *= s.dims[k];
  return s;
}

}  // namespace tenon::cpu
