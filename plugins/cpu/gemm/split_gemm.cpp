#include <algorithm>
#include <cstring>

#include "plugins/cpu/gemm/division.h"

#if defined(__x86_64__)
#include <optional>

#include "plugins/cpu/amx/tiles.h"
#endif

namespace tenon::cpu::gemm {
namespace {

// With tiles a panel's part of a block streams from L2 behind the products; vectors want it in L1 or close to it.
constexpr std::int64_t kTilePanelBytes = 96 << 10, kVectorPanelBytes = 64 << 10;
constexpr std::int64_t kMostDepth = 4096;   // of a block of one group
constexpr std::int64_t kBlockA = 640 << 10; // bytes of a split block of A: part of L2
constexpr std::int64_t kBlockB = 640 << 10; // bytes of a block of B that is split in a run
constexpr std::int64_t kFinishBytes = 128 << 10;  // C that is finished while it is in L2
// Up to here vectors take as long as memory does: a tile product of one row costs as much as one of 16.
constexpr std::int64_t kFewRows = 2;
constexpr std::int64_t kManyRows = 48;  // from here on tiles win back what splitting B in the run costs
constexpr std::int64_t kRoom = kSplitRows * kSplitColumns;  // floats of a tile of C, of a step of A, of a step of B
static_assert(kSplitStep == kSplitColumns);

const SplitKernels& parts_of(const Gemm& g) { return *g.kernels->split; }

std::int64_t width_of(std::int64_t n, std::int64_t panel) { return n - panel * kSplitColumns <= kSplitColumns / 2 ? kSplitColumns / 2 : kSplitColumns; }

// One step of a panel: `depth` elements of k and `count` columns are there.
void split_step(const Kernels& kr, const float* b, std::int64_t b_k, std::int64_t b_column, std::int64_t depth, std::int64_t count,
                std::int64_t width, bool constant, float* room, std::uint16_t* to) {
  const auto split = constant ? kr.split->split_constant : kr.split->split_columns;
  if (b_column == 1 && depth == kSplitStep && count == width) return split(b, b_k, width, to);
  kr.pack(room, width, b, b_column, b_k, count, depth);
  std::fill(room + depth * width, room + kSplitStep * width, 0.0f);
  split(room, width, width, to);
}

// One worker's share.
struct Walk {
  const Gemm& g;
  const RunArgs& args;
  const Kernels& kr;
  const SplitKernels& parts;
  float *c_tile, *room;
  std::uint16_t *b_block, *a_block;
  const float* b_from = nullptr;  // what b_block holds
  std::int64_t b_panel = -1, b_k = -1;

  Walk(const Gemm& gemm, const RunArgs& a) : g(gemm), args(a), kr(*gemm.kernels), parts(parts_of(gemm)) {
    c_tile = static_cast<float*>(a.scratch);
    room = c_tile + kRoom;
    b_block = reinterpret_cast<std::uint16_t*>(room + kRoom);
    a_block = b_block + (g.b == Source::block ? block_elements(g.block_panels * kSplitColumns) : 0);
  }

  // Elements of `lines` rows of A or columns of B in a block.
  std::int64_t block_elements(std::int64_t lines) const { return lines * g.kc * parts.parts; }

  // Groups of rows: whole ones for tiles, spread evenly for vectors.
  std::int64_t row_of(std::int64_t t) const { return g.split_tiles ? std::min(t * kSplitRows, g.p.m) : t * g.p.m / g.tiles; }
  std::int64_t height_of(std::int64_t rows) const { return !g.split_tiles ? rows : rows <= kSplitRows / 2 ? kSplitRows / 2 : kSplitRows; }

  // Rows of groups [t0, t1), columns of panels [q0, q1), depth [k0, k0 + kc) of one batch's a, b, c.
  struct Block {
    const float *a, *b;
    float* c;
    std::int64_t t0, t1, q0, q1, k0, kc;
    bool first() const { return k0 == 0; }
  };
  bool last(const Block& k) const { return k.k0 + k.kc == g.p.k; }

  void split_a(const Block& k) {
    std::uint16_t* to = a_block;
    for (std::int64_t t = k.t0; t < k.t1; ++t) {
      const std::int64_t row = row_of(t), rows = row_of(t + 1) - row, height = height_of(rows), step = height * kSplitStep * parts.parts;
      const float* from = k.a + row * g.p.a_row + k.k0 * g.p.a_k;
      if (g.p.a_k == 1) {
        parts.split_rows(from, g.p.a_row, k.kc, rows, height, to);
        to += split_steps(k.kc) * step;
        continue;
      }
      for (std::int64_t i = 0; i < k.kc; i += kSplitStep, to += step) {
        const std::int64_t depth = std::min(kSplitStep, k.kc - i);
        kr.pack(room, kSplitStep, from + i * g.p.a_k, g.p.a_k, g.p.a_row, depth, rows);
        parts.split_rows(room, kSplitStep, depth, rows, height, to);
      }
    }
  }

  void split_b(const Block& k) {
    if (b_from == k.b && b_panel == k.q0 && b_k == k.k0) return;  // a broadcast B, the next batch
    std::uint16_t* to = b_block;
    for (std::int64_t q = k.q0; q < k.q1; ++q) {
      const std::int64_t column = q * kSplitColumns, width = width_of(g.p.n, q);
      for (std::int64_t i = 0; i < k.kc; i += kSplitStep, to += width * kSplitStep * parts.parts)
        split_step(kr, k.b + (k.k0 + i) * g.p.b_k + column * g.p.b_column, g.p.b_k, g.p.b_column, std::min(kSplitStep, k.kc - i),
                   std::min(width, g.p.n - column), width, false, room, to);
    }
    b_from = k.b, b_panel = k.q0, b_k = k.k0;
  }

  // A panel's part of a block.
  const std::uint16_t* panel_of(const Block& k, std::int64_t q) const {
    if (g.b == Source::block) return b_block + (q - k.q0) * kSplitColumns * split_steps(k.kc) * kSplitStep * parts.parts;
    const auto* b = reinterpret_cast<const std::uint16_t*>(k.b);
    return b + (q * kSplitColumns * split_steps(g.p.k) + width_of(g.p.n, q) * (k.k0 / kSplitStep)) * kSplitStep * parts.parts;
  }

  // Sums that are not finite, again and without parts. c: the row's sums for columns [column, column + count).
  void plainly(const Block& k, std::int64_t row, std::int64_t q, std::int64_t count, float* c) {
    const std::int64_t column = q * kSplitColumns;
    const float* x = k.a + row * g.p.a_row;
    float sums[kSplitColumns];
    if (g.b == Source::packed) {
      const auto* b = reinterpret_cast<const std::uint16_t*>(k.b) + column * split_steps(g.p.k) * kSplitStep * parts.parts;
      parts.plain_row(x, g.p.a_k, b, width_of(g.p.n, q), g.p.k, sums);
    } else {
      for (std::int64_t j = 0; j < count; ++j) {
        float sum = 0;
        for (std::int64_t i = 0; i < g.p.k; ++i) sum += x[i * g.p.a_k] * k.b[i * g.p.b_k + (column + j) * g.p.b_column];
        sums[j] = sum;
      }
    }
    for (std::int64_t j = 0; j < count; ++j) c[j] = sums[j] * g.p.alpha + (args.bias ? args.bias[column + j] : 0.0f);
  }

  void tile(const Block& k, std::int64_t q, std::int64_t t, const char* prefetch, std::int64_t prefetch_lines) {
    const Problem& p = g.p;
    const std::int64_t row = row_of(t), rows = row_of(t + 1) - row, height = height_of(rows);
    const std::int64_t column = q * kSplitColumns, width = width_of(p.n, q), count = std::min(width, p.n - column);
    const bool half = width < kSplitColumns, direct = rows == height && count == width;
    float* const out = k.c + row * p.c_row + column;
    SplitTileArgs args_of;
    args_of.a = a_block + (row - row_of(k.t0)) * split_steps(k.kc) * kSplitStep * parts.parts;
    args_of.b = panel_of(k, q);
    args_of.steps = split_steps(k.kc);
    args_of.c = direct ? out : c_tile;
    args_of.c_row = direct ? p.c_row : kSplitColumns;
    args_of.accumulate = !k.first();
    args_of.prefetch = prefetch, args_of.prefetch_lines = prefetch_lines;
    if (!direct && !k.first())
      for (std::int64_t r = 0; r < rows; ++r) std::copy_n(out + r * p.c_row, count, c_tile + r * kSplitColumns);
    if (g.split_tiles) parts.tiles[half][height < kSplitRows](args_of);
    else parts.vectors[half][rows - 1](args_of);
    if (last(k)) {
      std::uint32_t bad = parts.finish(args_of.c, args_of.c_row, rows, count, p.alpha, args.bias ? args.bias + column : nullptr);
      for (; bad; bad &= bad - 1) {
        const std::int64_t r = __builtin_ctz(bad);
        plainly(k, row + r, q, count, args_of.c + r * args_of.c_row);
      }
    }
    if (!direct)
      for (std::int64_t r = 0; r < rows; ++r) std::copy_n(c_tile + r * kSplitColumns, count, out + r * p.c_row);
  }

  void block(const Block& k) {
    split_a(k);
    const std::int64_t first_row = row_of(k.t0), last_row = row_of(k.t1), groups = k.t1 - k.t0;
    const std::int64_t finished = std::max<std::int64_t>(1, kFinishBytes / 4 / ((last_row - first_row) * kSplitColumns));
    const std::int64_t lines = ceil_div(kSplitColumns * parts.parts, groups);  // a step of a panel has that many by 64 bytes
    for (std::int64_t q0 = k.q0; q0 < k.q1; q0 += finished) {
      const std::int64_t q1 = std::min(k.q1, q0 + finished);
      for (std::int64_t q = q0; q < q1; ++q) {
        const char* next = g.b == Source::packed && q + 1 < k.q1 ? reinterpret_cast<const char*>(panel_of(k, q + 1)) : nullptr;
        for (std::int64_t t = k.t0; t < k.t1; ++t) {
          tile(k, q, t, next, lines);
          if (next) next += lines * split_steps(k.kc) * 64;
        }
      }
      if (!args.finish || !last(k)) continue;
      const std::int64_t column = q0 * kSplitColumns, count = std::min(g.p.n, q1 * kSplitColumns) - column;
      for (std::int64_t r = first_row; r < last_row; ++r) args.finish(args.finish_context, k.c + r * g.p.c_row + column, count);
    }
  }

  // Groups [t0, t1) of one batch, panels [q0, q1).
  void region(const float* a, const float* b, float* c, std::int64_t t0, std::int64_t t1, std::int64_t q0, std::int64_t q1) {
    const std::int64_t depth = g.p.k, pieces = ceil_div(t1 - t0, g.block_tiles), step = g.b == Source::block ? g.block_panels : q1 - q0;
    for (std::int64_t q = q0; q < q1; q += step)
      for (std::int64_t i = 0; i < (g.b == Source::block ? 1 : pieces); ++i) {
        const Range outer = share(t1 - t0, i, g.b == Source::block ? 1 : pieces);
        for (std::int64_t k = 0; k < depth; k += g.kc) {
          Block part{a, b, c, t0 + outer.begin, t0 + outer.end, q, std::min(q1, q + step), k, std::min(g.kc, depth - k)};
          if (g.b == Source::packed) {
            block(part);
            continue;
          }
          split_b(part);
          for (std::int64_t j = 0; j < pieces; ++j) {
            const Range rows = share(t1 - t0, j, pieces);
            part.t0 = t0 + rows.begin, part.t1 = t0 + rows.end;
            block(part);
          }
        }
      }
  }
};

}  // namespace

bool packs_split(const Kernels& kr, std::int64_t k, std::int64_t n) { return kr.split && k >= kSplitStep && n >= kSplitColumns / 2; }

std::uint64_t split_floats(const Kernels& kr, std::int64_t k, std::int64_t n) {
  const std::int64_t columns = (n / kSplitColumns) * kSplitColumns + (n % kSplitColumns ? width_of(n, n / kSplitColumns) : 0);
  return static_cast<std::uint64_t>(columns * split_steps(k) * kSplitStep * kr.split->parts / 2);
}

void split_b(const Kernels& kr, const float* b, std::int64_t b_k, std::int64_t b_column, std::int64_t k, std::int64_t n, float* dst) {
  auto* to = reinterpret_cast<std::uint16_t*>(dst);
  alignas(64) float room[kRoom];
  for (std::int64_t q = 0; q * kSplitColumns < n; ++q) {
    const std::int64_t column = q * kSplitColumns, width = width_of(n, q);
    for (std::int64_t i = 0; i < k; i += kSplitStep, to += width * kSplitStep * kr.split->parts)
      split_step(kr, b + i * b_k + column * b_column, b_k, b_column, std::min(kSplitStep, k - i), std::min(width, n - column), width,
                 true, room, to);
  }
}

std::string packed_layout(const Kernels& kr, std::int64_t k, std::int64_t n) {
  return packs_split(kr, k, n) ? "gemm.bf16x" + std::to_string(kr.split->parts) : "gemm.f32/" + std::to_string(kr.columns);
}

// Splitting B in a run pays where many rows share it.
bool takes_split(const Gemm& g, bool packed) {
  const Problem& p = g.p;
  if (packed) return packs_split(*g.kernels, p.k, p.n);
  if (!g.kernels->split || g.dequantize) return false;
  return p.m >= (g.kernels->split->tiles[0][0] ? kManyRows : kVectorRows) && p.n >= kSplitColumns && p.k >= kSplitStep;
}

void plan_split(Gemm& g, bool packed) {
  const Problem& p = g.p;
  const SplitKernels& parts = parts_of(g);
  g.mode = Mode::split;
  g.b = packed ? Source::packed : Source::block;
  g.split_tiles = parts.tiles[0][0] && p.m > kFewRows;
  const std::int64_t rows = g.split_tiles ? kSplitRows : parts.vector_rows, part_bytes = 2 * parts.parts;
  g.tiles = ceil_div(p.m, rows);
  g.panels = ceil_div(p.n, kSplitColumns);
  g.packed_matrix = static_cast<std::int64_t>(split_floats(*g.kernels, p.k, p.n));
  const std::int64_t panel = g.split_tiles ? kTilePanelBytes : kVectorPanelBytes;
  const std::int64_t most = g.tiles == 1 && packed ? kMostDepth : panel / (kSplitColumns * part_bytes);
  const std::int64_t steps = split_steps(p.k);
  g.kc = ceil_div(steps, ceil_div(steps, most / kSplitStep)) * kSplitStep;
  g.block_tiles = std::clamp<std::int64_t>(kBlockA / (rows * g.kc * part_bytes), 1, g.tiles);
  g.block_panels = packed ? 1 : std::clamp<std::int64_t>(kBlockB / (kSplitColumns * g.kc * part_bytes), 1, g.panels);
  const std::int64_t lines = (g.block_tiles + 1) * rows + (packed ? 0 : g.block_panels * kSplitColumns);
  g.scratch_bytes = static_cast<std::uint64_t>(2 * kRoom * 4 + lines * g.kc * part_bytes);
}

void run_split(const Gemm& g, const RunArgs& args) {
  const std::int64_t groups = g.batch_count * g.tiles;
  Range rows{0, groups}, columns{0, g.panels};
  if (args.workers > 1) {
    // Cycles of a step: products, splitting, and loading B that another worker loads too.
    const std::int64_t parts = g.kernels->split->parts, products = parts * (parts + 1) / 2;
    const double flops = static_cast<double>(products) * (g.split_tiles ? 64 : 448);
    const double split_a = 4.0 * static_cast<double>(parts * (g.split_tiles ? kSplitRows : kVectorRows));
    const double split_b = g.b == Source::block ? 700 : 100.0 * static_cast<double>(parts);
    const Split s = choose_split(groups, g.panels, args.workers, split_a, split_b, flops);
    rows = share(groups, args.worker / s.columns, s.rows);
    columns = share(g.panels, args.worker % s.columns, s.columns);
  }
  if (rows.begin == rows.end || columns.begin == columns.end) return;
#if defined(__x86_64__)
  std::optional<amx::TileScope> scope;
  if (g.split_tiles) scope.emplace();
#endif
  Walk walk(g, args);
  for (std::int64_t t = rows.begin; t < rows.end;) {
    const std::int64_t batch = t / g.tiles, first = batch * g.tiles, end = std::min(rows.end, first + g.tiles);
    const Offsets o = batch_offsets(g.p, batch);
    walk.region(args.a + o.a, args.b + o.b * (g.b == Source::packed ? g.packed_matrix : 1), args.c + o.c, t - first, end - first,
                columns.begin, columns.end);
    t = end;
  }
}

}  // namespace tenon::cpu::gemm
