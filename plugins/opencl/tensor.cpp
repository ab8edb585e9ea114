#include "plugins/opencl/tensor.h"

#include <algorithm>
#include <string>

#include "plugins/opencl/host.h"

namespace tenon::opencl {
namespace {

std::string text_of(const Dims& dims) {
  std::string s = "[";
  for (std::size_t i = 0; i < dims.size(); ++i) s += (i ? ", " : "") + std::to_string(dims[i]);
  return s + "]";
}

}  // namespace

Dims strides_of(const Dims& dims, Layout layout) {
  Dims out(dims.size(), 1);
  std::int64_t n = 1;
  const std::size_t rank = dims.size();
  if (layout == Layout::channels_last && rank >= 3) {
    out[1] = 1;
    n = dims[1];
    for (std::size_t i = rank; i-- > 2;) out[i] = n, n *= dims[i];
    out[0] = n;
    return out;
  }
  for (std::size_t i = rank; i-- > 0;) out[i] = n, n *= dims[i];
  return out;
}

bool is_laid_out(const Tensor& t, Layout layout) {
  const Dims wanted = strides_of(t.dims, layout);
  for (std::size_t i = 0; i < t.dims.size(); ++i)
    if (t.dims[i] > 1 && t.strides[i] != wanted[i]) return t.count() == 0;
  return true;
}

Tensor permuted(const Tensor& t, const std::vector<std::int64_t>& order) {
  Tensor out = t;
  out.known = nullptr;
  for (std::size_t i = 0; i < order.size(); ++i) {
    out.dims[i] = t.dims[static_cast<std::size_t>(order[i])];
    out.strides[i] = t.strides[static_cast<std::size_t>(order[i])];
  }
  return out;
}

Tensor broadcast(const Tensor& t, const Dims& dims) {
  if (t.dims == dims) return t;
  Tensor out = t;
  out.known = t.count() == 1 ? t.known : nullptr;
  out.dims = dims;
  out.strides.assign(dims.size(), 0);
  if (t.dims.size() > dims.size()) throw Failure{TENON_INVALID_ARGUMENT, "shape " + text_of(t.dims) + " cannot be broadcast to " + text_of(dims)};
  const std::size_t lead = dims.size() - t.dims.size();
  for (std::size_t i = 0; i < t.dims.size(); ++i) {
    if (t.dims[i] == dims[lead + i]) out.strides[lead + i] = t.dims[i] == 1 ? 0 : t.strides[i];
    else if (t.dims[i] != 1) throw Failure{TENON_INVALID_ARGUMENT, "shape " + text_of(t.dims) + " cannot be broadcast to " + text_of(dims)};
  }
  return out;
}

Tensor sliced(const Tensor& t, std::int64_t axis, std::int64_t begin, std::int64_t count, std::int64_t step) {
  Tensor out = t;
  const auto a = static_cast<std::size_t>(axis);
  if (count > 0) out.offset += begin * t.strides[a];
  out.dims[a] = count;
  out.strides[a] = t.strides[a] * step;
  out.known = nullptr;
  return out;
}

bool reshaped(const Tensor& t, const Dims& dims, Tensor& out) {
  std::int64_t n = 1;
  for (std::int64_t d : dims) n *= d;
  if (n != t.count()) throw Failure{TENON_INVALID_ARGUMENT, "a tensor of shape " + text_of(t.dims) + " is given the shape " + text_of(dims)};
  Tensor made = t;
  made.dims = dims;
  if (is_dense(t) || n == 0) {
    made.strides = strides_of(dims, Layout::dense);
    out = std::move(made);
    return true;
  }
  made.strides.assign(dims.size(), 0);
  // Groups of old axes that are contiguous among themselves are cut anew.
  std::size_t o = 0, d = 0;
  while (d < dims.size()) {
    if (dims[d] == 1) {
      ++d;
      continue;
    }
    while (o < t.dims.size() && t.dims[o] == 1) ++o;
    std::int64_t have = t.dims[o], want = dims[d];
    std::size_t o_end = o + 1, d_end = d + 1;
    while (have != want) {
      if (have < want) {
        if (t.dims[o_end] != 1 && t.strides[o_end - 1] != t.strides[o_end] * t.dims[o_end]) return false;
        if (t.dims[o_end] == 1) {
          // Skipped: its stride means nothing.
          std::size_t next = o_end + 1;
          while (next < t.dims.size() && t.dims[next] == 1) ++next;
          if (next >= t.dims.size() || t.strides[o_end - 1] != t.strides[next] * t.dims[next]) return false;
          have *= t.dims[next];
          o_end = next + 1;
          continue;
        }
        have *= t.dims[o_end++];
      } else {
        want *= dims[d_end++];
      }
    }
    std::int64_t stride = t.strides[o_end - 1];
    for (std::size_t i = d_end; i-- > d;) made.strides[i] = stride, stride *= dims[i];
    o = o_end;
    d = d_end;
  }
  out = std::move(made);
  return true;
}

}  // namespace tenon::opencl
