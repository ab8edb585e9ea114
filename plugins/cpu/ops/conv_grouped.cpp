#include "plugins/cpu/ops/conv_grouped.h"

#include <algorithm>

#include "plugins/cpu/ops/conv_grouped_kernel.h"

namespace tenon::cpu {
namespace {

struct GroupedConv {
  GroupedFn row;
  ConvGeometry g;
  std::int64_t src_block, dst_block;
  Ref x, weights, bias, y, residual, scratch;
  std::uint64_t scratch_bytes;
  float low, high;
  EpiloguePlan rest;

  // A row of all channels of one block of y.
  void operator()(const StepContext& context) const {
    const std::int64_t blocks = g.groups * 8 / dst_block;
    const auto slice = context.slice(g.n * blocks * g.h.out);
    const float** const inputs = worker_scratch<const float*>(context, scratch, scratch_bytes);
    const float** const taps = inputs + g.h.kernel * (g.ic / 8);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t image = i / g.h.out / blocks, channel = i / g.h.out % blocks * dst_block, o = i % g.h.out;
      const std::int64_t to = ((image * blocks + channel / dst_block) * g.out_pixels() + o * g.w.out) * dst_block;
      for (std::int64_t c = 0; c < dst_block; c += 8) one_group(context, image, (channel + c) / 8, o, to + c, inputs, taps);
      if (rest.count > 0) apply_epilogue(rest, context, context.ptr<float>(y) + to, to, g.w.out * dst_block);
    }
  }

  void one_group(const StepContext& context, std::int64_t image, std::int64_t group, std::int64_t o, std::int64_t to, const float** inputs,
                 const float** taps) const {
    static constexpr float kNoBias[8] = {};
    const std::int64_t runs = g.ic / 8, pixels = g.in_pixels();
    const float* in = context.ptr<const float>(x) + image * g.groups * g.ic * pixels;
    const float* w = context.ptr<const float>(weights) + group * g.h.kernel * g.ic * 24;
    std::int64_t first, last, count = 0;
    g.h.inside(o, first, last);
    for (std::int64_t k = first; k < last; ++k)
      for (std::int64_t r = 0; r < runs; ++r, ++count) {
        const std::int64_t channel = group * g.ic + r * 8, pixel = (o * g.h.stride - g.h.pad + k) * g.w.in;
        inputs[count] = in + (channel / src_block * pixels + pixel) * src_block + channel % src_block;
        taps[count] = w + (k * runs + r) * 192;
      }
    row({inputs, taps, count, src_block, dst_block, g.w.in, g.w.out, g.w.stride, g.w.pad,
         bias.present() ? context.ptr<const float>(bias) + group * 8 : kNoBias,
         residual.present() ? context.ptr<const float>(residual) + to : nullptr, context.ptr<float>(y) + to, low, high});
  }
};

}  // namespace

void GroupedForm::pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const {
  for (std::int64_t g = begin; g < end; ++g)
    for (std::int64_t o = 0; o < 8; ++o)
      for (std::int64_t i = 0; i < ic_; ++i)
        for (std::int64_t r = 0; r < rows_; ++r)
          for (std::int64_t c = 0; c < 3; ++c)
            dst[((g * rows_ + r) * ic_ + i) * 24 + c * 8 + o] = weights[(((g * 8 + o) * ic_ + i) * rows_ + r) * 3 + c];
}

std::string GroupedForm::layout_id() const {
  return "conv_grouped/" + std::to_string(groups_) + "x" + std::to_string(ic_) + "x" + std::to_string(rows_);
}

bool suits_grouped(Isa isa, const WindowAttributes& window, std::int64_t groups, std::int64_t ic, std::int64_t oc, const std::int64_t* kernel) {
  if (grouped_row(isa) == nullptr || window.spatial != 2 || groups < 2 || oc != 8 || ic % 8 != 0 || kernel[1] != 3) return false;
  return window.dilations[0] == 1 && window.dilations[1] == 1 && window.strides[1] <= 2;
}

bool emit_grouped_conv(PlanBuilder& builder, const ConvGeometry& g, const ConvProblem& problem, std::span<const Ref> reads) {
  const std::int64_t right = (g.w.out - 1) * g.w.stride - g.w.pad + 3 - g.w.in;
  if ((problem.src_block != 8 && problem.src_block != 16) || problem.dst_block == 0 || g.w.pad < 0 || g.w.pad > 1 || right > 1) return false;
  GroupedConv c{};
  c.row = grouped_row(builder.options().isa);
  c.g = g, c.src_block = problem.src_block, c.dst_block = problem.dst_block;
  c.x = problem.src, c.weights = problem.weights, c.bias = problem.bias, c.y = problem.dst, c.residual = problem.residual;
  c.low = problem.low, c.high = problem.high, c.rest = problem.rest;
  c.scratch_bytes = 2 * static_cast<std::uint64_t>(g.h.kernel * (g.ic / 8)) * sizeof(float*);
  c.scratch = builder.scratch(c.scratch_bytes);
  const auto products = static_cast<double>(g.n * g.groups * g.out_pixels() * 8) * static_cast<double>(g.ic * g.taps());
  builder.step("conv.grouped", c, {.est_ns = products / 40 + 200}, reads);
  return true;
}

}  // namespace tenon::cpu
