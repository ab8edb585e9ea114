#include "plugins/cpu/ops/conv_split.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "plugins/cpu/amx/conv_tiles.h"
#include "plugins/cpu/amx/tiles.h"

namespace tenon::cpu {
namespace {

using amx::conv_positions;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kBandBytes = 512 << 10;    // of parts; processors with tiles have 2 MiB of second-level cache
constexpr std::int64_t kRunSteps = 16;            // steps whose weights stay in the first-level cache while a band is computed
constexpr std::int64_t kEpilogueFloats = 4096;

// Input rows or columns that a stride brings together: those at phase from the first that is read, stride apart.
struct Plane {
  std::int64_t row, column;
};

struct SplitConv {
  const SplitForm* form;
  std::int64_t n, groups, ic, oc;
  ConvDim h, w;
  ImageLayout src, dst;
  std::int64_t src_image, dst_image;
  const Plane* planes;
  std::int64_t plane_count, columns, below;   // columns of a padded row; rows that a band needs beyond its own
  std::int64_t part;                          // numbers of a plane of one part
  const std::int64_t* at;                     // of the inputs of each step in a band
  std::int64_t rows_per_band;
  bool whole_blocks;                          // 16 channels lie together in src
  bool whole, separate;                       // vectors of channels lie in dst as they are computed
  Ref in, weights, bias, out, residual, scratch;
  float low, high;
  EpiloguePlan all, rest;
  std::uint64_t pixels_at, results_at, scratch_bytes;
  double cost, cost_row, cost_tile;

  void operator()(const StepContext& context) const;
};

// One worker's work on one image and group.
class Pass {
 public:
  Pass(const SplitConv& conv, const StepContext& context, std::int64_t image, std::int64_t group)
      : c_(conv), context_(context), image_(image), group_(group),
        src_(context.ptr<const float>(conv.in) + image * conv.src_image),
        dst_(context.ptr<float>(conv.out) + image * conv.dst_image),
        residual_(conv.residual.present() ? context.ptr<const float>(conv.residual) + image * conv.dst_image : nullptr),
        bias_(conv.bias.present() ? context.ptr<const float>(conv.bias) + group * conv.oc : nullptr),
        weights_(context.ptr<const std::uint16_t>(conv.weights)),
        band_(worker_scratch<std::uint16_t>(context, conv.scratch, conv.scratch_bytes)),
        pixels_(reinterpret_cast<float*>(reinterpret_cast<char*>(band_) + conv.pixels_at)),
        results_(reinterpret_cast<float*>(reinterpret_cast<char*>(band_) + conv.results_at)) {}

  void rows(std::int64_t begin, std::int64_t end, std::int64_t first_panel, std::int64_t last_panel) {
    for (std::int64_t r = begin; r < end; r += c_.rows_per_band) {
      begin_ = r, end_ = std::min(end, r + c_.rows_per_band);
      split_band();
      for (std::int64_t p = first_panel; p < last_panel; ++p) {
        multiply(p);
        finish(p);
      }
    }
  }

 private:
  void split_band() {
    const std::int64_t height = end_ - begin_ + c_.below, chunks = c_.form->chunks(), parts = c_.form->kernels().parts;
    for (std::int64_t p = 0; p < c_.plane_count; ++p)
      for (std::int64_t r = 0; r < height; ++r) {
        const std::int64_t y = (begin_ + r) * c_.h.stride + c_.h.origin() + c_.planes[p].row;
        if (y >= 0 && y < c_.h.in && c_.form->lines()) gather_lines(y);
        for (std::int64_t k = 0; k < chunks; ++k) {
          std::uint16_t* to = band_ + (k * c_.plane_count + p) * parts * c_.part + r * c_.columns * 32;
          if (y < 0 || y >= c_.h.in) {
            for (std::int64_t part = 0; part < parts; ++part)
              std::memset(to + part * c_.part, 0, static_cast<std::size_t>(c_.columns) * 64);
            continue;
          }
          if (c_.whole_blocks && k * 32 + 32 <= c_.ic) {
            split_blocks(k, y, c_.planes[p].column, to);
            continue;
          }
          if (!c_.form->lines()) gather_channels(k, y, c_.planes[p].column);
          const float* pixels = pixels_ + (c_.form->lines() ? k * c_.columns * 32 : 0);
          c_.form->kernels().split(pixels, pixels + 16, 32, c_.columns, to, c_.part);
        }
      }
  }
  // Two blocks of 16 channels as they lie in the image.
  void split_blocks(std::int64_t chunk, std::int64_t y, std::int64_t phase, std::uint16_t* to) const {
    const std::int64_t first = c_.w.origin() + phase, channel = group_ * c_.ic + chunk * 32, step = c_.w.stride;
    std::int64_t left, right;
    inside(first, left, right);
    for (std::int64_t part = 0; part < c_.form->kernels().parts; ++part) {
      std::memset(to + part * c_.part, 0, static_cast<std::size_t>(left) * 64);
      std::memset(to + part * c_.part + right * 32, 0, static_cast<std::size_t>(c_.columns - right) * 64);
    }
    const float* from = src_ + c_.src.at(channel, y * c_.w.in) + (first + left * step) * 16;
    c_.form->kernels().split(from, from + c_.src.pixels * 16, step * 16, right - left, to + left * 32, c_.part);
  }
  // Input columns that positions [left, right) read are inside; the first position reads column `first`.
  void inside(std::int64_t first, std::int64_t& left, std::int64_t& right) const {
    const std::int64_t step = c_.w.stride;
    left = std::min(c_.columns, first >= 0 ? 0 : (-first + step - 1) / step);
    right = std::max(left, std::min(c_.columns, first >= c_.w.in ? 0 : (c_.w.in - first + step - 1) / step));
  }
  void gather_channels(std::int64_t chunk, std::int64_t y, std::int64_t phase) {
    const std::int64_t real = std::min<std::int64_t>(32, c_.ic - chunk * 32), first = c_.w.origin() + phase;
    std::int64_t left, right;
    inside(first, left, right);
    if (real < 32) {
      std::fill_n(pixels_, c_.columns * 32, 0.0f);
    } else {
      std::fill_n(pixels_, left * 32, 0.0f);
      std::fill_n(pixels_ + right * 32, (c_.columns - right) * 32, 0.0f);
    }
    gather_pixels(src_, c_.src, group_ * c_.ic + chunk * 32, real, y * c_.w.in + first + left * c_.w.stride, c_.w.stride, right - left,
                  pixels_ + left * 32, 32);
  }
  // [chunk][position][32]: the channels of all taps of a kernel row.
  void gather_lines(std::int64_t y) {
    std::fill_n(pixels_, c_.form->chunks() * c_.columns * 32, 0.0f);
    for (std::int64_t t = 0; t < c_.w.taps; ++t) {
      std::int64_t left, right;
      const std::int64_t first = c_.w.origin() + t * c_.w.step;
      inside(first, left, right);
      for (std::int64_t c = 0; c < c_.ic; ++c) {
        const std::int64_t k = t * c_.ic + c, step = c_.src.step() * c_.w.stride;
        const float* from = src_ + c_.src.at(group_ * c_.ic + c, y * c_.w.in) + first * c_.src.step();
        float* to = pixels_ + k / 32 * c_.columns * 32 + k % 32;
        for (std::int64_t i = left; i < right; ++i) to[i * 32] = from[i * step];
      }
    }
  }

  void multiply(std::int64_t panel) {
    const std::int64_t positions = (end_ - begin_ - 1) * c_.columns + c_.w.out, steps = c_.form->steps();
    const bool narrow = c_.form->width(panel) == 16;
    amx::SplitConvTile work{};
    work.part = c_.part;
    work.c_row = c_.form->width(panel);
    for (std::int64_t s = 0; s < steps; s += kRunSteps) {
      work.at = c_.at + s, work.steps = std::min(kRunSteps, steps - s);
      work.b = weights_ + c_.form->at(group_, panel, s);
      work.accumulate = s > 0;
      for (std::int64_t p = 0; p < positions; p += conv_positions) {
        work.a = band_ + p * 32;
        work.c = results_ + p * work.c_row;
        amx::split_conv_tile(c_.form->kernels().parts, positions - p <= 16, narrow)(work);
      }
    }
  }

  void finish(std::int64_t panel) {
    const std::int64_t wide = c_.form->width(panel), first = panel * 32, count = std::min(wide, c_.oc - first), channel = group_ * c_.oc + first;
    const SplitConvKernels& kernels = c_.form->kernels();
    float bias[32] = {};
    if (bias_) std::copy_n(bias_ + first, count, bias);
    std::int64_t pending = begin_;
    for (std::int64_t r = begin_; r < end_; ++r) {
      float* sums = results_ + (r - begin_) * c_.columns * wide;
      if (!kernels.finite(sums, wide, c_.w.out, wide)) repair(sums, wide, first, count, r);
      const std::int64_t pixel = r * c_.w.out;
      for (std::int64_t v = 0; v < wide; v += 16) {
        SplitFinish work{sums + v, wide, c_.w.out, bias + v, nullptr, -kInfinity, kInfinity, sums + v, wide};
        if (c_.whole) {
          const std::int64_t at = c_.dst.at(channel + v, pixel);
          work.low = c_.low, work.high = c_.high;
          work.residual = residual_ ? residual_ + at : nullptr;
          work.out = dst_ + at, work.out_pixel = c_.dst.step();
        }
        kernels.finish(work);
      }
      if (!c_.whole) scatter_pixels(sums, wide, c_.w.out, dst_, c_.dst, channel, count, pixel, 1);
      if (c_.separate || (r + 1 < end_ && (r + 1 - pending) * c_.w.out * count < kEpilogueFloats)) continue;
      epilogue(c_.whole ? c_.rest : c_.all, channel, count, pending, r + 1);
      pending = r + 1;
    }
  }
  void epilogue(const EpiloguePlan& plan, std::int64_t channel, std::int64_t count, std::int64_t begin, std::int64_t end) const {
    if (plan.count == 0) return;
    const std::int64_t wide = c_.dst.step();
    for (std::int64_t k = 0; k < count; k += wide) {
      const std::int64_t at = c_.dst.at(channel + k, begin * c_.w.out);
      apply_epilogue(plan, context_, dst_ + at, image_ * c_.dst_image + at, (end - begin) * c_.w.out * wide);
    }
  }

  // Where parts made sums that are not finite, products of float32 decide: an infinity times a part that is 0 is none of them.
  void repair(float* sums, std::int64_t wide, std::int64_t first, std::int64_t count, std::int64_t row) const {
    for (std::int64_t x = 0; x < c_.w.out; ++x)
      for (std::int64_t j = 0; j < count; ++j)
        if (float& sum = sums[x * wide + j]; !std::isfinite(sum)) sum = plain(first + j, row, x);
  }
  float plain(std::int64_t oc, std::int64_t row, std::int64_t column) const {
    float sum = 0;
    for (std::int64_t th = 0; th < c_.h.taps; ++th)
      for (std::int64_t tw = 0; tw < c_.w.taps; ++tw) {
        const std::int64_t y = row * c_.h.stride + c_.h.first + th * c_.h.step, x = column * c_.w.stride + c_.w.first + tw * c_.w.step;
        if (y < 0 || y >= c_.h.in || x < 0 || x >= c_.w.in) continue;
        for (std::int64_t c = 0; c < c_.ic; ++c)
          sum += src_[c_.src.at(group_ * c_.ic + c, y * c_.w.in + x)] * c_.form->weight(weights_, group_, oc, c, th, tw);
      }
    return sum;
  }

  const SplitConv& c_;
  const StepContext& context_;
  std::int64_t image_, group_;
  const float* src_;
  float* dst_;
  const float *residual_, *bias_;
  const std::uint16_t* weights_;
  std::uint16_t* band_;
  float *pixels_, *results_;
  std::int64_t begin_ = 0, end_ = 0;
};

void SplitConv::operator()(const StepContext& context) const {
#if defined(__x86_64__)
  const std::int64_t panels = form->panels(), rows = h.out, total = n * groups * rows;
  const WorkGrid grid = share_work(context.workers, total, panels, cost, cost_row, cost_tile);
  const std::int64_t by_row = context.worker % grid.by_rows, by_panel = context.worker / grid.by_rows;
  if (by_panel >= grid.by_tiles) return;
  const std::int64_t end = total * (by_row + 1) / grid.by_rows;
  const amx::TileScope tiles;
  for (std::int64_t item = total * by_row / grid.by_rows; item < end;) {
    const std::int64_t unit = item / rows, row = item % rows, stop = std::min(rows, row + end - item);
    Pass(*this, context, unit / groups, unit % groups).rows(row, stop, panels * by_panel / grid.by_tiles, panels * (by_panel + 1) / grid.by_tiles);
    item += stop - row;
  }
#else
  (void)context;
#endif
}

// Phases of a stride that some tap of a kernel meets, and how many rows further the last one reads.
std::vector<std::int64_t> phases(const ConvDim& dim, std::int64_t& beyond) {
  std::vector<std::int64_t> all;
  beyond = 0;
  for (std::int64_t t = 0; t < dim.taps; ++t) {
    beyond = std::max(beyond, t * dim.step / dim.stride);
    if (const std::int64_t p = t * dim.step % dim.stride; std::find(all.begin(), all.end(), p) == all.end()) all.push_back(p);
  }
  return all;
}

}  // namespace

bool emit_split_conv(PlanBuilder& builder, const SplitForm& form, const ConvGeometry& g, const ConvProblem& problem, std::span<const Ref> reads,
                     bool& in_place) {
  SplitConv c{};
  c.form = &form;
  c.n = g.n, c.groups = g.groups, c.ic = g.ic, c.oc = g.oc;
  c.h = problem.h, c.w = problem.w;
  for (ConvDim* dim : {&c.h, &c.w}) dim->tap_begin = 0, dim->tap_end = dim->taps;
  c.src = {problem.src_block, g.in_pixels()}, c.dst = {problem.dst_block, g.out_pixels()};
  c.src_image = g.groups * g.ic * g.in_pixels(), c.dst_image = g.groups * g.oc * g.out_pixels();
  c.in = problem.src, c.weights = problem.weights, c.bias = problem.bias, c.out = problem.dst, c.residual = problem.residual;
  c.low = problem.low, c.high = problem.high, c.all = problem.all, c.rest = problem.rest;
  c.whole_blocks = problem.src_block == 16 && c.ic % 16 == 0 && !form.lines();
  const bool aligned = problem.dst_block == 0 || c.oc % problem.dst_block == 0;
  c.whole = in_place = problem.dst_block == 16 && aligned;
  c.separate = !aligned && c.all.count > 0;

  std::int64_t right = 0;
  const std::vector<std::int64_t> rows = phases(c.h, c.below);
  const std::vector<std::int64_t> columns = form.lines() ? std::vector<std::int64_t>{0} : phases(c.w, right);
  std::vector<Plane> planes;
  for (std::int64_t y : rows)
    for (std::int64_t x : columns) planes.push_back({y, x});
  c.planes = builder.keep<Plane>(planes);
  c.plane_count = static_cast<std::int64_t>(planes.size());
  c.columns = c.w.out + right;
  const std::int64_t parts = form.kernels().parts;
  // Tiles may reach behind the last position; an odd number of cache lines keeps planes apart in the caches.
  const auto plane_numbers = [&](std::int64_t height) { return (((height + c.below) * c.columns + conv_positions) | 1) * 32; };
  const auto band_bytes = [&](std::int64_t height) { return form.chunks() * c.plane_count * parts * plane_numbers(height) * 2; };
  c.rows_per_band = c.h.out;
  while (c.rows_per_band > 1 && band_bytes(c.rows_per_band) > kBandBytes) c.rows_per_band = (c.rows_per_band + 1) / 2;
  c.rows_per_band = std::max(c.rows_per_band, std::min(c.h.out, c.below));  // at most half of the rows are split twice
  c.part = plane_numbers(c.rows_per_band);

  std::vector<std::int64_t> at;
  for (std::int64_t chunk = 0; chunk < form.chunks(); ++chunk)
    for (std::int64_t tap = 0; tap < form.taps(); ++tap) {
      const std::int64_t y = (form.lines() ? tap : tap / c.w.taps) * c.h.step, x = form.lines() ? 0 : tap % c.w.taps * c.w.step;
      const auto same = [&](const Plane& p) { return p.row == y % c.h.stride && p.column == (form.lines() ? 0 : x % c.w.stride); };
      const std::int64_t plane = std::find_if(planes.begin(), planes.end(), same) - planes.begin();
      at.push_back((chunk * c.plane_count + plane) * parts * c.part + (y / c.h.stride * c.columns + (form.lines() ? 0 : x / c.w.stride)) * 32);
    }
  c.at = builder.keep<std::int64_t>(at);

  const auto lines_of = [](std::int64_t bytes) { return static_cast<std::uint64_t>(bytes + 63) / 64 * 64; };
  const std::int64_t positions = (c.rows_per_band * c.columns + conv_positions - 1) / conv_positions * conv_positions;
  c.pixels_at = lines_of(band_bytes(c.rows_per_band));
  c.results_at = c.pixels_at + lines_of((form.lines() ? form.chunks() : 1) * c.columns * 32 * 4);
  c.scratch_bytes = c.results_at + lines_of(positions * 32 * 4);
  c.scratch = builder.scratch(c.scratch_bytes);

  // In cycles, roughly: 64 for the four products of tiles of a step with each pair of parts.
  const double pairs = parts == 3 ? 6 : parts == 2 ? 3 : 1;
  c.cost = static_cast<double>(form.steps() * c.columns) / conv_positions * 64 * pairs;
  c.cost_row = static_cast<double>(form.chunks() * c.plane_count * c.columns * (c.rows_per_band + c.below) / c.rows_per_band) * (4 + 4.0 * static_cast<double>(parts));
  c.cost_tile = static_cast<double>(form.steps() * parts) * 64;
  const double cycles = static_cast<double>(c.n * c.groups * c.h.out) * (c.cost * static_cast<double>(form.panels()) + c.cost_row);
  builder.step("conv.split", c, {.est_ns = cycles / 3 + 200}, reads);
  return c.separate;
}

}  // namespace tenon::cpu
