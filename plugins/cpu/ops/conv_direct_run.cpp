#include <algorithm>
#include <limits>

#include "plugins/cpu/ops/conv_direct_step.h"

namespace tenon::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// The epilogue runs over this many results at a time, while they are in the first-level cache.
constexpr std::int64_t kEpilogueFloats = 4096;

// One worker's work on one image and group.
class Pass {
 public:
  Pass(const DirectConvStep& conv, const StepContext& context, std::int64_t image, std::int64_t group)
      : c_(conv), context_(context), group_(group), image_(image),
        src_(context.ptr<const float>(conv.in) + image * conv.src_image),
        dst_(context.ptr<float>(conv.out) + image * conv.dst_image),
        weights_(context.ptr<const float>(conv.weights) + conv.weights_offset + group * conv.group_floats),
        bias_(conv.bias.present() ? context.ptr<const float>(conv.bias) + group * conv.oc : nullptr),
        residual_(conv.residual.present() ? context.ptr<const float>(conv.residual) + image * conv.dst_image : nullptr),
        band_(worker_scratch<float>(context, conv.scratch, conv.scratch_bytes)),
        taps_(reinterpret_cast<ConvTap*>(reinterpret_cast<char*>(band_) + conv.taps_at)),
        results_(reinterpret_cast<float*>(reinterpret_cast<char*>(band_) + conv.results_at)),
        scale_(conv.scale.present() ? context.ptr<const float>(conv.scale) + image * conv.scale_image : nullptr),
        scaled_(reinterpret_cast<float*>(reinterpret_cast<char*>(band_) + conv.scaled_at)) {}

  void rows(std::int64_t begin, std::int64_t end, std::int64_t first_tile, std::int64_t last_tile) {
    for (std::int64_t r = begin; r < end;) {
      const std::int64_t stop = std::min({end, r + c_.rows_per_band, (r / c_.h.out + 1) * c_.h.out});
      band(r, stop);
      for (std::int64_t t = first_tile; t < last_tile; ++t) tile(c_.channels[t], c_.whole[t] != 0);
      r = stop;
    }
  }

 private:
  // Makes the input of rows [begin, end), of one depth, ready.
  void band(std::int64_t begin, std::int64_t end) {
    begin_ = begin, end_ = end;
    const ConvDim &d = c_.d, &h = c_.h, &w = c_.w;
    const std::int64_t od = begin / h.out, oh = begin % h.out;
    const std::int64_t id = od * d.stride + d.origin(), ih = oh * h.stride + h.origin();
    if (c_.unpacked) {
      row_step_ = h.stride * w.in * c_.side;
      column_ = w.stride * c_.side;
      block_src_ = c_.src.pixels * c_.block;
      tap_d_ = d.step * h.in * w.in * c_.side, tap_h_ = h.step * w.in * c_.side, tap_w_ = w.step * c_.side;
      from_ = src_ + c_.src.at(group_ * c_.ic, (id * h.in + ih) * w.in + w.origin());
      return;
    }
    const std::int64_t height = h.reach(end - begin), width = c_.packed_width();
    const std::int64_t ih_step = h.used() == 1 ? h.stride : 1, iw_step = w.used() == 1 ? w.stride : 1;
    row_step_ = (h.used() == 1 ? 1 : h.stride) * width * c_.block;
    column_ = (w.used() == 1 ? 1 : w.stride) * c_.block;
    tap_h_ = h.step * width * c_.block, tap_w_ = w.step * c_.block;
    tap_d_ = height * width * c_.block;
    block_src_ = d.used() * tap_d_;
    from_ = band_;
    float* to = band_;
    for (std::int64_t b = 0; b < c_.blocks; ++b) {
      const std::int64_t real = std::min(c_.block, c_.ic - b * c_.block);
      for (std::int64_t t = 0; t < d.used(); ++t)
        for (std::int64_t q = 0; q < height; ++q, to += width * c_.block) {
          const std::int64_t z = id + t * d.step, y = ih + q * ih_step, x = w.origin();
          const std::int64_t limit = c_.flat && y + 1 == h.in ? c_.last_row : w.in;
          if (z < 0 || z >= d.in || y < 0 || y >= h.in) {
            std::fill_n(to, width * c_.block, 0.0f);
            continue;
          }
          // Columns [left, right) are inside.
          const std::int64_t left = std::min(width, x >= 0 ? 0 : (-x + iw_step - 1) / iw_step);
          const std::int64_t right = std::max(left, std::min(width, x >= limit ? 0 : (limit - x + iw_step - 1) / iw_step));
          if (real < c_.block && c_.last == c_.block) {
            std::fill_n(to, width * c_.block, 0.0f);
          } else {
            std::fill_n(to, left * c_.block, 0.0f);
            std::fill_n(to + right * c_.block, (width - right) * c_.block, 0.0f);
          }
          gather_pixels(src_, c_.src, group_ * c_.ic + b * c_.block, real, (z * h.in + y) * w.in + x + left * iw_step, iw_step,
                        right - left, to + left * c_.block, c_.block);
        }
    }
  }

  // Lists the taps for tiles of that many channels, taps_per_row() for each row of the kernel.
  std::int64_t list_taps(std::int64_t channels) {
    std::int64_t count = 0;
    const ConvDim &d = c_.d, &h = c_.h, &w = c_.w;
    for (std::int64_t td = 0; td < d.used(); ++td)
      for (std::int64_t th = 0; th < h.used(); ++th)
        for (std::int64_t tw = 0; tw < (c_.merged ? 1 : w.used()); ++tw) {
          const std::int64_t tap = ((td + d.tap_begin) * h.taps + th + h.tap_begin) * w.taps + tw + w.tap_begin;
          for (std::int64_t part = 0; part < c_.parts; ++part)
            taps_[count++] = {td * tap_d_ + th * tap_h_ + tw * tap_w_ + part * c_.src.pixels * c_.side,
                              (tap * c_.block + part * c_.side) * channels};
        }
    return count;
  }

  void tile(const ConvChannels& channels, bool whole) {
    const ConvTileKind& kind = c_.tiles->kinds[channels.kind];
    const std::int64_t channel = group_ * c_.oc + channels.begin, vectors = kind.channels / kind.lanes;
    const std::int64_t tap_count = list_taps(kind.channels), taps_per_row = c_.taps_per_row();
    float bias[64] = {};
    if (bias_) std::copy_n(bias_ + channels.begin, channels.count, bias);

    ConvTileArgs args{};
    args.column = column_;
    args.block_src = block_src_;
    args.block_weight = c_.channel_count == 0 ? 0 : c_.d.taps * c_.h.taps * c_.w.taps * c_.block * kind.channels;
    args.length = (c_.merged ? c_.w.used() : 1) * c_.side;
    args.dst_column = whole ? c_.dst.step() * c_.w.dst_step : kind.channels;
    for (std::int64_t first = 0; first < c_.blocks; first += c_.blocks_per_chunk) {
      args.blocks = std::min(c_.blocks_per_chunk, c_.blocks - first);
      const bool starts = first == 0, ends = first + args.blocks == c_.blocks;
      args.last_length = ends && c_.last != c_.block ? c_.last : args.length;
      args.bias = starts ? bias : nullptr;
      args.far = whole;
      args.low = ends && whole ? c_.low : -kInfinity;
      args.high = ends && whole ? c_.high : kInfinity;
      args.weights = weights_ + channels.offset + first * args.block_weight;
      // The weights that follow are fetched meanwhile, a share with each tile.
      const float* next = args.weights + args.blocks * args.block_weight;
      const std::int64_t passes = std::max<std::int64_t>(1, (end_ - begin_) * c_.w.out / kind.columns);
      args.prefetch_step = (kind.channels * static_cast<std::int64_t>(sizeof(float)) + passes - 1) / passes;
      if (scale_) {  // with one tap rows of weights are in the order of the channels, whatever the block
        const std::int64_t depth = std::min((first + args.blocks) * c_.block, c_.ic) - first * c_.block;
        c_.tiles->scale_rows(args.weights, scale_ + first * c_.block, depth, kind.channels, scaled_);
        args.weights = scaled_;
      }
      const std::int64_t share = args.prefetch_step * args.blocks * args.block_weight / kind.channels;  // bytes
      std::int64_t pass = 0;
      const float* from = from_ + first * block_src_;
      std::int64_t pending = begin_, pending_floats = 0;
      const std::int64_t rows = c_.chained ? end_ - begin_ : 1;  // that are one row to the tiles
      std::int64_t at[4] = {};  // of pixel 0, where results are stored whole
      for (std::int64_t j = 0; whole && j < vectors; ++j) at[j] = c_.dst.at(channel + j * kind.lanes, 0);
      for (std::int64_t r = begin_; r < end_; r += rows) {
        args.taps = taps_, args.tap_count = tap_count;
        if (c_.prunes) prune(r, taps_per_row, args);
        const std::int64_t columns = c_.columns(r) * rows, pixel = c_.pixel(r);
        const float* row = from + (r - begin_) * row_step_;
        float* results = results_ + (r - begin_) * c_.w.out * kind.channels;
        const auto run = [&](std::int64_t begin, std::int64_t end) {
          if (begin == end) return;
          const std::int64_t pieces = (end - begin + kind.columns - 1) / kind.columns, some = (end - begin) / pieces;
          const std::int64_t longer = (end - begin) % pieces;  // so many have one column more
          for (std::int64_t p = 0, x = begin; p < pieces; ++p) {
            const std::int64_t count = some + (p < longer ? 1 : 0);
            const std::int64_t to = x * args.dst_column + (whole ? pixel * c_.dst.step() : 0);
            args.src = row + x * column_;
            args.prefetch = reinterpret_cast<const char*>(next) + pass++ * share;
            for (std::int64_t j = 0; j < vectors; ++j) {
              if (whole) {
                args.dst[j] = dst_ + at[j] + to;
                // Before dst, which may be the same memory, is written.
                args.residual[j] = residual_ && starts ? residual_ + at[j] + to : nullptr;
              } else {
                args.dst[j] = results + to + j * kind.lanes;
              }
            }
            kind.tiles[count - 1](args);
            x += count;
          }
        };
        if (c_.spans) {
          const std::span<const ConvTap> all(args.taps, static_cast<std::size_t>(args.tap_count));
          for (std::int64_t s = 0; s < c_.span_count; ++s) {
            pick_taps(all, taps_per_row, c_.spans[s], args);
            run(c_.spans[s].begin, c_.spans[s].end);
          }
        } else {
          run(0, columns);
        }
        if (!ends) continue;
        if (!whole) scatter_pixels(results, kind.channels, columns, dst_, c_.dst, channel, channels.count, pixel, c_.w.dst_step);
        pending_floats += columns * channels.count;
        if (pending_floats < kEpilogueFloats && r + rows < end_) continue;
        if (!c_.separate) finish(whole ? c_.rest : c_.all, channel, channels.count, pending, r + rows);
        pending = r + rows, pending_floats = 0;
      }
    }
  }

  // Leaves out kernel rows that only meet padding.
  void prune(std::int64_t row, std::int64_t taps_per_row, ConvTileArgs& args) const {
    const ConvDim& h = c_.h;
    const std::int64_t at = row % h.out * h.stride + h.origin();
    const std::int64_t low = std::min(h.used(), at >= 0 ? 0 : (-at + h.step - 1) / h.step);
    const std::int64_t high = std::max(low, std::min(h.used(), at >= h.in ? 0 : (h.in - at + h.step - 1) / h.step));
    args.taps += low * taps_per_row;
    args.tap_count = (high - low) * taps_per_row;
  }

  // Of whole kernel rows those taps that the columns reach, listed behind taps_.
  void pick_taps(std::span<const ConvTap> all, std::int64_t taps_per_row, const ColumnSpan& span, ConvTileArgs& args) const {
    ConvTap* to = taps_ + c_.d.used() * c_.h.used() * taps_per_row;
    args.taps = to;
    for (std::size_t row = 0; row < all.size(); row += static_cast<std::size_t>(taps_per_row))
      for (std::int64_t t = span.low * c_.parts; t < span.high * c_.parts; ++t) *to++ = all[row + static_cast<std::size_t>(t)];
    args.tap_count = to - args.taps;
  }

  void finish(const EpiloguePlan& epilogue, std::int64_t channel, std::int64_t count, std::int64_t begin, std::int64_t end) const {
    if (epilogue.count == 0) return;
    const std::int64_t pixel = c_.pixel(begin), pixels = c_.pixel(end - 1) + c_.columns(end - 1) - pixel;
    const std::int64_t wide = c_.dst.step();
    for (std::int64_t k = 0; k < count; k += wide) {
      const std::int64_t at = c_.dst.at(channel + k, pixel);
      apply_epilogue(epilogue, context_, dst_ + at, image_ * c_.dst_image + at, pixels * wide);
    }
  }

  const DirectConvStep& c_;
  const StepContext& context_;
  std::int64_t group_, image_;
  const float* src_;
  float* dst_;
  const float *weights_, *bias_, *residual_;
  float* band_;
  ConvTap* taps_;
  float* results_;
  const float* scale_;
  float* scaled_;  // the weights of a tile, multiplied
  std::int64_t begin_ = 0, end_ = 0;
  const float* from_ = nullptr;
  std::int64_t row_step_ = 0, column_ = 0, block_src_ = 0, tap_d_ = 0, tap_h_ = 0, tap_w_ = 0;
};

}  // namespace

void DirectConvStep::share_evenly(const StepContext& context) const {
  const Share begin = share(context.worker, context.workers), end = share(context.worker + 1, context.workers);
  Pass pass(*this, context, 0, 0);
  std::int64_t tile = begin.tile;
  if (begin.row > 0) {
    pass.rows(begin.row, tile == end.tile ? end.row : rows(), tile, tile + 1);
    if (tile++ == end.tile) return;
  }
  if (tile < end.tile) pass.rows(0, rows(), tile, end.tile);
  if (end.row > 0) pass.rows(0, end.row, end.tile, end.tile + 1);
}

void DirectConvStep::operator()(const StepContext& context) const {
  if (even && context.workers > 1) return share_evenly(context);
  const std::int64_t total = n * groups * rows();
  const WorkGrid grid = share_work(context.workers, total, channel_count, cost, cost_row, cost_tile);
  const std::int64_t by_row = context.worker % grid.by_rows, by_tile = context.worker / grid.by_rows;
  if (by_tile >= grid.by_tiles) return;
  const std::int64_t first_tile = channel_count * by_tile / grid.by_tiles, last_tile = channel_count * (by_tile + 1) / grid.by_tiles;
  const std::int64_t end = total * (by_row + 1) / grid.by_rows;
  for (std::int64_t item = total * by_row / grid.by_rows; item < end;) {
    const std::int64_t unit = item / rows(), row = item % rows(), stop = std::min(rows(), row + end - item);
    Pass(*this, context, unit / groups, unit % groups).rows(row, stop, first_tile, last_tile);
    item += stop - row;
  }
}

}  // namespace tenon::cpu
