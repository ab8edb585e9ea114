// Strassen: products whose error may be measured against the largest result take seven products of halves instead of eight.
//
// A block of rows and depth, cut into halves both ways, meets two panels of B side by side, each cut into halves of the depth:
//   [C11 C12]    [A11 A12]   [B11 B12]
//   [C21 C22] += [A21 A22] * [B21 B22]
// One level: the error of a sum grows by a small factor, and a row takes over what another row of its block rounds. The sums of A
// are made once for all panels, those of B for each pair, since kept ones would be more bytes of weights to hold and to read.
#include "plugins/cpu/gemm/strassen.h"

#include <algorithm>

#include "plugins/cpu/gemm/division.h"

namespace tenon::cpu::gemm {
namespace {

constexpr std::int64_t kHalfDepth = 384;           // most depth of half a block
constexpr std::int64_t kBlockA = 704 << 10;        // bytes of the seven left operands: most of L2
constexpr std::int64_t kFinishBytes = 256 << 10;   // C that is finished while it is in L2
// Below, what the sums cost is more than one product in eight.
constexpr std::int64_t kLeastDepth = 384, kLeastTiles = 4, kLeastPairs = 3;
constexpr std::int64_t kFewColumns = 1024;  // up to here A is read where it is
constexpr int kProducts = 7, kSums = 5;  // products, and how many of them take a sum of B
constexpr std::int64_t kLine = 16;  // floats of a cache line and of the widest vector: halves of a depth are whole lines

// Rows of left operands: never a multiple of a page apart, which would meet in one set of the cache.
std::int64_t operand_row(const Gemm& g) { return g.kc + kLine; }
std::int64_t operand_floats(const Gemm& g) { return g.block_tiles * g.kernels->rows * operand_row(g); }

// Of two panels of C, while products come together.
std::int64_t sum_floats(const Gemm& g) { return 4 * g.block_tiles * g.kernels->rows * g.kernels->columns; }

alignas(64) constexpr float kNoBias[kMaxColumns] = {};

enum Quadrant : std::int8_t { q11, q12, q21, q22, none };

// Where a product is added, or taken from. The first product of a quadrant is stored, the last one finishes it.
struct Place {
  Quadrant to;
  bool subtracts = false, first = false, last = false;
};
struct Product {
  Quadrant left, left_other;    // of A: the sum of both, or their difference
  bool left_subtracts;
  Quadrant right, right_other;  // of B
  bool right_subtracts;
  Place to[2];                  // of C
};
constexpr Product kTable[kProducts] = {
    {q11, q22, false, q11, q22, false, {{.to = q11, .first = true}, {.to = q22, .first = true}}},
    {q21, q22, false, q11, none, false, {{.to = q21, .first = true}, {.to = q22, .subtracts = true}}},
    {q11, none, false, q12, q22, true, {{.to = q12, .first = true}, {.to = q22}}},
    {q22, none, false, q21, q11, true, {{.to = q21, .last = true}, {.to = q11}}},
    {q11, q12, false, q22, none, false, {{.to = q12, .last = true}, {.to = q11, .subtracts = true}}},
    {q21, q11, true, q11, q12, false, {{.to = q22, .last = true}, {.to = none}}},
    {q12, q22, true, q21, q22, false, {{.to = q11, .last = true}, {.to = none}}},
};

// One worker's share.
struct Walk {
  const Gemm& g;
  const RunArgs& args;
  const Kernels& kr;
  float *b_sum, *c_sums, *a_operands;

  Walk(const Gemm& gemm, const RunArgs& a) : g(gemm), args(a), kr(*gemm.kernels), b_sum(static_cast<float*>(a.scratch)) {
    c_sums = b_sum + g.kc * kr.columns;
    a_operands = c_sums + sum_floats(g);
  }

  // Rows [row, row + rows) of one batch, depths [k0, k0 + 2 * depth); the lower half may be a row shorter.
  struct Block {
    const float *a, *b;
    float* c;
    std::int64_t row, rows, half, k0, depth;
    bool first, last;
    std::int64_t next_k0, next_depth;  // of the block that will be next, with the same pairs; 0 for none
  };

  std::int64_t rows_of(const Block& k, Quadrant q) const { return is_lower(q) ? k.rows - k.half : k.half; }

  // Rows that a product has: none but its lower ones where all that it reads or writes is lower.
  static bool is_lower(Quadrant q) { return q == q21 || q == q22; }
  static bool is_right(Quadrant q) { return q == q12 || q == q22; }
  std::int64_t rows_of(const Block& k, const Product& p) const {
    const bool writes_lower = is_lower(p.to[0].to) && (p.to[1].to == none || is_lower(p.to[1].to));
    return writes_lower || (is_lower(p.left) && (p.left_other == none || is_lower(p.left_other))) ? k.rows - k.half : k.half;
  }

  // A quadrant as it lies.
  const float* quadrant(const Block& k, Quadrant q) const {
    return k.a + (k.row + (is_lower(q) ? k.half : 0)) * g.p.a_row + k.k0 + (is_right(q) ? k.depth : 0);
  }

  // A left operand; rows stand operand_row apart or, where A is read where it is, as far as they do there.
  struct Left {
    const float* a;
    std::int64_t row;
  };
  void add_up(const Block& k, Left (&left)[kProducts]) const {
    const std::int64_t row = operand_row(g), floats = operand_floats(g);
    std::int64_t rows[kProducts], both[kProducts];  // `both`: where the other one has a row; the lower half may lack one
    for (int i = 0; i < kProducts; ++i) {
      const Product& p = kTable[i];
      const bool sum = p.left_other != none;
      left[i] = sum || g.pack_a ? Left{a_operands + i * floats, row} : Left{quadrant(k, p.left), g.p.a_row};
      rows[i] = sum || g.pack_a ? rows_of(k, p) : 0;
      both[i] = sum ? std::min(rows_of(k, p.left), rows_of(k, p.left_other)) : 0;
    }
    // Row by row, so that A comes from far but once, and in time.
    for (std::int64_t r = 0; r < k.half; ++r) {
      for (Quadrant q : {q11, q21}) {
        if (r + 1 >= rows_of(k, q)) continue;
        const float* next = quadrant(k, q) + (r + 1) * g.p.a_row;
        for (std::int64_t at = 0; at < 2 * k.depth; at += kLine) __builtin_prefetch(next + at);
      }
      for (int i = 0; i < kProducts; ++i) {
        if (r >= rows[i]) continue;
        const Product& p = kTable[i];
        const float* x = quadrant(k, p.left) + r * g.p.a_row;
        float* const to = a_operands + i * floats + r * row;
        if (r < both[i]) kr.strassen->combine(to, x, quadrant(k, p.left_other) + r * g.p.a_row, k.depth, p.left_subtracts);
        else std::copy_n(x, k.depth, to);
      }
    }
  }

  const float* panel_of(const Block& k, std::int64_t pair, Quadrant q) const {
    return k.b + ((2 * pair + is_right(q)) * g.p.k + k.k0 + (is_lower(q) ? k.depth : 0)) * kr.columns;
  }

  // Where the tile at `row` of a quadrant goes.
  StrassenTarget target(const Block& k, std::int64_t pair, const Place& place, std::int64_t row, std::int64_t width) const {
    StrassenTarget t;
    if (place.to == none) return t;
    const bool lower = is_lower(place.to), right = is_right(place.to);
    const std::int64_t column = (2 * pair + right) * kr.columns;
    float* const c = k.c + (k.row + row + (lower ? k.half : 0)) * g.p.c_row + column;
    float* const sum = c_sums + (row + (lower ? k.half : 0)) * 2 * kr.columns + (right ? kr.columns : 0);
    t.to = place.last ? c : sum, t.to_row = place.last ? g.p.c_row : 2 * kr.columns;
    t.from = !place.first ? sum : k.first ? nullptr : c, t.from_row = place.first ? g.p.c_row : 2 * kr.columns;
    if (place.last || (place.first && !k.first)) t.far = c, t.far_row = g.p.c_row;
    t.rows = std::min(width, rows_of(k, place.to) - row);
    t.subtract = place.subtracts;
    t.last = place.last && k.last;
    t.bias = args.bias ? args.bias + column : kNoBias;
    if (t.last && args.addend) t.addend = args.addend + (c - args.c);
    return t;
  }

  // The panels of the pair that is next, in equal stretches; null at their end.
  struct Ahead {
    const float *from[2] = {}, *end[2] = {};
    const float* next(std::int64_t floats) {
      for (int i = 0; i < 2; ++i) {
        if (from[i] >= end[i]) continue;
        const float* p = from[i];
        from[i] += floats;
        return p;
      }
      return nullptr;
    }
  };

  void multiply(const Block& k, const Left (&left)[kProducts], std::int64_t pair, Ahead ahead) {
    StrassenTileArgs t{};
    t.tile.a_k = 1, t.tile.b_k = kr.columns, t.tile.k = k.depth, t.tile.alpha = g.p.alpha;
    // Where there are enough tiles half a line for each step along k: what is on its way from memory holds up what comes from L2.
    const std::int64_t calls = kProducts * ceil_div(k.half, kr.rows) - kSums;
    const std::int64_t fetched = calls * kLine / 2 >= 4 * kr.columns ? kLine / 2 : kLine;
    t.tile.prefetch_k = fetched;
    for (int i = 0; i < kProducts; ++i) {
      const Product& p = kTable[i];
      t.tile.b = panel_of(k, pair, p.right);
      t.b_other = p.right_other == none ? nullptr : panel_of(k, pair, p.right_other);
      t.b_subtract = p.right_subtracts, t.b_sum = b_sum;
      t.tile.a_row = left[i].row;
      const std::int64_t rows = rows_of(k, p), tiles = ceil_div(rows, kr.rows);
      for (std::int64_t j = 0; j < tiles; ++j) {
        const std::int64_t row = j * rows / tiles, width = (j + 1) * rows / tiles - row;
        t.tile.a = left[i].a + row * left[i].row;
        t.tile.prefetch = t.b_other ? nullptr : ahead.next(k.depth * fetched);
        for (int u = 0; u < 2; ++u) t.to[u] = target(k, pair, p.to[u], row, width);
        kr.strassen->tiles[width - 1](t);
        if (t.b_other) t.tile.b = b_sum, t.b_other = nullptr;
      }
    }
  }

  // Sums that are not finite, again and without halves: what is infinite may have met itself.
  void plainly(const Block& k, std::int64_t pair) {
    for (std::int64_t q = 2 * pair; q < 2 * pair + 2; ++q)
      for (std::int64_t r = k.row; r < k.row + k.rows; r += kr.rows) {
        TileArgs t{};
        const std::int64_t column = q * kr.columns;
        t.a = k.a + r * g.p.a_row, t.a_row = g.p.a_row, t.a_k = g.p.a_k;
        t.b = k.b + column * g.p.k, t.b_k = kr.columns, t.k = g.p.k;
        t.c = k.c + r * g.p.c_row + column, t.c_row = g.p.c_row;
        t.bias = args.bias ? args.bias + column : kNoBias;
        t.addend = args.addend ? args.addend + (t.c - args.c) : nullptr;
        t.alpha = g.p.alpha, t.last = true;
        kr.tiles[0][std::min(kr.rows, k.row + k.rows - r) - 1](t);
      }
  }

  void block(const Block& k, std::int64_t first_pair, std::int64_t last_pair) {
    Left left[kProducts];
    add_up(k, left);
    const std::int64_t group = std::max<std::int64_t>(1, kFinishBytes / 4 / (k.rows * 2 * kr.columns)), width = 2 * kr.columns;
    for (std::int64_t q0 = first_pair; q0 < last_pair; q0 += group) {
      const std::int64_t q1 = std::min(last_pair, q0 + group);
      for (std::int64_t q = q0; q < q1; ++q) {
        Ahead ahead;
        const bool more = q + 1 < last_pair;
        const std::int64_t pair = more ? q + 1 : first_pair, k0 = more ? k.k0 : k.next_k0, depth = more ? k.depth : k.next_depth;
        for (std::int64_t i = 0; i < 2; ++i) {
          ahead.from[i] = k.b + ((2 * pair + i) * g.p.k + k0) * kr.columns;
          ahead.end[i] = ahead.from[i] + 2 * depth * kr.columns;
        }
        multiply(k, left, q, ahead);
        if (k.last && !kr.strassen->finite(k.c + k.row * g.p.c_row + q * width, g.p.c_row, k.rows, width)) plainly(k, q);
      }
      if (!args.finish || !k.last) continue;
      for (std::int64_t r = k.row; r < k.row + k.rows; ++r)
        args.finish(args.finish_context, k.c + r * g.p.c_row + q0 * width, (q1 - q0) * width);
    }
  }
};

// Blocks of the depth, whose halves are whole lines.
std::int64_t depth_blocks(const Problem& p) { return ceil_div(p.k, 2 * kHalfDepth); }

}  // namespace

bool takes_strassen(const Gemm& g, bool packed) {
  const Problem& p = g.p;
  const Kernels& kr = *g.kernels;
  return packed && kr.strassen && !g.dequantize && p.a_k == 1 && p.k % (2 * kLine) == 0 && p.k >= kLeastDepth && p.n % (2 * kr.columns) == 0 &&
         p.n >= kLeastPairs * 2 * kr.columns && p.m >= kLeastTiles * kr.rows;
}

void plan_strassen(Gemm& g) {
  const Problem& p = g.p;
  const Kernels& kr = *g.kernels;
  g.mode = Mode::strassen;
  g.b = Source::packed;
  g.packed_matrix = static_cast<std::int64_t>(packed_floats(kr, p.k, p.n));
  g.kc = ceil_div(p.k / (2 * kLine), depth_blocks(p)) * kLine;
  g.pack_a = p.n > kFewColumns || p.a_row % 1024 == 0;
  const std::int64_t most = std::max<std::int64_t>(1, kBlockA / (kProducts * 4 * operand_row(g) * kr.rows));  // tiles of half a block
  g.tiles = ceil_div(p.m, 2 * most * kr.rows);
  g.block_tiles = ceil_div(ceil_div(ceil_div(p.m, g.tiles), 2), kr.rows);
  g.panels = p.n / (2 * kr.columns);
  g.scratch_bytes = static_cast<std::uint64_t>(g.kc * kr.columns + sum_floats(g) + kProducts * operand_floats(g)) * 4;
}

void run_strassen(const Gemm& g, const RunArgs& args) {
  const Problem& p = g.p;
  Range rows{0, g.batch_count * g.tiles}, pairs{0, g.panels};
  if (args.workers > 1) {
    // In units of one vector instruction, of a block: adding halves of A, adding halves of B, the products.
    const double depth = static_cast<double>(p.k), height = static_cast<double>(ceil_div(p.m, g.tiles));
    const double vectors = static_cast<double>(2 * g.kernels->columns / g.kernels->lanes);
    const Split s = choose_split(rows.end, g.panels, args.workers, depth * height, 2 * depth * vectors, depth * height * vectors * 7 / 8);
    rows = share(rows.end, args.worker / s.columns, s.rows);
    pairs = share(g.panels, args.worker % s.columns, s.columns);
  }
  if (pairs.begin == pairs.end) return;
  Walk walk(g, args);
  const std::int64_t depths = depth_blocks(p);
  const auto halves = [&](std::int64_t d) {
    const Range lines = share(p.k / (2 * kLine), d, depths);
    return Range{lines.begin * kLine, lines.end * kLine};
  };
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const Offsets o = batch_offsets(p, i / g.tiles);
    const Range r = share(p.m, i % g.tiles, g.tiles);
    const std::int64_t count = r.end - r.begin;
    for (std::int64_t d = 0; d < depths; ++d) {
      const Range k = halves(d), next = halves((d + 1) % depths);
      const bool more = d + 1 < depths || i + 1 < rows.end;
      walk.block({args.a + o.a, args.b + o.b * g.packed_matrix, args.c + o.c, r.begin, count, ceil_div(count, 2), 2 * k.begin,
                  k.end - k.begin, d == 0, d + 1 == depths, 2 * next.begin, more ? next.end - next.begin : 0},
                 pairs.begin, pairs.end);
    }
  }
}

}  // namespace tenon::cpu::gemm
