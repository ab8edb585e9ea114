#include "plugins/cpu/ops/conv_direct.h"

#include <algorithm>
#include <limits>

#include "plugins/cpu/ops/conv_direct_step.h"

namespace tenon::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// What one worker may hold of its second-level cache: input rows (more, if that is all of them), and weights of a tile.
constexpr std::int64_t kBandBytes = 256 << 10, kWholeBandBytes = 512 << 10, kPanelBytes = 256 << 10;
// So few rows are shared out together with the tiles: in halves of one or the other workers would often wait for each other.
constexpr std::int64_t kEvenRows = 16;

// Do tiles of these channels lie in dst as whole vectors?
bool stores_whole(const ConvPacking& packing, const ConvChannels& c, std::int64_t dst_block) {
  const std::int64_t lanes = packing.tiles->kinds[c.kind].lanes;
  return dst_block % lanes == 0 && dst_block != 0 && c.count == c.width && (packing.groups == 1 || packing.oc % lanes == 0);
}

// A convolution whose only tap is the pixel itself (1x1, or dilated beyond the image) sees no neighbours: its pixels may be cut
// into rows as the tiles like it, or, where workers share few pixels, into rows of one tile.
bool flatten(DirectConvStep& c, bool shared) {
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

DirectConvStep plan_direct(PlanBuilder& builder, const ConvPacking& packing, const ConvProblem& problem) {
  DirectConvStep c{};
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
  const DirectConvStep* convs;
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
  std::vector<DirectConvStep> convs;
  double est_ns = 200;
  bool separate = false;
  std::uint64_t scratch_bytes = 0;
  for (const ConvPart& part : parts) {
    const DirectConvStep c = plan_direct(builder, *part.packing, part.problem);
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
  for (DirectConvStep& c : convs) {
    c.scratch = scratch, c.scratch_bytes = scratch_bytes;
    c.separate = separate;
    if (!separate) continue;
    c.low = -kInfinity, c.high = kInfinity;
    c.residual = {};
  }
  if (convs.size() == 1) builder.step(name, convs[0], {.est_ns = est_ns}, reads, writes);
  else builder.step(name, DirectConvs{builder.keep<DirectConvStep>(convs), convs.size()}, {.est_ns = est_ns}, reads, writes);
  return separate;
}

}  // namespace tenon::cpu
