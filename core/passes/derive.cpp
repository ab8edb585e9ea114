#include "core/passes/derive.h"

#include "core/base/pages.h"
#include "core/graph/elements.h"

namespace tenon {
namespace {

// [rows, columns] to [columns, rows], in tiles that stay in the cache.
template <class T>
void flip(const std::byte* from, std::byte* to, std::size_t rows, std::size_t columns) {
  constexpr std::size_t tile = 32;
  for (std::size_t r0 = 0; r0 < rows; r0 += tile)
    for (std::size_t c0 = 0; c0 < columns; c0 += tile)
      for (std::size_t c = c0; c < std::min(columns, c0 + tile); ++c)
        for (std::size_t r = r0; r < std::min(rows, r0 + tile); ++r) store_bits(to, c * rows + r, load_bits<T>(from, r * columns + c));
}

// Any order: the output is walked in order, the input by strides.
template <class T>
void walk(const std::byte* from, std::byte* to, const Dims& dims, const std::vector<std::size_t>& strides) {
  const std::size_t rank = dims.size(), last = static_cast<std::size_t>(dims.back()), step = strides.back();
  std::vector<std::int64_t> at(rank);
  std::size_t source = 0, k = 0;
  while (true) {
    for (std::size_t i = 0; i < last; ++i) store_bits(to, k++, load_bits<T>(from, source + i * step));
    std::size_t d = rank - 1;
    while (d-- > 0) {
      source += strides[d];
      if (++at[d] < dims[d]) break;
      source -= strides[d] * static_cast<std::size_t>(dims[d]);
      at[d] = 0;
    }
    if (d == static_cast<std::size_t>(-1)) return;
  }
}

template <class T>
void permute(const Constant& c, std::byte* to, const Dims& dims, const std::vector<std::size_t>& strides) {
  if (dims.size() == 2 && strides[0] == 1) flip<T>(c.data, to, static_cast<std::size_t>(dims[1]), static_cast<std::size_t>(dims[0]));
  else walk<T>(c.data, to, dims, strides);
}

}  // namespace

Result<std::shared_ptr<Constant>> unwritten_constant(DType dtype, Dims dims, std::byte** out_data) {
  TENON_ASSIGN(const std::int64_t count, element_count(dims).get("constant of shape " + dims_text(dims)));
  TENON_ASSIGN(const std::int64_t bytes, dtype_bytes(dtype, count).get("constant of shape " + dims_text(dims)));
  std::shared_ptr<void> memory = large_memory(static_cast<std::uint64_t>(bytes) + 1);
  if (!memory) return error(TENON_RESOURCE_EXHAUSTED, "no memory for a constant of {} bytes", bytes);
  *out_data = static_cast<std::byte*>(memory.get());
  return wrap_constant(dtype, std::move(dims), *out_data, static_cast<std::uint64_t>(bytes), std::move(memory));
}

void forget_source(const Constant& c) {
  if (c.mapped) forget_pages(c.data, c.bytes);
}

ConstantPtr with_dims(const ConstantPtr& c, Dims dims) {
  auto out = wrap_constant(c->dtype, std::move(dims), c->data, c->bytes, c->keep);
  out->strings = c->strings;
  out->mapped = c->mapped;
  out->file = c->file;
  out->source = c->source;
  out->offset = c->offset;
  out->recipe = c->recipe;
  return out;
}

Result<ConstantPtr> transposed(const Constant& c, const std::vector<std::int64_t>& axes) {
  const int bits = dtype_bits(c.dtype);
  const std::size_t rank = c.dims.size();
  if (bits < 8 || bits > 64 || c.bytes > derived_bytes || c.recipe || axes.size() != rank) return ConstantPtr();
  std::vector<std::size_t> own(rank, 1), strides(rank);
  for (std::size_t d = rank; d-- > 1;) own[d - 1] = own[d] * static_cast<std::size_t>(c.dims[d]);
  std::vector<bool> seen(rank);
  Dims dims(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    if (axes[d] < 0 || axes[d] >= static_cast<std::int64_t>(rank) || seen[static_cast<std::size_t>(axes[d])]) return ConstantPtr();
    const auto from = static_cast<std::size_t>(axes[d]);
    seen[from] = true;
    dims[d] = c.dims[from];
    strides[d] = own[from];
  }
  std::byte* data = nullptr;
  TENON_ASSIGN(auto out, unwritten_constant(c.dtype, dims, &data));
  if (c.bytes == 0) return ConstantPtr(out);
  if (rank == 0) {
    std::memcpy(data, c.data, c.bytes);
    return ConstantPtr(out);
  }
  switch (bits) {
    case 8: permute<std::uint8_t>(c, data, dims, strides); break;
    case 16: permute<std::uint16_t>(c, data, dims, strides); break;
    case 32: permute<std::uint32_t>(c, data, dims, strides); break;
    default: permute<std::uint64_t>(c, data, dims, strides); break;
  }
  forget_source(c);
  return ConstantPtr(out);
}

Result<ConstantPtr> converted(const Constant& c, DType to) {
  const auto known = [](DType d) { return d == TENON_DTYPE_FLOAT || d == TENON_DTYPE_FLOAT16 || d == TENON_DTYPE_BFLOAT16; };
  if (!known(c.dtype) || !known(to) || c.recipe || c.dtype == to) return ConstantPtr();
  const Checked bytes = dtype_bytes(to, c.count());
  if (!bytes.valid() || static_cast<std::uint64_t>(bytes.value()) > derived_bytes) return ConstantPtr();
  std::byte* data = nullptr;
  TENON_ASSIGN(auto out, unwritten_constant(to, c.dims, &data));
  const auto n = static_cast<std::size_t>(c.count());
  if (c.dtype == TENON_DTYPE_FLOAT16 && to == TENON_DTYPE_FLOAT)
    for (std::size_t i = 0; i < n; ++i) store_bits(data, i, half_to_float(load_bits<std::uint16_t>(c.data, i)));
  else if (c.dtype == TENON_DTYPE_FLOAT && to == TENON_DTYPE_FLOAT16)
    for (std::size_t i = 0; i < n; ++i) store_bits(data, i, float_to_half(load_bits<float>(c.data, i)));
  else
    for (std::size_t i = 0; i < n; ++i) store_real(to, data, i, real_element(c.dtype, c.data, i));
  forget_source(c);
  return ConstantPtr(out);
}

}  // namespace tenon
