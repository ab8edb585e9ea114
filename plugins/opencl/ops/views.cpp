// Operators that only look at the same elements otherwise: no kernel runs unless somebody needs the result in one piece.
#include <algorithm>

#include "plugins/opencl/families.h"

namespace tenon::opencl {
namespace {

// ---- other dims: Reshape and its kin ----

class ReshapeOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Dims& dims = b.out_shape(0).dims;
    Tensor view;
    // The elements of a Reshape follow each other row-major, whatever the memory's order is.
    if (!reshaped(b.in(0), dims, view)) reshaped(b.dense(b.in(0)), dims, view);
    view.known = nullptr;
    b.alias_out(0, view);
  }
};

// ---- other order: Transpose ----

class TransposeOp final : public Op {
 public:
  explicit TransposeOp(std::vector<std::int64_t> order) : order_(std::move(order)) {}
  void plan(PlanBuilder& b) const override {
    std::vector<std::int64_t> order = order_;
    // The axes from the last to the first unless the node says otherwise.
    if (order.empty())
      for (std::int64_t d = b.in(0).rank(); d-- > 0;) order.push_back(d);
    b.alias_out(0, permuted(b.in(0), order));
  }

 private:
  std::vector<std::int64_t> order_;
};

std::unique_ptr<Op> make_transpose(const Node& node, CompileContext&) {
  return std::make_unique<TransposeOp>(node.integers("perm"));
}

// ---- fewer elements: Slice, Split ----

// Elements of a small integer tensor; throws where they are not known.
std::vector<std::int64_t> integers(const Tensor& t, const char* what) {
  if (!t.present()) return {};
  if (!t.known && t.count() > 0) throw Failure{TENON_UNSUPPORTED_SHAPE, std::string(what) + " must be known before the run"};
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < t.count(); ++i)
    out.push_back(t.dtype == TENON_DTYPE_INT32 ? static_cast<const std::int32_t*>(t.known)[i] : static_cast<const std::int64_t*>(t.known)[i]);
  return out;
}

class SliceOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const std::vector<std::int64_t> starts = integers(b.in(1), "starts");
    std::vector<std::int64_t> axes = integers(b.in(3), "axes"), steps = integers(b.in(4), "steps");
    Tensor view = b.in(0);
    const Dims& dims = b.out_shape(0).dims;
    for (std::size_t i = 0; i < starts.size(); ++i) {
      std::int64_t axis = axes.empty() ? static_cast<std::int64_t>(i) : axes[i];
      if (axis < 0) axis += view.rank();
      if (axis < 0 || axis >= view.rank()) throw Failure{TENON_INVALID_ARGUMENT, "axis " + std::to_string(axis) + " of a tensor of rank " + std::to_string(view.rank())};
      const std::int64_t step = steps.empty() ? 1 : steps[i], size = view.dim(axis);
      if (step == 0) throw Failure{TENON_INVALID_ARGUMENT, "a step of 0"};
      std::int64_t start = starts[i] < 0 ? starts[i] + size : starts[i];
      start = step > 0 ? std::clamp<std::int64_t>(start, 0, size) : std::clamp<std::int64_t>(start, 0, size - 1);
      view = sliced(view, axis, start, dims[static_cast<std::size_t>(axis)], step);
    }
    b.alias_out(0, view);
  }
};

// Inputs that must be known while planning: constants, what core evaluates, or what the model is fed.
Support known_inputs(const Node& node, const Profile&) {
  for (std::size_t i = 1; i < node.input_count(); ++i)
    if (const tenon_value* v = node.input(i); v && !known_before_run(node, i))
      return Support::no(TENON_REJECT_NEEDS_CONSTANT, "input " + std::to_string(i) + " is computed during the run");
  return Support::yes();
}

class SplitOp final : public Op {
 public:
  explicit SplitOp(std::int64_t axis) : axis_(axis) {}
  void plan(PlanBuilder& b) const override {
    const std::int64_t axis = axis_ < 0 ? axis_ + b.in(0).rank() : axis_;
    const std::vector<std::int64_t> given = integers(b.in(1), "split");
    std::int64_t at = 0;
    for (std::size_t o = 0; o < b.outputs(); ++o) {
      std::int64_t size = 0;
      if (!given.empty()) size = given[o];
      else {
        const auto n = static_cast<std::int64_t>(b.outputs());
        size = std::min((b.in(0).dim(axis) + n - 1) / n, b.in(0).dim(axis) - at);
      }
      if (b.out_shape(o).present()) b.alias_out(o, sliced(b.in(0), axis, at, size, 1));
      at += size;
    }
  }

 private:
  std::int64_t axis_;
};

// ---- more elements: Expand ----

class ExpandOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override { b.alias_out(0, broadcast(b.in(0), b.out_shape(0).dims)); }
};

template <class T>
std::unique_ptr<Op> make(const Node&, CompileContext&) { return std::make_unique<T>(); }
std::unique_ptr<Op> make_split(const Node& node, CompileContext&) { return std::make_unique<SplitOp>(node.integer("axis", 0)); }
double nothing(const Node&) { return 0; }

const OpRow rows[] = {
    {"", "Reshape", nullptr, make<ReshapeOp>, nothing},   {"", "Flatten", nullptr, make<ReshapeOp>, nothing},
    {"", "Squeeze", nullptr, make<ReshapeOp>, nothing},   {"", "Unsqueeze", nullptr, make<ReshapeOp>, nothing},
    {"", "Transpose", nullptr, make_transpose, nothing},  {"", "Slice", known_inputs, make<SliceOp>, nothing},
    {"", "Split", known_inputs, make_split, nothing},     {"", "Expand", nullptr, make<ExpandOp>, nothing},
};

}  // namespace

std::span<const OpRow> view_rows() { return rows; }

}  // namespace tenon::opencl
