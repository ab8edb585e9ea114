// Det and MeanVarianceNormalization.
#include <algorithm>
#include <cmath>

#include "plugins/cpu/ops/reduce_family.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

// Gaussian elimination with row pivots, in double.
struct DetStep {
  Ref x, y, scratch;
  std::uint64_t scratch_bytes;
  std::int64_t count, n;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(count);
    double* a = worker_scratch<double>(c, scratch, scratch_bytes);
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t m = slice.begin; m < slice.end; ++m) {
        const T* in = c.ptr<const T>(x) + m * n * n;
        std::copy(in, in + n * n, a);
        c.ptr<T>(y)[m] = static_cast<T>(eliminate(a));
      }
    });
  }

  double eliminate(double* a) const {
    double det = 1;
    for (std::int64_t k = 0; k < n; ++k) {
      std::int64_t pivot = k;
      for (std::int64_t r = k + 1; r < n; ++r) {
        if (std::abs(a[r * n + k]) > std::abs(a[pivot * n + k])) pivot = r;
      }
      const double p = a[pivot * n + k];
      if (p == 0) return 0;
      if (pivot != k) {
        std::swap_ranges(a + k * n, a + (k + 1) * n, a + pivot * n);
        det = -det;
      }
      det *= p;
      for (std::int64_t r = k + 1; r < n; ++r) {
        const double f = a[r * n + k] / p;
        for (std::int64_t j = k; j < n; ++j) a[r * n + j] -= f * a[k * n + j];
      }
    }
    return det;
  }
};

class DetOp final : public Op {
 public:
  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if (in.rank() < 2 || in[-1] != in[-2]) invalid_argument("Det needs square matrices");
    const std::int64_t n = in[-1], count = builder.out(0).count();
    if (count == 0) return;
    const std::uint64_t bytes = static_cast<std::uint64_t>(n * n) * sizeof(double);
    builder.step("Det", DetStep{builder.in_ref(0), builder.out_ref(0), builder.scratch(bytes), bytes, count, n, in.dtype},
                 {.est_ns = static_cast<double>(count * n * n * n) * 0.7});
  }
};

// (x - mean) / (deviation + 1e-9) over some axes; each worker takes some of the kept index combinations.
struct MvnStep {
  Ref x, y;
  const std::int64_t* dims;     // kept dims, then reduced ones
  const std::int64_t* strides;
  std::int32_t kept, reduced, dtype;
  std::int64_t units, folded;

  template <class F>
  void each(std::int64_t base, const F& f) const {
    for (std::int64_t i = 0; i < folded; ++i) {
      std::int64_t rest = i, offset = base;
      for (std::int32_t d = kept + reduced; d-- > kept;) {
        offset += rest % dims[d] * strides[d];
        rest /= dims[d];
      }
      f(offset);
    }
  }

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(units);
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* in = c.ptr<const T>(x);
      T* out = c.ptr<T>(y);
      for (std::int64_t unit = slice.begin; unit < slice.end; ++unit) {
        std::int64_t rest = unit, base = 0;
        for (std::int32_t d = kept; d-- > 0;) {
          base += rest % dims[d] * strides[d];
          rest /= dims[d];
        }
        double sum = 0, square = 0;
        each(base, [&](std::int64_t i) { sum += static_cast<double>(in[i]); });
        const double mean = sum / static_cast<double>(folded);
        each(base, [&](std::int64_t i) {
          const double t = static_cast<double>(in[i]) - mean;
          square += t * t;
        });
        const double scale = 1 / (std::sqrt(square / static_cast<double>(folded)) + 1e-9);
        each(base, [&](std::int64_t i) { out[i] = static_cast<T>((static_cast<double>(in[i]) - mean) * scale); });
      }
    });
  }
};

class MvnOp final : public Op {
 public:
  explicit MvnOp(const NodeView& node) {
    const auto axes = node.ints("axes");
    axes_.assign(axes.begin(), axes.end());
    if (!node.attribute("axes")) axes_ = {0, 2, 3};
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    if (in.count() == 0) return;
    const std::size_t rank = in.dims.size();
    std::vector<bool> goes(rank, false);
    for (std::int64_t a : axes_) goes[static_cast<std::size_t>(normal_axis(a, in.rank()))] = true;
    std::vector<std::int64_t> dims, strides;
    MvnStep step{};
    step.units = step.folded = 1;
    for (bool reduced : {false, true}) {
      for (std::size_t i = 0; i < rank; ++i) {
        if (goes[i] != reduced) continue;
        dims.push_back(in.dims[i]);
        strides.push_back(in.inner(static_cast<std::int64_t>(i)));
        ++(reduced ? step.reduced : step.kept);
        (reduced ? step.folded : step.units) *= in.dims[i];
      }
    }
    step.x = builder.in_ref(0), step.y = builder.out_ref(0), step.dtype = in.dtype;
    step.dims = builder.keep<std::int64_t>(dims), step.strides = builder.keep<std::int64_t>(strides);
    builder.inplace(0, 0);
    builder.step("MeanVarianceNormalization", step, {.est_ns = static_cast<double>(in.count()) * 8});
  }

 private:
  std::vector<std::int64_t> axes_;
};

}  // namespace

std::span<const OpRow> misc_math_rows() {
  static const OpRow rows[] = {
      {"", "Det", supports_float, [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<DetOp>(); }},
      {"", "MeanVarianceNormalization", supports_float,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<MvnOp>(node); }},
  };
  return rows;
}

}  // namespace tenon::cpu
