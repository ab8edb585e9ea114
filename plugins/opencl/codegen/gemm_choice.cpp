#include "plugins/opencl/codegen/gemm_choice.h"

#include <algorithm>

namespace tenon::opencl {
namespace {

bool wide(Compute compute) { return compute == Compute::f64 || compute == Compute::i64 || compute == Compute::u64; }
bool floats(Compute compute) { return compute == Compute::f32 || compute == Compute::f64; }

int vector_of(const Profile& profile, Compute compute) {
  const int v = static_cast<int>(profile.vector);
  return std::max(1, wide(compute) ? v / 2 : v);
}
// Accumulators and the vectors of B beside them must fit into the registers: 32 where vectors have 16 floats, else 16.
int accumulators(const Profile& profile) { return profile.vector >= 16 ? 24 : 12; }

}  // namespace

int panel_columns(const Profile& profile, Compute compute, std::int64_t n) {
  if (!profile.cpu) return 64;
  const int v = vector_of(profile, compute);
  const int most = profile.vector >= 16 ? 4 : 2;
  if (n < 0) return v * most;
  // The widest panel wins unless a narrower one leaves clearly fewer columns empty.
  int best = v * most;
  double best_cost = 0;
  for (int vectors = most; vectors >= 1; --vectors) {
    if (!floats(compute) && vectors > 2) continue;
    const double cost = static_cast<double>((n + v * vectors - 1) / (v * vectors) * vectors) * (vectors == 1 ? 1.35 : vectors == 2 && most > 2 ? 1.06 : 1.0);
    if (best_cost == 0 || cost < best_cost * 0.97) {
      best = v * vectors;
      best_cost = cost;
    }
  }
  return best;
}

GemmConfig choose_gemm(const Profile& profile, Compute compute, int columns, std::int64_t m, std::int64_t k) {
  GemmConfig c;
  c.compute = compute;
  c.columns = columns;
  if (profile.cpu) {
    c.vector = std::min(vector_of(profile, compute), columns);
    c.item_columns = columns;
    const int vectors = columns / c.vector;
    const int most = std::min(12, floats(compute) ? accumulators(profile) / vectors : 4);
    // Few texts, since each costs a compilation: the whole tile, and less where that leaves clearly fewer rows of it empty.
    const auto rows_of = [m](int rows) { return (m + rows - 1) / rows * rows; };
    const int less = std::min(4, most);
    c.rows = m <= 1 ? 1 : m <= 2 ? std::min(2, most) : m <= 16 && rows_of(less) * 11 <= rows_of(most) * 10 ? less : most;
    return c;
  }
  c.vector = wide(compute) ? 2 : 4;
  const int largest = static_cast<int>(std::min<std::uint64_t>(profile.max_group, 256));
  if (m <= 4 && k >= 128 && largest >= 64) {
    c.skeleton = GemmConfig::Skeleton::split;
    c.item_columns = c.vector;
    c.rows = m <= 1 ? 1 : 4;
    c.group = largest;
    return c;
  }
  if (profile.discrete_local && m > 16 && largest >= 256) {
    c.skeleton = GemmConfig::Skeleton::local;
    c.group = 256;
    c.item_columns = 4;  // 16 items across, 16 down
    c.rows = m > 512 && !wide(compute) ? 8 : 4;
    c.depth = 16;
    return c;
  }
  c.item_columns = c.vector;
  c.rows = m <= 4 ? 4 : wide(compute) ? 4 : 8;
  c.group = std::min(largest, 64);
  // A group must hold whole panels' lanes.
  while (c.columns / c.item_columns > c.group) c.item_columns *= 2;
  return c;
}

GemmConfig gemm_variant(GemmConfig c, int variant) {
  if (c.skeleton != GemmConfig::Skeleton::registers || variant == 0) return c;
  // Fewer rows leave registers free, more read the panel less often.
  c.rows = variant == 1 ? std::max(1, c.rows - 2) : c.rows + 2;
  return c;
}

bool wants_dots(std::int64_t m) { return m <= 4; }

GemmConfig choose_dots(const Profile& profile, Compute compute, std::int64_t m) {
  GemmConfig c;
  c.skeleton = GemmConfig::Skeleton::dots;
  c.compute = compute;
  c.rows = m <= 1 ? 1 : 4;
  if (profile.cpu) {
    c.vector = vector_of(profile, compute);
    c.item_columns = c.columns = profile.vector >= 16 && m > 1 ? 4 : m > 1 ? 2 : 8;
  } else {
    c.vector = wide(compute) ? 2 : 4;
    c.group = static_cast<int>(std::min<std::uint64_t>(profile.max_group, 64));
    c.item_columns = 1;
    c.columns = c.group;
  }
  return c;
}

bool wants_packing(const Profile& profile, Compute compute, int columns, const GemmProblem& p) {
  if (p.n < columns && !(profile.discrete_local && p.m > 16)) return true;
  if (!profile.cpu) return false;
  // Rows of B a multiple of a page apart fall into the same few sets of the first cache.
  const std::int64_t bytes = wide(compute) ? 8 : 4;
  return p.m >= 64 && p.k >= 512 && p.b_k * bytes % 4096 == 0;
}

}  // namespace tenon::opencl
