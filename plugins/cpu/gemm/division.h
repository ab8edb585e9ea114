// Division: how the workers of a gang share the blocks of a product. Free functions over plain data; any thread.
#pragma once

#include "plugins/cpu/gemm/sgemm.h"

namespace tenon::cpu::gemm {

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Where one matrix of a batch begins.
struct Offsets {
  std::int64_t a = 0, b = 0, c = 0;
};

inline Offsets batch_offsets(const Problem& p, std::int64_t index) {
  Offsets o;
  for (int d = p.batch_rank - 1; d >= 0; --d) {
    const std::int64_t i = d == 0 ? index : index % p.batch[d];
    index /= p.batch[d];
    o.a += i * p.batch_a[d];
    o.b += i * p.batch_b[d];
    o.c += i * p.batch_c[d];
  }
  return o;
}

struct Range {
  std::int64_t begin, end;
};
inline Range share(std::int64_t n, std::int64_t part, std::int64_t parts) { return {n * part / parts, n * (part + 1) / parts}; }

// How the workers divide rows (batches included) and columns: the division whose largest share costs least.
struct Split {
  std::int64_t rows, columns;
};
inline Split choose_split(std::int64_t row_tiles, std::int64_t panels, std::int64_t workers, double pack_a_cost, double pack_b_cost,
                   double flops) {
  Split best{workers, 1};
  double best_cost = 0;
  for (std::int64_t r = 1; r <= workers; ++r) {
    if (workers % r) continue;
    const std::int64_t c = workers / r;
    const double rows = static_cast<double>(ceil_div(row_tiles, r)), columns = static_cast<double>(ceil_div(panels, c));
    const double cost = rows * columns * flops + rows * pack_a_cost + columns * pack_b_cost;
    if (r == 1 || cost < best_cost) best = {r, c}, best_cost = cost;
  }
  return best;
}

}  // namespace tenon::cpu::gemm
