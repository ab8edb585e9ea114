#include "core/plan/size_rules.h"

#include <algorithm>
#include <cstring>

namespace tenon {
namespace {

bool one_of(std::string_view op, std::initializer_list<std::string_view> list) { return std::find(list.begin(), list.end(), op) != list.end(); }

bool like_first(const Node& n) {
  if (n.domain == "com.microsoft") return one_of(n.op_type, {"Gelu", "FastGelu", "QuickGelu", "BiasGelu"});
  return n.domain.empty() &&
         one_of(n.op_type, {"Abs", "Cast", "Ceil", "Clip", "Cos", "CumSum", "DequantizeLinear", "Elu", "Erf", "Exp", "Floor", "Gelu",
                            "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax",
                            "Mish", "Neg", "Not", "QuantizeLinear", "Reciprocal", "Relu", "RMSNormalization", "Round", "Sigmoid", "Sign",
                            "Sin", "Softmax", "Softplus", "Sqrt", "Swish", "Tanh", "Trilu"});
}
bool broadcasts(const Node& n) {
  return n.domain.empty() && one_of(n.op_type, {"Add", "And", "BitwiseAnd", "BitwiseOr", "Div", "Equal", "Greater", "GreaterOrEqual", "Less",
                                                "LessOrEqual", "Max", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor"});
}

const Dims& dims(const ShapeTable& shapes, ValueId v) { return shapes.values[v].dims; }

// The int64 elements of a value, null where they are not known. Constants of a file may stand anywhere.
const Constant* integers(const ShapeTable& shapes, const Node& node, std::size_t i) {
  if (i >= node.inputs.size() || node.inputs[i] == none) return nullptr;
  const Constant* c = shapes.values[node.inputs[i]].known.get();
  return c && c->dtype == TENON_DTYPE_INT64 ? c : nullptr;
}
std::int64_t at(const Constant& c, std::size_t i) {
  std::int64_t x;
  std::memcpy(&x, c.data + i * sizeof x, sizeof x);
  return x;
}
std::size_t count(const Constant& c) { return static_cast<std::size_t>(c.bytes / sizeof(std::int64_t)); }

std::int64_t product(const Dims& dims) {
  std::int64_t n = 1;
  for (std::int64_t d : dims) n *= d;
  return n;
}

}  // namespace

SizeRules::SizeRules(const Graph& graph) : graph_(graph), prepared_(graph.nodes.size()) {
  for (NodeId n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    Prepared& p = prepared_[n];
    if (node.outputs.size() != 1 || node.outputs[0] == none || node.inputs.empty() || node.inputs[0] == none) continue;
    if (node.is("MatMulNBits", "com.microsoft")) p = {Rule::matmul_nbits, 0, node.int_or("K", -1), node.int_or("N", -1), {}};
    else if (like_first(node)) p.rule = Rule::same;
    if (!node.domain.empty() || p.rule != Rule::none) continue;
    const std::string& op = node.op_type;
    if (broadcasts(node)) {
      p.rule = Rule::broadcast;
      p.arithmetic = op == "Add" ? '+' : op == "Sub" ? '-' : op == "Mul" ? '*' : op == "Min" ? '<' : op == "Max" ? '>' : '\0';
    } else if (op == "MatMul") {
      p.rule = Rule::matmul;
    } else if (op == "Gemm") {
      p = {Rule::gemm, 0, node.int_or("transA", 0), node.int_or("transB", 0), {}};
    } else if (op == "Concat") {
      p = {Rule::concat, 0, node.int_or("axis", 0), 0, {}};
    } else if (op == "Transpose") {
      p.rule = Rule::transpose;
      if (const auto* perm = node.ints("perm")) p.list = *perm;
    } else if (op == "Reshape") {
      p = {Rule::reshape, 0, node.int_or("allowzero", 0), 0, {}};
    } else if (op == "Expand") {
      p.rule = Rule::expand;
    } else if (op == "Unsqueeze") {
      p.rule = Rule::unsqueeze;
    } else if (op == "Squeeze") {
      p.rule = Rule::squeeze;
    } else if (op == "Slice") {
      p.rule = Rule::slice;
    } else if (op == "Gather") {
      p = {Rule::gather, 0, node.int_or("axis", 0), 0, {}};
    } else if (op == "GatherND") {
      p = {Rule::gather_nd, 0, node.int_or("batch_dims", 0), 0, {}};
    } else if (op == "Shape") {
      p = {Rule::shape, 0, node.int_or("start", 0), node.int_or("end", INT64_MAX), {}};
    } else if (op == "Range") {
      p.rule = Rule::range;
    }
  }
}

bool SizeRules::apply(NodeId id, ShapeTable& shapes, const std::vector<std::uint64_t>& capacity) {
  const Node& node = graph_.nodes[id];
  const Prepared& p = prepared_[id];
  if (p.rule == Rule::none) return false;
  if (!dims_of(node, p, shapes)) return false;
  const ValueId to = node.outputs[0];
  ShapeTable::Entry& out = shapes.values[to];
  if (out.dims.size() != dims_.size()) return false;
  if (out.known) {
    if (out.known->dtype != TENON_DTYPE_INT64 || !elements_of(node, p, shapes)) return false;
    const std::uint64_t bytes = elements_.size() * sizeof(std::int64_t);
    if (static_cast<std::int64_t>(elements_.size()) != product(dims_) || bytes > capacity[to]) return false;
    auto& own = const_cast<Constant&>(*out.known);
    own.dims.assign(dims_.begin(), dims_.end());
    own.bytes = bytes;
    if (bytes) std::memcpy(const_cast<std::byte*>(own.data), elements_.data(), bytes);
  }
  std::copy(dims_.begin(), dims_.end(), out.dims.begin());
  return true;
}

// Into dims_: numpy's rule, from the right.
bool SizeRules::broadcast(const Dims& other) {
  if (other.size() > dims_.size()) dims_.insert(dims_.begin(), other.size() - dims_.size(), 1);
  for (std::size_t d = 0; d < other.size(); ++d) {
    std::int64_t& mine = dims_[dims_.size() - 1 - d];
    const std::int64_t theirs = other[other.size() - 1 - d];
    if (mine == 1) mine = theirs;
    else if (theirs != 1 && theirs != mine) return false;
  }
  return true;
}

// Into axes_: the axes that input 1 gives, ascending, none twice.
bool SizeRules::axes(const ShapeTable& shapes, const Node& node, std::int64_t rank) {
  const Constant* given = integers(shapes, node, 1);
  if (!given) return false;
  axes_.clear();
  for (std::size_t i = 0; i < count(*given); ++i) {
    const std::int64_t a = at(*given, i), axis = a < 0 ? a + rank : a;
    if (axis < 0 || axis >= rank) return false;
    axes_.push_back(axis);
  }
  std::sort(axes_.begin(), axes_.end());
  return std::adjacent_find(axes_.begin(), axes_.end()) == axes_.end();
}

bool SizeRules::slice(const Node& node, const ShapeTable& shapes) {
  const Constant *starts = integers(shapes, node, 1), *ends = integers(shapes, node, 2), *steps = integers(shapes, node, 4);
  const bool with_axes = node.inputs.size() > 3 && node.inputs[3] != none, with_steps = node.inputs.size() > 4 && node.inputs[4] != none;
  const auto rank = static_cast<std::int64_t>(dims_.size());
  const Constant* given = integers(shapes, node, 3);
  if (!starts || !ends || (with_axes && !given) || (with_steps && !steps)) return false;
  const std::size_t n = count(*starts);
  if (count(*ends) != n || (given && count(*given) != n) || (steps && count(*steps) != n) || n > dims_.size()) return false;
  for (std::size_t i = 0; i < n; ++i) {
    std::int64_t axis = given ? at(*given, i) : static_cast<std::int64_t>(i);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return false;
    std::int64_t& size = dims_[static_cast<std::size_t>(axis)];
    const std::int64_t step = steps ? at(*steps, i) : 1;
    std::int64_t start = at(*starts, i), end = at(*ends, i);
    if (step <= 0) return false;  // backwards: rare
    if (start < 0) start += size;
    if (end < 0) end += size;
    start = std::clamp<std::int64_t>(start, 0, size), end = std::clamp<std::int64_t>(end, 0, size);
    size = end > start ? (end - start - 1) / step + 1 : 0;
  }
  return true;
}

bool SizeRules::range(const Node& node, const ShapeTable& shapes) {
  const Constant *start = integers(shapes, node, 0), *limit = integers(shapes, node, 1), *delta = integers(shapes, node, 2);
  if (!start || !limit || !delta || count(*start) != 1 || count(*limit) != 1 || count(*delta) != 1) return false;
  const std::int64_t step = at(*delta, 0), span = at(*limit, 0) - at(*start, 0);
  if (step != 1 || span < 0) return false;
  dims_.assign(1, span);
  return true;
}

bool SizeRules::dims_of(const Node& node, const Prepared& p, const ShapeTable& shapes) {
  const Dims& x = dims(shapes, node.inputs[0]);
  const auto rank = static_cast<std::int64_t>(x.size());
  if (p.rule != Rule::shape && p.rule != Rule::range) dims_.assign(x.begin(), x.end());
  const auto second = [&]() -> const Dims* { return node.inputs.size() > 1 && node.inputs[1] != none ? &dims(shapes, node.inputs[1]) : nullptr; };
  switch (p.rule) {
    case Rule::none: return false;
    case Rule::same: return true;
    case Rule::broadcast:
      for (std::size_t i = 1; i < node.inputs.size(); ++i)
        if (node.inputs[i] != none && !broadcast(dims(shapes, node.inputs[i]))) return false;
      return true;
    case Rule::matmul_nbits:
      if (dims_.empty() || dims_.back() != p.a) return false;
      dims_.back() = p.b;
      return true;
    case Rule::matmul: {
      const Dims* y = second();
      if (!y || rank < 2 || y->size() < 2) return false;
      const std::int64_t m = x[x.size() - 2], k = x.back(), n = y->back();
      if ((*y)[y->size() - 2] != k) return false;
      axes_.assign(y->begin(), y->end());
      dims_[dims_.size() - 2] = dims_.back() = 1;
      axes_[axes_.size() - 2] = axes_.back() = 1;
      if (!broadcast(axes_)) return false;
      dims_[dims_.size() - 2] = m, dims_.back() = n;
      return true;
    }
    case Rule::gemm: {
      const Dims* y = second();
      if (!y || rank != 2 || y->size() != 2 || x[p.a ? 0 : 1] != (*y)[p.b ? 1 : 0]) return false;
      dims_[0] = x[p.a ? 1 : 0], dims_[1] = (*y)[p.b ? 0 : 1];
      return true;
    }
    case Rule::concat: {
      const std::int64_t axis = p.a < 0 ? p.a + rank : p.a;
      if (axis < 0 || axis >= rank) return false;
      for (std::size_t i = 1; i < node.inputs.size(); ++i) {
        if (node.inputs[i] == none) return false;
        const Dims& y = dims(shapes, node.inputs[i]);
        if (y.size() != x.size()) return false;
        for (std::size_t d = 0; d < x.size(); ++d)
          if (static_cast<std::int64_t>(d) == axis) dims_[d] += y[d];
          else if (y[d] != x[d]) return false;
      }
      return true;
    }
    case Rule::transpose:
      if (p.list.empty()) return std::reverse(dims_.begin(), dims_.end()), true;
      if (p.list.size() != x.size()) return false;
      for (std::size_t d = 0; d < x.size(); ++d) {
        if (p.list[d] < 0 || p.list[d] >= rank) return false;
        dims_[d] = x[static_cast<std::size_t>(p.list[d])];
      }
      return true;
    case Rule::reshape: {
      const Constant* to = integers(shapes, node, 1);
      if (!to) return false;
      dims_.resize(count(*to));
      std::size_t open = dims_.size();
      std::int64_t rest = 1;
      for (std::size_t d = 0; d < dims_.size(); ++d) {
        std::int64_t size = at(*to, d);
        if (size == 0 && !p.a) {
          if (d >= x.size()) return false;
          size = x[d];
        }
        if (size == -1 && open == dims_.size()) open = d, size = 1;
        else if (size < 0) return false;
        dims_[d] = size;
        rest *= size;
      }
      const std::int64_t all = product(x);
      if (open < dims_.size()) {
        if (rest == 0 || all % rest != 0) return false;
        dims_[open] = all / rest;
        return true;
      }
      return rest == all;
    }
    case Rule::expand: {
      const Constant* to = integers(shapes, node, 1);
      if (!to) return false;
      axes_.clear();
      for (std::size_t d = 0; d < count(*to); ++d) axes_.push_back(at(*to, d));
      return std::none_of(axes_.begin(), axes_.end(), [](std::int64_t d) { return d < 0; }) && broadcast(axes_);
    }
    case Rule::unsqueeze: {
      const Constant* given = integers(shapes, node, 1);
      if (!given || !axes(shapes, node, rank + static_cast<std::int64_t>(count(*given)))) return false;
      for (std::int64_t a : axes_) dims_.insert(dims_.begin() + a, 1);
      return true;
    }
    case Rule::squeeze:
      if (!second()) {
        dims_.erase(std::remove(dims_.begin(), dims_.end(), 1), dims_.end());
        return true;
      }
      if (!axes(shapes, node, rank)) return false;
      for (std::size_t i = axes_.size(); i-- > 0;) {
        if (dims_[static_cast<std::size_t>(axes_[i])] != 1) return false;
        dims_.erase(dims_.begin() + axes_[i]);
      }
      return true;
    case Rule::slice: return slice(node, shapes);
    case Rule::gather: {
      const Dims* indices = second();
      const std::int64_t axis = p.a < 0 ? p.a + rank : p.a;
      if (!indices || axis < 0 || axis >= rank) return false;
      dims_.erase(dims_.begin() + axis);
      dims_.insert(dims_.begin() + axis, indices->begin(), indices->end());
      return true;
    }
    case Rule::gather_nd: {
      const Dims* indices = second();
      if (!indices || indices->empty()) return false;
      const std::int64_t taken = p.a + indices->back();
      if (p.a < 0 || indices->back() < 1 || taken > rank || p.a >= static_cast<std::int64_t>(indices->size())) return false;
      dims_.assign(indices->begin(), indices->end() - 1);
      dims_.insert(dims_.end(), x.begin() + taken, x.end());
      return true;
    }
    case Rule::shape: {
      const std::int64_t start = std::clamp<std::int64_t>(p.a < 0 ? p.a + rank : p.a, 0, rank);
      const std::int64_t end = std::clamp<std::int64_t>(p.b < 0 ? p.b + rank : p.b, start, rank);
      axes_.assign(x.begin() + start, x.begin() + end);
      dims_.assign(1, end - start);
      return true;
    }
    case Rule::range: return range(node, shapes);
  }
  return false;
}

// Into elements_, in the order of dims_, which are set.
bool SizeRules::elements_of(const Node& node, const Prepared& p, const ShapeTable& shapes) {
  elements_.clear();
  if (p.rule == Rule::shape) return elements_.assign(axes_.begin(), axes_.end()), true;
  const Constant* x = integers(shapes, node, 0);
  if (!x) return false;
  const auto take = [&](const Constant& c) {
    for (std::size_t i = 0; i < count(c); ++i) elements_.push_back(at(c, i));
  };
  switch (p.rule) {
    case Rule::same:
      if (node.op_type != "Identity" && node.op_type != "Cast") return false;
      return take(*x), true;
    case Rule::reshape:
    case Rule::unsqueeze:
    case Rule::squeeze: return take(*x), true;
    case Rule::concat:
      if (dims_.size() != 1) return false;
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const Constant* part = integers(shapes, node, i);
        if (!part) return false;
        take(*part);
      }
      return true;
    case Rule::gather: {
      const Constant* indices = integers(shapes, node, 1);
      if (!indices || x->dims.size() != 1) return false;
      const auto size = static_cast<std::int64_t>(count(*x));
      for (std::size_t i = 0; i < count(*indices); ++i) {
        const std::int64_t from = at(*indices, i), index = from < 0 ? from + size : from;
        if (index < 0 || index >= size) return false;
        elements_.push_back(at(*x, static_cast<std::size_t>(index)));
      }
      return true;
    }
    case Rule::broadcast: {
      const Constant* y = integers(shapes, node, 1);
      if (!p.arithmetic || !y || node.inputs.size() != 2) return false;
      const std::size_t n = std::max(count(*x), count(*y));
      if ((count(*x) != n && count(*x) != 1) || (count(*y) != n && count(*y) != 1)) return false;
      for (std::size_t i = 0; i < n; ++i) {
        const auto a = static_cast<std::uint64_t>(at(*x, count(*x) == 1 ? 0 : i)), b = static_cast<std::uint64_t>(at(*y, count(*y) == 1 ? 0 : i));
        const auto sa = static_cast<std::int64_t>(a), sb = static_cast<std::int64_t>(b);
        elements_.push_back(p.arithmetic == '+'   ? static_cast<std::int64_t>(a + b)
                            : p.arithmetic == '-' ? static_cast<std::int64_t>(a - b)
                            : p.arithmetic == '*' ? static_cast<std::int64_t>(a * b)
                            : p.arithmetic == '<' ? std::min(sa, sb)
                                                  : std::max(sa, sb));
      }
      return true;
    }
    case Rule::range:
      for (std::int64_t i = 0; i < dims_[0]; ++i) elements_.push_back(at(*x, 0) + i);
      return true;
    default: return false;
  }
}

}  // namespace tenon
