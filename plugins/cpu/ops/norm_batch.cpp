// BatchNormalization: a scale and a shift for each channel; in training mode from the batch itself.
#include <cmath>

#include "plugins/cpu/ops/norm_family.h"
#include "plugins/cpu/ops/reduce_kernels.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

double element(const void* data, std::int32_t dtype, std::int64_t i) {
  return dtype == TENON_DTYPE_DOUBLE ? static_cast<const double*>(data)[i] : static_cast<double>(static_cast<const float*>(data)[i]);
}

// a = scale / sqrt(var + epsilon), b = bias - mean * a, as T, for channels [begin, end).
template <class T>
void channel_factors(const void* const (&data)[4], const std::int32_t (&dtype)[4], double epsilon, std::int64_t begin, std::int64_t end,
                     T* a, T* b) {
  for (std::int64_t i = begin; i < end; ++i) {
    const double factor = element(data[0], dtype[0], i) / std::sqrt(element(data[3], dtype[3], i) + epsilon);
    a[i] = static_cast<T>(factor);
    b[i] = static_cast<T>(element(data[1], dtype[1], i) - element(data[2], dtype[2], i) * factor);
  }
}

struct FactorStep {
  Ref in[4], a, b;  // scale, bias, mean, var
  std::int32_t dtype[4], result;
  std::int64_t channels;
  double epsilon;

  void operator()(const StepContext& c) const {
    const void* data[4];
    for (int i = 0; i < 4; ++i) data[i] = c.ptr<const char>(in[i]);
    const auto slice = c.slice(channels, 64);
    visit_float(result, [&](auto tag) {
      using T = typename decltype(tag)::type;
      channel_factors<T>(data, dtype, epsilon, slice.begin, slice.end, c.ptr<T>(a), c.ptr<T>(b));
    });
  }
};

// y = a[channel] x + b[channel]. block 0: [outer, channels, inner]; else [outer, channels / block, inner, block].
struct ScaleStep {
  Ref x, y, a, b;
  std::int64_t outer, channels, inner, block;
  std::int32_t dtype;
  bool plain;
  EpiloguePlan epilogue;

  void operator()(const StepContext& c) const {
    if (dtype == TENON_DTYPE_DOUBLE) return run_plain<double>(c);
    if (plain) return run_plain<float>(c);
    const float *in = c.ptr<const float>(x), *fa = c.ptr<const float>(a), *fb = c.ptr<const float>(b);
    float* out = c.ptr<float>(y);
    if (block == 0 && inner == 1) {
      const auto slice = c.slice(outer);
      for (std::int64_t i = slice.begin; i < slice.end; ++i) {
        affine_rows(in + i * channels, 1, channels, fa, fb, out + i * channels);
        apply_epilogue_rows(epilogue, c, out + i * channels, i * channels, channels);
      }
      return;
    }
    // Rows of one channel (or of one block of them), in pieces that stay in the first-level cache.
    const std::int64_t width = block ? block : 1, groups = channels / width, piece = 4096 / width;
    const std::int64_t pieces = (inner + piece - 1) / piece;
    const auto slice = c.slice(outer * groups * pieces);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t row = item / pieces, first = item % pieces * piece, n = std::min(piece, inner - first);
      const std::int64_t channel = row % groups * width, offset = (row * inner + first) * width;
      if (block) affine_rows(in + offset, n, block, fa + channel, fb + channel, out + offset);
      else affine_run(in + offset, n, fa[channel], fb[channel], out + offset);
      apply_epilogue_rows(epilogue, c, out + offset, offset, n * width);
    }
  }

  template <class T>
  void run_plain(const StepContext& c) const {
    const auto slice = c.slice(outer * channels);
    const T *in = c.ptr<const T>(x), *fa = c.ptr<const T>(a), *fb = c.ptr<const T>(b);
    T* out = c.ptr<T>(y);
    for (std::int64_t row = slice.begin; row < slice.end; ++row) {
      const std::int64_t channel = row % channels;
      for (std::int64_t i = row * inner; i < (row + 1) * inner; ++i) out[i] = fa[channel] * in[i] + fb[channel];
    }
  }
};

// Mean and variance of each channel over the batch.
struct StatsStep {
  Ref x, mean, var, old_mean, old_var, new_mean, new_var;
  std::int64_t outer, channels, inner;
  std::int32_t dtype, old_dtype, new_dtype;
  double momentum;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(channels);
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* in = c.ptr<const T>(x);
      for (std::int64_t ch = slice.begin; ch < slice.end; ++ch) {
        double sum = 0, square = 0;
        const double count = static_cast<double>(outer * inner);
        const auto each = [&](const auto& f) {
          for (std::int64_t o = 0; o < outer; ++o) {
            for (std::int64_t i = 0; i < inner; ++i) f(static_cast<double>(in[(o * channels + ch) * inner + i]));
          }
        };
        each([&](double v) { sum += v; });
        const double m = sum / count;
        each([&](double v) { square += (v - m) * (v - m); });
        c.ptr<double>(mean)[ch] = m;
        c.ptr<double>(var)[ch] = square / count;
        update(c, old_mean, new_mean, ch, m);
        update(c, old_var, new_var, ch, square / count);
      }
    });
  }

  void update(const StepContext& c, Ref from, Ref to, std::int64_t ch, double value) const {
    if (!to.present()) return;
    const double v = element(c.ptr<const char>(from), old_dtype, ch) * momentum + value * (1 - momentum);
    if (new_dtype == TENON_DTYPE_DOUBLE) c.ptr<double>(to)[ch] = v;
    else c.ptr<float>(to)[ch] = static_cast<float>(v);
  }
};

class BatchNormOp final : public Op {
 public:
  BatchNormOp(const NodeView& node, CompileContext& context)
      : epsilon_(static_cast<double>(node.float_or("epsilon", 1e-5f))), momentum_(static_cast<double>(node.float_or("momentum", 0.9f))),
        training_(node.int_or("training_mode", 0) != 0), float32_(node.dtype(0) == TENON_DTYPE_FLOAT), plain_(context.options().plain),
        rank_(node.rank(0)) {
    if (training_) return;
    for (std::uint32_t i = 1; i < 5; ++i) {
      if (!node.is_constant(i)) return;
    }
    const void* data[4];
    std::int32_t dtype[4];
    std::int64_t channels = -1;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const tenon_const_tensor t = context.constant(node, i + 1);
      data[i] = t.data, dtype[i] = t.dtype;
      const std::int64_t n = static_cast<std::int64_t>(t.bytes / (t.dtype == TENON_DTYPE_DOUBLE ? 8 : 4));
      if (channels >= 0 && n != channels) return;
      channels = n;
    }
    channels_ = channels;
    visit_float(node.dtype(0), [&](auto tag) {
      using T = typename decltype(tag)::type;
      T* a = static_cast<T*>(context.alloc(static_cast<std::uint64_t>(channels) * sizeof(T)));
      T* b = static_cast<T*>(context.alloc(static_cast<std::uint64_t>(channels) * sizeof(T)));
      channel_factors<T>(data, dtype, epsilon_, 0, channels, a, b);
      a_ = a, b_ = b;
    });
  }

  bool absorb(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) override {
    return float32_ && !plain_ && epilogue_.add(next, slot, first_input, context);
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    const std::int32_t block = inputs[0];
    for (std::int32_t& b : inputs) b = 0;
    if (machine_block == 0 || !float32_ || plain_ || training_ || !pointwise(epilogue_)) return 0;
    return inputs[0] = block;
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    ScaleStep step{};
    step.outer = in.rank() > 0 ? in[0] : 1;
    step.channels = in.rank() > 1 ? in[1] : 1;
    step.inner = in.rank() > 1 ? in.inner(1) : 1;
    for (std::uint32_t i = 1; i < 5; ++i) {
      if (builder.in(i).count() != step.channels) invalid_argument("scale, bias, mean and variance must have one number for each channel");
    }
    step.x = builder.in_ref(0), step.y = builder.out_ref(0);
    step.block = in.block, step.dtype = in.dtype, step.plain = builder.options().plain;
    const std::uint64_t bytes = static_cast<std::uint64_t>(step.channels) * (in.dtype == TENON_DTYPE_DOUBLE ? 8 : 4);
    if (in.count() == 0) return;
    if (a_ && channels_ == step.channels) {
      step.a.constant = a_, step.b.constant = b_;
    } else {
      FactorStep factors{};
      factors.a = step.a = builder.temp(bytes), factors.b = step.b = builder.temp(bytes);
      factors.channels = step.channels, factors.epsilon = epsilon_, factors.result = in.dtype;
      for (std::uint32_t i = 0; i < 4; ++i) factors.in[i] = builder.in_ref(i + 1), factors.dtype[i] = builder.in(i + 1).dtype;
      if (training_) plan_statistics(builder, step, factors);
      const Ref writes[] = {factors.a, factors.b};
      builder.step("channel factors", factors, {.est_ns = static_cast<double>(step.channels) * 10}, factors.in, writes);
    }
    step.epilogue = epilogue_.empty() ? EpiloguePlan{} : epilogue_.plan(builder);
    offer_inplace(builder, epilogue_);
    builder.step("BatchNormalization", step, {.est_ns = static_cast<double>(in.count()) * 0.15});
  }

 private:
  void plan_statistics(PlanBuilder& builder, const ScaleStep& step, FactorStep& factors) const {
    StatsStep stats{};
    stats.x = step.x, stats.outer = step.outer, stats.channels = step.channels, stats.inner = step.inner;
    stats.dtype = step.dtype, stats.old_dtype = builder.in(3).dtype, stats.momentum = momentum_;
    stats.old_mean = builder.in_ref(3), stats.old_var = builder.in_ref(4);
    stats.new_mean = builder.out_ref(1), stats.new_var = builder.out_ref(2);
    stats.new_dtype = builder.out_ref(1).present() ? builder.out(1).dtype : builder.out(2).dtype;
    const std::uint64_t bytes = static_cast<std::uint64_t>(step.channels) * sizeof(double);
    stats.mean = factors.in[2] = builder.temp(bytes), stats.var = factors.in[3] = builder.temp(bytes);
    factors.dtype[2] = factors.dtype[3] = TENON_DTYPE_DOUBLE;
    const Ref reads[] = {stats.x, stats.old_mean, stats.old_var};
    std::vector<Ref> writes{stats.mean, stats.var};
    for (Ref r : {stats.new_mean, stats.new_var}) {
      if (r.present()) writes.push_back(r);
    }
    builder.step("channel statistics", stats, {.est_ns = static_cast<double>(builder.in(0).count()) * 2}, reads, writes);
  }

  double epsilon_, momentum_;
  bool training_, float32_, plain_;
  std::int32_t rank_;
  const void *a_ = nullptr, *b_ = nullptr;  // factors known since compile
  std::int64_t channels_ = -1;
  Epilogue epilogue_;
};

Support supports(const NodeView& node) {
  for (std::uint32_t i = 1; i < 5; ++i) {
    if (!is_float(node.dtype(i))) return refuse_dtype(node.dtype(i));
  }
  return supports_float(node);
}

}  // namespace

std::span<const OpRow> batch_norm_rows() {
  static const OpRow rows[] = {
      {"", "BatchNormalization", supports,
       [](const NodeView& node, CompileContext& context) -> std::unique_ptr<Op> { return std::make_unique<BatchNormOp>(node, context); }},
  };
  return rows;
}

}  // namespace tenon::cpu
