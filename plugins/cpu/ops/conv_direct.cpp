#include "plugins/cpu/ops/conv_direct.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace tenon::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// What one worker may hold of its second-level cache: input rows (more, if that is all of them), and weights of a tile.
constexpr std::int64_t kBandBytes = 256 << 10, kWholeBandBytes = 512 << 10, kPanelBytes = 256 << 10;
// The epilogue runs over this many results at a time, while they are in the first-level cache.
constexpr std::int64_t kEpilogueFloats = 4096;
// So few rows are shared out together with the tiles: in halves of one or the other workers would often wait for each other.
constexpr std::int64_t kEvenRows = 16;

// Output columns that the same taps of a kernel row reach: [low, high) of those in use, the others meet padding there.
struct ColumnSpan {
  std::int64_t begin, end, low, high;
};

struct DirectConv {
  const ConvTiles* tiles;
  std::int64_t n, groups, ic, oc;
  ConvDim d, h, w;
  ImageLayout src, dst;
  std::int64_t src_image, dst_image;
  std::int64_t block, blocks, last;         // input channels of a block of weights; products of the last block
  std::int64_t side, parts;                 // channels side by side in what tiles read; of these there are parts to a block
  bool unpacked, flat, merged, prunes, separate;
  bool even;                                // workers take equal parts of tiles and rows, not a grid of them
  bool chained;                             // packed rows follow each other without gaps: tiles reach over their ends
  std::int64_t last_row;                    // columns of the last row of a flat image
  const ColumnSpan* spans;                  // null: all columns have all taps
  std::int64_t span_count;
  const ConvChannels* channels;
  std::int64_t channel_count, group_floats;
  const std::uint8_t* whole;                // per tile of channels: stores straight into dst
  std::int64_t rows_per_band, blocks_per_chunk;
  Ref in, weights, bias, out, residual, scale, scratch;
  std::int64_t weights_offset, scale_image;
  float low, high;
  EpiloguePlan all, rest;
  std::uint64_t scratch_bytes, taps_at, results_at, scaled_at;
  double cost, cost_row, cost_tile;

  std::int64_t rows() const { return d.out * h.out; }
  std::int64_t columns(std::int64_t row) const { return flat && row + 1 == rows() ? last_row : w.out; }
  // Where the first column of a row is stored.
  std::int64_t pixel(std::int64_t row) const {
    const std::int64_t od = row / h.out, oh = row % h.out;
    return ((od * d.dst_step + d.dst_first) * h.dst_size + oh * h.dst_step + h.dst_first) * w.dst_size + w.dst_first;
  }
  // Where the share of a worker begins: rows of this tile from row on, then the tiles behind it.
  struct Share {
    std::int64_t tile, row;
  };
  Share share(std::int64_t worker, std::int64_t workers) const {
    if (worker == workers) return {channel_count, 0};
    const std::int64_t at = (channels[channel_count - 1].begin + channels[channel_count - 1].width) * rows() * worker / workers;
    std::int64_t t = 0;
    while ((channels[t].begin + channels[t].width) * rows() <= at) ++t;
    return {t, (at - channels[t].begin * rows()) / channels[t].width};
  }
  std::int64_t packed_width() const { return w.reach(w.out); }
  std::int64_t taps_per_row() const { return (merged ? 1 : w.used()) * parts; }

  void operator()(const StepContext& context) const;
  void share_evenly(const StepContext& context) const;
};

// One worker's work on one image and group.
class Pass {
 public:
  Pass(const DirectConv& conv, const StepContext& context, std::int64_t image, std::int64_t group)
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

  const DirectConv& c_;
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

void DirectConv::share_evenly(const StepContext& context) const {
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

void DirectConv::operator()(const StepContext& context) const {
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

// Do tiles of these channels lie in dst as whole vectors?
bool stores_whole(const ConvPacking& packing, const ConvChannels& c, std::int64_t dst_block) {
  const std::int64_t lanes = packing.tiles->kinds[c.kind].lanes;
  return dst_block % lanes == 0 && dst_block != 0 && c.count == c.width && (packing.groups == 1 || packing.oc % lanes == 0);
}

// A convolution whose only tap is the pixel itself (1x1, or dilated beyond the image) sees no neighbours: its pixels may be cut
// into rows as the tiles like it, or, where workers share few pixels, into rows of one tile.
bool flatten(DirectConv& c, bool shared) {
  for (const ConvDim* dim : {&c.d, &c.h, &c.w})
    if (dim->used() != 1 || dim->stride != 1 || dim->origin() != 0 || dim->in != dim->out || dim->dst_step != 1 || dim->dst_size != dim->out)
      return false;
  const std::int64_t pixels = c.d.out * c.h.out * c.w.out, piece = c.tiles->kinds[0].columns;
  const std::int64_t pieces = (pixels + piece - 1) / piece, wide = std::min(pixels, (56 + piece - 1) / piece * piece);
  const std::int64_t width = shared && pieces <= kEvenRows ? (pixels + pieces - 1) / pieces : wide, rows = (pixels + width - 1) / width;
  const std::int64_t taps = c.d.taps * c.h.taps * c.w.taps;
  const std::int64_t tap = (c.d.tap_begin * c.h.taps + c.h.tap_begin) * c.w.taps + c.w.tap_begin;
  c.d = {};
  c.h = {};
  c.w = {};
  c.h.in = c.h.out = c.h.dst_size = rows;
  c.w.in = c.w.out = c.w.dst_size = width;
  c.w.taps = taps, c.w.tap_begin = tap, c.w.tap_end = tap + 1, c.w.first = -tap;
  c.last_row = pixels - (rows - 1) * width;
  return true;
}

// Where columns differ in the taps that reach them, and leaving out the others is worth smaller tiles.
std::vector<ColumnSpan> find_spans(const ConvDim& w) {
  std::vector<std::int64_t> bounds{0, w.out};
  const auto reach = [&](std::int64_t t) {  // columns whose tap t lies inside
    const std::int64_t at = w.origin() + t * w.step;
    const std::int64_t low = at >= 0 ? 0 : (-at + w.stride - 1) / w.stride, high = at >= w.in ? 0 : (w.in - at + w.stride - 1) / w.stride;
    return std::pair{std::min(low, w.out), std::clamp<std::int64_t>(high, 0, w.out)};
  };
  for (std::int64_t t = 0; t < w.used(); ++t) bounds.push_back(reach(t).first), bounds.push_back(reach(t).second);
  std::sort(bounds.begin(), bounds.end());
  std::vector<ColumnSpan> spans;
  std::int64_t products = 0;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    ColumnSpan s{bounds[i], bounds[i + 1], w.used(), 0};
    if (s.begin == s.end) continue;
    for (std::int64_t t = 0; t < w.used(); ++t)
      if (reach(t).first <= s.begin && s.end <= reach(t).second) s.low = std::min(s.low, t), s.high = t + 1;
    if (s.low >= s.high) s.low = s.high = 0;
    products += (s.end - s.begin) * (s.high - s.low);
    spans.push_back(s);
  }
  return products * 5 <= w.out * w.used() * 4 ? spans : std::vector<ColumnSpan>{};
}

DirectConv plan_direct(PlanBuilder& builder, const ConvPacking& packing, const ConvProblem& problem) {
  DirectConv c{};
  c.tiles = packing.tiles;
  c.n = problem.n, c.groups = packing.groups, c.ic = packing.ic, c.oc = packing.oc;
  c.d = problem.d, c.h = problem.h, c.w = problem.w;
  c.src = {problem.src_block, c.d.in * c.h.in * c.w.in};
  c.dst = {problem.dst_block, c.d.dst_size * c.h.dst_size * c.w.dst_size};
  c.src_image = c.groups * c.ic * c.src.pixels, c.dst_image = c.groups * c.oc * c.dst.pixels;
  c.block = packing.block, c.blocks = packing.blocks, c.last = packing.last;
  c.channel_count = static_cast<std::int64_t>(packing.channels.size());
  c.channels = builder.keep<ConvChannels>(packing.channels);
  c.group_floats = packing.group_floats;
  c.in = problem.src, c.weights = problem.weights, c.bias = problem.bias, c.out = problem.dst, c.residual = problem.residual;
  c.weights_offset = problem.weights_offset;
  c.scale = problem.scale, c.scale_image = problem.scale_image;
  c.low = problem.low, c.high = problem.high;
  c.all = problem.all, c.rest = problem.rest;
  for (ConvDim* dim : {&c.d, &c.h, &c.w}) dim->find_taps();
  const bool shared = builder.options().max_workers > 1 && c.n * c.groups == 1;
  c.flat = flatten(c, shared);

  std::vector<std::uint8_t> whole;
  bool aligned = c.d.dst_step == 1 && c.h.dst_step == 1 && c.w.dst_step == 1;
  for (const ConvChannels& t : packing.channels) {
    whole.push_back(stores_whole(packing, t, problem.dst_block));
    if (problem.dst_block != 0 && (t.begin % problem.dst_block != 0 || t.count % problem.dst_block != 0)) aligned = false;
  }
  if (problem.dst_block != 0 && c.groups > 1 && c.oc % problem.dst_block != 0) aligned = false;
  // Results are finished where they are stored, which takes runs of pixels with all channels of a block; only what tiles
  // do themselves needs no such runs.
  const bool all_whole = std::all_of(whole.begin(), whole.end(), [](std::uint8_t b) { return b != 0; });
  c.separate = !aligned && c.all.count > 0 && (!all_whole || c.rest.count > 0);
  c.whole = builder.keep<std::uint8_t>(whole);

  const std::int64_t taps = c.d.taps * c.h.taps * c.w.taps;
  const bool whole_blocks = problem.src_block != 0 && c.ic % problem.src_block == 0;
  const std::int64_t most = c.tiles->kinds[0].columns;
  const bool one_tap = c.d.used() == 1 && c.h.used() == 1 && c.w.used() == 1 && c.d.dst_step == 1 && c.h.dst_step == 1 && c.w.dst_step == 1;
  c.chained = one_tap && !c.flat && (c.w.out + most - 1) / most * most * 4 > c.w.out * 5;
  c.merged = c.w.used() == 1 || c.w.step == 1;
  c.prunes = c.d.used() == 1 && !c.flat && !c.chained;
  if (c.prunes && !c.merged) {
    const std::vector<ColumnSpan> spans = find_spans(c.w);
    c.span_count = static_cast<std::int64_t>(spans.size());
    if (!spans.empty()) c.spans = builder.keep<ColumnSpan>(spans);
  }
  // Where rows and columns are pruned, no padding is read.
  const bool inside = c.d.inside() && (c.spans || (c.h.inside() && c.w.inside()));
  c.side = c.block, c.parts = 1;
  if (!c.chained && whole_blocks && inside) {
    if (taps == 1 || problem.src_block == c.block) {
      c.unpacked = true;
      c.block = c.last = c.side = problem.src_block;  // with one tap the weights are in channel order, whatever the block
      c.blocks = c.ic / c.block;
    } else if (c.block % problem.src_block == 0 && c.ic % c.block == 0 && (c.w.used() == 1 || !c.merged)) {
      c.unpacked = true;
      c.side = problem.src_block, c.parts = c.block / c.side;
    }
  }

  c.even = shared && c.flat && c.unpacked && c.rows() <= kEvenRows && c.channel_count > 0;

  const auto row_bytes = [&](std::int64_t rows) {
    return c.ic == 0 ? 0 : c.blocks * c.block * c.d.used() * c.h.reach(rows) * c.packed_width() * static_cast<std::int64_t>(sizeof(float));
  };
  std::int64_t rows = c.h.out;
  // All rows in one band read the weights once.
  const std::int64_t band = row_bytes(rows) <= kWholeBandBytes ? kWholeBandBytes : kBandBytes;
  while (rows > 1 && row_bytes(rows) > band && !(c.unpacked && c.spans))  // far apart rows are no band
    rows = std::max(rows / 2, std::min<std::int64_t>(rows - 1, band / std::max<std::int64_t>(1, row_bytes(1))));
  // Rows that bands share are packed twice: not more than half of them.
  if (!c.unpacked) rows = std::min(c.h.out, std::max(rows, (c.h.reach(1) + c.h.stride - 1) / c.h.stride));
  c.rows_per_band = std::max<std::int64_t>(1, rows);
  const std::int64_t panel = taps * c.block * c.tiles->kinds[0].channels * static_cast<std::int64_t>(sizeof(float));
  c.blocks_per_chunk = std::max<std::int64_t>(1, c.blocks);
  // Fewer tiles than this read the weights too seldom to keep them near.
  const std::int64_t pieces = c.rows_per_band * ((c.w.out + c.tiles->kinds[0].columns - 1) / c.tiles->kinds[0].columns);
  if (panel * c.blocks > kPanelBytes * 3 / 2 && pieces >= 3) {
    const std::int64_t chunks = (panel * c.blocks + kPanelBytes - 1) / kPanelBytes;
    c.blocks_per_chunk = std::max<std::int64_t>(1, (c.blocks + chunks - 1) / chunks);
  }

  c.taps_at = static_cast<std::uint64_t>(c.unpacked ? 0 : (row_bytes(c.rows_per_band) + 63) / 64 * 64);
  const std::int64_t listed = c.d.used() * c.h.used() * c.taps_per_row() * (c.spans ? 2 : 1);
  c.results_at = c.taps_at + (static_cast<std::uint64_t>(listed) * sizeof(ConvTap) + 63) / 64 * 64;
  const auto floats = [](std::int64_t n) { return (static_cast<std::uint64_t>(n) * sizeof(float) + 63) / 64 * 64; };
  c.scaled_at = c.results_at + (all_whole ? 0 : floats(c.rows_per_band * c.w.out * c.tiles->kinds[0].channels));
  c.scratch_bytes = c.scaled_at + (c.scale.present() ? floats(c.blocks_per_chunk * c.block * c.tiles->kinds[0].channels) : 0);

  // In cycles, roughly: two vector products a cycle, a third of a cycle per float packed, 16 bytes of weights a cycle.
  const auto products = static_cast<double>(c.w.out * taps * c.ic), lanes = static_cast<double>(c.tiles->kinds[0].lanes);
  const auto width = static_cast<double>(c.tiles->kinds[0].channels);
  c.cost = products * width / lanes / (lanes > 8 ? 1 : 2);
  c.cost_row =
      c.unpacked ? 0 : static_cast<double>(c.ic * c.packed_width() * c.h.reach(c.rows_per_band)) / static_cast<double>(c.rows_per_band) / 3;
  c.cost_tile = static_cast<double>(taps * c.ic) * width / 4;
  return c;
}

struct DirectConvs {
  const DirectConv* convs;
  std::size_t count;

  void operator()(const StepContext& context) const {
    for (std::size_t i = 0; i < count; ++i) convs[i](context);
  }
};

}  // namespace

void ConvDim::find_taps() {
  tap_begin = taps, tap_end = 0;
  for (std::int64_t t = 0; t < taps; ++t) {
    // The outputs whose tap t lies inside.
    const std::int64_t at = first + t * step;
    const std::int64_t low = at >= 0 ? 0 : (-at + stride - 1) / stride;
    if (low >= out || at + low * stride >= in) continue;
    tap_begin = std::min(tap_begin, t), tap_end = t + 1;
  }
  if (tap_begin >= tap_end) tap_begin = 0, tap_end = 1;
}

WorkGrid share_work(std::int64_t workers, std::int64_t rows, std::int64_t tiles, double cost, double cost_row, double cost_tile) {
  WorkGrid best;
  if (workers <= 1) return best;
  double least = std::numeric_limits<double>::infinity();
  for (std::int64_t r = 1; r <= workers; ++r) {
    const std::int64_t t = std::min(workers / r, tiles);
    if (r > rows || t < 1) break;
    const auto most_rows = static_cast<double>((rows + r - 1) / r), most_tiles = static_cast<double>((tiles + t - 1) / t);
    const double time = most_rows * most_tiles * cost + most_rows * cost_row + most_tiles * cost_tile;
    if (time < least) least = time, best = {r, t};
  }
  return best;
}

bool direct_conv_reads_in_place(const ConvPacking& packing, std::int64_t dst_block) {
  return std::all_of(packing.channels.begin(), packing.channels.end(),
                     [&](const ConvChannels& c) { return stores_whole(packing, c, dst_block); });
}

bool emit_direct_conv(PlanBuilder& builder, const char* name, std::span<const ConvPart> parts, std::span<const Ref> reads,
                      std::span<const Ref> writes) {
  std::vector<DirectConv> convs;
  double est_ns = 200;
  bool separate = false;
  std::uint64_t scratch_bytes = 0;
  for (const ConvPart& part : parts) {
    const DirectConv c = plan_direct(builder, *part.packing, part.problem);
    const std::int64_t outputs = c.n * c.groups * c.oc * c.d.out * c.h.out * c.w.out;
    if (outputs == 0) continue;
    separate = separate || c.separate;
    scratch_bytes = std::max(scratch_bytes, c.scratch_bytes);
    const double flops = 2.0 * static_cast<double>(outputs) * static_cast<double>(c.d.taps * c.h.taps * c.w.taps * c.ic);
    est_ns += flops / (c.tiles->kinds[0].lanes > 1 ? 80 : 8);
    convs.push_back(c);
  }
  if (convs.empty()) return false;
  const Ref scratch = builder.scratch(scratch_bytes);
  for (DirectConv& c : convs) {
    c.scratch = scratch, c.scratch_bytes = scratch_bytes;
    c.separate = separate;
    if (!separate) continue;
    c.low = -kInfinity, c.high = kInfinity;
    c.residual = {};
  }
  if (convs.size() == 1) builder.step(name, convs[0], {.est_ns = est_ns}, reads, writes);
  else builder.step(name, DirectConvs{builder.keep<DirectConv>(convs), convs.size()}, {.est_ns = est_ns}, reads, writes);
  return separate;
}

}  // namespace tenon::cpu
