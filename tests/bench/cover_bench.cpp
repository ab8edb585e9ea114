// How long the cover of a large graph takes, by the graph's shape: three devices, claims of several nodes on two of them.
//   cover_bench [nodes [shape [one claim in so many wants an operand in host memory]]]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/support/large_covers.h"

int main(int count, char** arguments) {
  using namespace tenon;
  const NodeId nodes = count > 1 ? static_cast<NodeId>(std::atoi(arguments[1])) : 50000;
  for (const auto& [shape, name] : test::shapes) {
    if (count > 2 && *arguments[2] != '\0' && name != std::string_view(arguments[2])) continue;
    const test::LargeCover problem(shape, nodes, count > 3 ? static_cast<std::uint32_t>(std::atoi(arguments[3])) : 0);
    const auto start = std::chrono::steady_clock::now();
    const Cover c = cover(problem.input);
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    std::printf("%-15s %zu nodes, %zu claims: %.0f ms, %.2f us a node, %.1f steps a node, %zu parts, %zu uncovered\n", name, c.node_claim.size(),
                problem.input.claims.size(), ms, 1000 * ms / nodes, static_cast<double>(c.steps) / nodes, c.parts.size(), c.uncovered.size());
  }
  return 0;
}
