// Gradients of products, reductions and data movement.
#include <algorithm>

#include "core/ops/gradient_rules.h"

namespace tenon {
namespace {

ValueId product(Backward& b, ValueId p, ValueId q) { return b.b.add("MatMul", {p, q}); }
ValueId scaled(Backward& b, ValueId v, double factor) { return factor == 1 ? v : b.b.add("Mul", {v, b.b.number(factor, b.y())}); }

// A vector is a matrix of one row on the left, of one column on the right.
Status matmul(Backward& b) {
  TENON_ASSIGN(const std::vector<Dim> left, b.dims(b.x(0)));
  TENON_ASSIGN(const std::vector<Dim> right, b.dims(b.x(1)));
  if (left.empty() || right.empty()) return invalid("{}: a factor is a scalar", b.node.label());
  const bool row = left.size() == 1, column = right.size() == 1;
  const ValueId p = row ? b.b.add("Unsqueeze", {b.x(0), b.b.ints({0})}) : b.x(0);
  const ValueId q = column ? b.b.add("Unsqueeze", {b.x(1), b.b.ints({1})}) : b.x(1);
  ValueId dy = b.dy();
  if (row && column) dy = b.b.add("Unsqueeze", {dy, b.b.ints({0, 1})});
  else if (row) dy = b.b.add("Unsqueeze", {dy, b.b.ints({-2})});
  else if (column) dy = b.b.add("Unsqueeze", {dy, b.b.ints({-1})});
  const auto stack = [](std::vector<Dim> dims) {  // without the dims of one matrix
    dims.resize(dims.size() - std::min<std::size_t>(dims.size(), 2));
    return dims;
  };
  const std::vector<Dim> rows = broadcast_dims(stack(left), stack(right));
  const auto rank = [](const std::vector<Dim>& dims) { return static_cast<std::int64_t>(std::max<std::size_t>(dims.size(), 2)); };
  if (b.wants(0)) {
    std::vector<Dim> dims = rows;
    dims.push_back(row ? Dim{1, 0} : left[left.size() - 2]);
    dims.push_back(left.back());
    TENON_TRY(b.give_summed(0, product(b, dy, b.b.turned(q, rank(right))), dims));
  }
  if (b.wants(1)) {
    std::vector<Dim> dims = rows;
    dims.push_back(column ? right[0] : right[right.size() - 2]);
    ValueId back = product(b, b.b.turned(p, rank(left)), dy);
    if (column) back = b.b.add("Squeeze", {back, b.b.ints({-1})});
    else dims.push_back(right.back());
    TENON_TRY(b.give_summed(1, back, dims));
  }
  return {};
}

Status gemm(Backward& b) {
  const bool turn_a = b.node.int_or("transA", 0) != 0, turn_b = b.node.int_or("transB", 0) != 0;
  const auto turned = [&](ValueId v, bool turn) { return turn ? b.b.turned(v, 2) : v; };
  const ValueId dy = scaled(b, b.dy(), b.node.float_or("alpha", 1));
  if (b.wants(0))
    b.give(0, turn_a ? product(b, turned(b.x(1), turn_b), turned(dy, true)) : product(b, dy, turned(b.x(1), !turn_b)));
  if (b.wants(1))
    b.give(1, turn_b ? product(b, turned(dy, true), turned(b.x(0), turn_a)) : product(b, turned(b.x(0), !turn_a), dy));
  if (b.wants(2)) TENON_TRY(b.give_summed(2, scaled(b, b.dy(), b.node.float_or("beta", 1))));
  return {};
}

Status transpose(Backward& b) {
  const auto* perm = b.node.ints("perm");
  if (!perm) {
    b.give(0, b.b.add("Transpose", {b.dy()}));
    return {};
  }
  std::vector<std::int64_t> back(perm->size());
  for (std::size_t d = 0; d < perm->size(); ++d) {
    const std::int64_t from = (*perm)[d];
    if (from < 0 || from >= static_cast<std::int64_t>(back.size())) return invalid("{}: perm has the axis {}", b.node.label(), from);
    back[static_cast<std::size_t>(from)] = static_cast<std::int64_t>(d);
  }
  b.give(0, b.b.add("Transpose", {b.dy()}, {{"perm", std::move(back)}}));
  return {};
}

Status reshape(Backward& b) {
  b.give(0, b.b.reshaped(b.dy(), b.x()));
  return {};
}

Status expand(Backward& b) { return b.give_summed(0, b.dy()); }

Status concat(Backward& b) {
  const std::int64_t axis = b.node.int_or("axis", 0);
  TENON_ASSIGN(const std::vector<Dim> dims, b.dims(b.y()));
  const std::int64_t at = axis < 0 ? axis + static_cast<std::int64_t>(dims.size()) : axis;
  std::vector<ValueId> sizes;
  for (ValueId v : b.node.inputs) sizes.push_back(b.b.add("Shape", {v}, {{"start", at}, {"end", at + 1}}));
  const ValueId split = b.b.add("Concat", sizes, {{"axis", std::int64_t{0}}});
  const std::vector<ValueId> parts = b.b.add_many("Split", {b.dy(), split}, sizes.size(), {{"axis", at}});
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (b.wants(i)) b.give(i, parts[i]);
  return {};
}

Status split(Backward& b) {
  std::vector<ValueId> parts;
  for (std::size_t o = 0; o < b.node.outputs.size(); ++o) {
    if (b.node.outputs[o] == none)
      return error(TENON_UNIMPLEMENTED, "{}: its gradient needs every output named; output {} is not", b.node.label(), o);
    parts.push_back(b.dy(o));
  }
  b.give(0, b.b.add("Concat", parts, {{"axis", b.node.int_or("axis", 0)}}));
  return {};
}

// A value of the reduced shape, stretched to the shape before.
Result<ValueId> stretched(Backward& b, ValueId v) {
  const ValueId axes = b.x(1);
  const ConstantPtr* known = b.b.graph.constant(axes);
  const bool all = axes == none || (known && (*known)->count() == 0);
  if (all && b.node.int_or("noop_with_empty_axes", 0)) return v;
  if (!all && b.node.int_or("keepdims", 1) == 0) v = b.b.add("Unsqueeze", {v, axes});
  return b.b.add("Expand", {v, b.b.shape(b.x())});
}
Status reduce_sum(Backward& b) {
  TENON_ASSIGN(const ValueId dx, stretched(b, b.dy()));
  b.give(0, dx);
  return {};
}
Status reduce_sum_square(Backward& b) {
  TENON_ASSIGN(const ValueId dx, stretched(b, b.dy()));
  b.give(0, b.b.add("Mul", {dx, b.b.add("Mul", {b.x(), b.b.number(2, b.x())})}));
  return {};
}
Status reduce_mean(Backward& b) {
  const auto real = [&](ValueId v) { return b.b.add("Cast", {b.b.add("Size", {v})}, {{"to", std::int64_t{b.b.dtype(b.x())}}}); };
  TENON_ASSIGN(const ValueId dx, stretched(b, b.b.add("Mul", {b.dy(), b.b.add("Div", {real(b.y()), real(b.x())})})));
  b.give(0, dx);
  return {};
}

// y (dy - sum of y dy)
Status softmax(Backward& b) {
  const ValueId axis = b.b.ints({b.node.int_or("axis", -1)});
  const ValueId sum = b.b.add("ReduceSum", {b.b.add("Mul", {b.y(), b.dy()}), axis}, {{"keepdims", std::int64_t{1}}});
  b.give(0, b.b.add("Mul", {b.y(), b.b.add("Sub", {b.dy(), sum})}));
  return {};
}
// dy - exp(y) sum of dy
Status log_softmax(Backward& b) {
  const ValueId sum = b.b.add("ReduceSum", {b.dy(), b.b.ints({b.node.int_or("axis", -1)})}, {{"keepdims", std::int64_t{1}}});
  b.give(0, b.b.add("Sub", {b.dy(), b.b.add("Mul", {b.b.add("Exp", {b.y()}), sum})}));
  return {};
}

constexpr GradientRule rules[] = {
    {"Concat", concat}, {"Expand", expand}, {"Flatten", reshape}, {"Gemm", gemm}, {"LogSoftmax", log_softmax}, {"MatMul", matmul},
    {"ReduceMean", reduce_mean}, {"ReduceSum", reduce_sum}, {"ReduceSumSquare", reduce_sum_square}, {"Reshape", reshape},
    {"Softmax", softmax}, {"Split", split, true}, {"Squeeze", reshape}, {"Transpose", transpose}, {"Unsqueeze", reshape},
};

}  // namespace

std::span<const GradientRule> tensor_gradients() { return rules; }

}  // namespace tenon
