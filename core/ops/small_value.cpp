#include "core/ops/small_value.h"

#include <algorithm>
#include <cstring>

namespace tenon::small {
namespace {

template <class T>
void load(const Constant& c, auto& out) {
  for (std::int64_t k = 0; k < c.count(); ++k) {
    T v;
    std::memcpy(&v, c.data + static_cast<std::size_t>(k) * sizeof(T), sizeof(T));
    out.push_back(static_cast<typename std::decay_t<decltype(out)>::value_type>(v));
  }
}

template <class T>
void store(const auto& values, std::byte* out) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    const T v = static_cast<T>(values[k]);
    std::memcpy(out + k * sizeof(T), &v, sizeof(T));
  }
}

}  // namespace

std::optional<Small> from_constant(const Constant& c) {
  if (c.count() > small_elements) return std::nullopt;
  Small s{c.dtype, c.dims, {}, {}};
  switch (c.dtype) {
    case TENON_DTYPE_INT64: load<std::int64_t>(c, s.i); break;
    case TENON_DTYPE_INT32: load<std::int32_t>(c, s.i); break;
    case TENON_DTYPE_BOOL:
    case TENON_DTYPE_UINT8: load<std::uint8_t>(c, s.i); break;
    case TENON_DTYPE_FLOAT: load<float>(c, s.f); break;
    case TENON_DTYPE_DOUBLE: load<double>(c, s.f); break;
    default: return std::nullopt;
  }
  return s;
}
ConstantPtr to_constant(const Small& s) {
  std::byte* data = nullptr;
  auto c = make_constant(s.dtype, s.dims, &data);
  if (!c.ok()) return nullptr;
  switch (s.dtype) {
    case TENON_DTYPE_INT64: store<std::int64_t>(s.i, data); break;
    case TENON_DTYPE_INT32: store<std::int32_t>(s.i, data); break;
    case TENON_DTYPE_BOOL:
    case TENON_DTYPE_UINT8: store<std::uint8_t>(s.i, data); break;
    case TENON_DTYPE_FLOAT: store<float>(s.f, data); break;
    default: store<double>(s.f, data); break;
  }
  return *c;
}

void resize(Small& s) {
  const auto n = static_cast<std::size_t>(s.count());
  if (s.real()) s.f.resize(n);
  else s.i.resize(n);
}
void copy_element(Small& to, std::size_t k, const Small& from, std::size_t j) {
  if (to.real()) to.f[k] = from.f[j];
  else to.i[k] = from.i[j];
}
bool broadcast(const Dims& a, const Dims& b, Dims& out) {
  out.assign(std::max(a.size(), b.size()), 1);
  for (std::size_t k = 0; k < out.size(); ++k) {
    const std::int64_t x = k < a.size() ? a[a.size() - 1 - k] : 1, y = k < b.size() ? b[b.size() - 1 - k] : 1;
    if (x != y && x != 1 && y != 1) return false;
    out[out.size() - 1 - k] = x == 1 ? y : x;
  }
  return element_count(out).valid() && element_count(out).value() <= small_elements;
}
// Index into a tensor of dims for element k of the broadcast shape.
std::size_t source_index(std::size_t k, const Dims& out, const Dims& dims) {
  std::size_t index = 0, stride = 1;
  for (std::size_t d = 0; d < out.size(); ++d) {
    const std::size_t size = static_cast<std::size_t>(out[out.size() - 1 - d]), at = k % size;
    k /= size;
    if (d >= dims.size()) continue;
    const std::int64_t own = dims[dims.size() - 1 - d];
    if (own != 1) index += at * stride;
    stride *= static_cast<std::size_t>(own);
  }
  return index;
}
std::int64_t wrap_add(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b)); }
std::int64_t wrap_sub(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b)); }
std::int64_t wrap_mul(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b)); }

}  // namespace tenon::small
