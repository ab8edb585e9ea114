// LRN and LpNormalization.
#include <cmath>

#include "plugins/cpu/ops/norm_family.h"
#include "plugins/cpu/ops/norm_kernels.h"
#include "plugins/cpu/ops/reduce_kernels.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t lrn_width = 512;

// y = x / (bias + alpha / size * sum of squares over the neighbouring channels)^beta; [outer, channels, inner].
struct LrnStep {
  Ref x, y;
  std::int64_t outer, channels, inner, size;
  double alpha, beta, bias;
  std::int32_t dtype;
  bool plain;

  // Channels that count for one: (size - 1) / 2 before it, the rest behind.
  std::int64_t first(std::int64_t ch) const { return std::max<std::int64_t>(0, ch - (size - 1) / 2); }
  std::int64_t end(std::int64_t ch) const { return std::min(channels, ch + size / 2 + 1); }

  void operator()(const StepContext& c) const {
    if (dtype == TENON_DTYPE_DOUBLE) return run_plain<double>(c);
    if (plain) return run_plain<float>(c);
    const float* in = c.ptr<const float>(x);
    float* out = c.ptr<float>(y);
    const std::int64_t blocks = (inner + lrn_width - 1) / lrn_width;
    const auto slice = c.slice(outer * channels * blocks);
    float squares[lrn_width];
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t row = item / blocks, col = item % blocks * lrn_width, n = std::min(lrn_width, inner - col);
      const std::int64_t ch = row % channels, base = row - ch;
      std::fill(squares, squares + n, 0.0f);
      for (std::int64_t k = first(ch); k < end(ch); ++k) add_squares(in + (base + k) * inner + col, n, squares);
      lrn_row(in + row * inner + col, squares, n, static_cast<float>(alpha / static_cast<double>(size)), static_cast<float>(beta),
              static_cast<float>(bias), out + row * inner + col);
    }
  }

  template <class T>
  void run_plain(const StepContext& c) const {
    const auto slice = c.slice(outer * channels);
    const T* in = c.ptr<const T>(x);
    T* out = c.ptr<T>(y);
    for (std::int64_t row = slice.begin; row < slice.end; ++row) {
      const std::int64_t ch = row % channels, base = row - ch;
      for (std::int64_t i = 0; i < inner; ++i) {
        double sum = 0;
        for (std::int64_t k = first(ch); k < end(ch); ++k) {
          const double v = static_cast<double>(in[(base + k) * inner + i]);
          sum += v * v;
        }
        const double v = static_cast<double>(in[row * inner + i]);
        out[row * inner + i] = static_cast<T>(v / std::pow(bias + alpha / static_cast<double>(size) * sum, beta));
      }
    }
  }
};

class LrnOp final : public Op {
 public:
  explicit LrnOp(const NodeView& node)
      : size_(node.int_or("size", 1)), alpha_(static_cast<double>(node.float_or("alpha", 1e-4f))),
        beta_(static_cast<double>(node.float_or("beta", 0.75f))), bias_(static_cast<double>(node.float_or("bias", 1.0f))) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if (in.rank() < 2) invalid_argument("LRN needs at least two dimensions");
    if (in.count() == 0) return;
    builder.step("LRN",
                 LrnStep{builder.in_ref(0), builder.out_ref(0), in[0], in[1], in.inner(1), size_, alpha_, beta_, bias_, in.dtype,
                         builder.options().plain},
                 {.est_ns = static_cast<double>(in.count()) * 0.8});
  }

 private:
  std::int64_t size_;
  double alpha_, beta_, bias_;
};

// y = x / norm along an axis; lines of norm 0 become 0.
struct LpStep {
  Ref x, y;
  std::int64_t outer, n, inner, p;
  std::int32_t dtype;
  bool plain;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(outer * inner);
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t line = slice.begin; line < slice.end; ++line) {
        const std::int64_t base = line / inner * n * inner + line % inner;
        const T* in = c.ptr<const T>(x) + base;
        T* out = c.ptr<T>(y) + base;
        if constexpr (std::is_same_v<T, float>) {
          if (inner == 1 && !plain) {
            const float sum = fold_run(p == 1 ? Fold::sum_abs : Fold::sum_square, in, n);
            const float norm = p == 1 ? sum : std::sqrt(sum);
            affine_run(in, n, norm == 0 ? 0.0f : 1.0f / norm, 0.0f, out);
            continue;
          }
        }
        double sum = 0;
        for (std::int64_t i = 0; i < n; ++i) {
          const double v = static_cast<double>(in[i * inner]);
          sum += p == 1 ? std::abs(v) : v * v;
        }
        const double norm = p == 1 ? sum : std::sqrt(sum);
        for (std::int64_t i = 0; i < n; ++i) out[i * inner] = norm == 0 ? T(0) : static_cast<T>(static_cast<double>(in[i * inner]) / norm);
      }
    });
  }
};

class LpNormOp final : public Op {
 public:
  explicit LpNormOp(const NodeView& node) : axis_(node.int_or("axis", -1)), p_(node.int_or("p", 2)) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if (in.count() == 0) return;
    const std::int64_t axis = normal_axis(axis_, in.rank());
    builder.inplace(0, 0);
    builder.step("LpNormalization",
                 LpStep{builder.in_ref(0), builder.out_ref(0), in.outer(axis), in[axis], in.inner(axis), p_, in.dtype,
                        builder.options().plain},
                 {.est_ns = static_cast<double>(in.count())});
  }

 private:
  std::int64_t axis_, p_;
};

Support supports_lrn(const NodeView& node) {
  if (node.int_or("size", 0) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "size must be positive");
  return supports_float(node);
}

Support supports_lp(const NodeView& node) {
  const std::int64_t p = node.int_or("p", 2);
  if (p != 1 && p != 2) return Support::no(TENON_REJECT_ATTRIBUTE, "p must be 1 or 2");
  return supports_float(node);
}

}  // namespace

std::span<const OpRow> lrn_rows() {
  static const OpRow rows[] = {
      {"", "LRN", supports_lrn, [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<LrnOp>(node); }},
      {"", "LpNormalization", supports_lp,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<LpNormOp>(node); }},
  };
  return rows;
}

}  // namespace tenon::cpu
