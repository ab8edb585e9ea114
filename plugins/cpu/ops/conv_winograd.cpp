#include "plugins/cpu/ops/conv_winograd.h"

#include <algorithm>
#include <limits>

#include "plugins/cpu/ops/conv_winograd_kernel.h"

namespace tenon::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Points of a block of tiles should stay in the second-level cache: machines with AVX-512 have 1 MiB or more, others 512 KiB.
constexpr std::int64_t kPointBytesWide = 576 << 10, kPointBytes = 288 << 10;

struct WinogradConv {
  const ConvTiles* tiles;
  const WinogradKernels* kernels;
  std::int64_t n, ic, rows, blocks;         // rows of weights of a point; blocks of 16 input channels of a slice
  Window d, h, w;
  ImageLayout src, dst;
  std::int64_t src_image, dst_image;
  const ConvChannels* channels;
  std::int64_t channel_count;
  const std::uint8_t* whole;                // per tile of channels: stores straight into dst
  std::int64_t tile_rows, tile_columns;     // of a slice
  std::int64_t segments, rows_per_block, most_tiles;
  bool separate;
  Ref in, weights, bias, out, residual, scratch;
  float low, high;
  EpiloguePlan all, rest;
  std::uint64_t scratch_bytes, products_at, pixels_at, results_at;
  std::int64_t point;                       // floats between points of the input
  double cost, cost_row, cost_tile;

  void operator()(const StepContext& context) const;
};

class Pass {
 public:
  Pass(const WinogradConv& conv, const StepContext& context)
      : c_(conv), context_(context), points_(worker_scratch<float>(context, conv.scratch, conv.scratch_bytes)),
        products_(at(conv.products_at)), pixels_(at(conv.pixels_at)), results_(at(conv.results_at)) {}

  // Tiles [column, column_end) of tile rows [row, row_end) of one slice, counted over all images.
  void block(std::int64_t slice, std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end, std::int64_t first,
             std::int64_t last) {
    image_ = slice / c_.d.out, slice_ = slice % c_.d.out, row_ = row, row_end_ = row_end, column_ = column, width_ = column_end - column;
    c_.d.inside(slice_, tap_, tap_end_);
    count_ = (row_end - row) * width_;
    for (std::int64_t r = row; r < row_end; ++r) transform_inputs(r);
    for (std::int64_t t = first; t < last; ++t) {
      multiply(c_.channels[t]);
      transform_outputs(c_.channels[t], c_.whole[t] != 0);
    }
  }

 private:
  float* at(std::uint64_t offset) const { return reinterpret_cast<float*>(reinterpret_cast<char*>(points_) + offset); }
  std::int64_t pixel_at(std::int64_t oh, std::int64_t ow) const { return (slice_ * c_.h.out + oh) * c_.w.out + ow; }

  void transform_inputs(std::int64_t tile_row) {
    const float* image = context_.ptr<const float>(c_.in) + image_ * c_.src_image;
    const std::int64_t y = tile_row * kWinogradTile - c_.h.pad, x = column_ * kWinogradTile - c_.w.pad, width = width_ * kWinogradTile + 2;
    const std::int64_t left = std::clamp<std::int64_t>(-x, 0, width), right = std::clamp<std::int64_t>(c_.w.in - x, left, width);
    for (std::int64_t b = 0; b < (tap_end_ - tap_) * c_.blocks; ++b) {
      const std::int64_t channel = b % c_.blocks * 16, real = std::min<std::int64_t>(16, c_.ic - channel);
      const std::int64_t depth = slice_ * c_.d.stride - c_.d.pad + (tap_ + b / c_.blocks) * c_.d.dilation;
      for (std::int64_t r = 0; r < kWinogradReach; ++r) {
        float* to = pixels_ + r * width * 16;
        if (y + r < 0 || y + r >= c_.h.in) {
          std::fill_n(to, width * 16, 0.0f);
          continue;
        }
        std::fill_n(to, left * 16, 0.0f);
        std::fill_n(to + right * 16, (width - right) * 16, 0.0f);
        gather_pixels(image, c_.src, channel, real, (depth * c_.h.in + y + r) * c_.w.in + x + left, 1, right - left, to + left * 16, 16);
      }
      c_.kernels->input({pixels_, width * 16, width_, points_ + (b * count_ + (tile_row - row_) * width_) * 16, c_.point});
    }
  }

  void multiply(const ConvChannels& channels) {
    const ConvTileKind& kind = c_.tiles->kinds[channels.kind];
    if (tap_ == tap_end_) {  // the slice reads padding only
      std::fill_n(products_, kWinogradPoints * count_ * kind.channels, 0.0f);
      return;
    }
    const std::int64_t slice = c_.rows / c_.d.kernel;
    multiply_winograd(kind, {kWinogradPoints, (tap_end_ - tap_) * slice, c_.rows, count_, c_.point, points_,
                             context_.ptr<const float>(c_.weights) + kWinogradPoints * channels.offset + tap_ * slice * kind.channels, products_});
  }

  void transform_outputs(const ConvChannels& channels, bool whole) {
    const ConvTileKind& kind = c_.tiles->kinds[channels.kind];
    const std::int64_t vectors = kind.channels / kind.lanes;
    const auto output = kind.lanes == c_.kernels->lanes ? c_.kernels->output : c_.kernels->output_half;
    float bias[64] = {};
    if (c_.bias.present()) std::copy_n(context_.ptr<const float>(c_.bias) + channels.begin, channels.count, bias);
    float* dst = context_.ptr<float>(c_.out) + image_ * c_.dst_image;
    const float* residual = c_.residual.present() && whole ? context_.ptr<const float>(c_.residual) + image_ * c_.dst_image : nullptr;
    WinogradOutput args{};
    args.point = count_ * kind.channels;
    args.low = whole ? c_.low : -kInfinity, args.high = whole ? c_.high : kInfinity;
    for (std::int64_t r = row_; r < row_end_; ++r) {
      const std::int64_t oh = r * kWinogradTile, height = std::min(kWinogradTile, c_.h.out - oh);
      for (std::int64_t t = 0; t < width_; ++t) {
        const std::int64_t ow = (column_ + t) * kWinogradTile, width = std::min(kWinogradTile, c_.w.out - ow), pixel = pixel_at(oh, ow);
        args.height = height, args.width = width;
        for (std::int64_t j = 0; j < vectors; ++j) {
          args.src = products_ + ((r - row_) * width_ + t) * kind.channels + j * kind.lanes;
          args.bias = bias + j * kind.lanes;
          if (whole) {
            const std::int64_t to = c_.dst.at(channels.begin + j * kind.lanes, pixel);
            args.dst = dst + to;
            args.residual = residual ? residual + to : nullptr;
            args.row = c_.w.out * c_.dst.step(), args.pixel = c_.dst.step();
          } else {
            args.dst = results_ + t * kWinogradTile * kind.channels + j * kind.lanes;
            args.row = width_ * kWinogradTile * kind.channels, args.pixel = kind.channels;
          }
          output(args);
        }
      }
      const std::int64_t ow = column_ * kWinogradTile, columns = std::min(width_ * kWinogradTile, c_.w.out - ow);
      for (std::int64_t k = 0; !whole && k < height; ++k)
        scatter_pixels(results_ + k * width_ * kWinogradTile * kind.channels, kind.channels, columns, dst, c_.dst, channels.begin,
                       channels.count, pixel_at(oh + k, ow), 1);
      if (!c_.separate) finish(whole ? c_.rest : c_.all, channels, dst, oh, height, ow, columns);
    }
  }

  void finish(const EpiloguePlan& epilogue, const ConvChannels& channels, float* dst, std::int64_t oh, std::int64_t height, std::int64_t ow,
              std::int64_t columns) const {
    if (epilogue.count == 0) return;
    const std::int64_t step = c_.dst.step();
    const bool together = columns == c_.w.out;
    for (std::int64_t k = 0; k < channels.count; k += step)
      for (std::int64_t r = 0; r < (together ? 1 : height); ++r) {
        const std::int64_t to = c_.dst.at(channels.begin + k, pixel_at(oh + r, ow));
        apply_epilogue(epilogue, context_, dst + to, image_ * c_.dst_image + to, columns * step * (together ? height : 1));
      }
  }

  const WinogradConv& c_;
  const StepContext& context_;
  float *points_, *products_, *pixels_, *results_;
  std::int64_t image_ = 0, slice_ = 0, tap_ = 0, tap_end_ = 0;  // the slice's, and the range of taps that read inside
  std::int64_t row_ = 0, row_end_ = 0, column_ = 0, width_ = 0, count_ = 0;
};

void WinogradConv::operator()(const StepContext& context) const {
  // Units of work: segments of tile rows.
  const std::int64_t units = tile_rows * segments, total = n * d.out * units;
  const WorkGrid grid = share_work(context.workers, total, channel_count, cost, cost_row, cost_tile);
  const std::int64_t by_row = context.worker % grid.by_rows, by_tile = context.worker / grid.by_rows;
  if (by_tile >= grid.by_tiles) return;
  const std::int64_t first = channel_count * by_tile / grid.by_tiles, last = channel_count * (by_tile + 1) / grid.by_tiles;
  const std::int64_t end = total * (by_row + 1) / grid.by_rows;
  Pass pass(*this, context);
  for (std::int64_t item = total * by_row / grid.by_rows; item < end;) {
    const std::int64_t slice = item / units, unit = item % units;
    if (segments > 1) {
      const std::int64_t row = unit / segments, s = unit % segments;
      pass.block(slice, row, row + 1, tile_columns * s / segments, tile_columns * (s + 1) / segments, first, last);
      ++item;
      continue;
    }
    const std::int64_t stop = std::min({units, unit + rows_per_block, unit + end - item});
    pass.block(slice, unit, stop, 0, tile_columns, first, last);
    item += stop - unit;
  }
}

// G g of three taps of each of `width` channels: six points, `step` floats apart.
void transform_taps(const float* a, const float* b, const float* c, std::int64_t width, float* y, std::int64_t step) {
  for (std::int64_t o = 0; o < width; ++o) {
    const float s = (a[o] + c[o]) * (1.0f / 6), t = b[o] * (1.0f / 6), q = a[o] * (1.0f / 24) + c[o] * (1.0f / 6), r = b[o] * (1.0f / 12);
    y[o] = a[o] * 0.25f;
    y[step + o] = -s - t;
    y[2 * step + o] = t - s;
    y[3 * step + o] = q + r;
    y[4 * step + o] = q - r;
    y[5 * step + o] = c[o];
  }
}
// 36 points from 9 taps.
void transform_weights(const float* g, std::int64_t width, float* u) {
  float rows[6 * 3 * 64];  // [point of the column][column of the kernel][channel]
  for (int k = 0; k < 3; ++k) transform_taps(g + k * width, g + (3 + k) * width, g + (6 + k) * width, width, rows + k * width, 3 * width);
  for (int r = 0; r < 6; ++r)
    transform_taps(rows + 3 * r * width, rows + (3 * r + 1) * width, rows + (3 * r + 2) * width, width, u + 6 * r * width, width);
}

}  // namespace

void WinogradForm::pack(const float* weights, float* dst, std::int64_t begin, std::int64_t end) const {
  float taps[9 * 64], points[36 * 64];
  const std::int64_t count = points_ == 6 ? 3 : 9;
  for (std::int64_t i = begin; i < end; ++i) {
    const ConvChannels& c = packing_.channels[static_cast<std::size_t>(i / packing_.ic)];
    const std::int64_t row = i % packing_.ic, depth = row / slice_rows(), k = row % slice_rows();
    if (c.count < c.width || k >= ic_) std::fill_n(taps, count * c.width, 0.0f);
    if (k < ic_)
      transpose_rows(weights + ((c.begin * ic_ + k) * depth_ + depth) * count, ic_ * depth_ * count, c.count, count, taps, c.width);
    if (points_ == 6) transform_taps(taps, taps + c.width, taps + 2 * c.width, c.width, points, c.width);
    else transform_weights(taps, c.width, points);
    float* to = dst + points_ * c.offset + row * c.width;
    for (std::int64_t p = 0; p < points_; ++p) std::copy_n(points + p * c.width, c.width, to + p * packing_.ic * c.width);
  }
}

void multiply_winograd(const ConvTileKind& kind, const WinogradProducts& p) {
  static constexpr float nothing[64] = {};
  static constexpr ConvTap tap{0, 0};
  const std::int64_t vectors = kind.channels / kind.lanes, pieces = (p.count + kind.columns - 1) / kind.columns;
  ConvTileArgs args{};
  args.column = 16;
  args.taps = &tap, args.tap_count = 1;
  args.blocks = (p.ic + 15) / 16, args.block_src = p.count * 16, args.block_weight = 16 * kind.channels;
  args.length = 16, args.last_length = p.ic - (args.blocks - 1) * 16;
  args.dst_column = kind.channels;
  args.bias = nothing;
  args.low = -kInfinity, args.high = kInfinity;
  args.prefetch_step = (kind.channels * static_cast<std::int64_t>(sizeof(float)) + pieces - 1) / pieces;
  for (std::int64_t point = 0; point < p.points; ++point) {
    args.weights = p.weights + point * p.rows * kind.channels;
    for (std::int64_t i = 0; i < pieces; ++i) {
      const std::int64_t t = p.count * i / pieces, some = p.count * (i + 1) / pieces - t;
      args.prefetch = reinterpret_cast<const char*>(args.weights + p.rows * kind.channels) + i * args.prefetch_step * p.ic;
      args.src = p.input + point * p.point + t * 16;
      for (std::int64_t j = 0; j < vectors; ++j) args.dst[j] = p.to + (point * p.count + t) * kind.channels + j * kind.lanes;
      kind.tiles[some - 1](args);
    }
  }
}

bool winograd_stores(const ConvPacking& packing, std::int64_t dst_block, std::vector<std::uint8_t>& whole) {
  bool aligned = true;
  for (const ConvChannels& c : packing.channels) {
    whole.push_back(dst_block != 0 && dst_block % packing.tiles->kinds[c.kind].lanes == 0 && c.count == c.width);
    if (dst_block != 0 && (c.begin % dst_block != 0 || c.count % dst_block != 0)) aligned = false;
  }
  return aligned;
}

bool suits_winograd(const ConvGeometry& g) {
  if (g.groups != 1 || g.ic < 16 || g.oc < 16) return false;
  const bool flat = g.d.kernel == 1 && g.d.in == 1 && g.d.out == 1;
  if (flat && g.h.kernel == 1 && g.h.in == 1 && g.h.pad == 0 && g.w.kernel == 3 && g.w.stride == 1) {
    const std::int64_t tiles = (g.w.out + 4 * g.w.dilation - 1) / (4 * g.w.dilation) * g.w.dilation;
    return tiles >= 12 && 6 * tiles * 5 < 3 * g.w.out * 4;
  }
  for (const Window* w : {&g.h, &g.w})
    if (w->kernel != 3 || w->stride != 1 || w->dilation != 1) return false;
  const std::int64_t tiles = (g.h.out + 3) / 4 * ((g.w.out + 3) / 4);
  // Fewer tiles do not pay for reading four times the weights.
  return tiles * g.d.out >= 12 && 36 * tiles * 5 < 9 * g.h.out * g.w.out * 4;
}

bool emit_winograd_conv(PlanBuilder& builder, const WinogradForm& form, const ConvGeometry& g, const ConvProblem& problem,
                        std::span<const Ref> reads) {
  if (form.points() == 6) return emit_winograd_line(builder, form, g, problem, reads);
  const ConvPacking& packing = form.packing();
  WinogradConv c{};
  c.tiles = packing.tiles;
  c.kernels = &winograd_kernels(builder.options().isa);
  c.n = g.n, c.ic = g.ic, c.rows = packing.ic, c.blocks = (g.ic + 15) / 16;
  c.d = g.d, c.h = g.h, c.w = g.w;
  c.src = {problem.src_block, g.in_pixels()}, c.dst = {problem.dst_block, g.out_pixels()};
  c.src_image = g.ic * g.in_pixels(), c.dst_image = g.oc * g.out_pixels();
  c.channels = builder.keep<ConvChannels>(packing.channels);
  c.channel_count = static_cast<std::int64_t>(packing.channels.size());
  std::vector<std::uint8_t> whole;
  const bool aligned = winograd_stores(packing, problem.dst_block, whole);
  const bool all_whole = std::all_of(whole.begin(), whole.end(), [](std::uint8_t b) { return b != 0; });
  c.whole = builder.keep<std::uint8_t>(whole);
  c.in = problem.src, c.weights = problem.weights, c.bias = problem.bias, c.out = problem.dst, c.residual = problem.residual;
  c.low = problem.low, c.high = problem.high, c.all = problem.all, c.rest = problem.rest;
  c.separate = !aligned && c.all.count > 0 && (!all_whole || c.rest.count > 0);
  if (c.separate) c.low = -kInfinity, c.high = kInfinity, c.residual = {};

  c.tile_rows = (g.h.out + 3) / 4, c.tile_columns = (g.w.out + 3) / 4;
  const std::int64_t blocks = g.d.kernel * c.blocks, bytes = kWinogradPoints * blocks * 16 * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t most = std::max(c.tiles->kinds[0].columns, (c.kernels->lanes == 16 ? kPointBytesWide : kPointBytes) / bytes);
  c.segments = (c.tile_columns + most - 1) / most;
  c.rows_per_block = c.segments > 1 ? 1 : std::clamp<std::int64_t>(most / c.tile_columns, 1, c.tile_rows);
  const std::int64_t widest = (c.tile_columns + c.segments - 1) / c.segments;
  c.most_tiles = widest * c.rows_per_block;
  c.point = c.most_tiles * blocks * 16 + 16;  // an odd number of cache lines apart

  const std::int64_t channels = c.tiles->kinds[0].channels;
  std::uint64_t used = 0;
  const auto room = [&](std::int64_t floats) {
    const std::uint64_t at = used;
    used += (static_cast<std::uint64_t>(floats) * sizeof(float) + 63) / 64 * 64;
    return at;
  };
  room(kWinogradPoints * c.point);
  c.products_at = room(kWinogradPoints * c.most_tiles * channels);
  c.pixels_at = room(kWinogradReach * (widest * kWinogradTile + 2) * 16);
  c.results_at = room(all_whole ? 0 : kWinogradTile * widest * kWinogradTile * channels);
  c.scratch_bytes = used;
  c.scratch = builder.scratch(used);

  // In cycles, roughly, as for direct convolutions.
  const auto width = static_cast<double>(channels), lanes = static_cast<double>(c.tiles->kinds[0].lanes),
             tiles = static_cast<double>(widest);
  c.cost = tiles * (static_cast<double>(kWinogradPoints * c.rows) * width / lanes / (lanes > 8 ? 1 : 2) + 160 * width / lanes);
  c.cost_row = tiles * static_cast<double>(blocks) * 250 * (lanes > 8 ? 1 : 2);
  c.cost_tile = static_cast<double>(kWinogradPoints * c.rows) * width / 4;
  const double flops = 2.0 * static_cast<double>(g.n * g.oc * g.out_pixels()) * static_cast<double>(g.ic * g.taps());
  builder.step("conv.winograd", c, {.est_ns = flops / (lanes > 1 ? 200 : 16) + 200}, reads);
  return c.separate;
}

}  // namespace tenon::cpu
