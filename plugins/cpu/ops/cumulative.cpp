// CumSum and CumProd.
#include <algorithm>

#include "plugins/cpu/ops/reduce_family.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t column_block = 512;

template <class T>
T combine(bool product, T a, T b) {
  return product ? wrapping_mul<T>(a, b) : wrapping_add<T>(a, b);
}

// The axis may be data of the run, so the split into outer, axis and inner is made by the step.
struct CumulativeStep {
  Ref x, axis, y;
  const std::int64_t* dims;
  std::int32_t rank, dtype, axis_dtype;
  bool product, exclusive, reverse;

  void operator()(const StepContext& c) const {
    std::int64_t at = integer_at(c.ptr<const char>(axis), axis_dtype, 0);
    if (at < -rank || at >= std::max(rank, 1)) {
      c.fail(TENON_OUT_OF_RANGE, "axis " + std::to_string(at) + " is outside a tensor of rank " + std::to_string(rank));
      return;
    }
    if (at < 0) at += rank;
    std::int64_t outer = 1, n = 1, inner = 1;
    for (std::int32_t i = 0; i < rank; ++i) (i < at ? outer : i == at ? n : inner) *= dims[i];
    const std::int64_t blocks = (inner + column_block - 1) / column_block;
    const auto slice = c.slice(outer * blocks);
    if (slice.begin >= slice.end || n == 0) return;
    visit_wide(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t item = slice.begin; item < slice.end; ++item) {
        const std::int64_t col = item % blocks * column_block, width = std::min(column_block, inner - col);
        const std::int64_t base = item / blocks * n * inner + col;
        run<T>(c.ptr<const T>(x) + base, c.ptr<T>(y) + base, n, inner, width);
      }
    });
  }

  template <class T>
  void run(const T* in, T* out, std::int64_t n, std::int64_t stride, std::int64_t width) const {
    if (width == 1) {
      T sum = product ? T(1) : T(0);
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t at = (reverse ? n - 1 - i : i) * stride;
        const T next = combine<T>(product, sum, in[at]);
        out[at] = exclusive ? sum : next;
        sum = next;
      }
      return;
    }
    T sums[column_block];
    std::fill(sums, sums + width, product ? T(1) : T(0));
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t at = (reverse ? n - 1 - i : i) * stride;
      for (std::int64_t j = 0; j < width; ++j) {
        const T next = combine<T>(product, sums[j], in[at + j]);
        out[at + j] = exclusive ? sums[j] : next;
        sums[j] = next;
      }
    }
  }
};

class CumulativeOp final : public Op {
 public:
  CumulativeOp(const NodeView& node, bool product)
      : product_(product), exclusive_(node.int_or("exclusive", 0) != 0), reverse_(node.int_or("reverse", 0) != 0) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if (in.count() == 0) return;
    if (builder.in(1).count() < 1) invalid_argument("the axis must be one number");
    builder.inplace(0, 0);
    builder.step(product_ ? "CumProd" : "CumSum",
                 CumulativeStep{builder.in_ref(0), builder.in_ref(1), builder.out_ref(0), builder.keep<std::int64_t>(in.dims),
                                static_cast<std::int32_t>(in.rank()), in.dtype, builder.in(1).dtype, product_, exclusive_, reverse_},
                 {.est_ns = static_cast<double>(in.count())});
  }

 private:
  bool product_, exclusive_, reverse_;
};

Support supports(const NodeView& node) {
  if (!is_wide(node.dtype(0))) return refuse_dtype(node.dtype(0));
  const std::int32_t axis = node.dtype(1);
  return axis == TENON_DTYPE_INT32 || axis == TENON_DTYPE_INT64 ? Support::yes() : refuse_dtype(axis);
}

}  // namespace

std::span<const OpRow> cumulative_rows() {
  static const OpRow rows[] = {
      {"", "CumSum", supports,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<CumulativeOp>(node, false); }},
      {"", "CumProd", supports,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<CumulativeOp>(node, true); }},
  };
  return rows;
}

}  // namespace tenon::cpu
