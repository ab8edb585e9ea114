#include "plugins/cpu/ops/conv_point.h"

#include <algorithm>

#include "plugins/cpu/ops/conv_point_kernel.h"

namespace tenon::cpu {
namespace {

struct PointConv {
  PointFn point;
  const ConvTiles* tiles;
  const ConvChannels* channels;
  std::int64_t n, ic, oc, tile_count, wide;  // wide: tiles of the widest kind, which come first; all their channels are there
  Ref x, weights, bias, y;
  float low, high;
  EpiloguePlan rest;

  void operator()(const StepContext& context) const {
    const std::int64_t groups = (wide + kPointTiles - 1) / kPointTiles + (tile_count - wide);
    const auto slice = context.slice(n * groups);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t group = i % groups, grouped = groups - (tile_count - wide);
      const std::int64_t first = group < grouped ? wide * group / grouped : wide + group - grouped;
      const std::int64_t last = group < grouped ? wide * (group + 1) / grouped : first + 1;
      some_tiles(context, i / groups, first, last - first);
    }
  }

  void some_tiles(const StepContext& context, std::int64_t image, std::int64_t first, std::int64_t count) const {
    const ConvChannels& c = channels[first];
    const ConvTileKind& kind = tiles->kinds[c.kind];
    const std::int64_t begin = c.begin, outputs = first < wide ? count * c.width : c.count;
    alignas(64) float start[kPointTiles * 64] = {}, result[64];
    if (bias.present()) std::copy_n(context.ptr<const float>(bias) + begin, outputs, start);
    const float *from = context.ptr<const float>(x) + image * ic, *w = context.ptr<const float>(weights) + c.offset;
    float* const to = context.ptr<float>(y) + image * oc + begin;
    if (first < wide) {
      point({from, ic, count, w, start, to, low, high});
    } else {
      const ConvTap tap{0, 0};
      ConvTileArgs args{};
      args.src = from;
      args.taps = &tap, args.tap_count = 1;
      args.blocks = 1, args.length = args.last_length = ic;
      args.weights = w, args.bias = start, args.low = low, args.high = high;
      for (std::int64_t j = 0; j < kind.channels / kind.lanes; ++j) args.dst[j] = result + j * kind.lanes;
      args.dst_column = kind.channels;
      args.prefetch = reinterpret_cast<const char*>(w);
      kind.tiles[0](args);
      std::copy_n(result, outputs, to);
    }
    apply_epilogue(rest, context, to, image * oc + begin, outputs);
  }
};

}  // namespace

bool emit_point_conv(PlanBuilder& builder, const ConvPacking& packing, const ConvGeometry& g, const ConvProblem& problem,
                     std::span<const Ref> reads) {
  const PointFn point = point_products(builder.options().isa);
  if (!point || g.groups != 1 || g.taps() != 1 || g.in_pixels() != 1 || g.out_pixels() != 1 || problem.residual.present()) return false;
  if (g.d.pad != 0 || g.h.pad != 0 || g.w.pad != 0 || problem.weights_offset != 0) return false;
  PointConv c{};
  c.point = point, c.tiles = packing.tiles, c.channels = builder.keep<ConvChannels>(packing.channels);
  c.n = g.n, c.ic = g.ic, c.oc = g.oc, c.tile_count = static_cast<std::int64_t>(packing.channels.size());
  for (const ConvChannels& t : packing.channels) c.wide += t.kind == 0 && t.count == t.width ? 1 : 0;
  c.x = problem.src, c.weights = problem.weights, c.bias = problem.bias, c.y = problem.dst;
  c.low = problem.low, c.high = problem.high, c.rest = problem.rest;
  builder.step("conv.point", c, {.est_ns = static_cast<double>(g.n * g.ic * g.oc) / 10 + 50}, reads);
  return true;
}

}  // namespace tenon::cpu
