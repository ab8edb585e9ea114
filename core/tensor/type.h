// Type: what is known of a value before it exists: kind, element type, dims with symbols.
//
// A dim is a number, or a symbol (equal ids are equal sizes, named in the model's SymbolTable), or unknown.
// Plain data; any thread may read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor/dtype.h"

namespace tenon {

struct Dim {
  std::int64_t value = -1;   // -1: not fixed
  std::uint32_t symbol = 0;  // 0: anonymous; meaningful only when value is -1

  bool fixed() const { return value >= 0; }
  bool operator==(const Dim&) const = default;
};

struct Type {
  std::int32_t kind = TENON_KIND_TENSOR;
  DType dtype = TENON_DTYPE_UNDEFINED;        // of a tensor, or the key of a map
  std::optional<std::vector<Dim>> dims;       // nullopt: rank unknown
  std::shared_ptr<const Type> element;        // of a sequence, an optional, or the value of a map

  bool is_tensor() const { return kind == TENON_KIND_TENSOR; }
  // Every dim is a number.
  bool fixed() const;
  // Elements when fixed; invalid Checked otherwise or on overflow.
  Checked element_count() const;
  // "tensor(float)", "seq(map(int64,tensor(float)))": ONNX's spelling.
  std::string text() const;
};

using Dims = std::vector<std::int64_t>;

Checked element_count(const std::int64_t* dims, std::size_t rank);
inline Checked element_count(const Dims& dims) { return element_count(dims.data(), dims.size()); }
// "[1,3,224,224]"; -1 prints as "?".
std::string dims_text(const std::int64_t* dims, std::size_t rank);
inline std::string dims_text(const Dims& dims) { return dims_text(dims.data(), dims.size()); }

// Names of symbolic dims; id 0 is reserved. Owned by the model.
class SymbolTable {
 public:
  std::uint32_t id(const std::string& name);  // get or create
  std::uint32_t fresh();                      // an anonymous symbol, "?N"
  const std::string& name(std::uint32_t id) const { return names_[id]; }
  std::size_t size() const { return names_.size(); }

 private:
  std::vector<std::string> names_{""};
};

}  // namespace tenon
