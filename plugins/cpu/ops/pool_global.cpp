// GlobalAveragePool, GlobalMaxPool, GlobalLpPool.
#include <algorithm>
#include <cmath>
#include <limits>

#include "plugins/cpu/ops/conv_shape.h"
#include "plugins/cpu/ops/pool_family.h"
#include "plugins/cpu/ops/pool_kernels.h"
#include "plugins/cpu/ops/reduce_kernels.h"

namespace tenon::cpu {
namespace {

// float32; block is 1 for dense images. The result has the same bytes in any layout.
struct GlobalPool {
  Pooling pooling;
  std::int64_t planes, pixels, block, p;
  Ref x, y;

  void operator()(const StepContext& context) const {
    const float* in = context.ptr<const float>(x);
    float* out = context.ptr<float>(y);
    const Fold fold = pooling == Pooling::max       ? Fold::max
                      : pooling == Pooling::average ? Fold::sum
                      : p == 1                      ? Fold::sum_abs
                                                    : Fold::sum_square;
    const auto slice = context.slice(planes);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      float* to = out + i * block;
      const float* from = in + i * pixels * block;
      if (block == 1) {
        to[0] = fold_run(fold, from, pixels);
      } else {
        std::fill_n(to, block, fold_start(fold));
        fold_rows(fold, from, pixels, block, block, nullptr, to);
      }
      for (std::int64_t c = 0; c < block; ++c) {
        if (pooling == Pooling::average) to[c] /= static_cast<float>(pixels);
        else if (pooling == Pooling::lp && p != 1) to[c] = std::sqrt(to[c]);
      }
    }
  }
};

template <class T>
struct PlainGlobalPool {
  Pooling pooling;
  std::int64_t planes, pixels, p;
  Ref x, y;

  void operator()(const StepContext& context) const {
    const auto slice = context.slice(planes);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) context.ptr<T>(y)[i] = one(context.ptr<const T>(x) + i * pixels);
  }
  T one(const T* x) const {
    T best = -std::numeric_limits<T>::infinity();
    double sum = 0;
    for (std::int64_t k = 0; k < pixels; ++k) {
      if (pooling == Pooling::max) best = x[k] > best || x[k] != x[k] ? x[k] : best;
      else
        sum +=
            pooling == Pooling::average ? static_cast<double>(x[k]) : std::pow(std::abs(static_cast<double>(x[k])), static_cast<double>(p));
    }
    if (pooling == Pooling::max) return best;
    return static_cast<T>(pooling == Pooling::average ? sum / static_cast<double>(pixels) : std::pow(sum, 1.0 / static_cast<double>(p)));
  }
};

class Global final : public Op {
 public:
  Global(const NodeView& node, CompileContext& context) : p_(node.int_or("p", 2)) {
    pooling_ = node.op_type() == "GlobalMaxPool" ? Pooling::max : node.op_type() == "GlobalAveragePool" ? Pooling::average : Pooling::lp;
    plain_ = context.options().plain || node.dtype(0) != TENON_DTYPE_FLOAT || (pooling_ == Pooling::lp && p_ > 2);
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t) override {
    if (plain_) inputs[0] = 0;
    return 0;
  }

  void plan(PlanBuilder& builder) const override {
    const Shape &x = builder.in(0), &y = builder.out(0);
    require(x.rank() >= 2 && y.rank() == x.rank() && y.count() == x[0] * x[1], "a global pool keeps batch and channels only");
    if (y.count() == 0) return;
    const std::int64_t pixels = x.inner(1), block = x.block == 0 ? 1 : x.block;
    const Ref in = builder.in_ref(0), out = builder.out_ref(0);
    if (!plain_) return builder.step("pool.global", GlobalPool{pooling_, y.count() / block, pixels, block, p_, in, out});
    if (x.dtype == TENON_DTYPE_DOUBLE) builder.step("pool.plain", PlainGlobalPool<double>{pooling_, y.count(), pixels, p_, in, out});
    else builder.step("pool.plain", PlainGlobalPool<float>{pooling_, y.count(), pixels, p_, in, out});
  }

 private:
  Pooling pooling_;
  std::int64_t p_;
  bool plain_;
};

Support supports_global(const NodeView& node) {
  if (!node.has_input(0) || !node.has_output(0)) return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  if (node.dtype(0) != TENON_DTYPE_FLOAT && node.dtype(0) != TENON_DTYPE_DOUBLE) return Support::no(TENON_REJECT_DTYPE, "float types only");
  if (node.rank(0) < 2) return Support::no(TENON_REJECT_RANK, "a batch and channels are expected");
  if (node.int_or("p", 2) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "p is below 1");
  return Support::yes();
}

std::unique_ptr<Op> make_global(const NodeView& node, CompileContext& context) { return std::make_unique<Global>(node, context); }

}  // namespace

std::span<const OpRow> global_pool_rows() {
  static const OpRow rows[] = {{"", "GlobalAveragePool", supports_global, make_global},
                               {"", "GlobalMaxPool", supports_global, make_global},
                               {"", "GlobalLpPool", supports_global, make_global}};
  return rows;
}

}  // namespace tenon::cpu
