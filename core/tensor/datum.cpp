#include "core/tensor/datum.h"

#include <new>

namespace tenon {

Result<Datum> Datum::tensor(DType dtype, Dims dims) {
  const Checked elements = tenon::element_count(dims);
  if (!elements.valid()) return elements.get("tensor of shape " + dims_text(dims)).status().clone();
  const std::int64_t count = elements.value();
  Datum d;
  d.dtype = dtype;
  d.dims = std::move(dims);
  if (dtype == TENON_DTYPE_STRING) {
    d.strings = std::make_shared<std::vector<std::string>>(static_cast<std::size_t>(count));
    return d;
  }
  const Checked needed = dtype_bytes(dtype, elements);
  if (!needed.valid()) return needed.get("tensor of shape " + dims_text(d.dims)).status().clone();
  const std::int64_t bytes = needed.value();
  d.bytes = static_cast<std::uint64_t>(bytes);
  void* memory = ::operator new(d.bytes + 64, std::align_val_t(64), std::nothrow);
  if (!memory) return error(TENON_RESOURCE_EXHAUSTED, "no memory for a tensor of {} bytes", bytes);
  d.keep = std::shared_ptr<void>(memory, [](void* p) { ::operator delete(p, std::align_val_t(64)); });
  d.data = static_cast<std::byte*>(memory);
  return d;
}

}  // namespace tenon
