// ArgMax, ArgMin and Hardmax.
#include <algorithm>

#include "plugins/cpu/ops/reduce_family.h"
#include "plugins/cpu/ops/reduce_kernels.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

// b goes before a. A NaN goes before every number.
template <class T>
bool better(bool largest, bool last, T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (b != b) return last || a == a;
    if (a != a) return false;
  }
  if (last && a == b) return true;
  return largest ? b > a : b < a;
}

template <class T>
std::int64_t arg_line(bool largest, bool last, const T* x, std::int64_t n, std::int64_t stride) {
  std::int64_t at = 0;
  for (std::int64_t i = 1; i < n; ++i) {
    if (better<T>(largest, last, x[at * stride], x[i * stride])) at = i;
  }
  return at;
}

constexpr std::int64_t column_block = 256;

struct ArgStep {
  Ref x, y;
  std::int64_t outer, n, inner;
  std::int32_t dtype;
  bool largest, last, plain;

  void operator()(const StepContext& c) const {
    const std::int64_t blocks = (inner + column_block - 1) / column_block;
    const auto slice = c.slice(outer * blocks);
    if (slice.begin >= slice.end) return;
    std::int64_t* out = c.ptr<std::int64_t>(y);
    visit_number(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* in = c.ptr<const T>(x);
      for (std::int64_t item = slice.begin; item < slice.end; ++item) {
        const std::int64_t o = item / blocks, col = item % blocks * column_block, width = std::min(column_block, inner - col);
        const T* base = in + o * n * inner + col;
        std::int64_t* index = out + o * inner + col;
        if constexpr (std::is_same_v<T, float>) {
          if (!plain && inner == 1) {
            *index = arg_run(largest, last, base, n);
            continue;
          }
          if (!plain && n <= INT32_MAX) {
            arg_columns(largest, last, base, n, inner, width, index);
            continue;
          }
        }
        for (std::int64_t i = 0; i < width; ++i) index[i] = arg_line<T>(largest, last, base + i, n, inner);
      }
    });
  }
};

class ArgOp final : public Op {
 public:
  ArgOp(const NodeView& node, bool largest)
      : axis_(node.int_or("axis", 0)), last_(node.int_or("select_last_index", 0) != 0), largest_(largest) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    // A scalar has one element, at index 0.
    const std::int64_t axis = in.rank() == 0 ? 0 : normal_axis(axis_, in.rank());
    const std::int64_t n = in.rank() == 0 ? 1 : in[axis];
    const std::int64_t outer = in.outer(axis), inner = in.rank() == 0 ? 1 : in.inner(axis);
    if (outer * inner == 0) return;
    if (n == 0) invalid_argument("the largest or smallest of no elements");
    builder.step(largest_ ? "ArgMax" : "ArgMin",
                 ArgStep{builder.in_ref(0), builder.out_ref(0), outer, n, inner, in.dtype, largest_, last_, builder.options().plain},
                 {.est_ns = static_cast<double>(in.count()) * 0.3});
  }

 private:
  std::int64_t axis_;
  bool last_, largest_;
};

struct HardmaxStep {
  Ref x, y;
  std::int64_t outer, n, inner;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(outer * inner);
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t line = slice.begin; line < slice.end; ++line) {
        const std::int64_t base = line / inner * n * inner + line % inner;
        const T* in = c.ptr<const T>(x) + base;
        T* out = c.ptr<T>(y) + base;
        const std::int64_t at = arg_line<T>(true, false, in, n, inner);
        for (std::int64_t i = 0; i < n; ++i) out[i * inner] = i == at ? T(1) : T(0);
      }
    });
  }
};

class HardmaxOp final : public Op {
 public:
  explicit HardmaxOp(const NodeView& node) : axis_(node.int_or("axis", -1)) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if (in.count() == 0) return;
    const std::int64_t axis = in.rank() == 0 ? 0 : normal_axis(axis_, in.rank());
    const std::int64_t n = in.rank() == 0 ? 1 : in[axis], inner = in.rank() == 0 ? 1 : in.inner(axis);
    builder.inplace(0, 0);
    builder.step("Hardmax", HardmaxStep{builder.in_ref(0), builder.out_ref(0), in.outer(axis), n, inner, in.dtype},
                 {.est_ns = static_cast<double>(in.count()) * 2});
  }

 private:
  std::int64_t axis_;
};

Support supports_arg(const NodeView& node) { return is_number(node.dtype(0)) ? Support::yes() : refuse_dtype(node.dtype(0)); }

}  // namespace

std::span<const OpRow> arg_reduce_rows() {
  static const OpRow rows[] = {
      {"", "ArgMax", supports_arg,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<ArgOp>(node, true); }},
      {"", "ArgMin", supports_arg,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<ArgOp>(node, false); }},
      {"", "Hardmax", supports_float,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<HardmaxOp>(node); }},
  };
  return rows;
}

}  // namespace tenon::cpu
