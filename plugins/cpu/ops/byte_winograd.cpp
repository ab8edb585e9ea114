#include "plugins/cpu/ops/byte_winograd.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "plugins/cpu/gemm/short_gemm.h"
#include "plugins/cpu/ops/byte_tile.h"
#include "plugins/cpu/ops/byte_wide.h"
#include "plugins/cpu/ops/byte_windows.h"
#include "plugins/cpu/ops/byte_winograd_kernel.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t edge = 4, points = winograd_points, header = 16;
constexpr std::int64_t block_numbers = 256 * 1024;  // of a block of transformed tiles
constexpr std::int64_t most_some = 24;              // tiles whose sums are held at once; of AVX2's 4 rows and VNNI's 12
constexpr std::int64_t apart = 96;                  // numbers between points, which powers of two would put into the same lines of a cache

std::int64_t point_numbers(const gemm::ByteForm& form) { return form.quads() * gemm::short_quad + apart; }

// A panel of weights [9][quads][16][4], less zeros[j] of each column (null: 0), to panels of points.
void transform_panel(const gemm::ShortKernels& kernels, const ByteWinogradKernels& transforms, const std::int8_t* w, std::int64_t quads,
                     const std::int32_t* zeros, std::int16_t* to, std::int64_t point) {
  constexpr std::int64_t some = 16, tap_numbers = some * gemm::short_quad;  // what stays in the first cache
  alignas(64) std::int16_t taps[9 * tap_numbers];
  for (std::int64_t q = 0; q < quads; q += some) {
    const std::int64_t n = std::min(some, quads - q);
    for (std::int64_t tap = 0; tap < 9; ++tap) kernels.widen_panel(w + (tap * quads + q) * gemm::short_quad, n, zeros, taps + tap * tap_numbers);
    transforms.weights(taps, tap_numbers, n * gemm::short_quad, to + q * gemm::short_quad, point);
  }
}

// Where part `part` of `count` tiles begins: at a whole tile of rows, but for the end.
std::int64_t edge_of(std::int64_t count, std::int64_t part, std::int64_t parts) { return std::min(count, (count * part / parts + 3) / 4 * 4); }

struct ByteWinogradStep {
  const gemm::ShortKernels* kernels;
  const ByteWinogradKernels* transforms;
  ByteSumsFn to_bytes;
  gemm::ByteForm form;
  const std::int8_t* packed;
  const std::int32_t* terms;  // of columns: [point][padded column]
  ByteColumns columns;
  ShortColumns added;
  ByteTarget to;
  ByteAddition addition;
  bool adds;
  ByteWindows windows;
  const std::uint8_t* padding;
  std::int64_t across, down, tiles;    // of an image; of all
  std::int64_t block, some, chunk, chunks;
  Ref x, other, y, scratch;

  std::int64_t channels() const { return form.piece; }
  std::int64_t wide() const { return kernels->panels * gemm::short_columns; }
  std::int64_t row_point() const { return block * channels() + apart; }
  // This worker's memory.
  struct Places {
    std::int64_t rows, row_terms, weights, sums, pixels, bytes;
  };
  Places places() const {
    Places p{};
    std::int64_t at = 0;
    const auto take = [&](std::int64_t& place, std::int64_t bytes) { place = at, at += (bytes + 63) / 64 * 64; };
    take(p.rows, points * row_point() * 2);
    take(p.row_terms, points * block * 4);
    take(p.weights, kernels->panels * points * point_numbers(form) * 2);
    take(p.sums, points * some * wide() * 4);
    take(p.pixels, edge * edge * some * wide() * 4);
    p.bytes = at;
    return p;
  }

  void operator()(const StepContext& c) const {
    const Places at = places();
    auto* memory = worker_scratch<char>(c, scratch, static_cast<std::uint64_t>(at.bytes));
    auto* rows = reinterpret_cast<std::int16_t*>(memory + at.rows);
    auto* row_terms = reinterpret_cast<std::int32_t*>(memory + at.row_terms);
    auto* weights = reinterpret_cast<std::int16_t*>(memory + at.weights);
    auto* sums = reinterpret_cast<std::int32_t*>(memory + at.sums);
    auto* pixels = reinterpret_cast<std::int32_t*>(memory + at.pixels);
    std::int64_t ready = -1;
    const auto [begin, end] = c.slice((tiles + block - 1) / block * chunks);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t tile = i / chunks * block, count = std::min(block, tiles - tile);
      if (ready != tile) transform_input(c.ptr<const std::uint8_t>(x), tile, count, rows, row_terms);
      ready = tile;
      const std::int64_t first = i % chunks * chunk, last = std::min(first + chunk, form.panels());
      for (std::int64_t p = first; p < last; p += kernels->panels) {
        const std::int64_t n = std::min(kernels->panels, last - p);
        for (std::int64_t v = 0; v < n; ++v)
          transform_panel(*kernels, *transforms, packed + (p + v) * form.panel_bytes(), form.quads(),
                          added.zeros ? added.zeros + (p + v) * gemm::short_columns : nullptr, weights + v * points * point_numbers(form),
                          point_numbers(form));
        const std::int64_t parts = (count + some - 1) / some;
        for (std::int64_t part = 0; part < parts; ++part) {
          const std::int64_t t = edge_of(count, part, parts), height = edge_of(count, part + 1, parts) - t;
          multiply(rows + t * channels(), row_terms + t, weights, p, n, height, sums);
          for (std::int64_t done = 0; done < height;) {  // tiles that lie side by side
            const std::int64_t column = (tile + t + done) % across, run = std::min(height - done, across - column);
            finish(c, sums + done * n * gemm::short_columns, p, n, tile + t + done, run, pixels);
            done += run;
          }
        }
      }
    }
  }

  void transform_input(const std::uint8_t* in, std::int64_t tile, std::int64_t count, std::int16_t* rows, std::int32_t* row_terms) const {
    const Window &down_w = windows.w[1], &across_w = windows.w[2];
    for (std::int64_t t = 0; t < count; ++t) {
      const std::int64_t image = (tile + t) / (across * down), top = (tile + t) / across % down * edge - down_w.pad,
                         left = (tile + t) % across * edge - across_w.pad;
      const std::uint8_t* pixel[points];
      for (std::int64_t h = 0; h < 6; ++h)
        for (std::int64_t w = 0; w < 6; ++w) {
          const bool inside = top + h >= 0 && top + h < down_w.in && left + w >= 0 && left + w < across_w.in;
          pixel[6 * h + w] = inside ? in + ((image * down_w.in + top + h) * across_w.in + left + w) * channels() : padding;
        }
      transforms->input(pixel, channels(), rows + t * channels(), row_point());
    }
    for (std::int64_t p = 0; kernels->crossed && p < points; ++p)
      kernels->row_terms(rows + p * row_point(), channels(), form.quads(), count, row_terms + p * block);
  }

  // Sums [point][tile][column] of n panels.
  void multiply(const std::int16_t* rows, const std::int32_t* row_terms, const std::int16_t* weights, std::int64_t panel, std::int64_t n,
                std::int64_t height, std::int32_t* sums) const {
    static constexpr std::int32_t none[2 * gemm::short_columns] = {};
    const std::int64_t row = n * gemm::short_columns;
    const std::int64_t heights = (height + kernels->rows - 1) / kernels->rows;
    for (std::int64_t p = 0; p < points; ++p)
      for (std::int64_t h = 0; h < heights; ++h) {
        const std::int64_t r = height * h / heights;
        kernels->tile({rows + p * row_point() + r * channels(), channels(), weights + p * point_numbers(form), points * point_numbers(form),
                       form.quads(), height * (h + 1) / heights - r, n, kernels->crossed ? row_terms + p * block + r : nullptr,
                       kernels->crossed ? terms + p * form.padded() + panel * gemm::short_columns : none, sums + (p * some + r) * row, row});
      }
  }

  // Bytes of `run` tiles of one line.
  void finish(const StepContext& c, const std::int32_t* sums, std::int64_t panel, std::int64_t n, std::int64_t tile, std::int64_t run,
              std::int32_t* pixels) const {
    const std::int64_t row = n * gemm::short_columns, column = panel * gemm::short_columns, line = edge * run * row;
    for (std::int64_t t = 0; t < run; ++t)
      transforms->output(sums + t * row, some * row, added.add + column, row, pixels + t * edge * row, line);
    const Window &down_w = windows.w[1], &across_w = windows.w[2];
    const std::int64_t image = tile / (across * down), top = tile / across % down * edge, left = tile % across * edge;
    const ByteColumns here{columns.add + column, columns.factor + column, columns.shift ? columns.shift + column : nullptr};
    for (std::int64_t h = 0; h < std::min(edge, down_w.out - top); ++h) {
      const std::int64_t at = ((image * down_w.out + top + h) * across_w.out + left) * form.n + column;
      const ByteTileWork work{nullptr, 0, 0, 0, nullptr, 0, std::min(edge * run, across_w.out - left), n, std::min(row, form.n - column),
                              here, &to, adds ? &addition : nullptr, adds ? c.ptr<const std::uint8_t>(other) + at : nullptr,
                              c.ptr<std::uint8_t>(y) + at, form.n};
      to_bytes(work, pixels + h * line, row, true);
    }
  }
};

}  // namespace

bool suits_byte_winograd(const ByteConvSpec& spec, Isa isa) {
  const WindowAttributes& w = spec.window;
  return gemm::short_kernels(isa) && isa < Isa::amx && !spec.matrix && !spec.depthwise && spec.groups == 1 && spec.channels % 16 == 0 &&
         w.spatial == 2 && spec.kernel[1] == 3 && spec.kernel[2] == 3 && w.strides[0] == 1 && w.strides[1] == 1 && w.dilations[0] == 1 &&
         w.dilations[1] == 1;
}

std::int64_t byte_winograd_entries(const ByteConvSpec& spec, Isa isa) {
  return header + (gemm::short_kernels(isa)->crossed ? points * spec.form.padded() : 0);
}

void fill_byte_winograd(const ByteConvSpec& spec, Isa isa, std::int32_t* to) {
  const gemm::ByteForm& form = spec.form;
  const gemm::ShortKernels& kernels = *gemm::short_kernels(isa);
  std::fill_n(to, header, 0);
  std::vector<std::int16_t> panel(static_cast<std::size_t>(points * point_numbers(form)));
  for (std::int64_t p = 0; p < form.panels(); ++p) {
    const std::int8_t* w = spec.packed + p * form.panel_bytes();
    std::int32_t zeros[gemm::short_columns] = {};
    for (std::int64_t j = 0; spec.zeros && j < gemm::short_columns; ++j)
      if (const std::int64_t column = p * gemm::short_columns + j; column < form.n) zeros[j] = spec.zeros[column];
    std::int64_t sums[gemm::short_columns] = {};
    for (std::int64_t k = 0; k < form.panel_bytes(); k += 4 * gemm::short_columns)
      for (std::int64_t j = 0; j < gemm::short_columns; ++j)
        for (std::int64_t e = 4 * j; e < 4 * j + 4; ++e) sums[j] += std::abs(w[k + e] - zeros[j]);
    if (*std::max_element(sums, sums + gemm::short_columns) > winograd_most_weights) return;
    if (!kernels.crossed) continue;
    transform_panel(kernels, byte_winograd_kernels(isa), w, form.quads(), zeros, panel.data(), point_numbers(form));
    for (std::int64_t i = 0; i < points; ++i)
      kernels.column_terms(panel.data() + i * point_numbers(form), form.quads(), to + header + i * form.padded() + p * gemm::short_columns);
  }
  to[0] = 1;
}

bool emit_byte_winograd(PlanBuilder& b, const ByteConvSpec& spec) {
  if (!spec.winograd || spec.winograd[0] == 0) return false;
  const Shape &x = b.in(0), &y = b.out(0);
  require(x[1] == spec.channels, "X has " + std::to_string(x[1]) + " channels, W has " + std::to_string(spec.channels));
  ByteWinogradStep s{};
  s.kernels = gemm::short_kernels(b.options().isa), s.transforms = &byte_winograd_kernels(b.options().isa);
  s.windows = byte_windows(spec.window, spec.kernel, x, y, spec.channels);
  s.form = spec.form;
  s.down = (s.windows.w[1].out + edge - 1) / edge, s.across = (s.windows.w[2].out + edge - 1) / edge;
  s.tiles = s.windows.n * s.down * s.across;
  const std::int64_t workers = b.options().max_workers, tall = s.kernels->rows;
  const std::int64_t most = std::max(block_numbers / (points * spec.channels), tall);
  std::int64_t blocks = (s.tiles + most - 1) / most;
  if (blocks > 1) blocks = (blocks + workers - 1) / workers * workers;
  // Products of a weight: half as many of int16 as of bytes fit one instruction with VNNI, as many without. Transforms of weights take
  // as long as some 250 of them, those of tiles as 150 for all columns.
  const auto tiles = static_cast<double>(s.tiles);
  const double bytes = 9.0 * static_cast<double>(s.windows.n * s.windows.pixels()) * (s.kernels->crossed ? 1 : 0.5);
  if (tiles * (1.2 * points + 150.0 / static_cast<double>(spec.form.n)) + 250.0 * static_cast<double>(blocks) > bytes) return false;
  s.to_bytes = byte_sums(b.options().isa);
  s.packed = spec.packed, s.terms = spec.winograd + header, s.columns = spec.columns, s.added = short_columns(b, spec);
  s.to = spec.to, s.addition = spec.addition, s.adds = spec.adds;
  const std::vector<std::uint8_t> padding(static_cast<std::size_t>(spec.channels), spec.x_zero);
  s.padding = b.keep(std::span<const std::uint8_t>(padding));
  s.block = std::min(s.tiles, ((s.tiles + blocks - 1) / blocks + 3) / 4 * 4);
  s.some = std::min(s.block, most_some / tall * tall);
  const std::int64_t groups = (s.form.panels() + s.kernels->panels - 1) / s.kernels->panels;
  s.chunks = blocks > 4 * workers ? 1 : std::min(4 * workers, groups);
  s.chunk = (groups + s.chunks - 1) / s.chunks * s.kernels->panels;
  s.chunks = (s.form.panels() + s.chunk - 1) / s.chunk;
  s.x = spec.x_signed ? unsigned_bytes(b) : b.in_ref(0);
  s.y = b.out_ref(0);
  if (s.adds) s.other = b.in_ref(1);
  s.scratch = b.scratch(static_cast<std::uint64_t>(s.places().bytes));
  std::vector<Ref> reads{s.x};
  if (s.adds) reads.push_back(s.other);
  b.step("bytes.winograd", s, {.est_ns = tiles * static_cast<double>(points * spec.channels * spec.form.n) / 80}, reads, {{s.y}});
  return true;
}

}  // namespace tenon::cpu
