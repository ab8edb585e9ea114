#include "core/ops/evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>

namespace tenon {
namespace {

// A small tensor; integers and bool in i, floats in f.
struct Small {
  DType dtype = TENON_DTYPE_INT64;
  Dims dims;
  std::vector<std::int64_t> i;
  std::vector<double> f;

  bool real() const { return dtype == TENON_DTYPE_FLOAT || dtype == TENON_DTYPE_DOUBLE; }
  std::int64_t count() const { return element_count(dims).value(); }
  double number(std::size_t k) const { return real() ? f[k] : static_cast<double>(i[k]); }
};

using Inputs = std::vector<std::optional<Small>>;
using Output = std::optional<std::vector<Small>>;

template <class T>
void load(const Constant& c, auto& out) {
  for (std::int64_t k = 0; k < c.count(); ++k) {
    T v;
    std::memcpy(&v, c.data + static_cast<std::size_t>(k) * sizeof(T), sizeof(T));
    out.push_back(static_cast<typename std::decay_t<decltype(out)>::value_type>(v));
  }
}

std::optional<Small> small(const Constant& c) {
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

template <class T>
void store(const auto& values, std::byte* out) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    const T v = static_cast<T>(values[k]);
    std::memcpy(out + k * sizeof(T), &v, sizeof(T));
  }
}

ConstantPtr constant(const Small& s) {
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

// ---- broadcasting ------------------------------------------------------------------------------------------------------

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

template <class I, class F>
Output binary(const Inputs& in, I integers, F floats, DType result = 0) {
  const Small &a = *in[0], &b = *in[1];
  Small out{result ? result : a.dtype, {}, {}, {}};
  if (a.dtype != b.dtype || !broadcast(a.dims, b.dims, out.dims)) return std::nullopt;
  resize(out);
  for (std::size_t k = 0; k < static_cast<std::size_t>(out.count()); ++k) {
    const std::size_t x = source_index(k, out.dims, a.dims), y = source_index(k, out.dims, b.dims);
    if (a.real()) {
      const double v = static_cast<double>(floats(a.f[x], b.f[y]));
      if (out.real()) out.f[k] = a.dtype == TENON_DTYPE_FLOAT ? static_cast<float>(v) : v;
      else out.i[k] = static_cast<std::int64_t>(v);
    } else {
      const std::int64_t v = integers(a.i[x], b.i[y]);
      out.i[k] = out.dtype == TENON_DTYPE_INT32 ? static_cast<std::int32_t>(v) : v;
    }
  }
  return std::vector{out};
}

template <class I, class F>
Output unary(const Inputs& in, I integers, F floats) {
  Small out = *in[0];
  for (auto& v : out.i) v = integers(v);
  for (auto& v : out.f) v = out.dtype == TENON_DTYPE_FLOAT ? static_cast<float>(floats(v)) : floats(v);
  return std::vector{out};
}

std::int64_t wrap_add(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b)); }
std::int64_t wrap_sub(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b)); }
std::int64_t wrap_mul(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b)); }
std::int64_t divide(std::int64_t a, std::int64_t b) { return b == 0 ? 0 : b == -1 ? wrap_sub(0, a) : a / b; }
std::int64_t modulo(std::int64_t a, std::int64_t b) {
  if (b == 0 || b == -1) return 0;
  const std::int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// ---- movement ----------------------------------------------------------------------------------------------------------

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

Output reshaped(const Small& x, Dims dims) {
  Small out = x;
  out.dims = std::move(dims);
  if (!element_count(out.dims).valid() || out.count() != x.count()) return std::nullopt;
  return std::vector{out};
}

Output squeeze(const Inputs& in) {
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

Output unsqueeze(const Inputs& in) {
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
  std::int64_t rest = 1, free_axis = -1;
  for (std::size_t k = 0; k < in[1]->i.size(); ++k) {
    std::int64_t d = in[1]->i[k];
    if (d == 0 && !n.int_or("allowzero", 0)) {
      if (k >= in[0]->dims.size()) return std::nullopt;
      d = in[0]->dims[k];
    }
    if (d == -1) free_axis = static_cast<std::int64_t>(k);
    else rest *= d;
    dims.push_back(d);
  }
  if (free_axis >= 0) {
    if (rest == 0) return std::nullopt;
    dims[static_cast<std::size_t>(free_axis)] = in[0]->count() / rest;
  }
  return reshaped(*in[0], dims);
}

Output slice(const Inputs& in) {
  const Small& x = *in[0];
  if (x.dims.size() != 1 || in.size() < 3 || in[1]->i.size() != 1) return std::nullopt;
  const std::int64_t size = x.dims[0];
  std::int64_t start = in[1]->i[0], end = in[2]->i[0], step = in.size() > 4 && in[4] ? in[4]->i[0] : 1;
  if (step == 0) return std::nullopt;
  if (start < 0) start += size;
  if (end < 0 && !(step < 0 && end <= -size - 1)) end += size;
  if (step > 0) start = std::clamp<std::int64_t>(start, 0, size), end = std::clamp<std::int64_t>(end, 0, size);
  else start = std::clamp<std::int64_t>(start, 0, size - 1), end = std::clamp<std::int64_t>(end, -1, size - 1);
  Small out{x.dtype, {0}, {}, {}};
  for (std::int64_t k = start; step > 0 ? k < end : k > end; k += step) {
    if (x.real()) out.f.push_back(x.f[static_cast<std::size_t>(k)]);
    else out.i.push_back(x.i[static_cast<std::size_t>(k)]);
    ++out.dims[0];
  }
  return std::vector{out};
}

Output expand(const Inputs& in) {
  Small out{in[0]->dtype, {}, {}, {}};
  if (!broadcast(in[0]->dims, in[1]->i, out.dims)) return std::nullopt;
  resize(out);
  for (std::size_t k = 0; k < static_cast<std::size_t>(out.count()); ++k) copy_element(out, k, *in[0], source_index(k, out.dims, in[0]->dims));
  return std::vector{out};
}

Output where(const Inputs& in) {
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

Output range(const Inputs& in) {
  const Small &start = *in[0], &limit = *in[1], &delta = *in[2];
  if (start.count() != 1 || limit.count() != 1 || delta.count() != 1 || delta.number(0) == 0) return std::nullopt;
  const double n = std::ceil((limit.number(0) - start.number(0)) / delta.number(0));
  if (!(n <= small_elements)) return std::nullopt;
  Small out{start.dtype, {std::max<std::int64_t>(0, static_cast<std::int64_t>(n))}, {}, {}};
  for (std::int64_t k = 0; k < out.dims[0]; ++k) {
    if (out.real()) out.f.push_back(start.f[0] + static_cast<double>(k) * delta.f[0]);
    else out.i.push_back(wrap_add(start.i[0], wrap_mul(k, delta.i[0])));
  }
  return std::vector{out};
}

Output constant_of_shape(const Node& n, const Inputs& in) {
  Small out{TENON_DTYPE_FLOAT, in[0]->i, {}, {}};
  if (!element_count(out.dims).valid() || out.count() > small_elements) return std::nullopt;
  double value = 0;
  std::int64_t integer = 0;
  if (const Attribute* a = n.find("value")) {
    const auto v = small(**std::get_if<ConstantPtr>(&a->value));
    if (!v || v->count() != 1) return std::nullopt;
    out.dtype = v->dtype;
    if (v->real()) value = v->f[0];
    else integer = v->i[0];
  }
  if (out.real()) out.f.assign(static_cast<std::size_t>(out.count()), value);
  else out.i.assign(static_cast<std::size_t>(out.count()), integer);
  return std::vector{out};
}

Output cast(const Node& n, const Inputs& in) {
  const Small& x = *in[0];
  Small out{static_cast<DType>(n.int_or("to", 0)), x.dims, {}, {}};
  resize(out);
  for (std::size_t k = 0; k < static_cast<std::size_t>(x.count()); ++k) {
    switch (out.dtype) {
      case TENON_DTYPE_FLOAT: out.f[k] = static_cast<float>(x.number(k)); break;
      case TENON_DTYPE_DOUBLE: out.f[k] = x.number(k); break;
      case TENON_DTYPE_BOOL: out.i[k] = x.number(k) != 0; break;
      case TENON_DTYPE_INT64:
      case TENON_DTYPE_INT32:
      case TENON_DTYPE_UINT8: {
        std::int64_t v = 0;
        if (!x.real()) v = x.i[k];
        else if (std::isnan(x.f[k])) v = 0;
        else if (out.dtype == TENON_DTYPE_INT64) v = x.f[k] >= 0x1p63 ? INT64_MAX : x.f[k] <= -0x1p63 ? INT64_MIN : static_cast<std::int64_t>(x.f[k]);
        else if (out.dtype == TENON_DTYPE_INT32) v = static_cast<std::int64_t>(std::clamp(x.f[k], -0x1p31, 0x1p31 - 1));
        else v = static_cast<std::int64_t>(std::clamp(x.f[k], 0.0, 255.0));
        out.i[k] = out.dtype == TENON_DTYPE_INT32 ? static_cast<std::int32_t>(v) : out.dtype == TENON_DTYPE_UINT8 ? static_cast<std::uint8_t>(v) : v;
        break;
      }
      default: return std::nullopt;
    }
  }
  return std::vector{out};
}

// Reductions over everything of a 1-D or scalar value.
template <class I, class F>
Output reduce(const Node& n, const Inputs& in, std::int64_t i0, double f0, I integers, F floats) {
  const Small& x = *in[0];
  if (x.dims.size() > 1) return std::nullopt;
  const bool no_axes = in.size() < 2 || !in[1] || in[1]->i.empty();
  if (no_axes && n.int_or("noop_with_empty_axes", 0)) return std::nullopt;
  Small out{x.dtype, n.int_or("keepdims", 1) ? Dims(x.dims.size(), 1) : Dims{}, {}, {}};
  if (x.real()) out.f = {std::accumulate(x.f.begin(), x.f.end(), f0, floats)};
  else out.i = {std::accumulate(x.i.begin(), x.i.end(), i0, integers)};
  if (x.count() == 0) return std::nullopt;
  return std::vector{out};
}

Output split(const Node& n, const Inputs& in) {
  const Small& x = *in[0];
  if (x.dims.size() != 1) return std::nullopt;
  std::vector<std::int64_t> sizes;
  if (in.size() > 1 && in[1]) sizes = in[1]->i;
  else {
    const auto parts = static_cast<std::int64_t>(n.outputs.size());
    const std::int64_t each = (x.dims[0] + parts - 1) / parts;
    for (std::int64_t left = x.dims[0], k = 0; k < parts; ++k) sizes.push_back(std::min(each, left)), left -= sizes.back();
  }
  std::vector<Small> out;
  std::int64_t at = 0;
  for (std::int64_t s : sizes) {
    if (s < 0 || at + s > x.dims[0]) return std::nullopt;
    Small piece{x.dtype, {s}, {}, {}};
    for (std::int64_t k = at; k < at + s; ++k) {
      if (x.real()) piece.f.push_back(x.f[static_cast<std::size_t>(k)]);
      else piece.i.push_back(x.i[static_cast<std::size_t>(k)]);
    }
    at += s;
    out.push_back(std::move(piece));
  }
  return out;
}

using Evaluate = Output (*)(const Node&, const Inputs&);

#define TENON_BINARY(I, F) [](const Node&, const Inputs& in) { return binary(in, [](auto a, auto b) { return I; }, [](double a, double b) { return F; }); }
#define TENON_COMPARE(E) \
  [](const Node&, const Inputs& in) { return binary(in, [](auto a, auto b) { return std::int64_t(E); }, [](double a, double b) { return double(E); }, TENON_DTYPE_BOOL); }
#define TENON_UNARY(I, F) [](const Node&, const Inputs& in) { return unary(in, [](std::int64_t a) { return I; }, [](double a) { return F; }); }

const std::map<std::string_view, Evaluate>& table() {
  static const std::map<std::string_view, Evaluate> rows = {
      {"Add", TENON_BINARY(wrap_add(a, b), a + b)},
      {"Sub", TENON_BINARY(wrap_sub(a, b), a - b)},
      {"Mul", TENON_BINARY(wrap_mul(a, b), a * b)},
      {"Div", TENON_BINARY(divide(a, b), a / b)},
      {"Mod", [](const Node& n, const Inputs& in) -> Output { return n.int_or("fmod", 0) ? Output() : binary(in, modulo, [](double a, double b) { return std::fmod(a, b); }); }},
      {"Min", TENON_BINARY(std::min(a, b), a < b || std::isnan(a) ? a : b)},
      {"Max", TENON_BINARY(std::max(a, b), a > b || std::isnan(a) ? a : b)},
      {"Equal", TENON_COMPARE(a == b)},
      {"Less", TENON_COMPARE(a < b)},
      {"LessOrEqual", TENON_COMPARE(a <= b)},
      {"Greater", TENON_COMPARE(a > b)},
      {"GreaterOrEqual", TENON_COMPARE(a >= b)},
      {"And", TENON_COMPARE(a && b)},
      {"Or", TENON_COMPARE(a || b)},
      {"Not", TENON_UNARY(std::int64_t(!a), a)},
      {"Neg", TENON_UNARY(wrap_sub(0, a), -a)},
      {"Abs", TENON_UNARY(a < 0 ? wrap_sub(0, a) : a, std::fabs(a))},
      {"Floor", TENON_UNARY(a, std::floor(a))},
      {"Ceil", TENON_UNARY(a, std::ceil(a))},
      {"Sqrt", TENON_UNARY(a, std::sqrt(a))},
      {"Reciprocal", TENON_UNARY(a, 1 / a)},
      {"Identity", [](const Node&, const Inputs& in) -> Output { return std::vector{*in[0]}; }},
      {"Cast", cast},
      {"Gather", gather},
      {"Concat", concat},
      {"Squeeze", [](const Node&, const Inputs& in) { return squeeze(in); }},
      {"Unsqueeze", [](const Node&, const Inputs& in) { return unsqueeze(in); }},
      {"Reshape", reshape},
      {"Slice", [](const Node&, const Inputs& in) { return slice(in); }},
      {"Expand", [](const Node&, const Inputs& in) { return expand(in); }},
      {"Where", [](const Node&, const Inputs& in) { return where(in); }},
      {"Range", [](const Node&, const Inputs& in) { return range(in); }},
      {"ConstantOfShape", constant_of_shape},
      {"Split", split},
      {"ReduceProd", [](const Node& n, const Inputs& in) { return reduce(n, in, 1, 1.0, wrap_mul, std::multiplies<>()); }},
      {"ReduceSum", [](const Node& n, const Inputs& in) { return reduce(n, in, 0, 0.0, wrap_add, std::plus<>()); }},
      {"ReduceMax", [](const Node& n, const Inputs& in) { return reduce(n, in, INT64_MIN, -INFINITY, [](auto a, auto b) { return std::max(a, b); }, [](double a, double b) { return std::max(a, b); }); }},
      {"ReduceMin", [](const Node& n, const Inputs& in) { return reduce(n, in, INT64_MAX, INFINITY, [](auto a, auto b) { return std::min(a, b); }, [](double a, double b) { return std::min(a, b); }); }},
  };
  return rows;
}

}  // namespace

bool evaluable(const Node& node) { return node.domain.empty() && table().count(node.op_type); }

std::optional<std::vector<ConstantPtr>> evaluate(const Node& node, std::span<const ConstantPtr> inputs) {
  if (!node.domain.empty()) return std::nullopt;
  auto row = table().find(node.op_type);
  if (row == table().end()) return std::nullopt;
  // A damaged model may feed other types than the operator takes: inference has not refused it yet.
  const auto whole = [&](std::size_t i) {
    return i >= inputs.size() || !inputs[i] || inputs[i]->dtype == TENON_DTYPE_INT64 || inputs[i]->dtype == TENON_DTYPE_INT32;
  };
  if (node.is("Where") && !inputs.empty() && inputs[0] && inputs[0]->dtype != TENON_DTYPE_BOOL) return std::nullopt;
  if (node.is("Slice") && !(whole(1) && whole(2) && whole(3) && whole(4))) return std::nullopt;
  if ((node.is("Gather") || node.is("Expand") || node.is("Reshape")) && !whole(1)) return std::nullopt;
  if (node.is("Range"))
    for (const ConstantPtr& c : inputs)
      if (!c || c->dtype != inputs[0]->dtype) return std::nullopt;
  Inputs in;
  for (const ConstantPtr& c : inputs) {
    in.push_back(c ? small(*c) : std::nullopt);
    if (c && !in.back()) return std::nullopt;
  }
  const std::size_t needed = node.is("Where") || node.is("Range") || node.is("Slice") ? 3 : node.is("Gather") || node.is("Expand") || node.is("Reshape") ? 2 : 1;
  const bool two = node.inputs.size() >= 2 && !node.is("Split") && !node.is("Squeeze") && !node.op_type.starts_with("Reduce");
  for (std::size_t k = 0; k < std::max<std::size_t>(needed, two ? 2 : 1); ++k)
    if (k >= in.size() || !in[k]) return std::nullopt;
  if (node.inputs.size() > 2 && (node.is("Min") || node.is("Max"))) return std::nullopt;
  Output out = row->second(node, in);
  if (!out) return std::nullopt;
  std::vector<ConstantPtr> result;
  for (const Small& s : *out) {
    if (s.count() > small_elements) return std::nullopt;
    result.push_back(constant(s));
    if (!result.back()) return std::nullopt;
  }
  return result;
}

bool inference_reads(const Node& node, std::size_t input) {
  struct Row {
    std::string_view op;
    std::uint32_t inputs;  // bit i: input i
  };
  static constexpr Row rows[] = {
      {"Reshape", 2}, {"Expand", 2}, {"Tile", 2}, {"Slice", 0x1e}, {"Pad", 0xa}, {"Resize", 0xe}, {"ConstantOfShape", 1},
      {"Range", 7}, {"TopK", 2}, {"OneHot", 2}, {"Split", 2}, {"Squeeze", 2}, {"Unsqueeze", 2}, {"CenterCropPad", 2},
      {"AffineGrid", 2}, {"BlackmanWindow", 1}, {"HannWindow", 1}, {"HammingWindow", 1}, {"DFT", 6}, {"STFT", 0xa},
      {"MaxUnpool", 4}, {"Col2Im", 6}, {"CumSum", 2}, {"MelWeightMatrix", 0x1f},
  };
  if (!node.domain.empty()) return false;
  if (node.op_type.starts_with("Reduce")) return input == 1;
  for (const Row& r : rows)
    if (r.op == node.op_type) return r.inputs >> input & 1;
  return false;
}

bool data_dependent(const Node& node) {
  static constexpr std::string_view ops[] = {"NonZero", "NonMaxSuppression", "Unique", "Compress", "StringSplit"};
  if (!node.domain.empty()) return false;
  for (std::string_view op : ops)
    if (op == node.op_type) return true;
  return false;
}

}  // namespace tenon
