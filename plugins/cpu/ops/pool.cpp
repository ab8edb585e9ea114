// MaxPool, AveragePool, LpPool.
#include <algorithm>
#include <limits>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/pool_family.h"
#include "plugins/cpu/ops/pool_plain.h"

namespace tenon::cpu {
namespace {

// Blocked float32 images: a row of outputs at a time, all channels of a block together.
struct BlockedPool {
  const PoolKernels* kernels;
  bool max;
  PoolGeometry g;  // planes: batch times blocks
  std::int64_t block;
  const PoolSpan* spans;
  Ref x, y, scratch;
  std::uint64_t scratch_bytes;

  void operator()(const StepContext& context) const {
    const float* in = context.ptr<const float>(x);
    float* out = context.ptr<float>(y);
    auto rows = worker_scratch<const float*>(context, scratch, scratch_bytes);
    const auto slice = context.slice(g.planes * g.d.out * g.h.out);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t plane = i / (g.d.out * g.h.out), od = i / g.h.out % g.d.out, oh = i % g.h.out;
      const PoolSpan sd = g.span(g.d, g.end_d, od), sh = g.span(g.h, g.end_h, oh);
      std::int64_t count = 0;
      for (std::int64_t kd = sd.begin; kd < sd.end; ++kd)
        for (std::int64_t kh = sh.begin; kh < sh.end; ++kh) {
          const std::int64_t d = od * g.d.stride - g.d.pad + kd * g.d.dilation, h = oh * g.h.stride - g.h.pad + kh * g.h.dilation;
          rows[count++] = in + (plane * g.in_pixels() + (d * g.h.in + h) * g.w.in) * block;
        }
      const PoolRow row{rows,
                        count,
                        block,
                        g.w.out,
                        g.w.stride,
                        g.w.pad,
                        g.w.dilation,
                        spans,
                        std::int64_t{sd.count} * sh.count,
                        out + i * g.w.out * block};
      if (max) kernels->max_row(row);
      else kernels->average_row(row);
    }
  }
};

// Maxima of dense rows of bytes: first over the rows of the window, then along the row, both whole rows at a time.
template <class T>
struct DensePool {
  void (*fold)(T* acc, const T* x, std::int64_t n);
  PoolGeometry g;
  Ref x, y, scratch;
  std::uint64_t scratch_bytes;
  std::int64_t line;  // inputs of a row that windows touch, padding included

  void operator()(const StepContext& context) const {
    const T* in = context.ptr<const T>(x);
    T* out = context.ptr<T>(y);
    T *folded = worker_scratch<T>(context, scratch, scratch_bytes), *windows = folded + line;
    const T nothing = std::numeric_limits<T>::lowest();
    const std::int64_t wide = line - g.w.reach() + 1;  // windows at every input
    const std::int64_t skipped = std::max<std::int64_t>(0, -g.w.pad), left = std::max<std::int64_t>(0, g.w.pad);
    const std::int64_t inside = std::max<std::int64_t>(0, std::min(g.w.in - skipped, line - left));
    const auto slice = context.slice(g.planes * g.d.out * g.h.out);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t plane = i / (g.d.out * g.h.out), od = i / g.h.out % g.d.out, oh = i % g.h.out;
      const PoolSpan sd = g.span(g.d, g.end_d, od), sh = g.span(g.h, g.end_h, oh);
      std::fill_n(folded, line, nothing);
      for (std::int64_t kd = sd.begin; kd < sd.end; ++kd)
        for (std::int64_t kh = sh.begin; kh < sh.end; ++kh) {
          const std::int64_t d = od * g.d.stride - g.d.pad + kd * g.d.dilation, h = oh * g.h.stride - g.h.pad + kh * g.h.dilation;
          fold(folded + left, in + plane * g.in_pixels() + (d * g.h.in + h) * g.w.in + skipped, inside);
        }
      std::copy_n(folded, wide, windows);
      for (std::int64_t k = 1; k < g.w.kernel; ++k) fold(windows, folded + k * g.w.dilation, wide);
      T* to = out + i * g.w.out;
      for (std::int64_t o = 0; o < g.w.out; ++o) to[o] = windows[o * g.w.stride];
    }
  }
};

// Dense float32, a row of outputs a call.
struct DenseFloatPool {
  void (*row)(const DenseRow&);
  PoolGeometry g;
  const PoolSpan* spans;  // of an average
  Ref x, y, scratch;
  std::uint64_t scratch_bytes;
  std::int64_t line, window_rows;
  float nothing;

  void operator()(const StepContext& context) const {
    const float* in = context.ptr<const float>(x);
    float* out = context.ptr<float>(y);
    const std::int64_t skipped = std::max<std::int64_t>(0, -g.w.pad), left = std::max<std::int64_t>(0, g.w.pad);
    auto rows = worker_scratch<const float*>(context, scratch, scratch_bytes);
    float* counts = reinterpret_cast<float*>(rows + window_rows);
    float* folded = counts + g.w.out;
    DenseRow r{rows, 0, std::max<std::int64_t>(0, std::min(g.w.in - skipped, line - left)), left, folded, g.w.out, g.w.kernel, g.w.stride, g.w.dilation, counts, nullptr};
    std::fill_n(folded, line + dense_slack, nothing);
    std::int64_t counted = -1;  // positions of the other dims that counts were made for
    const auto slice = context.slice(g.planes * g.d.out * g.h.out);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t plane = i / (g.d.out * g.h.out), od = i / g.h.out % g.d.out, oh = i % g.h.out;
      const PoolSpan sd = g.span(g.d, g.end_d, od), sh = g.span(g.h, g.end_h, oh);
      r.row_count = 0;
      for (std::int64_t kd = sd.begin; kd < sd.end; ++kd)
        for (std::int64_t kh = sh.begin; kh < sh.end; ++kh) {
          const std::int64_t d = od * g.d.stride - g.d.pad + kd * g.d.dilation, h = oh * g.h.stride - g.h.pad + kh * g.h.dilation;
          rows[r.row_count++] = in + plane * g.in_pixels() + (d * g.h.in + h) * g.w.in + skipped;
        }
      if (const std::int64_t outer = std::int64_t{sd.count} * sh.count; spans && outer != counted) {
        counted = outer;
        for (std::int64_t o = 0; o < g.w.out; ++o) counts[o] = static_cast<float>(outer * spans[o].count);
      }
      r.out = out + i * g.w.out;
      row(r);
    }
  }
};

class Pool final : public Op {
 public:
  Pool(const NodeView& node, CompileContext& context) : options_(context.options()) {
    if (const std::string error = WindowAttributes::read(node, node.rank(0) - 2, window_); !error.empty())
      throw Failure{TENON_INVALID_ARGUMENT, error};
    pooling_ = node.op_type() == "MaxPool" ? Pooling::max : node.op_type() == "AveragePool" ? Pooling::average : Pooling::lp;
    include_pad_ = pooling_ == Pooling::average && node.int_or("count_include_pad", 0) != 0;
    column_major_ = node.int_or("storage_order", 0) == 1;
    p_ = node.int_or("p", 2);
    indices_ = node.has_output(1);
    dtype_ = node.dtype(0);
    plain_ = options_.plain || indices_ || pooling_ == Pooling::lp || dtype_ == TENON_DTYPE_DOUBLE;
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t) override {
    if (plain_ || dtype_ != TENON_DTYPE_FLOAT) std::fill(inputs.begin(), inputs.end(), 0);
    return inputs[0];
  }

  void plan(PlanBuilder& builder) const override {
    const Shape &x = builder.in(0), &y = builder.out(0);
    const PoolGeometry g = geometry(x, y);
    if (y.count() == 0) return;
    if (plain_) return emit_plain_pool(builder, pooling_, g);
    std::vector<PoolSpan> spans(static_cast<std::size_t>(g.w.out));
    for (std::int64_t o = 0; o < g.w.out; ++o) spans[static_cast<std::size_t>(o)] = g.span(g.w, g.end_w, o);
    const PoolSpan* kept = builder.keep<PoolSpan>(spans);
    const PoolKernels& k = pool_kernels(options_.isa);
    const bool max = pooling_ == Pooling::max;
    if (x.block != 0) {
      BlockedPool step{&k, max, g, x.block, kept, builder.in_ref(0), builder.out_ref(0), {}, 0};
      step.g.planes /= x.block;
      step.scratch_bytes = static_cast<std::uint64_t>(std::min(g.d.kernel, g.d.in) * std::min(g.h.kernel, g.h.in)) * sizeof(float*);
      step.scratch = builder.scratch(step.scratch_bytes);
      return builder.step("pool.blocked", step, {.est_ns = estimate(g, 0.04)});
    }
    if (dtype_ == TENON_DTYPE_UINT8) return dense(builder, g, k.max_u8);
    if (dtype_ == TENON_DTYPE_INT8) return dense(builder, g, k.max_i8);
    DenseFloatPool step{max ? k.dense_max : k.dense_average, g, max ? nullptr : kept, builder.in_ref(0), builder.out_ref(0), {}, 0, 0, 0,
                        max ? -std::numeric_limits<float>::infinity() : 0.0f};
    step.line = (g.w.out - 1) * g.w.stride + g.w.reach();
    step.window_rows = std::min(g.d.kernel, g.d.in) * std::min(g.h.kernel, g.h.in);
    step.scratch_bytes = static_cast<std::uint64_t>(step.window_rows) * sizeof(float*) + static_cast<std::uint64_t>(g.w.out + step.line + dense_slack) * sizeof(float);
    step.scratch = builder.scratch(step.scratch_bytes);
    builder.step("pool.dense", step, {.est_ns = estimate(g, 0.04)});
  }

 private:
  double estimate(const PoolGeometry& g, double per_tap) const {
    return static_cast<double>(g.planes * g.out_pixels()) * (0.2 + per_tap * static_cast<double>(g.d.kernel * g.h.kernel * g.w.kernel));
  }
  template <class T>
  void dense(PlanBuilder& builder, const PoolGeometry& g, void (*fold)(T*, const T*, std::int64_t)) const {
    DensePool<T> step{fold, g, builder.in_ref(0), builder.out_ref(0), {}, 0, 0};
    step.line = (g.w.out - 1) * g.w.stride + g.w.reach();
    step.scratch_bytes = 2 * static_cast<std::uint64_t>(step.line) * sizeof(T);
    step.scratch = builder.scratch(step.scratch_bytes);
    builder.step("pool.dense", step, {.est_ns = estimate(g, 0.1)});
  }

  PoolGeometry geometry(const Shape& x, const Shape& y) const {
    const std::int64_t rank = window_.spatial + 2;
    require(x.rank() == rank && y.rank() == rank && x[0] == y[0] && x[1] == y[1], "a pool keeps batch and channels");
    PoolGeometry g;
    g.planes = x[0] * x[1];
    g.include_pad = include_pad_, g.column_major = column_major_, g.p = p_;
    Window* windows[kMaxSpatial] = {&g.d, &g.h, &g.w};
    std::int64_t* ends[kMaxSpatial] = {&g.end_d, &g.end_h, &g.end_w};
    for (int i = 0; i < window_.spatial; ++i) {
      const int to = kMaxSpatial - window_.spatial + i;
      Window& w = *windows[to];
      w = window_.resolve(i, x[2 + i], window_.kernel[i]);
      *ends[to] = window_.auto_pad == AutoPad::notset  ? window_.pads_end[i]
                  : window_.auto_pad == AutoPad::valid ? 0
                                                       : std::max<std::int64_t>(0, (w.out - 1) * w.stride + w.reach() - w.in - w.pad);
      // Rounding up is a matter of opinion at the edge: what the model's shapes say is what is computed.
      require(y[2 + i] >= 0 && y[2 + i] <= w.out + 1,
              "a pool's output dim " + std::to_string(2 + i) + " is " + std::to_string(y[2 + i]) + ", expected " + std::to_string(w.out));
      w.out = y[2 + i];
    }
    return g;
  }

  WindowAttributes window_;
  Options options_;
  Pooling pooling_;
  bool include_pad_, column_major_, indices_, plain_;
  std::int64_t p_;
  std::int32_t dtype_;
};

Support supports_pool(const NodeView& node) {
  if (!node.has_input(0) || !node.has_output(0)) return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  const std::int32_t dtype = node.dtype(0);
  const bool small = dtype == TENON_DTYPE_UINT8 || dtype == TENON_DTYPE_INT8;
  if (dtype != TENON_DTYPE_FLOAT && dtype != TENON_DTYPE_DOUBLE && !(small && node.op_type() == "MaxPool"))
    return Support::no(TENON_REJECT_DTYPE, "this pool does not take that type");
  if (node.ints("kernel_shape").empty()) return Support::no(TENON_REJECT_ATTRIBUTE, "kernel_shape is missing");
  if (node.op_type() == "LpPool" && node.int_or("p", 2) < 1) return Support::no(TENON_REJECT_ATTRIBUTE, "p is below 1");
  return supports_window(node);
}

std::unique_ptr<Op> make_pool(const NodeView& node, CompileContext& context) { return std::make_unique<Pool>(node, context); }

}  // namespace

std::span<const OpRow> window_pool_rows() {
  static const OpRow rows[] = {
      {"", "MaxPool", supports_pool, make_pool}, {"", "AveragePool", supports_pool, make_pool}, {"", "LpPool", supports_pool, make_pool}};
  return rows;
}

std::span<const OpRow> pool_rows() {
  static const std::vector<OpRow> all = [] {
    std::vector<OpRow> rows;
    for (FamilyRows family : {window_pool_rows, global_pool_rows, unpool_rows, roi_pool_rows})
      rows.insert(rows.end(), family().begin(), family().end());
    return rows;
  }();
  return all;
}

}  // namespace tenon::cpu
