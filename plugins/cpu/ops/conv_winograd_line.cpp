// Convolutions of lines by three taps: F(4, 3) over outputs that are a dilation apart.
//
// A tile is four outputs p, p + d, p + 2 d, p + 3 d; a group is the d tiles side by side that fill 4 d outputs.
#include "plugins/cpu/ops/conv_winograd.h"

#include <algorithm>
#include <limits>

#include "plugins/cpu/ops/conv_winograd_kernel.h"

namespace tenon::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kPoints = 6, kOutputs = 4;
// Points of a block of tiles share the second-level cache with their products and the weights, which all blocks read.
constexpr std::int64_t kPointBytesWide = 288 << 10, kPointBytes = 144 << 10;

struct WinogradLine {
  const ConvTiles* tiles;
  const WinogradKernels* kernels;
  std::int64_t n, ic, blocks, in, out, dilation, pad;
  ImageLayout src, dst;
  std::int64_t src_image, dst_image;
  const ConvChannels* channels;
  std::int64_t channel_count;
  const std::uint8_t* whole;  // per tile of channels: stores straight into dst
  std::int64_t tile_count, pieces, most_tiles;  // of an image; pieces: blocks of tiles
  bool separate;
  Ref input, weights, bias, output, residual, scratch;
  float low, high;
  EpiloguePlan all, rest;
  std::uint64_t scratch_bytes, products_at, pixels_at, results_at;
  std::int64_t point;  // floats between points of the input
  double cost, cost_row, cost_tile;

  void operator()(const StepContext& context) const;
};

class Pass {
 public:
  Pass(const WinogradLine& line, const StepContext& context)
      : c_(line), context_(context), points_(worker_scratch<float>(context, line.scratch, line.scratch_bytes)),
        products_(at(line.products_at)), pixels_(at(line.pixels_at)), results_(at(line.results_at)) {}

  void block(std::int64_t image, std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t last) {
    image_ = image, count_ = end - begin;
    runs(begin, end, [&](const Run& run) { transform_inputs(run); });
    for (std::int64_t t = first; t < last; ++t) {
      const ConvChannels& channels = c_.channels[t];
      multiply_winograd(c_.tiles->kinds[channels.kind], {kPoints, c_.ic, c_.ic, count_, c_.point, points_,
                                                         context_.ptr<const float>(c_.weights) + kPoints * channels.offset, products_});
      runs(begin, end, [&](const Run& run) { transform_outputs(run, channels, c_.whole[t] != 0); });
    }
  }

 private:
  // Tiles [tile, tile + count) of the block whose first outputs are evenly spaced.
  struct Run {
    std::int64_t tile, count, position;
  };
  std::int64_t step() const { return c_.dilation == 1 ? kOutputs : 1; }

  template <class Fn>
  void runs(std::int64_t begin, std::int64_t end, Fn&& fn) const {
    for (std::int64_t t = begin; t < end;) {
      const std::int64_t in_group = t % c_.dilation, count = c_.dilation == 1 ? end - t : std::min(c_.dilation - in_group, end - t);
      fn(Run{t - begin, count, t / c_.dilation * kOutputs * c_.dilation + in_group});
      t += count;
    }
  }

  float* at(std::uint64_t offset) const { return reinterpret_cast<float*>(reinterpret_cast<char*>(points_) + offset); }

  // `count` inputs from `from` on of a block of channels, zeros where there are none.
  void fetch(const float* image, std::int64_t b, std::int64_t from, std::int64_t count, float* to) const {
    const std::int64_t left = std::clamp<std::int64_t>(-from, 0, count), right = std::clamp<std::int64_t>(c_.in - from, left, count);
    std::fill_n(to, left * 16, 0.0f);
    std::fill_n(to + right * 16, (count - right) * 16, 0.0f);
    gather_pixels(image, c_.src, b * 16, std::min<std::int64_t>(16, c_.ic - b * 16), from + left, 1, right - left, to + left * 16, 16);
  }

  void transform_inputs(const Run& run) const {
    const float* image = context_.ptr<const float>(c_.input) + image_ * c_.src_image;
    const std::int64_t from = run.position - c_.pad, d = c_.dilation;
    const bool in_place = c_.src.block == 16 && from >= 0 && from + (run.count - 1) * step() + (kPoints - 1) * d < c_.in;
    for (std::int64_t b = 0; b < c_.blocks; ++b) {
      WinogradLineInput args{pixels_, step() * 16, d * 16, run.count, points_ + (b * count_ + run.tile) * 16, c_.point};
      if (in_place) {
        args.src = image + c_.src.at(b * 16, from);
      } else if (d == 1) {
        fetch(image, b, from, run.count * kOutputs + 2, pixels_);
      } else {
        args.tap = run.count * 16;
        for (std::int64_t k = 0; k < kPoints; ++k) fetch(image, b, from + k * d, run.count, pixels_ + k * args.tap);
      }
      c_.kernels->line_input(args);
    }
  }

  void transform_outputs(const Run& run, const ConvChannels& channels, bool whole) const {
    const ConvTileKind& kind = c_.tiles->kinds[channels.kind];
    float bias[64] = {};
    if (c_.bias.present()) std::copy_n(context_.ptr<const float>(c_.bias) + channels.begin, channels.count, bias);
    float* dst = context_.ptr<float>(c_.output) + image_ * c_.dst_image;
    const float* residual = c_.residual.present() && whole ? context_.ptr<const float>(c_.residual) + image_ * c_.dst_image : nullptr;
    const auto output = kind.lanes == c_.kernels->lanes ? c_.kernels->line_output : c_.kernels->line_output_half;
    WinogradLineOutput args{};
    args.src_tile = kind.channels, args.point = count_ * kind.channels;
    args.count = run.count, args.step = step(), args.dilation = c_.dilation;
    args.limit = c_.out - run.position;
    args.low = whole ? c_.low : -kInfinity, args.high = whole ? c_.high : kInfinity;
    for (std::int64_t j = 0; j < kind.channels; j += kind.lanes) {
      args.src = products_ + run.tile * kind.channels + j;
      args.bias = bias + j;
      if (whole) {
        const std::int64_t to = c_.dst.at(channels.begin + j, run.position);
        args.dst = dst + to, args.residual = residual ? residual + to : nullptr;
        args.tile = step() * c_.dst.step(), args.tap = c_.dilation * c_.dst.step();
      } else {
        args.dst = results_ + j;
        args.tile = kind.channels, args.tap = run.count * kind.channels;
      }
      output(args);
    }
    // Outputs of the run that are there: of each of the four, those of the first tiles.
    const auto inside = [&](std::int64_t k) {
      return std::clamp<std::int64_t>((args.limit - k * c_.dilation + step() - 1) / step(), 0, run.count);
    };
    for (std::int64_t k = 0; !whole && k < kOutputs && args.limit > k * c_.dilation; ++k)
      scatter_pixels(results_ + k * args.tap, kind.channels, inside(k), dst, c_.dst, channels.begin, channels.count,
                     run.position + k * c_.dilation, step());
    if (c_.separate) return;
    const EpiloguePlan& epilogue = whole ? c_.rest : c_.all;
    if (c_.dilation == 1) return finish(epilogue, channels, dst, run.position, std::min(run.count * kOutputs, args.limit));
    for (std::int64_t k = 0; k < kOutputs && args.limit > k * c_.dilation; ++k)
      finish(epilogue, channels, dst, run.position + k * c_.dilation, inside(k));
  }

  void finish(const EpiloguePlan& epilogue, const ConvChannels& channels, float* dst, std::int64_t position, std::int64_t count) const {
    if (epilogue.count == 0) return;
    const std::int64_t step = c_.dst.step();
    for (std::int64_t k = 0; k < channels.count; k += step) {
      const std::int64_t to = c_.dst.at(channels.begin + k, position);
      apply_epilogue(epilogue, context_, dst + to, image_ * c_.dst_image + to, count * step);
    }
  }

  const WinogradLine& c_;
  const StepContext& context_;
  float *points_, *products_, *pixels_, *results_;
  std::int64_t image_ = 0, count_ = 0;
};

void WinogradLine::operator()(const StepContext& context) const {
  const std::int64_t total = n * pieces;
  const WorkGrid grid = share_work(context.workers, total, channel_count, cost, cost_row, cost_tile);
  const std::int64_t by_row = context.worker % grid.by_rows, by_tile = context.worker / grid.by_rows;
  if (by_tile >= grid.by_tiles) return;
  const std::int64_t first = channel_count * by_tile / grid.by_tiles, last = channel_count * (by_tile + 1) / grid.by_tiles;
  Pass pass(*this, context);
  for (std::int64_t i = total * by_row / grid.by_rows; i < total * (by_row + 1) / grid.by_rows; ++i) {
    const std::int64_t piece = i % pieces;
    pass.block(i / pieces, tile_count * piece / pieces, tile_count * (piece + 1) / pieces, first, last);
  }
}

}  // namespace

bool emit_winograd_line(PlanBuilder& builder, const WinogradForm& form, const ConvGeometry& g, const ConvProblem& problem,
                        std::span<const Ref> reads) {
  const ConvPacking& packing = form.packing();
  WinogradLine c{};
  c.tiles = packing.tiles;
  c.kernels = &winograd_kernels(builder.options().isa);
  c.n = g.n, c.ic = g.ic, c.blocks = (g.ic + 15) / 16;
  c.in = g.w.in, c.out = g.w.out, c.dilation = g.w.dilation, c.pad = g.w.pad;
  c.src = {problem.src_block, g.in_pixels()}, c.dst = {problem.dst_block, g.out_pixels()};
  c.src_image = g.ic * g.in_pixels(), c.dst_image = g.oc * g.out_pixels();
  c.channels = builder.keep<ConvChannels>(packing.channels);
  c.channel_count = static_cast<std::int64_t>(packing.channels.size());
  std::vector<std::uint8_t> whole;
  const bool aligned = winograd_stores(packing, problem.dst_block, whole);
  const bool all_whole = std::all_of(whole.begin(), whole.end(), [](std::uint8_t b) { return b != 0; });
  c.whole = builder.keep<std::uint8_t>(whole);
  c.input = problem.src, c.weights = problem.weights, c.bias = problem.bias, c.output = problem.dst, c.residual = problem.residual;
  c.low = problem.low, c.high = problem.high, c.all = problem.all, c.rest = problem.rest;
  c.separate = !aligned && c.all.count > 0 && (!all_whole || c.rest.count > 0);
  if (c.separate) c.low = -kInfinity, c.high = kInfinity, c.residual = {};

  const std::int64_t group = kOutputs * c.dilation, groups = (c.out + group - 1) / group;
  c.tile_count = (groups - 1) * c.dilation + std::min(c.dilation, c.out - (groups - 1) * group);
  const std::int64_t bytes = kPoints * c.blocks * 16 * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t most = std::max(c.tiles->kinds[0].columns, (c.kernels->lanes == 16 ? kPointBytesWide : kPointBytes) / bytes);
  c.pieces = (c.tile_count + most - 1) / most;
  if (c.tile_count >= 64) c.pieces = (c.pieces + 1) / 2 * 2;  // so that two workers have as much to do
  c.most_tiles = (c.tile_count + c.pieces - 1) / c.pieces;
  c.point = c.most_tiles * c.blocks * 16 + 16;  // an odd number of cache lines apart

  const std::int64_t channels = c.tiles->kinds[0].channels;
  std::uint64_t used = 0;
  const auto room = [&](std::int64_t floats) {
    const std::uint64_t at = used;
    used += (static_cast<std::uint64_t>(floats) * sizeof(float) + 63) / 64 * 64;
    return at;
  };
  room(kPoints * c.point);
  c.products_at = room(kPoints * c.most_tiles * channels);
  c.pixels_at = room((kPoints * c.most_tiles + 2) * 16);
  c.results_at = room(all_whole ? 0 : kOutputs * c.most_tiles * channels);
  c.scratch_bytes = used;
  c.scratch = builder.scratch(used);

  // In cycles, roughly, as for direct convolutions.
  const auto width = static_cast<double>(channels), lanes = static_cast<double>(c.tiles->kinds[0].lanes);
  const auto tiles = static_cast<double>(c.most_tiles);
  c.cost = tiles * (static_cast<double>(kPoints * g.ic) * width / lanes / (lanes > 8 ? 1 : 2) + 20 * width / lanes);
  c.cost_row = tiles * static_cast<double>(c.blocks) * 20 * (lanes > 8 ? 1 : 2);
  c.cost_tile = static_cast<double>(kPoints * g.ic) * width / 4;
  const double flops = 2.0 * static_cast<double>(g.n * g.oc * g.out_pixels()) * static_cast<double>(g.ic * 3);
  builder.step("conv.winograd", c, {.est_ns = flops / (lanes > 1 ? 150 : 16) + 200}, reads);
  return c.separate;
}

}  // namespace tenon::cpu
