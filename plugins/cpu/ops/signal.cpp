// DFT and STFT.
#include <map>
#include <mutex>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/reduce_types.h"
#include "plugins/cpu/ops/signal_family.h"
#include "plugins/cpu/ops/signal_fft.h"

namespace tenon::cpu {
namespace {

using Complex = std::complex<double>;

// Transforms by length, made when a plan first needs them.
class FftCache {
 public:
  std::shared_ptr<const Fft> get(std::int64_t length) const {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const Fft>& fft = made_[length];
    if (!fft) fft = std::make_shared<const Fft>(length);
    return fft;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::map<std::int64_t, std::shared_ptr<const Fft>> made_;
};

constexpr std::int64_t longest = std::int64_t{1} << 28;

std::uint64_t line_bytes(const Fft& fft) { return static_cast<std::uint64_t>(fft.length() + fft.scratch()) * sizeof(Complex); }

double line_ns(const Fft& fft) { return static_cast<double>(fft.scratch()) * 25; }

// One-dimensional transforms along an axis; the last dim holds 1 or 2 numbers.
struct DftStep {
  const Fft* fft;
  Ref x, y, scratch;
  std::uint64_t scratch_bytes;
  std::int64_t lines, inner;  // inner: elements between neighbours on the axis
  std::int64_t in_size, out_size, in_parts, out_parts;
  std::int32_t dtype;
  bool inverse, mirror;       // mirror: the input is one side of a symmetric spectrum

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(lines);
    Complex* line = worker_scratch<Complex>(c, scratch, scratch_bytes);
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t l = slice.begin; l < slice.end; ++l) {
        const std::int64_t outer = l / inner, at = l % inner;
        read(c.ptr<const T>(x) + (outer * in_size * inner + at) * in_parts, line);
        fft->transform(line, line + fft->length(), inverse);
        const double scale = inverse ? 1 / static_cast<double>(fft->length()) : 1;
        T* out = c.ptr<T>(y) + (outer * out_size * inner + at) * out_parts;
        for (std::int64_t k = 0; k < out_size; ++k) {
          out[k * inner * out_parts] = static_cast<T>(line[k].real() * scale);
          if (out_parts == 2) out[k * inner * out_parts + 1] = static_cast<T>(line[k].imag() * scale);
        }
      }
    });
  }

  template <class T>
  void read(const T* in, Complex* line) const {
    const std::int64_t n = fft->length();
    const std::int64_t count = std::min(in_size, mirror ? n / 2 + 1 : n);
    for (std::int64_t k = 0; k < count; ++k) {
      const T* v = in + k * inner * in_parts;
      line[k] = {static_cast<double>(v[0]), in_parts == 2 ? static_cast<double>(v[1]) : 0.0};
    }
    std::fill(line + count, line + n, Complex(0));
    if (!mirror) return;
    line[0] = line[0].real();
    if (n % 2 == 0) line[n / 2] = line[n / 2].real();
    for (std::int64_t k = n / 2 + 1; k < n; ++k) line[k] = std::conj(line[n - k]);
  }
};

class DftOp final : public Op {
 public:
  explicit DftOp(const NodeView& node) : inverse_(node.int_or("inverse", 0) != 0), onesided_(node.int_or("onesided", 0) != 0) {}

  void plan(PlanBuilder& builder) const override {
    const Shape &in = builder.in(0), &out = builder.out(0);
    if (in.rank() < 2 || out.rank() != in.rank()) invalid_argument("DFT needs a signal of rank 2 or more");
    std::int64_t axis = -2;
    if (builder.in_ref(2).present()) {
      const auto known = known_integer(builder.in(2));
      if (!known) throw Failure{TENON_UNIMPLEMENTED, "the axis of DFT must be known before the run"};
      axis = *known;
    }
    axis = normal_axis(axis, in.rank());
    if (axis == in.rank() - 1) invalid_argument("the last dimension of DFT holds real and imaginary parts");
    const bool real_output = inverse_ && onesided_;
    std::int64_t length = real_output ? 2 * (in[axis] - 1) : in[axis];
    if (builder.in_ref(1).present()) {
      const auto known = known_integer(builder.in(1));
      // The output's size tells it, unless only one side is written.
      if (!known && onesided_ && !inverse_) throw Failure{TENON_UNIMPLEMENTED, "dft_length must be known before the run"};
      length = known.value_or(out[axis]);
    }
    DftStep step{};
    step.in_parts = in[-1], step.out_parts = out[-1];
    if ((step.in_parts != 1 && step.in_parts != 2) || step.out_parts != (real_output ? 1 : 2)) {
      invalid_argument("the last dimension of DFT holds real and imaginary parts");
    }
    if (out.count() == 0) return;
    if (length < 1 || length > longest) invalid_argument("a transform of " + std::to_string(length) + " elements");
    step.in_size = in[axis], step.out_size = out[axis];
    if (step.out_size != (onesided_ && !inverse_ ? length / 2 + 1 : length)) invalid_argument("unexpected size of the transform");
    const std::shared_ptr<const Fft> fft = cache_.get(length);
    builder.hold(fft);
    step.fft = fft.get(), step.x = builder.in_ref(0), step.y = builder.out_ref(0), step.dtype = in.dtype;
    step.inner = in.inner(axis) / step.in_parts, step.lines = in.outer(axis) * step.inner;
    step.inverse = inverse_, step.mirror = real_output;
    step.scratch_bytes = line_bytes(*fft), step.scratch = builder.scratch(step.scratch_bytes);
    builder.step("DFT", step, {.est_ns = static_cast<double>(step.lines) * line_ns(*fft)});
  }

 private:
  bool inverse_, onesided_;
  FftCache cache_;
};

// Transforms of overlapping pieces of the signal.
struct StftStep {
  const Fft* fft;
  Ref x, frame_step, window, y, scratch;
  std::uint64_t scratch_bytes;
  std::int64_t batch, signal, frames, bins, parts;
  std::int32_t dtype, step_dtype;

  void operator()(const StepContext& c) const {
    const std::int64_t n = fft->length(), hop = integer_at(c.ptr<const char>(frame_step), step_dtype, 0);
    if (hop < 1 || (frames > 1 && hop > (signal - n) / (frames - 1))) {
      c.fail(TENON_INVALID_ARGUMENT, "frame_step " + std::to_string(hop) + " does not fit the signal and the output");
      return;
    }
    const auto slice = c.slice(batch * frames);
    Complex* line = worker_scratch<Complex>(c, scratch, scratch_bytes);
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* weights = window.present() ? c.ptr<const T>(window) : nullptr;
      for (std::int64_t item = slice.begin; item < slice.end; ++item) {
        const T* in = c.ptr<const T>(x) + (item / frames * signal + item % frames * hop) * parts;
        for (std::int64_t k = 0; k < n; ++k) {
          const double w = weights ? static_cast<double>(weights[k]) : 1.0;
          line[k] = {w * static_cast<double>(in[k * parts]), parts == 2 ? w * static_cast<double>(in[k * parts + 1]) : 0.0};
        }
        fft->transform(line, line + n, false);
        T* out = c.ptr<T>(y) + item * bins * 2;
        for (std::int64_t k = 0; k < bins; ++k) {
          out[2 * k] = static_cast<T>(line[k].real());
          out[2 * k + 1] = static_cast<T>(line[k].imag());
        }
      }
    });
  }
};

class StftOp final : public Op {
 public:
  explicit StftOp(const NodeView& node) : onesided_(node.int_or("onesided", 1) != 0) {}

  void plan(PlanBuilder& builder) const override {
    const Shape &in = builder.in(0), &out = builder.out(0);
    if ((in.rank() != 3 && in.rank() != 2) || out.rank() != 4 || out[3] != 2) invalid_argument("STFT needs a signal of rank 3");
    StftStep step{};
    step.batch = in[0], step.signal = in[1], step.parts = in.rank() == 3 ? in[2] : 1;
    step.frames = out[1], step.bins = out[2];
    std::int64_t length = step.signal;
    if (builder.in_ref(2).present()) {
      length = builder.in(2).count();
      if (builder.in(2).dtype != in.dtype) invalid_argument("the window is of another type than the signal");
    } else if (builder.in_ref(3).present()) {
      const auto known = known_integer(builder.in(3));
      if (!known && onesided_) throw Failure{TENON_UNIMPLEMENTED, "frame_length must be known before the run"};
      length = known.value_or(step.bins);
    }
    if (out.count() == 0) return;
    if (length < 1 || length > longest || length > step.signal) invalid_argument("frames of " + std::to_string(length) + " elements");
    if (step.parts != 1 && step.parts != 2) invalid_argument("the last dimension of the signal holds real and imaginary parts");
    if (out[0] != step.batch || step.bins != (onesided_ ? length / 2 + 1 : length)) invalid_argument("unexpected size of the transform");
    if (builder.in(1).count() != 1) invalid_argument("frame_step must be one number");
    const std::shared_ptr<const Fft> fft = cache_.get(length);
    builder.hold(fft);
    step.fft = fft.get(), step.x = builder.in_ref(0), step.frame_step = builder.in_ref(1), step.window = builder.in_ref(2);
    step.y = builder.out_ref(0), step.dtype = in.dtype, step.step_dtype = builder.in(1).dtype;
    step.scratch_bytes = line_bytes(*fft), step.scratch = builder.scratch(step.scratch_bytes);
    builder.step("STFT", step, {.est_ns = static_cast<double>(step.batch * step.frames) * line_ns(*fft)});
  }

 private:
  bool onesided_;
  FftCache cache_;
};

bool is_index(std::int32_t dtype) { return dtype == TENON_DTYPE_INT32 || dtype == TENON_DTYPE_INT64; }

Support supports_dft(const NodeView& node) {
  for (std::uint32_t i : {1u, 2u}) {
    if (node.has_input(i) && !is_index(node.dtype(i))) return refuse_dtype(node.dtype(i));
  }
  return supports_float(node);
}

Support supports_stft(const NodeView& node) {
  for (std::uint32_t i : {1u, 3u}) {
    if (node.has_input(i) && !is_index(node.dtype(i))) return refuse_dtype(node.dtype(i));
  }
  return supports_float(node);
}

}  // namespace

std::span<const OpRow> signal_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all = {
        {"", "DFT", supports_dft,
         [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<DftOp>(node); }},
        {"", "STFT", supports_stft,
         [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<StftOp>(node); }},
    };
    for (FamilyRows part : {window_rows, loss_rows}) {
      for (const OpRow& row : part()) all.push_back(row);
    }
    return all;
  }();
  return rows;
}

}  // namespace tenon::cpu
