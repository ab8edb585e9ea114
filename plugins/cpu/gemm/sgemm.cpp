#include "plugins/cpu/gemm/sgemm.h"

#include <algorithm>

#include "plugins/cpu/gemm/division.h"

namespace tenon::cpu::gemm {
namespace {

constexpr std::int64_t kFinishBytes = 256 << 10;  // C that is finished while it is in L2

alignas(64) constexpr float kNoBias[kMaxColumns] = {};

// First row of tile t: the rows are spread evenly.
std::int64_t tile_row(const Gemm& g, std::int64_t t) { return t * g.p.m / g.tiles; }

std::int64_t panel_width(const Gemm& g, std::int64_t panel) {
  const Kernels& kr = *g.kernels;
  return g.p.n - panel * kr.columns <= kr.lanes ? kr.lanes : kr.columns;
}

// ---- one worker's share, tiles ------------------------------------------------------------------------------------------

struct Walk {
  const Gemm& g;
  const RunArgs& args;
  const Kernels& kr;
  float* a_block;
  float* b_block;
  float* c_tile;
  const float* packed_b_from = nullptr;  // what b_block holds
  std::int64_t packed_b_panel = -1, packed_b_k = -1;

  Walk(const Gemm& gemm, const RunArgs& a) : g(gemm), args(a), kr(*gemm.kernels) {
    float* s = static_cast<float*>(a.scratch);
    c_tile = s;
    s += kr.rows * kr.columns;
    b_block = s;
    if (g.b != Source::packed) s += ceil_div(g.block_panels * kr.columns * g.kc, 16) * 16;
    a_block = s;
  }

  void pack_b(const float* b, std::int64_t q0, std::int64_t q1, std::int64_t k0, std::int64_t kc) {
    if (packed_b_from == b && packed_b_panel == q0 && packed_b_k == k0) return;  // a broadcast B, the next batch
    for (std::int64_t q = q0; q < q1; ++q) {
      const std::int64_t column = q * kr.columns, width = panel_width(g, q);
      if (g.dequantize) {
        for (std::int64_t j = 0; j < width && column + j < g.p.n; j += kr.lanes)
          g.dequantize->fill(g.quantized, (column + j) / kr.lanes, k0, kc, b_block + (q - q0) * kr.columns * kc + j, width);
        continue;
      }
      kr.pack(b_block + (q - q0) * kr.columns * kc, width, b + k0 * g.p.b_k + column * g.p.b_column, g.p.b_column, g.p.b_k,
              std::min(width, g.p.n - column), kc);
    }
    packed_b_from = b, packed_b_panel = q0, packed_b_k = k0;
  }

  // Rows of tiles [t0, t1), columns of panels [q0, q1), depth [k0, k0 + kc) of one batch's a, b, c. Where b_block is in use
  // it starts at panel q0.
  struct Block {
    const float *a, *b;
    float* c;
    std::int64_t t0, t1, q0, q1, k0, kc;
  };

  void pack_a(const Block& k) {
    float* dst = a_block;
    for (std::int64_t t = k.t0; t < k.t1; ++t) {
      const std::int64_t row = tile_row(g, t), rows = tile_row(g, t + 1) - row;
      kr.pack(dst, rows, k.a + row * g.p.a_row + k.k0 * g.p.a_k, g.p.a_row, g.p.a_k, rows, k.kc);
      dst += rows * k.kc;
    }
  }

  // One panel of B as the tiles of a block read it.
  struct Panel {
    const float* b;
    std::int64_t b_k, column, width, valid;
    const float* bias = kNoBias;
    const float* next = nullptr;  // where the next panel's part of the block is
    float padded_bias[kMaxColumns];
  };

  void open(const Block& k, std::int64_t q, Panel& panel) {
    const Problem& p = g.p;
    panel.column = q * kr.columns;
    panel.width = panel.b_k = panel_width(g, q);
    panel.valid = std::min(panel.width, p.n - panel.column);
    panel.next = nullptr;
    if (g.b == Source::packed) {
      panel.b = k.b + panel.column * p.k + k.k0 * panel.width;
      if (q + 1 < k.q1) panel.next = k.b + (panel.column + kr.columns) * p.k + k.k0 * panel_width(g, q + 1);
    } else if (g.b == Source::block) {
      panel.b = b_block + (q - k.q0) * kr.columns * k.kc;
    } else if (panel.valid == panel.width) {
      panel.b = k.b + k.k0 * p.b_k + panel.column;
      panel.b_k = p.b_k;
    } else {
      pack_b(k.b, q, q + 1, k.k0, k.kc);
      panel.b = b_block;
    }
    panel.bias = kNoBias;
    if (args.bias && k.k0 + k.kc == p.k) {
      panel.bias = args.bias + panel.column;
      if (panel.valid < panel.width) {
        std::fill(std::copy_n(panel.bias, panel.valid, panel.padded_bias), panel.padded_bias + panel.width, 0.0f);
        panel.bias = panel.padded_bias;
      }
    }
  }

  void tile(const Block& k, const Panel& panel, std::int64_t i) {
    const Problem& p = g.p;
    const std::int64_t row = tile_row(g, i), rows = tile_row(g, i + 1) - row;
    TileArgs t;
    if (g.pack_a) {
      t.a = a_block + (row - tile_row(g, k.t0)) * k.kc;
      t.a_row = 1;
      t.a_k = rows;
    } else {
      t.a = k.a + row * p.a_row + k.k0 * p.a_k;
      t.a_row = p.a_row;
      t.a_k = p.a_k;
    }
    t.b = panel.b;
    t.b_k = panel.b_k;
    t.k = k.kc;
    t.bias = panel.bias;
    t.alpha = p.alpha;
    t.accumulate = k.k0 > 0;
    t.last = k.k0 + k.kc == p.k;
    // One line per k: the first tiles fetch all of the next panel's part of this block.
    const std::int64_t fetched = (i - k.t0) * k.kc;
    const bool fetch = panel.next && fetched < panel.width * k.kc / 16;
    t.prefetch = fetch ? panel.next + fetched * 16 : nullptr;
    t.prefetch_k = 16;
    const int half = panel.width == kr.lanes;
    const TileFn fn = p.m == 1 ? kr.gemv[half] : kr.tiles[half][rows - 1];
    float* out = k.c + row * p.c_row + panel.column;
    const float* addend = t.last && args.addend ? args.addend + (out - args.c) : nullptr;
    if (panel.valid == panel.width) {
      t.c = out;
      t.c_row = p.c_row;
      t.addend = addend;
      return fn(t);
    }
    t.addend = nullptr;
    t.c = c_tile;
    t.c_row = panel.width;
    if (t.accumulate)
      for (std::int64_t r = 0; r < rows; ++r) std::copy_n(out + r * p.c_row, panel.valid, c_tile + r * panel.width);
    fn(t);
    for (std::int64_t r = 0; r < rows; ++r) {
      std::copy_n(c_tile + r * panel.width, panel.valid, out + r * p.c_row);
      if (addend)
        for (std::int64_t j = 0; j < panel.valid; ++j) out[r * p.c_row + j] += addend[r * p.c_row + j];
    }
  }

  void finish(const Block& k, std::int64_t t0, std::int64_t t1, std::int64_t q0, std::int64_t q1) {
    if (!args.finish || k.k0 + k.kc != g.p.k) return;
    const std::int64_t column = q0 * kr.columns, n = std::min(g.p.n, q1 * kr.columns) - column;
    for (std::int64_t r = tile_row(g, t0), end = tile_row(g, t1); r < end; ++r)
      args.finish(args.finish_context, k.c + r * g.p.c_row + column, n);
  }

  // B is large and read once, panel by panel; the tiles of A stay in L2.
  void by_panels(const Block& k) {
    if (g.pack_a) pack_a(k);
    Panel panel;
    const std::int64_t group = std::max<std::int64_t>(1, kFinishBytes / 4 / ((tile_row(g, k.t1) - tile_row(g, k.t0)) * kr.columns));
    for (std::int64_t q0 = k.q0; q0 < k.q1; q0 += group) {
      const std::int64_t q1 = std::min(k.q1, q0 + group);
      for (std::int64_t q = q0; q < q1; ++q) {
        open(k, q, panel);
        for (std::int64_t i = k.t0; i < k.t1; ++i) tile(k, panel, i);
      }
      finish(k, k.t0, k.t1, q0, q1);
    }
  }

  // B is a block in L2; the rows of C are written from end to end.
  void by_tiles(const Block& k) {
    if (g.pack_a) pack_a(k);
    Panel panel;
    for (std::int64_t i = k.t0; i < k.t1; ++i) {
      for (std::int64_t q = k.q0; q < k.q1; ++q) {
        open(k, q, panel);
        tile(k, panel, i);
      }
      finish(k, i, i + 1, k.q0, k.q1);
    }
  }

  // Tiles [t0, t1) of one batch, panels [q0, q1).
  void region(const float* a, const float* b, float* c, std::int64_t t0, std::int64_t t1, std::int64_t q0, std::int64_t q1) {
    const std::int64_t depth = g.p.k;
    if (g.b == Source::block) {
      for (std::int64_t q = q0; q < q1; q += g.block_panels) {
        const std::int64_t q_end = std::min(q1, q + g.block_panels);
        for (std::int64_t k = 0; k < depth; k += g.kc) {
          const std::int64_t kc = std::min(g.kc, depth - k);
          pack_b(b, q, q_end, k, kc);
          for (std::int64_t t = t0; t < t1; t += g.block_tiles) by_tiles({a, b, c, t, std::min(t1, t + g.block_tiles), q, q_end, k, kc});
        }
      }
      return;
    }
    // Even blocks: the last one is not a sliver.
    const std::int64_t blocks = ceil_div(t1 - t0, g.block_tiles);
    for (std::int64_t i = 0; i < blocks; ++i) {
      const Range r = share(t1 - t0, i, blocks);
      for (std::int64_t k = 0; k < depth; k += g.kc) by_panels({a, b, c, t0 + r.begin, t0 + r.end, q0, q1, k, std::min(g.kc, depth - k)});
    }
  }
};

void run_tiles(const Gemm& g, const RunArgs& args) {
  std::int64_t row_tiles = g.batch_count * g.tiles;
  Range rows{0, row_tiles}, columns{0, g.panels};
  if (args.workers > 1) {
    const Kernels& kr = *g.kernels;
    const double k = static_cast<double>(g.p.k);
    // In units of one vector instruction. Rows of A have to be fetched from where another worker has made them; who shares rows
    // finds most of them where it left them. Loading B that another worker loads too counts as well.
    const double flops = k * static_cast<double>(kr.rows * kr.columns / kr.lanes);
    const double pack_a = (g.pack_a ? 2.0 : 1.6) * k * static_cast<double>(kr.rows);
    const double pack_b = (g.b == Source::block ? 0.5 : 0.2) * k * static_cast<double>(kr.columns);
    const Split s = choose_split(row_tiles, g.panels, args.workers, pack_a, pack_b, flops);
    rows = share(row_tiles, args.worker / s.columns, s.rows);
    columns = share(g.panels, args.worker % s.columns, s.columns);
  }
  if (columns.begin == columns.end) return;
  Walk walk(g, args);
  for (std::int64_t t = rows.begin; t < rows.end;) {
    const std::int64_t batch = t / g.tiles, first = batch * g.tiles, end = std::min(rows.end, first + g.tiles);
    const Offsets o = batch_offsets(g.p, batch);
    walk.region(args.a + o.a, args.b + o.b * (g.b == Source::packed ? g.packed_matrix : 1), args.c + o.c, t - first, end - first,
                columns.begin, columns.end);
    t = end;
  }
}

// ---- dot products -------------------------------------------------------------------------------------------------------

void run_dots(const Gemm& g, const RunArgs& args) {
  const Problem& p = g.p;
  constexpr std::int64_t kGrain = 16;  // columns, so that workers write different lines
  const std::int64_t pieces = ceil_div(p.n, kGrain);
  const Range all = share(g.batch_count * pieces, args.worker, args.workers);
  const float *left = g.swapped ? args.b : args.a, *right = g.swapped ? args.a : args.b;
  const float* copied = nullptr;
  for (std::int64_t i = all.begin; i < all.end;) {
    const std::int64_t batch = i / pieces, end = std::min(all.end, (batch + 1) * pieces);
    const std::int64_t j0 = (i - batch * pieces) * kGrain, j1 = std::min(p.n, (end - batch * pieces) * kGrain);
    const Offsets o = batch_offsets(p, batch);
    const float* a = left + o.a;
    std::int64_t a_row = p.a_row;
    if (p.a_k != 1) {
      float* s = static_cast<float*>(args.scratch);
      if (copied != a)
        for (std::int64_t r = 0; r < p.m; ++r)
          for (std::int64_t k = 0; k < p.k; ++k) s[r * p.k + k] = a[r * a_row + k * p.a_k];
      copied = a;
      a = s;
      a_row = p.k;
    }
    const std::int64_t bias_row = args.bias && g.swapped ? 1 : 0, bias_column = args.bias && !g.swapped ? 1 : 0;
    g.kernels->dots(a, a_row, right + o.b + j0 * p.b_column, p.b_column, p.m, j1 - j0, p.k, p.alpha,
                    args.bias ? args.bias + j0 * bias_column : kNoBias, bias_row, bias_column, args.c + o.c + j0 * p.c_column,
                    p.c_row, p.c_column);
    if (args.finish) {
      if (!g.swapped) {
        for (std::int64_t r = 0; r < p.m; ++r) args.finish(args.finish_context, args.c + o.c + r * p.c_row + j0, j1 - j0);
      } else {  // rows of the real C are our columns
        for (std::int64_t j = j0; j < j1; ++j) args.finish(args.finish_context, args.c + o.c + j * p.c_column, p.m);
      }
    }
    i = end;
  }
}

void run_zero_k(const Gemm& g, const RunArgs& args) {
  const Problem& p = g.p;
  const Range all = share(g.batch_count * p.m, args.worker, args.workers);
  for (std::int64_t i = all.begin; i < all.end; ++i) {
    float* c = args.c + batch_offsets(p, i / p.m).c + i % p.m * p.c_row;
    for (std::int64_t j = 0; j < p.n; ++j) c[j * p.c_column] = args.bias ? args.bias[j] : 0;
    if (args.finish) args.finish(args.finish_context, c, p.n);
  }
}

}  // namespace

void run(const Gemm& g, const RunArgs& args) {
  switch (g.mode) {
    case Mode::nothing: return;
    case Mode::zero_k: return run_zero_k(g, args);
    case Mode::dots: return run_dots(g, args);
    case Mode::tiles: return run_tiles(g, args);
    case Mode::split: return run_split(g, args);
    case Mode::strassen: return run_strassen(g, args);
  }
}

}  // namespace tenon::cpu::gemm
