// The layers of a drawing: nodes below what they depend on, none over another, the same every time.
#include <cmath>

#include <gtest/gtest.h>

#include "core/report/layout.h"

namespace tenon {
namespace {

using Edges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

void expect_apart(const Layout& layout, const LayoutSizes& sizes = {}) {
  for (std::size_t a = 0; a < layout.nodes.size(); ++a)
    for (std::size_t b = a + 1; b < layout.nodes.size(); ++b) {
      if (layout.nodes[a].layer != layout.nodes[b].layer) continue;
      ASSERT_GE(std::abs(layout.nodes[a].x - layout.nodes[b].x), sizes.node_width) << a << " and " << b;
    }
}

TEST(Layout, EveryEdgePointsDown) {
  const Edges edges = {{0, 1}, {0, 2}, {1, 3}, {2, 3}, {0, 3}, {3, 5}, {4, 5}};
  const Layout layout = lay_out_layers(6, edges);
  for (const auto& [from, to] : edges) EXPECT_LT(layout.nodes[from].layer, layout.nodes[to].layer) << from << " -> " << to;
  EXPECT_EQ(layout.nodes[3].layer, 2u);
  EXPECT_EQ(layout.nodes[4].layer, 2u) << "what depends on nothing stands just above its reader";
  expect_apart(layout);
  EXPECT_GT(layout.width, 0);
}

TEST(Layout, AChainIsStraight) {
  Edges edges;
  for (std::uint32_t n = 0; n + 1 < 50; ++n) edges.emplace_back(n, n + 1);
  const Layout layout = lay_out_layers(50, edges);
  for (const LayoutNode& n : layout.nodes) EXPECT_NEAR(n.x, 0, 1e-9);
}

TEST(Layout, ThreeThousandNodesInAFewMilliseconds) {
  Edges edges;
  std::uint64_t random = 1;
  for (std::uint32_t n = 1; n < 3000; ++n)
    for (int k = 0; k < 2; ++k) {
      random = random * 6364136223846793005ull + 1442695040888963407ull;
      edges.emplace_back(n - 1 - static_cast<std::uint32_t>((random >> 33) % std::min(n, 9u)), n);
    }
  const Layout a = lay_out_layers(3000, edges), b = lay_out_layers(3000, edges);
  for (std::size_t n = 0; n < a.nodes.size(); ++n) {
    EXPECT_EQ(a.nodes[n].x, b.nodes[n].x);
    EXPECT_TRUE(std::isfinite(a.nodes[n].x) && a.nodes[n].x >= 0 && a.nodes[n].x <= a.width);
  }
  expect_apart(a);
}

TEST(Layout, NothingAndEdgesThatPointUp) {
  EXPECT_TRUE(lay_out_layers(0, {}).nodes.empty());
  const Layout layout = lay_out_layers(2, Edges{{1, 0}, {0, 7}, {1, 1}});
  EXPECT_EQ(layout.nodes[0].layer, layout.nodes[1].layer);
}

}  // namespace
}  // namespace tenon
