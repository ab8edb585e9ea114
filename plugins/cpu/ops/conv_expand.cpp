#include "plugins/cpu/ops/conv_expand.h"

#include <algorithm>

namespace tenon::cpu {
namespace {

constexpr std::int64_t kMaxKernel = 7;      // rows
constexpr double kSmallFloats = 160 << 10;  // that fit the second-level cache beside everything else
constexpr std::int64_t kChunkPixels = 112;  // that are expanded at once, about: whole tiles of common widths

struct ExpandDepthwise {
  const ConvTiles* tiles;
  const ConvChannels* channels;
  std::int64_t tile_count;
  std::int64_t n, ic, oc, src_block, block;  // block: of the ring and of dst
  Window h, w;
  std::int64_t chunk, ring;                  // rows
  DepthwiseFn row;
  DepthwisePairFn pair;  // null: row by row
  DepthwiseFinish finish;
  Ref src, expand_weights, expand_bias, weights, bias, residual, dst, scratch;
  std::uint64_t scratch_bytes;
  float expand_low, expand_high, low, high;
  EpiloguePlan expand_rest, rest;

  void operator()(const StepContext& context) const;
};

// One worker's work on one image and tile of channels.
class Pass {
 public:
  Pass(const ExpandDepthwise& step, const StepContext& context, std::int64_t image, const ConvChannels& channels)
      : s_(step), context_(context), channels_(channels), kind_(step.tiles->kinds[channels.kind]),
        pixels_(step.h.in * step.w.in), out_pixels_(step.h.out * step.w.out),
        src_(context.ptr<const float>(step.src) + image * step.ic * pixels_), dst_at_((image * step.oc + channels.begin) * out_pixels_),
        ring_(worker_scratch<float>(context, step.scratch, step.scratch_bytes)), ring_block_(step.ring * step.w.in * step.block) {
    if (step.expand_bias.present()) std::copy_n(context.ptr<const float>(step.expand_bias) + channels.begin, channels.count, expand_bias_);
    if (step.bias.present()) std::copy_n(context.ptr<const float>(step.bias) + channels.begin, channels.count, bias_);
  }

  // Rows [begin, end) of the result.
  void rows(std::int64_t begin, std::int64_t end) {
    std::int64_t made = 0;  // rows before it are made, as far as they are still needed
    for (std::int64_t o = begin; o < end; ++o) {
      std::int64_t first, last;
      s_.h.inside(o, first, last);
      const std::int64_t at = o * s_.h.stride - s_.h.pad;
      const bool two = s_.pair && o + 1 < end;
      if (two) first = std::max<std::int64_t>(0, -at), last = std::min<std::int64_t>(4, s_.h.in - at);
      if (first < last) made = std::max(made, at + first);
      while (first < last && made < at + last) {
        const std::int64_t count = std::min({s_.chunk, s_.h.in - made, s_.ring - made % s_.ring});
        expand(made, count);
        made += count;
      }
      for (std::int64_t k = first; k < last; ++k) lines_[k] = (at + k) % s_.ring * s_.w.in * s_.block;
      for (std::int64_t c = 0; c < channels_.count; c += s_.block) {
        if (two) depthwise_two(o, first, last, c);
        else depthwise(o, first, last, c);
      }
      if (two) ++o;
    }
  }

 private:
  void expand(std::int64_t row, std::int64_t count) {
    const std::int64_t width = s_.w.in, columns = count * width, at = row % s_.ring * width * s_.block;
    const ConvTap tap{0, 0};
    ConvTileArgs args{};
    args.column = s_.src_block;
    args.taps = &tap, args.tap_count = 1;
    args.blocks = s_.ic / s_.src_block;
    args.block_src = pixels_ * s_.src_block, args.block_weight = s_.src_block * kind_.channels;
    args.length = args.last_length = s_.src_block;
    args.weights = context_.ptr<const float>(s_.expand_weights) + channels_.offset;
    args.dst_column = s_.block;
    args.bias = expand_bias_;
    args.low = s_.expand_low, args.high = s_.expand_high;
    args.prefetch = reinterpret_cast<const char*>(args.weights);
    const std::int64_t pieces = (columns + kind_.columns - 1) / kind_.columns, some = columns / pieces, longer = columns % pieces;
    for (std::int64_t p = 0, x = 0; p < pieces; ++p) {
      args.src = src_ + (row * width + x) * s_.src_block;
      for (std::int64_t j = 0; j < channels_.count / s_.block; ++j) args.dst[j] = ring_ + j * ring_block_ + at + x * s_.block;
      const std::int64_t tile = some + (p < longer ? 1 : 0);
      kind_.tiles[tile - 1](args);
      x += tile;
    }
    for (std::int64_t j = 0; s_.expand_rest.count > 0 && j < channels_.count / s_.block; ++j)
      apply_epilogue(s_.expand_rest, context_, ring_ + j * ring_block_ + at, 0, columns * s_.block);
  }

  // Row o of the channels from c of the tile on, which reads lines [first, last).
  void depthwise(std::int64_t o, std::int64_t first, std::int64_t last, std::int64_t c) {
    const float *inputs[kMaxKernel], *taps[kMaxKernel];
    const std::int64_t channel = channels_.begin + c;
    const float* weights = context_.ptr<const float>(s_.weights) + channel / 16 * 16 * s_.h.kernel * s_.w.kernel + channel % 16;
    for (std::int64_t k = first; k < last; ++k) {
      inputs[k - first] = ring_ + c / s_.block * ring_block_ + lines_[k];
      taps[k - first] = weights + k * s_.w.kernel * 16;
    }
    const std::int64_t to = dst_at_ + c * out_pixels_ + o * s_.w.out * s_.block;
    const float* add = s_.residual.present() ? context_.ptr<const float>(s_.residual) + to : nullptr;
    float* const dst = context_.ptr<float>(s_.dst) + to;
    s_.row({inputs, taps, last - first, s_.block, s_.w.in, s_.w.out, s_.w.kernel, s_.w.stride, 1, s_.w.pad, bias_ + c, add, dst, s_.low, s_.high,
            s_.finish});
    if (s_.rest.count > 0) apply_epilogue(s_.rest, context_, dst, to, s_.w.out * s_.block);
  }

  // Rows o and o + 1, which read lines [first, last).
  void depthwise_two(std::int64_t o, std::int64_t first, std::int64_t last, std::int64_t c) {
    const std::int64_t to = dst_at_ + c * out_pixels_ + o * s_.w.out * s_.block;
    const float* add = s_.residual.present() ? context_.ptr<const float>(s_.residual) + to : nullptr;
    float* const dst = context_.ptr<float>(s_.dst) + to;
    const std::int64_t channel = channels_.begin + c;
    const float* weights = context_.ptr<const float>(s_.weights) + channel / 16 * 144 + channel % 16;
    DepthwisePair p{{}, weights, s_.w.in, s_.w.out, s_.w.pad, bias_ + c, add, dst, s_.low, s_.high, s_.finish};
    for (std::int64_t k = first; k < last; ++k) p.rows[k] = ring_ + c / s_.block * ring_block_ + lines_[k];
    s_.pair(p);
    if (s_.rest.count > 0) apply_epilogue(s_.rest, context_, dst, to, 2 * s_.w.out * s_.block);
  }

  const ExpandDepthwise& s_;
  const StepContext& context_;
  const ConvChannels& channels_;
  const ConvTileKind& kind_;
  std::int64_t pixels_, out_pixels_;
  const float* src_;
  std::int64_t dst_at_;
  float* ring_;
  std::int64_t ring_block_;
  std::int64_t lines_[kMaxKernel + 1] = {};  // where in the ring the rows are that a window reads
  float expand_bias_[64] = {}, bias_[64] = {};
};

void ExpandDepthwise::operator()(const StepContext& context) const {
  const auto slice = context.slice(n * tile_count * h.out);
  for (std::int64_t item = slice.begin; item < slice.end;) {
    const std::int64_t unit = item / h.out, first = item % h.out, stop = std::min(h.out, first + slice.end - item);
    Pass(*this, context, unit / tile_count, channels[unit % tile_count]).rows(first, stop);
    item += stop - first;
  }
}

}  // namespace

std::unique_ptr<TakenDepthwise> TakenDepthwise::take(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, std::int32_t block,
                                                     CompileContext& context) {
  if (next.op_type() != "Conv" || !next.domain().empty() || slot != 0 || !next.is_constant(1) || next.rank(0) != 4) return nullptr;
  const tenon_value &x = next.input(0), &w = next.input(1), &y = next.output(0);
  const std::int64_t channels = x.dims[1];
  if (next.dtype(0) != TENON_DTYPE_FLOAT || next.dtype(1) != TENON_DTYPE_FLOAT || y.rank != 4 || y.dims[1] != channels) return nullptr;
  if (channels <= 0 || channels % block != 0 || next.int_or("group", 1) != channels) return nullptr;
  if (w.rank != 4 || w.dims[0] != channels || w.dims[1] != 1 || w.dims[2] < 2 || w.dims[2] > kMaxKernel || w.dims[3] <= 0) return nullptr;
  double floats = 1;
  for (int d = 1; d < 4; ++d) floats *= static_cast<double>(x.dim_opt[d]);
  if (floats < kSmallFloats) return nullptr;
  auto taken = std::make_unique<TakenDepthwise>();
  if (!WindowAttributes::read(next, 2, taken->window_).empty()) return nullptr;
  for (int d = 0; d < 2; ++d) {
    taken->kernel_[d] = w.dims[2 + d];
    const std::int64_t declared = taken->window_.kernel[d];
    if (taken->window_.dilations[d] != 1 || (declared != 0 && declared != w.dims[2 + d])) return nullptr;
  }
  taken->form_ = std::make_unique<DepthwiseForm>(channels, w.dims[2] * w.dims[3]);
  taken->packed_ = pack_constant(*taken->form_, next, 1, context);
  if (next.has_input(2)) taken->bias_ = first_input + 1;
  return taken;
}

void TakenDepthwise::plan(PlanBuilder& builder, const ConvPacking& packing, const ConvProblem& e) const {
  const Shape &x = builder.in(0), &y = builder.out(0);
  ExpandDepthwise s{};
  s.tiles = packing.tiles;
  s.channels = builder.keep<ConvChannels>(packing.channels), s.tile_count = static_cast<std::int64_t>(packing.channels.size());
  s.n = x[0], s.ic = packing.ic, s.oc = packing.oc, s.src_block = x.block, s.block = y.block;
  s.h = window_.resolve(0, x[2], kernel_[0]), s.w = window_.resolve(1, x[3], kernel_[1]);
  require(y.rank() == 4 && y[0] == s.n && y[1] == s.oc && y[2] == s.h.out && y[3] == s.w.out, "the output has another shape than the convolution");
  bool fits = s.src_block > 0 && s.block > 0 && s.ic % std::max(s.src_block, std::int64_t{1}) == 0;
  for (const ConvChannels& c : packing.channels)
    fits = fits && packing.tiles->kinds[c.kind].lanes == s.block && c.count == c.width && c.begin % s.block == 0;
  if (!fits) throw Failure{TENON_INTERNAL, "these two convolutions are no single step"};
  if (y.count() == 0) return;
  s.chunk = std::clamp<std::int64_t>(kChunkPixels / s.w.in, 1, s.h.in);
  s.row = depthwise_row(builder.options().isa), s.pair = pair_for(builder.options().isa, s.h, s.w, s.block);
  const std::int64_t reads = s.h.kernel + (s.pair ? 1 : 0);
  s.ring = (reads + 2 * s.chunk - 2) / s.chunk * s.chunk;  // what one or two rows read, and all but one row of a chunk
  s.src = e.src, s.expand_weights = e.weights, s.expand_bias = e.bias;
  s.expand_low = e.low, s.expand_high = e.high, s.expand_rest = e.rest;
  const FusionPlan fused = fusion_.plan(builder);
  s.weights = {TENON_NO_VALUE, packed_}, s.bias = bias_ != TENON_NO_VALUE ? builder.in_ref(bias_) : Ref{};
  s.dst = builder.out_ref(0), s.residual = fused.residual, s.low = fused.low, s.high = fused.high, s.rest = fused.rest;
  s.finish = take_finish(s.rest);
  s.scratch_bytes = static_cast<std::uint64_t>(s.ring * s.w.in * packing.tiles->kinds[0].channels) * sizeof(float);
  s.scratch = builder.scratch(s.scratch_bytes);
  const auto expanded = static_cast<double>(s.n * s.oc * s.h.in * s.w.in), made = static_cast<double>(y.count());
  const double ns = expanded * static_cast<double>(s.ic) / 40 + made * static_cast<double>(s.h.kernel * s.w.kernel) / 30 + 200;
  builder.step("conv.expand", s, {.est_ns = ns});
  if (fused.residual.present()) builder.inplace(fused.residual_input, 0);
}

}  // namespace tenon::cpu
