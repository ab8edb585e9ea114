// Datum: a value at the edge of a run or between host steps: tensor, sequence, map, optional, or nothing.
//
// A tensor's bytes are dense row-major host memory, held by `keep` (a buffer of ours, or the application's memory, then
// keep is empty). Copying a Datum shares the bytes. Threads: a Datum is used by one thread at a time; bytes may be shared.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor/type.h"

namespace tenon {

struct Datum {
  std::int32_t kind = TENON_KIND_TENSOR;
  DType dtype = TENON_DTYPE_UNDEFINED;  // of a tensor, or the element type of an empty sequence
  Dims dims;
  std::byte* data = nullptr;
  std::uint64_t bytes = 0;
  std::shared_ptr<void> keep;
  std::shared_ptr<std::vector<std::string>> strings;  // elements when dtype is STRING

  std::vector<Datum> items;                // sequence elements; values of a map; the one value of an optional, or none
  std::vector<std::int64_t> int_keys;      // keys of a map, in the order of items
  std::vector<std::string> string_keys;

  // A new tensor with its own 64-byte aligned buffer, not cleared. Errors: OUT_OF_RANGE, RESOURCE_EXHAUSTED.
  static Result<Datum> tensor(DType dtype, Dims dims);
  std::int64_t count() const { return element_count(dims).value(); }
};

// Copies `count` elements in row-major order, packed ones and strings too. Both are tensors of one type and do not overlap.
// REQUIRES both ranges inside their tensors.
void copy_elements(Datum& to, std::size_t to_at, const Datum& from, std::size_t from_at, std::size_t count);

}  // namespace tenon
