#include <algorithm>

#include "core/base/checked.h"
#include "core/ops/small_value.h"

namespace tenon::small {

Output gather(const Node& n, const Inputs& in) {
  const Small &x = *in[0], &index = *in[1];
  const std::int64_t rank = static_cast<std::int64_t>(x.dims.size());
  std::int64_t axis = n.int_or("axis", 0);
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return std::nullopt;
  std::int64_t outer = 1, inner = 1;
  for (std::int64_t d = 0; d < rank; ++d)
    if (d != axis) (d < axis ? outer : inner) *= x.dims[static_cast<std::size_t>(d)];
  const std::int64_t size = x.dims[static_cast<std::size_t>(axis)];
  Small out{x.dtype, {}, {}, {}};
  out.dims.assign(x.dims.begin(), x.dims.begin() + axis);
  out.dims.insert(out.dims.end(), index.dims.begin(), index.dims.end());
  out.dims.insert(out.dims.end(), x.dims.begin() + axis + 1, x.dims.end());
  if (out.count() > small_elements) return std::nullopt;
  resize(out);
  std::size_t k = 0;
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t raw : index.i) {
      const std::int64_t at = raw < 0 ? raw + size : raw;
      if (at < 0 || at >= size) return std::nullopt;
      for (std::int64_t j = 0; j < inner; ++j) copy_element(out, k++, x, static_cast<std::size_t>((o * size + at) * inner + j));
    }
  return std::vector{out};
}

Output concat(const Node& n, const Inputs& in) {
  Small out = *in[0];
  const std::int64_t rank = static_cast<std::int64_t>(out.dims.size());
  std::int64_t axis = n.int_or("axis", 0);
  if (axis < 0) axis += rank;
  if (axis != 0 || rank != 1) return std::nullopt;
  for (std::size_t k = 1; k < in.size(); ++k) {
    if (!in[k] || in[k]->dtype != out.dtype || in[k]->dims.size() != 1) return std::nullopt;
    out.i.insert(out.i.end(), in[k]->i.begin(), in[k]->i.end());
    out.f.insert(out.f.end(), in[k]->f.begin(), in[k]->f.end());
    out.dims[0] += in[k]->dims[0];
  }
  return std::vector{out};
}

static Output reshaped(const Small& x, Dims dims) {
  Small out = x;
  out.dims = std::move(dims);
  if (!element_count(out.dims).valid() || out.count() != x.count()) return std::nullopt;
  return std::vector{out};
}

Output squeeze(const Node&, const Inputs& in) {
  const Small& x = *in[0];
  const std::int64_t rank = static_cast<std::int64_t>(x.dims.size());
  std::vector<bool> drop(x.dims.size());
  if (in.size() > 1 && in[1]) {
    for (std::int64_t a : in[1]->i) {
      if (a < 0) a += rank;
      if (a < 0 || a >= rank) return std::nullopt;
      drop[static_cast<std::size_t>(a)] = true;
    }
  } else {
    for (std::size_t d = 0; d < x.dims.size(); ++d) drop[d] = x.dims[d] == 1;
  }
  Dims dims;
  for (std::size_t d = 0; d < x.dims.size(); ++d)
    if (!drop[d]) dims.push_back(x.dims[d]);
  return reshaped(x, dims);
}

Output unsqueeze(const Node&, const Inputs& in) {
  if (in.size() < 2 || !in[1]) return std::nullopt;
  const std::int64_t rank = static_cast<std::int64_t>(in[0]->dims.size() + in[1]->i.size());
  std::vector<bool> fresh(static_cast<std::size_t>(rank));
  for (std::int64_t a : in[1]->i) {
    if (a < 0) a += rank;
    if (a < 0 || a >= rank) return std::nullopt;
    fresh[static_cast<std::size_t>(a)] = true;
  }
  Dims dims;
  std::size_t next = 0;
  for (bool f : fresh) {
    if (!f && next >= in[0]->dims.size()) return std::nullopt;
    dims.push_back(f ? 1 : in[0]->dims[next++]);
  }
  return reshaped(*in[0], dims);
}

Output reshape(const Node& n, const Inputs& in) {
  Dims dims;
  Checked rest = 1;
  std::int64_t free_axis = -1;
  for (std::size_t k = 0; k < in[1]->i.size(); ++k) {
    std::int64_t d = in[1]->i[k];
    if (d == 0 && !n.int_or("allowzero", 0)) {
      if (k >= in[0]->dims.size()) return std::nullopt;
      d = in[0]->dims[k];
    }
    if (d == -1) free_axis = static_cast<std::int64_t>(k);
    else rest *= Checked(d);
    dims.push_back(d);
  }
  if (free_axis >= 0) {
    if (!rest.valid() || rest.value() == 0) return std::nullopt;
    dims[static_cast<std::size_t>(free_axis)] = in[0]->count() / rest.value();
  }
  return reshaped(*in[0], dims);
}

Output slice(const Node&, const Inputs& in) {
  const Small& x = *in[0];
  const auto one = [&](std::size_t k) { return in[k] && in[k]->i.size() == 1; };
  if (x.dims.size() != 1 || !one(1) || !one(2) || (in.size() > 4 && in[4] && !one(4))) return std::nullopt;
  const std::int64_t size = x.dims[0];
  std::int64_t start = in[1]->i[0], end = in[2]->i[0], step = in.size() > 4 && in[4] ? in[4]->i[0] : 1;
  if (step == 0) return std::nullopt;
  step = std::clamp<std::int64_t>(step, -size - 1, size + 1);
  if (start < 0) start += size;
  if (end < 0 && !(step < 0 && end <= -size - 1)) end += size;
  if (step > 0) start = std::clamp<std::int64_t>(start, 0, size), end = std::clamp<std::int64_t>(end, 0, size);
  else start = std::clamp<std::int64_t>(start, -1, size - 1), end = std::clamp<std::int64_t>(end, -1, size - 1);
  Small out{x.dtype, {0}, {}, {}};
  for (std::int64_t k = start; step > 0 ? k < end : k > end; k += step) {
    if (x.real()) out.f.push_back(x.f[static_cast<std::size_t>(k)]);
    else out.i.push_back(x.i[static_cast<std::size_t>(k)]);
    ++out.dims[0];
  }
  return std::vector{out};
}

Output expand(const Node&, const Inputs& in) {
  Small out{in[0]->dtype, {}, {}, {}};
  if (!broadcast(in[0]->dims, in[1]->i, out.dims)) return std::nullopt;
  resize(out);
  for (std::size_t k = 0; k < static_cast<std::size_t>(out.count()); ++k) copy_element(out, k, *in[0], source_index(k, out.dims, in[0]->dims));
  return std::vector{out};
}

Output where(const Node&, const Inputs& in) {
  const Small &c = *in[0], &a = *in[1], &b = *in[2];
  Small out{a.dtype, {}, {}, {}};
  Dims ab;
  if (a.dtype != b.dtype || !broadcast(a.dims, b.dims, ab) || !broadcast(ab, c.dims, out.dims)) return std::nullopt;
  resize(out);
  for (std::size_t k = 0; k < static_cast<std::size_t>(out.count()); ++k) {
    const bool yes = c.i[source_index(k, out.dims, c.dims)] != 0;
    const Small& from = yes ? a : b;
    copy_element(out, k, from, source_index(k, out.dims, from.dims));
  }
  return std::vector{out};
}
Output split(const Node& n, const Inputs& in) {
  const Small& x = *in[0];
  if (x.dims.size() != 1) return std::nullopt;
  std::vector<std::int64_t> sizes;
  if (in.size() > 1 && in[1]) {
    sizes = in[1]->i;
  } else {
    const auto parts = static_cast<std::int64_t>(n.outputs.size());
    const std::int64_t each = (x.dims[0] + parts - 1) / parts;
    for (std::int64_t left = x.dims[0], k = 0; k < parts; ++k) sizes.push_back(std::min(each, left)), left -= sizes.back();
  }
  std::vector<Small> out;
  std::int64_t at = 0;
  for (std::int64_t s : sizes) {
    if (s < 0 || s > x.dims[0] - at) return std::nullopt;
    Small piece{x.dtype, {s}, {}, {}};
    for (std::int64_t k = at; k < at + s; ++k) {
      if (x.real()) piece.f.push_back(x.f[static_cast<std::size_t>(k)]);
      else piece.i.push_back(x.i[static_cast<std::size_t>(k)]);
    }
    at += s;
    out.push_back(std::move(piece));
  }
  if (at != x.dims[0] || out.size() != n.outputs.size()) return std::nullopt;
  return out;
}

}  // namespace tenon::small
