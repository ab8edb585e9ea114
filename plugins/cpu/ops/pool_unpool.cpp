// MaxUnpool: puts values back where MaxPool's indices say, zeros elsewhere.
#include <algorithm>

#include "plugins/cpu/ops/conv_shape.h"
#include "plugins/cpu/ops/pool_family.h"

namespace tenon::cpu {
namespace {

constexpr int kMaxRank = 2 + kMaxSpatial;

template <class T>
struct Clear {
  std::int64_t count;
  Ref y;

  void operator()(const StepContext& context) const {
    const auto slice = context.slice(count, 1024);
    std::fill(context.ptr<T>(y) + slice.begin, context.ptr<T>(y) + slice.end, T(0));
  }
};

// The indices count elements of the tensor that was pooled, which may be smaller than the output.
template <class T>
struct Unpool {
  std::int64_t count, pooled_count;
  int rank;
  std::int64_t pooled[kMaxRank], out[kMaxRank];
  Ref x, indices, y;

  void operator()(const StepContext& context) const {
    const T* in = context.ptr<const T>(x);
    const auto* where = context.ptr<const std::int64_t>(indices);
    T* to = context.ptr<T>(y);
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t left = where[i], at = 0, stride = 1;
      if (left < 0 || left >= pooled_count)
        return context.fail(TENON_OUT_OF_RANGE,
                            "index " + std::to_string(left) + " of " + std::to_string(pooled_count) + " elements");
      bool inside = true;
      for (int d = rank - 1; d >= 0; --d) {
        const std::int64_t k = left % pooled[d];
        inside = inside && k < out[d];
        at += k * stride;
        stride *= out[d], left /= pooled[d];
      }
      if (inside) to[at] = in[i];
    }
  }
};

class MaxUnpool final : public Op {
 public:
  MaxUnpool(const NodeView& node, CompileContext&) {
    if (const std::string error = WindowAttributes::read(node, node.rank(0) - 2, window_); !error.empty())
      throw Failure{TENON_INVALID_ARGUMENT, error};
  }
  void plan(PlanBuilder& builder) const override {
    if (builder.in(0).dtype == TENON_DTYPE_DOUBLE) emit<double>(builder);
    else emit<float>(builder);
  }

 private:
  template <class T>
  void emit(PlanBuilder& builder) const {
    const Shape &x = builder.in(0), &y = builder.out(0);
    require(builder.in(1).count() == x.count(), "an index for each element is expected");
    require(x.rank() == window_.spatial + 2 && y.rank() == x.rank(), "ranks of input and output differ");
    Unpool<T> step{x.count(), 1, static_cast<int>(x.rank()), {}, {}, builder.in_ref(0), builder.in_ref(1), builder.out_ref(0)};
    for (int d = 0; d < step.rank; ++d) {
      step.out[d] = y[d];
      step.pooled[d] =
          d < 2 ? x[d] : (x[d] - 1) * window_.strides[d - 2] - window_.pads_begin[d - 2] - window_.pads_end[d - 2] + window_.kernel[d - 2];
      require(step.pooled[d] >= 0, "the pooled tensor would have a negative size");
      require(step.pooled[d] == 0 || step.pooled_count <= (std::int64_t{1} << 60) / step.pooled[d], "sizes are out of range");
      step.pooled_count *= step.pooled[d];
    }
    if (y.count() == 0) return;
    builder.step("unpool.clear", Clear<T>{y.count(), step.y});
    if (x.count() > 0) builder.step("unpool", step, {.spmd = false});
  }
  WindowAttributes window_;
};

Support supports_unpool(const NodeView& node) {
  if (!node.has_input(0) || !node.has_input(1) || !node.has_output(0))
    return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  if (node.dtype(0) != TENON_DTYPE_FLOAT && node.dtype(0) != TENON_DTYPE_DOUBLE) return Support::no(TENON_REJECT_DTYPE, "float types only");
  if (node.dtype(1) != TENON_DTYPE_INT64) return Support::no(TENON_REJECT_DTYPE, "indices are int64");
  if (node.ints("kernel_shape").empty()) return Support::no(TENON_REJECT_ATTRIBUTE, "kernel_shape is missing");
  return supports_window(node);
}

std::unique_ptr<Op> make_unpool(const NodeView& node, CompileContext& context) { return std::make_unique<MaxUnpool>(node, context); }

}  // namespace

std::span<const OpRow> unpool_rows() {
  static const OpRow rows[] = {{"", "MaxUnpool", supports_unpool, make_unpool}};
  return rows;
}

}  // namespace tenon::cpu
