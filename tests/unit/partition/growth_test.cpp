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

// Both sizes are beyond those that are looked at more closely, so three times the nodes are three times the steps, a little more
// where paths of a cut grow longer. Twice as many a node would be far from that and near to a square.
TEST(CoverGrowth, StepsOfANodeDoNotGrowWithTheGraph) {
  for (const std::uint32_t host_operands : {0u, 50u})
    for (const auto& [shape, name] : shapes) {
      const double small = steps_a_node(shape, 9000, host_operands), large = steps_a_node(shape, 27000, host_operands);
      EXPECT_GT(small, 10) << name;
      EXPECT_LT(large, 1.5 * small) << name << ", one in " << host_operands << " wants an operand on the host";
      EXPECT_LT(large, 1500) << name << ", one in " << host_operands << " wants an operand on the host";
    }
}

}  // namespace
}  // namespace tenon
