// The minimum cut of random small graphs against all cuts.
#include <gtest/gtest.h>

#include <random>

#include "core/partition/min_cut.h"

namespace tenon {
namespace {

struct Edge {
  std::uint32_t from, to;
  double forward, backward;
};

double across(const std::vector<Edge>& edges, std::uint32_t sink_side) {
  double total = 0;
  for (const Edge& e : edges) {
    const bool from = sink_side >> e.from & 1, to = sink_side >> e.to & 1;
    if (!from && to) total += e.forward;
    if (from && !to) total += e.backward;
  }
  return total;
}

TEST(MinCut, IsTheLeastOfAllCuts) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    std::mt19937 r(seed);
    const std::uint32_t nodes = 2 + r() % 7;
    MinCut cut(2);
    for (std::uint32_t n = 2; n < nodes; ++n) cut.add_node();
    std::vector<Edge> edges;
    for (std::uint32_t k = r() % 20; k > 0; --k) {
      edges.push_back({static_cast<std::uint32_t>(r() % nodes), static_cast<std::uint32_t>(r() % nodes), static_cast<double>(r() % 50),
                       r() % 3 ? 0.0 : static_cast<double>(r() % 50)});
      cut.add_edge(edges.back().from, edges.back().to, edges.back().forward, edges.back().backward);
    }
    double least = 1e30;
    for (std::uint32_t side = 0; side < 1u << nodes; ++side)
      if (!(side & 1) && side & 2) least = std::min(least, across(edges, side));
    const std::vector<bool> sink = cut.solve();
    std::uint32_t side = 0;
    for (std::uint32_t n = 0; n < nodes; ++n) side |= static_cast<std::uint32_t>(sink[n]) << n;
    ASSERT_EQ(side & 3, 2u) << "seed " << seed;
    ASSERT_NEAR(across(edges, side), least, 1e-9) << "seed " << seed;
  }
}

}  // namespace
}  // namespace tenon
