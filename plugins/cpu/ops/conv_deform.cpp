// DeformConv: a convolution whose taps the data moves; images of two dims.
#include <cmath>

#include "plugins/cpu/ops/conv_family.h"
#include "plugins/cpu/ops/conv_plain.h"

namespace tenon::cpu {
namespace {

// Samples all taps of one output pixel into scratch, then makes all its channels.
template <class T>
struct DeformStep {
  ConvGeometry g;
  std::int64_t offset_groups;
  Ref x, w, offset, b, mask, y, scratch;
  std::uint64_t scratch_bytes;

  void operator()(const StepContext& context) const {
    const T *in = context.ptr<const T>(x), *weights = context.ptr<const T>(w), *moves = context.ptr<const T>(offset);
    const T* bias = b.present() ? context.ptr<const T>(b) : nullptr;
    const T* scale = mask.present() ? context.ptr<const T>(mask) : nullptr;
    T* out = context.ptr<T>(y);
    T* samples = worker_scratch<T>(context, scratch, scratch_bytes);
    const std::int64_t pixels = g.out_pixels(), taps = g.taps(), channels = g.groups * g.ic, depth = g.ic * taps;
    const auto slice = context.slice(g.n * pixels);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t n = i / pixels, pixel = i % pixels, oh = pixel / g.w.out, ow = pixel % g.w.out;
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::int64_t first = (n * offset_groups + c / (channels / offset_groups)) * taps;
        const T* plane = in + (n * channels + c) * g.in_pixels();
        for (std::int64_t t = 0; t < taps; ++t) {
          const T* move = moves + (first + t) * 2 * pixels + pixel;
          const double h = static_cast<double>(oh * g.h.stride - g.h.pad + t / g.w.kernel * g.h.dilation) + static_cast<double>(move[0]);
          const double v =
              static_cast<double>(ow * g.w.stride - g.w.pad + t % g.w.kernel * g.w.dilation) + static_cast<double>(move[pixels]);
          const double m = scale ? static_cast<double>(scale[(first + t) * pixels + pixel]) : 1;
          samples[c * taps + t] = static_cast<T>(m * sample(plane, h, v));
        }
      }
      for (std::int64_t o = 0; o < g.groups * g.oc; ++o) {
        const T *s = samples + o / g.oc * depth, *k = weights + o * depth;
        double sum = bias ? static_cast<double>(bias[o]) : 0;
        for (std::int64_t j = 0; j < depth; ++j) sum += static_cast<double>(s[j]) * static_cast<double>(k[j]);
        out[(n * g.groups * g.oc + o) * pixels + pixel] = static_cast<T>(sum);
      }
    }
  }

  double sample(const T* plane, double h, double v) const {
    if (!(h > -1 && h < static_cast<double>(g.h.in) && v > -1 && v < static_cast<double>(g.w.in))) return 0;
    const double h0 = std::floor(h), v0 = std::floor(v);
    const auto at = [&](double r, double c) {
      const auto i = static_cast<std::int64_t>(r), j = static_cast<std::int64_t>(c);
      return i >= 0 && i < g.h.in && j >= 0 && j < g.w.in ? static_cast<double>(plane[i * g.w.in + j]) : 0.0;
    };
    const double lh = h - h0, lv = v - v0;
    return (1 - lh) * ((1 - lv) * at(h0, v0) + lv * at(h0, v0 + 1)) + lh * ((1 - lv) * at(h0 + 1, v0) + lv * at(h0 + 1, v0 + 1));
  }
};

class DeformConv final : public Op {
 public:
  DeformConv(const NodeView& node, CompileContext&)
      : groups_(node.int_or("group", 1)),
        offset_groups_(node.int_or("offset_group", 1)),
        has_bias_(node.has_input(3)),
        has_mask_(node.has_input(4)) {
    if (const std::string error = WindowAttributes::read(node, 2, window_); !error.empty()) throw Failure{TENON_INVALID_ARGUMENT, error};
  }
  void plan(PlanBuilder& builder) const override {
    if (builder.in(0).dtype == TENON_DTYPE_DOUBLE) emit<double>(builder);
    else emit<float>(builder);
  }

 private:
  template <class T>
  void emit(PlanBuilder& builder) const {
    const Shape &x = builder.in(0), &w = builder.in(1), &offset = builder.in(2), &y = builder.out(0);
    require(x.rank() == 4 && w.rank() == 4 && offset.rank() == 4 && y.rank() == 4, "tensors of rank 4 are expected");
    DeformStep<T> step{};
    ConvGeometry& g = step.g;
    g.n = x[0], g.groups = groups_, g.ic = w[1], g.oc = w[0] / groups_;
    require(w[0] % groups_ == 0 && x[1] == w[1] * groups_ && y[0] == x[0] && y[1] == w[0], "channels do not fit the weights");
    require(x[1] % offset_groups_ == 0, "the channels do not fit offset_group");
    g.h = window_.resolve(0, x[2], w[2]);
    g.w = window_.resolve(1, x[3], w[3]);
    require(g.h.out == y[2] && g.w.out == y[3], "the output has another size than expected");
    const std::int64_t taps = g.taps() * offset_groups_;
    require(offset[0] == x[0] && offset[1] == 2 * taps && offset[2] == y[2] && offset[3] == y[3],
            "the offsets do not fit the output");
    if (has_mask_) {
      const Shape& m = builder.in(4);
      require(m.rank() == 4 && m[0] == x[0] && m[1] == taps && m[2] == y[2] && m[3] == y[3],
              "the mask does not fit the output");
    }
    if (has_bias_) require(builder.in(3).count() == w[0], "one bias for each output channel is expected");
    if (y.count() == 0) return;
    step.offset_groups = offset_groups_;
    step.x = builder.in_ref(0), step.w = builder.in_ref(1), step.offset = builder.in_ref(2), step.y = builder.out_ref(0);
    if (has_bias_) step.b = builder.in_ref(3);
    if (has_mask_) step.mask = builder.in_ref(4);
    step.scratch_bytes = static_cast<std::uint64_t>(x[1] * g.taps()) * sizeof(T);
    step.scratch = builder.scratch(step.scratch_bytes);
    builder.step("deform_conv", step,
                 {.est_ns = static_cast<double>(y.count()) * static_cast<double>(g.ic * g.taps()) +
                            static_cast<double>(g.n * g.out_pixels() * x[1] * g.taps()) * 5});
  }

  WindowAttributes window_;
  std::int64_t groups_, offset_groups_;
  bool has_bias_, has_mask_;
};

Support supports_deform(const NodeView& node) {
  for (std::uint32_t i = 0; i < 3; ++i)
    if (!node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "an input is missing");
  if (node.dtype(0) != TENON_DTYPE_FLOAT && node.dtype(0) != TENON_DTYPE_DOUBLE) return Support::no(TENON_REJECT_DTYPE, "float types only");
  for (std::uint32_t i = 1; i < 5; ++i)
    if (node.has_input(i) && node.dtype(i) != node.dtype(0)) return Support::no(TENON_REJECT_DTYPE, "inputs have different types");
  if (node.rank(0) != 4) return Support::no(TENON_REJECT_RANK, "images of two dims are expected");
  for (const char* name : {"group", "offset_group"})
    if (const std::int64_t n = node.int_or(name, 1); n < 1 || n > (1 << 30))
      return Support::no(TENON_REJECT_ATTRIBUTE, std::string(name) + " is out of range");
  return supports_window(node, 4);
}

std::unique_ptr<Op> make_deform(const NodeView& node, CompileContext& context) { return std::make_unique<DeformConv>(node, context); }

}  // namespace

std::span<const OpRow> deform_conv_rows() {
  static const OpRow rows[] = {{"", "DeformConv", supports_deform, make_deform}};
  return rows;
}

}  // namespace tenon::cpu
