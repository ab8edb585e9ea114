#include "plugins/cpu/ops/byte_wide.h"

#include <algorithm>
#include <vector>

#include "plugins/cpu/gemm/short_gemm.h"
#include "plugins/cpu/ops/byte_rows.h"
#include "plugins/cpu/ops/byte_tile.h"

namespace tenon::cpu {
namespace {

constexpr std::int64_t most_rows = 512, block_numbers = 256 * 1024;  // of a block of widened rows
constexpr std::int64_t cached_quads = 128;                         // of a widened panel that stays in the first cache

struct ByteWideStep {
  const gemm::ShortKernels* kernels;
  ByteSumsFn to_bytes;
  ByteRows of;
  const std::int8_t* packed;
  ByteColumns columns;
  ShortColumns added;
  ByteTarget to;
  ByteAddition addition;
  bool adds;
  std::int64_t groups, block, chunk, chunks;  // of channels; rows; panels of a chunk
  Ref other, y, scratch;

  std::int64_t quads() const { return of.form.segments * of.form.quads(); }
  // This worker's memory.
  struct Places {
    std::int64_t rows, panel, sums, terms, pieces, gathered, bytes;
  };
  Places places() const {
    Places p{};
    std::int64_t at = 0;
    const auto take = [&](std::int64_t& place, std::int64_t bytes) { place = at, at += (bytes + 63) / 64 * 64; };
    take(p.rows, block * quads() * 8);
    take(p.panel, quads() * gemm::short_quad * 2);
    take(p.sums, block * gemm::short_columns * 4);
    take(p.terms, block * 4);
    take(p.pieces, block * of.form.segments * static_cast<std::int64_t>(sizeof(const std::uint8_t*)));
    take(p.gathered, of.gathered_bytes(block));
    p.bytes = at;
    return p;
  }

  void operator()(const StepContext& c) const {
    const Places at = places();
    auto* memory = worker_scratch<char>(c, scratch, static_cast<std::uint64_t>(at.bytes));
    auto* rows = reinterpret_cast<std::int16_t*>(memory + at.rows);
    auto* panel = reinterpret_cast<std::int16_t*>(memory + at.panel);
    auto* sums = reinterpret_cast<std::int32_t*>(memory + at.sums);
    auto* terms = reinterpret_cast<std::int32_t*>(memory + at.terms);
    auto** pieces = reinterpret_cast<const std::uint8_t**>(memory + at.pieces);
    auto* gathered = reinterpret_cast<std::uint8_t*>(memory + at.gathered);
    const std::int64_t blocks = (of.m + block - 1) / block, items = groups * chunks;  // of a block
    std::int64_t found = -1, ready = -1;
    const auto [begin, end] = c.slice(blocks * items);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / items * block, height = std::min(block, of.m - row), group = i % items / chunks;
      if (found != row) of.find(c.ptr<const std::uint8_t>(of.x), row, height, pieces, gathered);
      found = row;
      if (ready != i / chunks) widen(pieces, group, height, rows, terms);
      ready = i / chunks;
      const std::int64_t first = i % chunks * chunk, last = std::min(first + chunk, of.form.panels());
      for (std::int64_t p = first; p < last; ++p) multiply(c, rows, terms, group, p, row, height, panel, sums);
    }
  }

  void widen(const std::uint8_t* const* pieces, std::int64_t group, std::int64_t height, std::int16_t* rows, std::int32_t* terms) const {
    const std::int64_t piece = of.row_bytes(), offset = group * of.form.piece;
    std::int16_t* to = rows;
    for (std::int64_t r = 0; r < height; ++r)
      for (std::int64_t s = 0; s < of.form.segments; ++s, to += piece) {
        kernels->widen_row(pieces[s * height + r] + offset, piece, to);
        for (std::int64_t k = of.form.piece; k < piece; ++k) to[k] = 0;  // weights less their zero points are not 0 there
      }
    if (kernels->crossed) kernels->row_terms(rows, quads() * 4, quads(), height, terms);
  }

  // A panel of a group of channels for all rows of the block.
  void multiply(const StepContext& c, const std::int16_t* rows, const std::int32_t* terms, std::int64_t group, std::int64_t panel,
                std::int64_t row, std::int64_t height, std::int16_t* wide, std::int32_t* sums) const {
    const gemm::ByteForm& form = of.form;
    const std::int64_t column = group * form.n + panel * gemm::short_columns, out_row = groups * form.n;
    const std::int64_t n = std::min(gemm::short_columns, form.n - panel * gemm::short_columns), depth = quads() * 4;
    kernels->widen_panel(packed + group * form.bytes() + panel * form.panel_bytes(), quads(), added.zeros ? added.zeros + column : nullptr, wide);
    std::int32_t add[gemm::short_columns] = {};
    if (kernels->crossed) kernels->column_terms(wide, quads(), add);
    for (std::int64_t j = 0; j < gemm::short_columns; ++j)
      add[j] = static_cast<std::int32_t>(static_cast<std::uint32_t>(add[j]) + static_cast<std::uint32_t>(added.add[column + j]));
    const char* const next = reinterpret_cast<const char*>(packed + group * form.bytes() + (panel + 1) * form.panel_bytes());
    const std::int64_t tile = kernels->rows, tiles = (height + tile - 1) / tile;
    for (std::int64_t q = 0, line = 0; q < quads(); q += cached_quads) {
      const std::int64_t some = std::min(cached_quads, quads() - q), lines = (some + tiles - 1) / tiles;
      for (std::int64_t r = 0; r < height; r += tile) {
        kernels->tile({rows + r * depth + 4 * q, depth, wide + q * gemm::short_quad, 0, some, std::min(tile, height - r), 1,
                       kernels->crossed ? terms + r : nullptr, q == 0 ? add : nullptr, sums + r * gemm::short_columns, gemm::short_columns});
        // The bytes of the next panel are on their way meanwhile.
        for (const std::int64_t stop = std::min(line + lines, q + some); line < stop; ++line) __builtin_prefetch(next + line * 64);
      }
    }
    const std::int64_t at = row * out_row + column;
    const ByteColumns here{columns.add + column, columns.factor + column, columns.shift ? columns.shift + column : nullptr};
    const ByteTileWork work{nullptr, 0, 0, 0, nullptr, 0, height, 1, n, here, &to, adds ? &addition : nullptr,
                            adds ? c.ptr<const std::uint8_t>(other) + at : nullptr, c.ptr<std::uint8_t>(y) + at, out_row};
    to_bytes(work, sums, gemm::short_columns, true);
  }
};

}  // namespace

ShortColumns short_columns(PlanBuilder& b, const ByteConvSpec& spec) {
  const auto entries = static_cast<std::size_t>(spec.column_entries());
  std::vector<std::int32_t> add(entries), zeros(entries);
  // Modulo 2^32, as sums are.
  const auto depth = static_cast<std::uint32_t>(spec.form.segments * spec.form.piece);
  for (std::size_t j = 0; j < static_cast<std::size_t>(spec.outputs()); ++j) {
    const auto zero = static_cast<std::uint32_t>(spec.zeros ? spec.zeros[j] : 0);
    const auto weights = static_cast<std::uint32_t>(spec.weight_sum(static_cast<std::int64_t>(j)));
    const std::uint32_t sum = static_cast<std::uint32_t>(spec.columns.add[j]) + 128 * (weights - zero * depth) + spec.x_zero * zero * depth;
    add[j] = static_cast<std::int32_t>(sum), zeros[j] = static_cast<std::int32_t>(zero);
  }
  return {b.keep(std::span<const std::int32_t>(add)), spec.zeros ? b.keep(std::span<const std::int32_t>(zeros)) : nullptr};
}

void emit_byte_wide(PlanBuilder& b, const ByteConvSpec& spec) {
  ByteWideStep s{};
  s.kernels = gemm::short_kernels(b.options().isa), s.to_bytes = byte_sums(b.options().isa);
  s.of = plan_byte_rows(b, spec);
  s.packed = spec.packed, s.columns = spec.columns, s.added = short_columns(b, spec);
  s.to = spec.to, s.addition = spec.addition, s.adds = spec.adds, s.groups = spec.groups;
  // Whole tiles, and as much for each worker.
  const std::int64_t workers = b.options().max_workers, most = std::clamp<std::int64_t>(block_numbers / (s.quads() * 4), 16, most_rows);
  std::int64_t blocks = (s.of.m + most - 1) / most;
  if (blocks > 1) blocks = (blocks + workers - 1) / workers * workers;
  s.block = ((s.of.m + blocks - 1) / blocks + s.kernels->rows - 1) / s.kernels->rows * s.kernels->rows;
  s.chunks = blocks * spec.groups > 4 * workers ? 1 : std::min(4 * workers, s.of.form.panels());
  s.chunk = (s.of.form.panels() + s.chunks - 1) / s.chunks;
  s.chunks = (s.of.form.panels() + s.chunk - 1) / s.chunk;
  s.y = b.out_ref(0);
  if (s.adds) s.other = b.in_ref(1);
  s.scratch = b.scratch(static_cast<std::uint64_t>(s.places().bytes));
  std::vector<Ref> reads{s.of.x};
  if (s.adds) reads.push_back(s.other);
  const double products = static_cast<double>(s.of.m * spec.outputs()) * static_cast<double>(s.quads() * 4);
  b.step(spec.matrix ? "bytes.product" : "bytes.conv", s, {.est_ns = products / 80}, reads, {{s.y}});
}

}  // namespace tenon::cpu
