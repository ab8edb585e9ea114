#include "core/tensor/type.h"

#include <algorithm>

namespace tenon {

bool Type::fixed() const {
  return dims && std::all_of(dims->begin(), dims->end(), [](const Dim& d) { return d.fixed(); });
}

Checked Type::element_count() const {
  if (!dims) return Checked(-1);
  Checked n = 1;
  for (const Dim& d : *dims) n *= Checked(d.value);
  return n;
}

std::string Type::text() const {
  switch (kind) {
    case TENON_KIND_SEQUENCE: return "seq(" + (element ? element->text() : "?") + ")";
    case TENON_KIND_OPTIONAL: return "optional(" + (element ? element->text() : "?") + ")";
    case TENON_KIND_MAP:
      return "map(" + std::string(dtype_onnx_name(dtype)) + "," + (element ? element->text() : "?") + ")";
    case TENON_KIND_SPARSE: return "sparse_tensor(" + std::string(dtype_onnx_name(dtype)) + ")";
    default: return "tensor(" + std::string(dtype_onnx_name(dtype)) + ")";
  }
}

Checked element_count(const std::int64_t* dims, std::size_t rank) {
  Checked n = 1;
  for (std::size_t i = 0; i < rank; ++i) n *= Checked(dims[i]);
  return n;
}

std::string dims_text(const std::int64_t* dims, std::size_t rank) {
  std::string s = "[";
  for (std::size_t i = 0; i < rank; ++i) {
    if (i) s += ",";
    s += dims[i] < 0 ? "?" : std::to_string(dims[i]);
  }
  return s + "]";
}

std::uint32_t SymbolTable::id(const std::string& name) {
  auto it = std::find(names_.begin() + 1, names_.end(), name);
  if (it != names_.end()) return static_cast<std::uint32_t>(it - names_.begin());
  names_.push_back(name);
  return static_cast<std::uint32_t>(names_.size() - 1);
}

std::uint32_t SymbolTable::fresh() {
  names_.push_back("?" + std::to_string(names_.size()));
  return static_cast<std::uint32_t>(names_.size() - 1);
}

}  // namespace tenon
