// HannWindow, HammingWindow, BlackmanWindow and MelWeightMatrix.
#include <cmath>
#include <limits>
#include <numbers>

#include "plugins/cpu/ops/reduce_types.h"
#include "plugins/cpu/ops/signal_family.h"

namespace tenon::cpu {
namespace {

// a0 - a1 cos(2 pi i / n) + a2 cos(4 pi i / n).
struct WindowStep {
  Ref y;
  std::int64_t size, period;
  double a0, a1, a2;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(size, 16);
    visit_number(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t i = slice.begin; i < slice.end; ++i) {
        const double angle = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(period);
        const double v = a0 - a1 * std::cos(angle) + a2 * std::cos(2 * angle);
        // Rounding may leave the ends a little below zero.
        c.ptr<T>(y)[i] = static_cast<T>(std::is_unsigned_v<T> && v < 0 ? 0 : v);
      }
    });
  }
};

class WindowOp final : public Op {
 public:
  WindowOp(const NodeView& node, double a0, double a1, double a2) : periodic_(node.int_or("periodic", 1) != 0), a0_(a0), a1_(a1), a2_(a2) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& out = builder.out(0);
    const std::int64_t size = out.count();
    if (size == 0) return;
    if (size < 0) throw Failure{TENON_UNIMPLEMENTED, "the size of a window must be known before the run"};
    const Ref writes[] = {builder.out_ref(0)};
    builder.step("window",
                 WindowStep{builder.out_ref(0), size, std::max<std::int64_t>(1, periodic_ ? size : size - 1), a0_, a1_, a2_, out.dtype},
                 {.est_ns = static_cast<double>(size) * 30}, std::span<const Ref>(), writes);
  }

 private:
  bool periodic_;
  double a0_, a1_, a2_;
};

// Triangles of peak 1 on the mel scale: [bins, mel bins].
struct MelStep {
  Ref in[5], y;  // num_mel_bins, dft_length, sample_rate, lower and upper edge
  std::int32_t dtype[5], result;
  std::int64_t rows, cols;

  double number(const StepContext& c, int i) const {
    double value = 0;
    visit_number(dtype[i], [&](auto tag) { value = static_cast<double>(*c.ptr<const typename decltype(tag)::type>(in[i])); });
    return value;
  }

  void operator()(const StepContext& c) const {
    visit_number(result, [&](auto tag) { run(c, c.ptr<typename decltype(tag)::type>(y)); });
  }

  template <class T>
  void run(const StepContext& c, T* out) const {
    const double length = number(c, 1), rate = number(c, 2);
    const auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
    const double low = mel(number(c, 3)), step = (mel(number(c, 4)) - low) / static_cast<double>(cols + 2);
    std::fill(out, out + rows * cols, T(0));
    // Edges outside the spectrum have no cells.
    const auto bin = [&](std::int64_t i) {
      const double hertz = 700 * (std::pow(10, (static_cast<double>(i) * step + low) / 2595) - 1);
      const double at = std::floor((length + 1) * hertz / rate);
      return at >= -1e9 && at <= 1e9 ? static_cast<std::int64_t>(at) : std::int64_t(-1);
    };
    const auto put = [&](std::int64_t row, std::int64_t col, double v) {
      if (row >= 0 && row < rows) out[row * cols + col] = static_cast<T>(v);
    };
    for (std::int64_t i = 0; i < cols; ++i) {
      const std::int64_t left = bin(i), center = bin(i + 1), right = bin(i + 2);
      if (left == center) put(center, i, 1);
      for (std::int64_t j = std::max<std::int64_t>(left, 0); left < center && j <= std::min(center, rows - 1); ++j) {
        put(j, i, static_cast<double>(j - left) / static_cast<double>(center - left));
      }
      for (std::int64_t j = std::max<std::int64_t>(center, 0); center < right && j < std::min(right, rows); ++j) {
        put(j, i, static_cast<double>(right - j) / static_cast<double>(right - center));
      }
    }
  }
};

class MelOp final : public Op {
 public:
  void plan(PlanBuilder& builder) const override {
    const Shape& out = builder.out(0);
    if (out.rank() != 2 || out[0] < 0 || out[1] < 0)
      throw Failure{TENON_UNIMPLEMENTED, "the size of a mel matrix must be known before the run"};
    MelStep step{};
    for (std::uint32_t i = 0; i < 5; ++i) {
      if (builder.in(i).count() != 1) invalid_argument("MelWeightMatrix takes single numbers");
      step.in[i] = builder.in_ref(i), step.dtype[i] = builder.in(i).dtype;
    }
    if (out.count() == 0) return;
    step.y = builder.out_ref(0), step.result = out.dtype, step.rows = out[0], step.cols = out[1];
    builder.step("MelWeightMatrix", step, {.spmd = false, .est_ns = static_cast<double>(out.count())});
  }
};

Support supports_window(const NodeView& node) {
  const std::int32_t dtype = node.dtype(0);
  if (dtype != TENON_DTYPE_INT32 && dtype != TENON_DTYPE_INT64) return refuse_dtype(dtype);
  const std::int32_t out = node.has_output(0) ? compute_dtype(node.output(0).dtype) : 0;
  return is_number(out) ? Support::yes() : refuse_dtype(out);
}

Support supports_mel(const NodeView& node) {
  for (std::uint32_t i = 0; i < 5; ++i) {
    if (!is_number(node.dtype(i))) return refuse_dtype(node.dtype(i));
  }
  const std::int32_t out = node.has_output(0) ? compute_dtype(node.output(0).dtype) : 0;
  return is_number(out) ? Support::yes() : refuse_dtype(out);
}

}  // namespace

std::span<const OpRow> window_rows() {
  static const OpRow rows[] = {
      {"", "HannWindow", supports_window,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<WindowOp>(node, 0.5, 0.5, 0.0); }},
      {"", "HammingWindow", supports_window,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> {
         return std::make_unique<WindowOp>(node, 25.0 / 46, 21.0 / 46, 0.0);
       }},
      {"", "BlackmanWindow", supports_window,
       [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<WindowOp>(node, 0.42, 0.5, 0.08); }},
      {"", "MelWeightMatrix", supports_mel,
       [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<MelOp>(); }},
  };
  return rows;
}

}  // namespace tenon::cpu
