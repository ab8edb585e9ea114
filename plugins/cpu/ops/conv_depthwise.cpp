#include "plugins/cpu/ops/conv_depthwise.h"

#include <algorithm>
#include <limits>

namespace tenon::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kEpilogueFloats = 4096;

struct DepthwiseConv {
  DepthwiseFn row;
  DepthwisePairFn pair;  // null: these sizes are done row by row
  ConvGeometry g;
  std::int64_t channels, block;  // block: of the images, or 16 in scratch
  bool dense;
  Ref x, weights, bias, y, residual, scratch;
  std::uint64_t scratch_bytes, rows_at, out_at;
  float low, high;
  DepthwiseFinish finish;
  EpiloguePlan epilogue;  // what is left to do on stored rows

  void operator()(const StepContext& context) const {
    const std::int64_t blocks = (channels + block - 1) / block, rows = g.d.out * g.h.out;
    const auto slice = context.slice(g.n * blocks * rows);
    for (std::int64_t item = slice.begin; item < slice.end;) {
      const std::int64_t unit = item / rows, first = item % rows, stop = std::min(rows, first + slice.end - item);
      block_rows(context, unit / blocks, unit % blocks * block, first, stop);
      item += stop - first;
    }
  }

  // Rows [begin, end) of the channels from `channel` on.
  void block_rows(const StepContext& context, std::int64_t image, std::int64_t channel, std::int64_t begin, std::int64_t end) const {
    const std::int64_t in_pixels = g.in_pixels(), out_pixels = g.out_pixels(), count = std::min(block, channels - channel);
    float* const own = worker_scratch<float>(context, scratch, scratch_bytes);
    const float* in = context.ptr<const float>(x) + (image * channels + channel) * in_pixels;
    float* const out = context.ptr<float>(y) + (image * channels + channel) * out_pixels;
    const auto rows = reinterpret_cast<const float**>(reinterpret_cast<char*>(own) + rows_at);
    float* const line = reinterpret_cast<float*>(reinterpret_cast<char*>(own) + out_at);
    if (dense) {
      if (count < block) std::fill_n(own, in_pixels * block, 0.0f);
      transpose_rows(in, in_pixels, count, in_pixels, own, block);
      in = own;
    }
    float starts[16] = {};
    if (bias.present()) std::copy_n(context.ptr<const float>(bias) + channel, count, starts);
    const float* taps = context.ptr<const float>(weights) + channel / 16 * 16 * g.taps() + channel % 16;
    const float* add = residual.present() ? context.ptr<const float>(residual) + (image * channels + channel) * out_pixels : nullptr;
    DepthwiseRow r{rows,
                   rows + g.d.kernel * g.h.kernel,
                   0,
                   block,
                   g.w.in,
                   g.w.out,
                   g.w.kernel,
                   g.w.stride,
                   g.w.dilation,
                   g.w.pad,
                   starts,
                   nullptr,
                   nullptr,
                   low,
                   high,
                   finish};
    std::int64_t pending = begin, od = begin / g.h.out, oh = begin % g.h.out;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t at = i * g.w.out;
      r.dst = dense ? line : out + at * block;
      r.residual = add ? add + at * block : nullptr;
      if (pair && i + 1 < end) {  // of one image: there is no depth
        two_rows(in, taps, i, r);
        oh += 2, ++i;
      } else {
        r.row_count = list_rows(in, taps, od, oh, rows);
        if (++oh == g.h.out) ++od, oh = 0;
        row(r);
      }
      if (dense) transpose_rows(line, block, g.w.out, count, out + at, out_pixels);
      if (epilogue.count == 0 || ((i + 1 - pending) * g.w.out * block < kEpilogueFloats && i + 1 < end)) continue;
      const std::int64_t pixels = (i + 1 - pending) * g.w.out, from = (image * channels + channel) * out_pixels;
      if (dense) {
        for (std::int64_t c = 0; c < count; ++c) {
          const std::int64_t to = c * out_pixels + pending * g.w.out;
          apply_epilogue(epilogue, context, out + to, from + to, pixels);
        }
      } else {
        apply_epilogue(epilogue, context, out + pending * g.w.out * block, from + pending * g.w.out * block, pixels * block);
      }
      pending = i + 1;
    }
  }

  // Rows i and i + 1, the first as r says.
  void two_rows(const float* in, const float* taps, std::int64_t i, const DepthwiseRow& r) const {
    DepthwisePair p{{}, taps, g.w.in, g.w.out, g.w.pad, r.bias, r.residual, r.dst, low, high, finish};
    for (std::int64_t k = 0; k < 4; ++k) {
      const std::int64_t h = i - g.h.pad + k;
      if (h >= 0 && h < g.h.in) p.rows[k] = in + h * g.w.in * block;
    }
    pair(p);
  }

  // The input rows that an output row reads, and the weights for each.
  std::int64_t list_rows(const float* in, const float* taps, std::int64_t od, std::int64_t oh, const float** rows) const {
    const float** const own_weights = rows + g.d.kernel * g.h.kernel;
    std::int64_t d0, d1, h0, h1, count = 0;
    g.d.inside(od, d0, d1);
    g.h.inside(oh, h0, h1);
    for (std::int64_t kd = d0; kd < d1; ++kd)
      for (std::int64_t kh = h0; kh < h1; ++kh, ++count) {
        const std::int64_t d = od * g.d.stride - g.d.pad + kd * g.d.dilation, h = oh * g.h.stride - g.h.pad + kh * g.h.dilation;
        rows[count] = in + (d * g.h.in + h) * g.w.in * block;
        own_weights[count] = taps + (kd * g.h.kernel + kh) * g.w.kernel * 16;
      }
    return count;
  }
};

}  // namespace

DepthwisePairFn pair_for(Isa isa, const Window& h, const Window& w, std::int64_t block) {
  for (const Window* d : {&h, &w})
    if (d->kernel != 3 || d->stride != 1 || d->dilation != 1) return nullptr;
  const std::int64_t right = w.out - 1 - w.pad + 3 - w.in;
  return w.pad >= 0 && w.pad <= 1 && right <= 1 ? depthwise_pair(isa, block) : nullptr;
}

DepthwiseFinish take_finish(EpiloguePlan& epilogue) {
  if (epilogue.count == 0 || epilogue.items->item.binary) return DepthwiseFinish::clamp;
  const EpilogueItem& item = epilogue.items->item;
  const DepthwiseFinish finish = item.unary == Unary::hard_swish            ? DepthwiseFinish::hard_swish
                                 : item.unary == Unary::swish && item.a == 1 ? DepthwiseFinish::swish
                                                                             : DepthwiseFinish::clamp;
  if (finish != DepthwiseFinish::clamp) ++epilogue.items, --epilogue.count;
  return finish;
}

void DepthwiseForm::pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const {
  for (std::int64_t b = begin; b < end; ++b)
    for (std::int64_t t = 0; t < taps_; ++t)
      for (std::int64_t c = 0; c < 16; ++c) {
        const std::int64_t channel = b * 16 + c;
        dst[(b * taps_ + t) * 16 + c] = channel < channels_ ? weights[channel * taps_ + t] : 0;
      }
}

bool emit_depthwise_conv(PlanBuilder& builder, const ConvGeometry& geometry, const ConvProblem& problem, std::span<const Ref> reads) {
  if (problem.src_block != problem.dst_block) throw Failure{TENON_INTERNAL, "a depthwise convolution keeps the layout"};
  DepthwiseConv c{};
  c.row = depthwise_row(builder.options().isa);
  c.g = geometry;
  const bool flat = geometry.d.kernel == 1 && geometry.d.out == 1 && geometry.d.in == 1 && geometry.d.pad == 0;
  if (flat) c.pair = pair_for(builder.options().isa, geometry.h, geometry.w, problem.src_block);
  c.channels = geometry.groups;
  c.dense = problem.src_block == 0;
  c.block = !c.dense ? problem.src_block : builder.options().isa >= Isa::avx512 ? 16 : 8;
  c.x = problem.src, c.weights = problem.weights, c.bias = problem.bias, c.y = problem.dst;
  c.low = c.dense ? -kInfinity : problem.low, c.high = c.dense ? kInfinity : problem.high;
  c.epilogue = c.dense ? problem.all : problem.rest;
  if (!c.dense) c.residual = problem.residual;
  c.finish = c.dense ? DepthwiseFinish::clamp : take_finish(c.epilogue);
  const auto aligned = [](std::uint64_t bytes) { return (bytes + 63) / 64 * 64; };
  c.rows_at = c.dense ? aligned(static_cast<std::uint64_t>(geometry.in_pixels() * c.block) * sizeof(float)) : 0;
  c.out_at = aligned(c.rows_at + 2 * static_cast<std::uint64_t>(geometry.d.kernel * geometry.h.kernel) * sizeof(float*));
  c.scratch_bytes = c.out_at + (c.dense ? static_cast<std::uint64_t>(geometry.w.out * c.block) * sizeof(float) : 0);
  c.scratch = builder.scratch(c.scratch_bytes);
  const double products = static_cast<double>(geometry.n * geometry.groups * geometry.out_pixels() * geometry.taps());
  builder.step("conv.depthwise", c, {.est_ns = products / (c.dense ? 8 : 30) + 100}, reads);
  return false;
}

}  // namespace tenon::cpu
