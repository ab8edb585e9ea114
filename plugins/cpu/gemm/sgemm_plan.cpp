#include "plugins/cpu/gemm/sgemm.h"

#include <algorithm>
#include <utility>

#include "plugins/cpu/gemm/division.h"

namespace tenon::cpu::gemm {
namespace {

constexpr std::int64_t kPanelBytes = 96 << 10;  // of a panel's part of a block of B, which streams from L2
constexpr std::int64_t kMaxDepth = 768;  // of a block
constexpr std::int64_t kBlockA = 448 << 10;  // bytes of a packed block of A: part of L2
constexpr std::int64_t kBlockB = 384 << 10;  // bytes of a block of B that is packed in a run
constexpr std::int64_t kFewColumns = 1024;  // up to here A is not packed for its own sake
constexpr std::int64_t kFewRows = 4;  // up to here dot products beat packing

void swap_sides(Problem& p) {
  std::swap(p.m, p.n);
  std::swap(p.a_row, p.b_column);
  std::swap(p.a_k, p.b_k);
  std::swap(p.c_row, p.c_column);
  for (int d = 0; d < p.batch_rank; ++d) std::swap(p.batch_a[d], p.batch_b[d]);
}

void plan_into(Gemm& g, const Kernels& kernels, bool packed) {
  g.kernels = &kernels;
  Problem& p = g.p;
  for (int d = 0; d < p.batch_rank; ++d) g.batch_count *= p.batch[d];
  if (g.batch_count == 0 || p.m == 0 || p.n == 0) return;
  if (p.k == 0) {
    g.mode = Mode::zero_k;
    return;
  }
  // Rows and batch of A that are one long stretch under one B are one matrix.
  while (p.batch_rank > 0 && p.batch_b[p.batch_rank - 1] == 0 &&
         (p.m == 1 || (p.batch_a[p.batch_rank - 1] == p.m * p.a_row && p.batch_c[p.batch_rank - 1] == p.m * p.c_row))) {
    const int last = --p.batch_rank;
    if (p.m == 1) p.a_row = p.batch_a[last], p.c_row = p.batch_c[last];
    p.m *= p.batch[last];
    g.batch_count /= p.batch[last];
  }
  if (p.m == 1) p.c_row = p.n;  // any
  const Kernels& kr = kernels;
  if (!packed && !g.dequantize) {
    const bool rows_of_b = p.b_k == 1 || p.k == 1;
    if (p.a_k == 1 && rows_of_b && p.m <= kFewRows && p.n > p.m) {
      g.mode = Mode::dots;
    } else if (p.a_k == 1 && p.n <= kFewRows) {
      swap_sides(p);
      g.swapped = true;
      g.mode = Mode::dots;
      if (p.a_k != 1) g.scratch_bytes = static_cast<std::uint64_t>(p.m * p.k) * 4;
    }
    if (g.mode == Mode::dots) return;
  }
  if (takes_split(g, packed)) return plan_split(g, packed);
  if (takes_strassen(g, packed)) return plan_strassen(g);
  g.mode = Mode::tiles;
  g.tiles = ceil_div(p.m, kr.rows);
  g.panels = ceil_div(p.n, kr.columns);
  g.packed_matrix = static_cast<std::int64_t>(packed_floats(kr, p.k, p.n));
  g.b = packed ? Source::packed : g.tiles == 1 && p.b_column == 1 && !g.dequantize ? Source::direct : Source::block;
  // Rows are read where they are, unless many columns repay the copy or all rows of a tile would meet in one set of the cache.
  g.pack_a = p.a_k != 1 ? p.m > 1 : p.m > 4 && (p.n > kFewColumns || p.a_row % 1024 == 0);
  g.kc = p.k;
  if (g.tiles > 1 || g.b == Source::block) g.kc = ceil_div(p.k, ceil_div(p.k, std::min(kMaxDepth, kPanelBytes / (kr.columns * 4))));
  if (g.pack_a) g.kc = std::min<std::int64_t>(g.kc, 4096);
  if (g.b == Source::direct) g.kc = std::min<std::int64_t>(g.kc, 4096);
  if (g.dequantize) g.kc = std::min(p.k, ceil_div(g.kc, 16) * 16);
  g.block_tiles = std::clamp<std::int64_t>(kBlockA / (kr.rows * g.kc * 4), 1, g.tiles);
  g.block_panels = g.b == Source::direct ? 1 : std::clamp<std::int64_t>(kBlockB / (kr.columns * g.kc * 4), 1, g.panels);
  std::int64_t floats = kr.rows * kr.columns;
  if (g.b != Source::packed) floats += ceil_div(g.block_panels * kr.columns * g.kc, 16) * 16;
  if (g.pack_a) floats += std::min(p.m, (g.block_tiles + 1) * kr.rows) * g.kc;
  g.scratch_bytes = static_cast<std::uint64_t>(floats) * 4;
}

}  // namespace

void Problem::push_batch(std::int64_t size, std::int64_t a, std::int64_t b, std::int64_t c) {
  if (size == 1) return;
  if (batch_rank > 0) {
    const int last = batch_rank - 1;
    if (batch_a[last] == a * size && batch_b[last] == b * size && batch_c[last] == c * size) {
      batch[last] *= size;
      batch_a[last] = a, batch_b[last] = b, batch_c[last] = c;
      return;
    }
  }
  batch[batch_rank] = size;
  batch_a[batch_rank] = a, batch_b[batch_rank] = b, batch_c[batch_rank] = c;
  ++batch_rank;
}

bool wants_packing(std::int64_t n) { return n > kFewRows; }

std::uint64_t packed_floats(const Kernels& kr, std::int64_t k, std::int64_t n) {
  if (packs_split(kr, k, n)) return split_floats(kr, k, n);
  const std::int64_t full = n / kr.columns * kr.columns, rest = n - full;
  return static_cast<std::uint64_t>(k * (full + (rest == 0 ? 0 : rest <= kr.lanes ? kr.lanes : kr.columns)));
}

void pack_b(const Kernels& kr, const float* b, std::int64_t b_k, std::int64_t b_column, std::int64_t k, std::int64_t n, float* dst) {
  if (packs_split(kr, k, n)) return split_b(kr, b, b_k, b_column, k, n, dst);
  for (std::int64_t j = 0; j < n; j += kr.columns) {
    const std::int64_t width = n - j <= kr.lanes ? kr.lanes : kr.columns;
    kr.pack(dst + j * k, width, b + j * b_column, b_column, b_k, std::min(width, n - j), k);
  }
}

Gemm plan(const Kernels& kernels, const Problem& problem, bool packed) {
  Gemm g;
  g.p = problem;
  plan_into(g, kernels, packed);
  return g;
}

Gemm plan_quantized(const Kernels& kernels, const Problem& problem, const QuantizedKernels& dequantize, const Quantized& q) {
  Gemm g;
  g.p = problem;
  g.dequantize = &dequantize;
  g.quantized = q;
  plan_into(g, kernels, false);
  return g;
}
double estimate_ns(const Gemm& g) {
  const double macs =
      static_cast<double>(g.batch_count) * static_cast<double>(g.p.m) * static_cast<double>(g.p.n) * static_cast<double>(g.p.k);
  const double bytes = 4.0 * static_cast<double>(g.p.k) * static_cast<double>(g.p.n);
  // A tile product is 8192 of bfloat16 in 4.3 ns; vectors take twice as many as float32.
  const double rate = g.mode != Mode::split ? static_cast<double>(g.kernels->lanes * 3)
                      : g.split_tiles       ? 1500.0 / static_cast<double>(std::max(1, 3 * (g.kernels->split->parts - 1)))
                                            : static_cast<double>(g.kernels->lanes * 6);
  return 60 + macs / rate + bytes / 20;
}

}  // namespace tenon::cpu::gemm
