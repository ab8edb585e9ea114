// Constant: a tensor whose elements never change: an initializer, a tensor attribute, a folded value.
//
// The bytes are dense row-major in host memory and are never copied by core when they are mapped from a file: `keep`
// holds the mapping or the buffer alive. Shared between graphs; immutable. Any thread may read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor/type.h"

namespace tenon {

class FileMap;

// How the bytes of a large derived constant are made. It holds what it is made from; any thread.
struct Recipe {
  std::string identity;                       // names the result as file and offset do; "" where the sources have no such name
  std::function<Status(std::byte* to)> make;  // writes all bytes
};

struct Constant {
  std::uint64_t id = 0;  // unique in the process, never 0
  DType dtype = TENON_DTYPE_UNDEFINED;
  Dims dims;
  const std::byte* data = nullptr;  // 64-byte aligned unless it lies in a model; null for strings, empty tensors and recipes
  std::uint64_t bytes = 0;
  std::vector<std::string> strings;  // elements when dtype is STRING
  std::shared_ptr<const void> keep;  // mapping or buffer
  bool mapped = false;               // data points into a file mapping: its pages may be given back
  std::string file;                  // identity of the file (FileMap), when mapped: with offset that of packed forms
  const FileMap* source = nullptr;   // that file, which `keep` holds; null where there is none
  std::uint64_t offset = 0;          // in it
  std::shared_ptr<const Recipe> recipe;  // of bytes that are not kept, as they hardly outlive their packing; null elsewhere

  std::int64_t count() const { return element_count(dims).value(); }
};

using ConstantPtr = std::shared_ptr<const Constant>;

// A new constant with its own zeroed, 64-byte aligned buffer; out_data is where the caller writes the elements.
// Errors: OUT_OF_RANGE for absurd dims, RESOURCE_EXHAUSTED without memory.
Result<std::shared_ptr<Constant>> make_constant(DType dtype, Dims dims, std::byte** out_data);
// A constant over bytes that `keep` holds.
std::shared_ptr<Constant> wrap_constant(DType dtype, Dims dims, const std::byte* data, std::uint64_t bytes,
                                        std::shared_ptr<const void> keep);
// The constant itself; where a recipe makes its bytes, one of the same id that holds them. Errors: those of reading its sources.
Result<ConstantPtr> with_bytes(const ConstantPtr& constant);
// Writes the bytes, from the file where there is one, so that the mapping stays without pages. No strings.
Status copy_bytes(const Constant& constant, std::byte* to);
// Where the bytes come from, equal for equal bytes in every process: place in a file, or recipe. "": they are in memory alone.
std::string place_of(const Constant& constant);
// 1-D or scalar int64 constant.
ConstantPtr int64_constant(const std::vector<std::int64_t>& values, bool scalar = false);

}  // namespace tenon
