#include "plugins/cpu/ops/byte_conv.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/amx/tiles.h"
#include "plugins/cpu/gemm/byte_tiles.h"
#include "plugins/cpu/ops/byte_depthwise.h"
#include "plugins/cpu/ops/byte_rows.h"
#include "plugins/cpu/ops/byte_tile.h"
#include "plugins/cpu/ops/byte_wide.h"
#include "plugins/cpu/ops/byte_winograd.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t most_rows = 64;            // output pixels whose windows are looked up together
constexpr std::int64_t chunk_bytes = 256 * 1024;  // of weights that are used for all of them before the next

struct ByteConvStep {
  const gemm::ByteKernels* kernels;
  const ByteFinish* finish;
  ByteTileFn whole;  // from products to bytes
  ByteSumsFn to_bytes;
  gemm::ByteForm form;
  const std::int8_t* packed;
  ByteColumns columns;
  const std::int32_t* zeros;
  ByteTarget to;
  ByteAddition addition;
  bool adds, tiles;
  ByteRows of;
  std::int64_t m, block, chunk, chunks;  // rows, of a block; panels of a chunk
  std::int64_t groups_count;             // of channels
  Ref other, y, scratch;

  std::int64_t row_bytes() const { return of.row_bytes(); }
  std::int64_t sums_row() const { return kernels->panels * gemm::byte_columns; }
  // Rows of a tile; on the matrix unit two groups.
  std::int64_t tallest() const { return tiles ? 2 * gemm::byte_tile_rows : gemm::byte_rows; }
  std::int64_t groups(std::int64_t rows) const { return (rows + gemm::byte_tile_rows - 1) / gemm::byte_tile_rows; }
  std::uint64_t sums_at() const { return static_cast<std::uint64_t>(block * form.segments) * sizeof(const std::uint8_t*); }
  std::uint64_t gathered_at() const { return sums_at() + static_cast<std::uint64_t>(tallest() * sums_row() * 4); }
  std::uint64_t groups_at() const { return (gathered_at() + static_cast<std::uint64_t>(of.gathered_bytes(block)) + 63) / 64 * 64; }
  // The sum of each row of the block less zero points, of a group of channels after the other, where weights have zero points.
  std::uint64_t totals_at() const {
    return groups_at() + static_cast<std::uint64_t>(tiles ? groups(block) * gemm::byte_group_bytes(form) : 0);
  }
  std::uint64_t scratch_bytes() const { return totals_at() + static_cast<std::uint64_t>(zeros ? block * groups_count * 4 : 0); }

  void operator()(const StepContext& c) const {
    if (!tiles) return run(c);
#if defined(__x86_64__)
    const amx::TileScope scope;
    run(c);
#endif
  }
  void run(const StepContext& c) const {
    auto* memory = worker_scratch<std::uint8_t>(c, scratch, scratch_bytes());
    auto** pieces = reinterpret_cast<const std::uint8_t**>(memory);
    auto* sums = reinterpret_cast<std::int32_t*>(memory + sums_at());
    auto* totals = reinterpret_cast<std::int32_t*>(memory + totals_at());
    const std::uint8_t* in = c.ptr<const std::uint8_t>(of.x);
    std::int64_t ready = -1;
    const std::int64_t blocks = (m + block - 1) / block;
    const std::int64_t items = chunks * groups_count;  // of a block
    const auto [begin, end] = c.slice(blocks * items);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / items * block, height = std::min(block, m - row), count = (height + tallest() - 1) / tallest();
      // Tiles of about the same height, or whole groups.
      const auto edge = [&](std::int64_t t) { return tiles ? std::min(height, t * tallest()) : height * t / count; };
      if (i / items != ready)
        for (std::int64_t t = 0; t < count; ++t)
          prepare(in, row + edge(t), edge(t + 1) - edge(t), pieces + edge(t) * form.segments, memory + gathered_at() + edge(t) * row_bytes(),
                  memory + groups_at() + groups(edge(t)) * gemm::byte_group_bytes(form), totals + edge(t));
      ready = i / items;
      const std::int64_t first = i % chunks * chunk, last = std::min(first + chunk, form.panels());
      for (std::int64_t p = first; p < last; p += kernels->panels)
        for (std::int64_t t = 0; t < count; ++t)
          multiply(c, pieces + edge(t) * form.segments, memory + groups_at() + groups(edge(t)) * gemm::byte_group_bytes(form), p,
                   std::min(kernels->panels, last - p), i % items / chunks, row + edge(t), edge(t + 1) - edge(t),
                   totals + i % items / chunks * block + edge(t), sums);
    }
  }

  // Panels [panel, panel + wide) of a group of channels for `count` rows, to bytes.
  void multiply(const StepContext& c, const std::uint8_t* const* pieces, const std::uint8_t* rows, std::int64_t panel, std::int64_t wide,
                std::int64_t group, std::int64_t row, std::int64_t count, const std::int32_t* totals, std::int32_t* sums) const {
    const std::int64_t n = std::min(wide * gemm::byte_columns, form.n - panel * gemm::byte_columns), offset = group * form.piece;
    const std::int64_t column = group * form.n + panel * gemm::byte_columns, out_row = groups_count * form.n;
    const std::int8_t* const weights = packed + group * form.bytes();
    const ByteColumns here{columns.add + column, columns.factor + column, columns.shift ? columns.shift + column : nullptr};
    const std::int8_t* w = weights + panel * form.panel_bytes();
    const std::int64_t at = row * out_row + column;
    std::uint8_t* out = c.ptr<std::uint8_t>(y) + at;
    const std::uint8_t* added = adds ? c.ptr<const std::uint8_t>(other) + at : nullptr;
    const ByteTileWork work{pieces, offset, form.segments, form.quads(), w,     form.panel_bytes(), count, wide,
                            n,      here,   &to,           adds ? &addition : nullptr, added, out, out_row};
    if (tiles) {
      for (std::int64_t p = 0; p < wide; p += 2)
        gemm::multiply_byte_tiles(form, {rows, groups(count), w + p * form.panel_bytes(), std::min<std::int64_t>(2, wide - p),
                                         here.add + p * gemm::byte_columns, sums + p * gemm::byte_columns, sums_row()});
      take_zeros(sums, count, column, n, totals);
      return to_bytes(work, sums, sums_row(), true);
    }
    if (!zeros) return whole(work);
    kernels->tile(pieces, offset, form.segments, form.quads(), w, form.panel_bytes(), count, wide, sums, sums_row());
    take_zeros(sums, count, column, n, totals);
    to_bytes(work, sums, sums_row(), false);
  }

  void take_zeros(std::int32_t* sums, std::int64_t rows, std::int64_t column, std::int64_t n, const std::int32_t* totals) const {
    for (std::int64_t r = 0; zeros && r < rows; ++r)
      for (std::int64_t j = 0; j < n; ++j) sums[r * sums_row() + j] -= zeros[column + j] * totals[r];
  }

  // Where the pieces of `count` rows are; for tiles their copies, a group after the other.
  void prepare(const std::uint8_t* in, std::int64_t row, std::int64_t count, const std::uint8_t** pieces, std::uint8_t* gathered,
               std::uint8_t* group, std::int32_t* totals) const {
    if (!tiles) {
      of.find(in, row, count, pieces, gathered);
      return total(pieces, count, totals);
    }
    for (std::int64_t r = 0; r < count; r += gemm::byte_tile_rows, group += gemm::byte_group_bytes(form)) {
      const std::int64_t some = std::min(gemm::byte_tile_rows, count - r);
      of.find(in, row + r, some, pieces, gathered);
      gemm::gather_byte_rows(form, pieces, some, group);
      total(pieces, some, totals + r);
    }
  }
  void total(const std::uint8_t* const* pieces, std::int64_t count, std::int32_t* totals) const {
    for (std::int64_t g = 0; zeros && g < groups_count; ++g, totals += block)
      for (std::int64_t r = 0; r < count; ++r) {
        totals[r] = -static_cast<std::int32_t>(of.zero) * static_cast<std::int32_t>(form.segments * form.piece);
        for (std::int64_t s = 0; s < form.segments; ++s) totals[r] += finish->total(pieces[s * count + r] + g * form.piece, form.piece);
      }
  }
};

struct BytePoolStep {
  const ByteFinish* finish;
  const ByteWindows* windows;
  std::uint8_t flip;
  Ref x, y, scratch;

  std::uint64_t scratch_bytes() const {
    return static_cast<std::uint64_t>(windows->w[0].kernel * windows->w[1].kernel * windows->w[2].kernel) * sizeof(const std::uint8_t*);
  }

  void operator()(const StepContext& c) const {
    auto** inside = worker_scratch<const std::uint8_t*>(c, scratch, scratch_bytes());
    const auto* in = c.ptr<const std::uint8_t>(x);
    const auto [begin, end] = c.slice(windows->n * windows->pixels());
    const std::int64_t channels = windows->channels;
    ByteWindows::Place place = windows->place(begin);
    for (std::int64_t row = begin; row < end; ++row, windows->advance(place)) {
      std::uint8_t* out = c.ptr<std::uint8_t>(y) + row * channels;
      std::int64_t count = 0;
      windows->taps(in, place, [&](std::int64_t, const std::uint8_t* from) {
        if (from) inside[count++] = from;
      });
      if (count > 0) finish->greatest(inside, count, flip, channels, out);
      else std::memset(out, flip, static_cast<std::size_t>(channels));  // the least number
    }
  }
};

}  // namespace

std::int32_t ByteConvOp::layout(std::span<std::int32_t> inputs, std::int32_t) {
  const std::int32_t made_as = inputs[0];
  std::fill(inputs.begin(), inputs.end(), 0);
  if (spec_.matrix) return 0;
  // One channel has no order, and what is copied for its padding may come in any.
  const std::int32_t last = spec_.channels > 1 ? static_cast<std::int32_t>(spec_.channels) : 0;
  inputs[0] = spec_.lines() && made_as == 0 ? 0 : last;
  const std::int32_t made = spec_.outputs() > 1 ? static_cast<std::int32_t>(spec_.outputs()) : 0;
  if (spec_.adds) inputs[1] = made;
  return made;
}

void ByteConvOp::plan(PlanBuilder& b) const {
  if (b.out(0).count() == 0) return;
  if (spec_.depthwise) return emit_byte_depthwise(b, spec_);
  if (emit_byte_winograd(b, spec_)) return;
  if (b.options().isa < Isa::avx512_vnni) return emit_byte_wide(b, spec_);
  ByteConvStep s{};
  s.kernels = gemm::byte_kernels(b.options().isa);
  s.finish = &byte_finish(b.options().isa);
  s.whole = byte_tile(b.options().isa), s.to_bytes = byte_sums(b.options().isa);
  s.form = spec_.form, s.packed = spec_.packed, s.columns = spec_.columns, s.zeros = spec_.zeros;
  s.to = spec_.to, s.addition = spec_.addition, s.adds = spec_.adds;
  s.groups_count = spec_.groups;
  s.tiles = b.options().isa >= Isa::amx && spec_.groups == 1;
  s.of = plan_byte_rows(b, spec_);
  s.m = s.of.m;
  s.chunk = std::clamp<std::int64_t>(chunk_bytes / s.form.panel_bytes() / s.kernels->panels, 1, 64) * s.kernels->panels;
  s.chunks = (s.form.panels() + s.chunk - 1) / s.chunk;
  std::int64_t blocks = (s.m + most_rows - 1) / most_rows;
  // As much for each worker.
  const std::int64_t workers = b.options().max_workers;
  if (blocks > 1 && blocks * s.chunks % workers != 0) blocks = (blocks + workers - 1) / workers * workers;
  s.block = (s.m + blocks - 1) / blocks;
  s.y = b.out_ref(0);
  if (s.adds) s.other = b.in_ref(1);
  s.scratch = b.scratch(s.scratch_bytes());
  std::vector<Ref> reads{s.of.x};
  if (s.adds) reads.push_back(s.other);
  const double products = static_cast<double>(s.m * spec_.outputs()) * static_cast<double>(s.form.segments * s.form.piece);
  b.step(spec_.matrix ? "bytes.product" : "bytes.conv", s, {.est_ns = 2 * products / (s.kernels->panels > 1 ? 300 : 60)}, reads, {{s.y}});
}

std::int32_t ByteMaxPoolOp::layout(std::span<std::int32_t> inputs, std::int32_t) {
  return inputs[0] = channels_ > 1 ? static_cast<std::int32_t>(channels_) : 0;
}

void ByteMaxPoolOp::plan(PlanBuilder& b) const {
  const Shape &x = b.in(0), &y = b.out(0);
  if (y.count() == 0) return;
  std::int64_t kernel[kMaxSpatial] = {1, 1, 1};
  for (int d = 0; d < window_.spatial; ++d) kernel[kMaxSpatial - window_.spatial + d] = window_.kernel[d];
  const ByteWindows windows = byte_windows(window_, kernel, x, y, channels_);
  BytePoolStep step{&byte_finish(b.options().isa), b.keep(std::span<const ByteWindows>(&windows, 1)), flip_, b.in_ref(0), b.out_ref(0), {}};
  step.scratch = b.scratch(step.scratch_bytes());
  b.step("bytes.pool", step, {.est_ns = static_cast<double>(y.count() * kernel[0] * kernel[1] * kernel[2]) / 16});
}

}  // namespace tenon::cpu
