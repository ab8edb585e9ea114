// What the cover takes grows as the graph does: counted in steps, so that no machine's speed has a say.
#include <gtest/gtest.h>

#include "tests/support/large_covers.h"

namespace tenon {
namespace {

using namespace test;

double steps_a_node(Shape shape, NodeId nodes, std::uint32_t host_operands) {
  const LargeCover problem(shape, nodes, host_operands);
  const Cover c = cover(problem.input);
  EXPECT_TRUE(c.uncovered.empty());
  EXPECT_GT(c.parts.size(), 1u);
  return static_cast<double>(c.steps) / static_cast<double>(c.node_claim.size());
}

// Both sizes are beyond those that are looked at more closely, so twice the nodes are twice the steps, a little more where paths
// of a cut grow longer; a square would be four times as many. Claims with operands in host memory have parts set apart.
TEST(CoverGrowth, StepsOfANodeDoNotGrowWithTheGraph) {
  for (const auto& [shape, name] : shapes) {
    const double small = steps_a_node(shape, 8500, 50), large = steps_a_node(shape, 17000, 50);
    EXPECT_GT(small, 10) << name;
    EXPECT_LT(large, 1.4 * small) << name;
    EXPECT_LT(large, 1500) << name;
  }
}

}  // namespace
}  // namespace tenon
