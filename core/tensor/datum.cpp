#include "core/tensor/datum.h"

#include <cstring>
#include <utility>

#include "core/base/host_memory.h"

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
  std::shared_ptr<void> memory = host_memory(d.bytes + 64);
  if (!memory) return error(TENON_RESOURCE_EXHAUSTED, "no memory for a tensor of {} bytes", bytes);
  d.data = static_cast<std::byte*>(memory.get());
  d.keep = std::move(memory);
  return d;
}

void copy_elements(Datum& to, std::size_t to_at, const Datum& from, std::size_t from_at, std::size_t count) {
  if (from.strings) {
    for (std::size_t i = 0; i < count; ++i) (*to.strings)[to_at + i] = (*from.strings)[from_at + i];
    return;
  }
  const auto bits = static_cast<std::size_t>(dtype_bits(from.dtype));
  if (count == 0) return;
  if ((to_at * bits) % 8 == 0 && (from_at * bits) % 8 == 0 && (count * bits) % 8 == 0) {
    std::memcpy(to.data + to_at * bits / 8, from.data + from_at * bits / 8, count * bits / 8);
    return;
  }
  const std::size_t each = 8 / bits;
  const auto mask = static_cast<unsigned>((1u << bits) - 1);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t src = from_at + i, dst = to_at + i;
    const unsigned value = std::to_integer<unsigned>(from.data[src / each]) >> (src % each * bits) & mask;
    const auto at = dst % each * bits;
    to.data[dst / each] = static_cast<std::byte>((std::to_integer<unsigned>(to.data[dst / each]) & ~(mask << at)) | value << at);
  }
}

}  // namespace tenon
