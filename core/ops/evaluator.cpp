#include "core/ops/evaluator.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "core/ops/small_value.h"

namespace tenon {
namespace {

using namespace small;

template <class I, class F>
Output binary(const Inputs& in, I integers, F floats, DType result = 0) {
  if (in.size() < 2 || !in[0] || !in[1]) return std::nullopt;  // Max of one value
  const Small &a = *in[0], &b = *in[1];
  Small out{result ? result : a.dtype, {}, {}, {}};
  if (a.dtype != b.dtype || !broadcast(a.dims, b.dims, out.dims)) return std::nullopt;
  resize(out);
  for (std::size_t k = 0; k < static_cast<std::size_t>(out.count()); ++k) {
    const std::size_t x = source_index(k, out.dims, a.dims), y = source_index(k, out.dims, b.dims);
    if (a.real()) {
      const double v = static_cast<double>(floats(a.f[x], b.f[y]));
      if (out.real()) out.f[k] = fit(v, a.dtype);
      else out.i[k] = static_cast<std::int64_t>(v);
    } else {
      out.i[k] = fit(static_cast<std::int64_t>(integers(a.i[x], b.i[y])), out.dtype);
    }
  }
  return std::vector{out};
}

template <class I, class F>
Output unary(const Inputs& in, I integers, F floats) {
  Small out = *in[0];
  for (auto& v : out.i) v = fit(static_cast<std::int64_t>(integers(v)), out.dtype);
  for (auto& v : out.f) v = fit(static_cast<double>(floats(v)), out.dtype);
  return std::vector{out};
}

// The divisor is not zero.
std::int64_t divide(std::int64_t a, std::int64_t b) { return b == -1 ? wrap_sub(0, a) : a / b; }
std::int64_t modulo(std::int64_t a, std::int64_t b) {
  if (b == -1) return 0;
  const std::int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// An integer division by zero fails in the run, where it is one: a branch that is never taken may hold it.
bool divides_by_zero(const Node& node, const Inputs& in) {
  if (!node.is("Div") && !node.is("Mod")) return false;
  return in.size() > 1 && in[1] && !in[1]->real() && std::find(in[1]->i.begin(), in[1]->i.end(), 0) != in[1]->i.end();
}

std::optional<std::int64_t> range_count(double from, double to, double by) {
  const double n = std::ceil((to - from) / by);
  if (by == 0 || !(n < 0x1p62)) return std::nullopt;
  return static_cast<std::int64_t>(std::max(n, 0.0));
}

Output range(const Node&, const Inputs& in) {
  const Small &start = *in[0], &limit = *in[1], &delta = *in[2];
  if (start.count() != 1 || limit.count() != 1 || delta.count() != 1) return std::nullopt;
  const auto n = range_count(start.number(0), limit.number(0), delta.number(0));
  if (!n || *n > small_elements) return std::nullopt;
  Small out{start.dtype, {*n}, {}, {}};
  for (std::int64_t k = 0; k < out.dims[0]; ++k) {
    if (out.real()) out.f.push_back(fit(start.f[0] + static_cast<double>(k) * delta.f[0], out.dtype));
    else out.i.push_back(fit(wrap_add(start.i[0], wrap_mul(k, delta.i[0])), out.dtype));
  }
  return std::vector{out};
}

Output constant_of_shape(const Node& n, const Inputs& in) {
  Small out{TENON_DTYPE_FLOAT, in[0]->i, {}, {}};
  if (!element_count(out.dims).valid() || out.count() > small_elements) return std::nullopt;
  double value = 0;
  std::int64_t integer = 0;
  if (const Attribute* a = n.find("value")) {
    const ConstantPtr* given = std::get_if<ConstantPtr>(&a->value);
    const auto v = given ? from_constant(**given) : std::nullopt;
    if (!v || v->count() != 1) return std::nullopt;
    out.dtype = v->dtype;
    if (v->real()) value = v->f[0];
    else integer = v->i[0];
  }
  if (out.real()) out.f.assign(static_cast<std::size_t>(out.count()), value);
  else out.i.assign(static_cast<std::size_t>(out.count()), integer);
  return std::vector{out};
}

// Saturating, as the float is truncated; NaN gives 0.
std::int64_t whole(double v, DType type) {
  if (std::isnan(v)) return 0;
  switch (type) {
    case TENON_DTYPE_INT64: return v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : static_cast<std::int64_t>(v);
    case TENON_DTYPE_INT32: return static_cast<std::int64_t>(std::clamp(v, -0x1p31, 0x1p31 - 1));
    case TENON_DTYPE_INT16: return static_cast<std::int64_t>(std::clamp(v, -0x1p15, 0x1p15 - 1));
    case TENON_DTYPE_INT8: return static_cast<std::int64_t>(std::clamp(v, -0x1p7, 0x1p7 - 1));
    case TENON_DTYPE_UINT32: return static_cast<std::int64_t>(std::clamp(v, 0.0, 0x1p32 - 1));
    case TENON_DTYPE_UINT16: return static_cast<std::int64_t>(std::clamp(v, 0.0, 0x1p16 - 1));
    default: return static_cast<std::int64_t>(std::clamp(v, 0.0, 255.0));
  }
}

Output cast(const Node& n, const Inputs& in) {
  const Small& x = *in[0];
  Small out{static_cast<DType>(n.int_or("to", 0)), x.dims, {}, {}};
  if (!takes(out.dtype)) return std::nullopt;
  resize(out);
  for (std::size_t k = 0; k < static_cast<std::size_t>(x.count()); ++k) {
    if (out.real()) out.f[k] = fit(x.number(k), out.dtype);
    else if (out.dtype == TENON_DTYPE_BOOL) out.i[k] = x.number(k) != 0;
    else out.i[k] = x.real() ? whole(x.f[k], out.dtype) : fit(x.i[k], out.dtype);
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
      {"Squeeze", squeeze},
      {"Unsqueeze", unsqueeze},
      {"Reshape", reshape},
      {"Slice", slice},
      {"Expand", expand},
      {"Where", where},
      {"Range", range},
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

bool evaluator_takes(DType type) { return takes(type); }
bool host_reads(DType type) { return takes(type) || type == TENON_DTYPE_UINT64; }

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
    in.push_back(c ? from_constant(*c) : std::nullopt);
    if (c && !in.back()) return std::nullopt;
  }
  const std::size_t needed = node.is("Where") || node.is("Range") || node.is("Slice") ? 3 : node.is("Gather") || node.is("Expand") || node.is("Reshape") ? 2 : 1;
  const bool two = node.inputs.size() >= 2 && !node.is("Split") && !node.is("Squeeze") && !node.op_type.starts_with("Reduce");
  for (std::size_t k = 0; k < std::max<std::size_t>(needed, two ? 2 : 1); ++k)
    if (k >= in.size() || !in[k]) return std::nullopt;
  if (node.inputs.size() > 2 && (node.is("Min") || node.is("Max"))) return std::nullopt;
  if (divides_by_zero(node, in)) return std::nullopt;
  Output out = row->second(node, in);
  if (!out) return std::nullopt;
  std::vector<ConstantPtr> result;
  for (const Small& s : *out) {
    if (s.count() > small_elements) return std::nullopt;
    result.push_back(to_constant(s));
    if (!result.back()) return std::nullopt;
  }
  return result;
}

std::optional<std::int64_t> range_size(const Constant& start, const Constant& limit, const Constant& delta) {
  const auto from = single_number(start), to = single_number(limit), by = single_number(delta);
  if (!from || !to || !by) return std::nullopt;
  return range_count(*from, *to, *by);
}

std::string evaluation_fault(const Node& node, std::span<const ConstantPtr> inputs) {
  if (!node.domain.empty() || inputs.size() < 2 || !inputs[0] || !inputs[1]) return {};
  const Inputs in = {from_constant(*inputs[0]), from_constant(*inputs[1])};
  if (divides_by_zero(node, in)) return "integer division by zero";
  if (!node.is("Gather") || !in[0] || !in[1] || in[0]->dims.empty()) return {};
  const std::int64_t rank = static_cast<std::int64_t>(in[0]->dims.size()), axis = node.int_or("axis", 0);
  if (axis < -rank || axis >= rank) return {};
  const std::int64_t size = in[0]->dims[static_cast<std::size_t>(axis < 0 ? axis + rank : axis)];
  for (std::int64_t at : in[1]->i)
    if (at < -size || at >= size) return fmt::format("index {} is outside [-{}, {})", at, size, size);
  return {};
}

}  // namespace tenon
