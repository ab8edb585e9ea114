#include "core/ops/small_value.h"

#include <algorithm>

namespace tenon::small {

std::optional<Small> from_constant(const Constant& c) {
  if (c.count() > small_elements || !takes(c.dtype)) return std::nullopt;
  Small s{c.dtype, c.dims, {}, {}};
  for (std::size_t k = 0; k < static_cast<std::size_t>(c.count()); ++k) {
    if (s.real()) s.f.push_back(real_element(c.dtype, c.data, k));
    else s.i.push_back(*integer_element(c, k));
  }
  return s;
}

ConstantPtr to_constant(const Small& s) {
  std::byte* data = nullptr;
  auto c = make_constant(s.dtype, s.dims, &data);
  if (!c.ok()) return nullptr;
  for (std::size_t k = 0; k < s.f.size(); ++k) store_real(s.dtype, data, k, s.f[k]);
  for (std::size_t k = 0; k < s.i.size(); ++k) store_integer(s.dtype, data, k, s.i[k]);
  return *c;
}

std::int64_t fit(std::int64_t v, DType type) {
  switch (type) {
    case TENON_DTYPE_INT32: return static_cast<std::int32_t>(v);
    case TENON_DTYPE_INT16: return static_cast<std::int16_t>(v);
    case TENON_DTYPE_INT8: return static_cast<std::int8_t>(v);
    case TENON_DTYPE_UINT8: return static_cast<std::uint8_t>(v);
    case TENON_DTYPE_UINT16: return static_cast<std::uint16_t>(v);
    case TENON_DTYPE_UINT32: return static_cast<std::uint32_t>(v);
    default: return v;
  }
}

double fit(double v, DType type) {
  switch (type) {
    case TENON_DTYPE_FLOAT: return static_cast<float>(v);
    case TENON_DTYPE_FLOAT16: return half_to_float(float_to_half(static_cast<float>(v)));
    case TENON_DTYPE_BFLOAT16: return bfloat_to_float(float_to_bfloat(static_cast<float>(v)));
    default: return v;
  }
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
