#include "core/graph/constant.h"

#include <atomic>
#include <cstring>
#include <new>

#include "core/base/file_map.h"
#include "core/base/pages.h"

namespace tenon {
namespace {

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> counter{1};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Result<std::shared_ptr<Constant>> make_constant(DType dtype, Dims dims, std::byte** out_data) {
  TENON_ASSIGN(const std::int64_t count, element_count(dims).get("constant of shape " + dims_text(dims)));
  auto c = std::make_shared<Constant>();
  c->id = next_id();
  c->dtype = dtype;
  c->dims = std::move(dims);
  if (dtype == TENON_DTYPE_STRING) {
    c->strings.resize(static_cast<std::size_t>(count));
    if (out_data) *out_data = nullptr;
    return c;
  }
  TENON_ASSIGN(const std::int64_t bytes, dtype_bytes(dtype, count).get("constant of shape " + dims_text(c->dims)));
  c->bytes = static_cast<std::uint64_t>(bytes);
  void* memory = ::operator new(c->bytes + 1, std::align_val_t(64), std::nothrow);
  if (!memory) return error(TENON_RESOURCE_EXHAUSTED, "no memory for a constant of {} bytes", bytes);
  std::memset(memory, 0, c->bytes + 1);
  c->keep = std::shared_ptr<void>(memory, [](void* p) { ::operator delete(p, std::align_val_t(64)); });
  c->data = static_cast<const std::byte*>(memory);
  if (out_data) *out_data = static_cast<std::byte*>(memory);
  return c;
}

std::shared_ptr<Constant> wrap_constant(DType dtype, Dims dims, const std::byte* data, std::uint64_t bytes,
                                        std::shared_ptr<const void> keep) {
  auto c = std::make_shared<Constant>();
  c->id = next_id();
  c->dtype = dtype;
  c->dims = std::move(dims);
  c->data = data;
  c->bytes = bytes;
  c->keep = std::move(keep);
  return c;
}

Status copy_bytes(const Constant& c, std::byte* to) {
  constexpr std::uint64_t read_from = 65536;  // bytes that are worth a system call
  if (c.bytes == 0) return {};
  if (c.recipe) return c.recipe->make(to);
  if (c.source && c.bytes >= read_from) return c.source->read(c.offset, to, c.bytes);
  std::memcpy(to, c.data, c.bytes);
  return {};
}

Result<ConstantPtr> with_bytes(const ConstantPtr& c) {
  if (!c || !c->recipe) return c;
  std::shared_ptr<void> memory = large_memory(c->bytes);
  if (!memory) return error(TENON_RESOURCE_EXHAUSTED, "no memory for a constant of {} bytes", c->bytes);
  auto* data = static_cast<std::byte*>(memory.get());
  TENON_TRY(c->recipe->make(data));
  auto made = std::make_shared<Constant>(*c);
  made->recipe.reset();
  made->data = data;
  made->keep = std::move(memory);
  return ConstantPtr(std::move(made));
}

std::string place_of(const Constant& c) {
  if (c.recipe) return c.recipe->identity;
  return c.file.empty() ? std::string() : fmt::format("{}@{}+{}", c.file, c.offset, c.bytes);
}

ConstantPtr int64_constant(const std::vector<std::int64_t>& values, bool scalar) {
  std::byte* data = nullptr;
  auto c = make_constant(TENON_DTYPE_INT64, scalar ? Dims{} : Dims{static_cast<std::int64_t>(values.size())}, &data);
  if (!values.empty()) std::memcpy(data, values.data(), values.size() * sizeof(std::int64_t));
  return *c;
}

}  // namespace tenon
