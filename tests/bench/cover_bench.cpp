// How long the cover of a large graph takes: random graphs, three devices, claims of several nodes on two of them.
//   cover_bench [nodes]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "core/partition/cover.h"

namespace {

using namespace tenon;

Claim claim(std::uint32_t device, std::vector<NodeId> nodes, double ns) {
  Claim c;
  c.device = device, c.nodes = std::move(nodes), c.cost_ns = ns;
  return c;
}

}  // namespace

int main(int count, char** arguments) {
  const NodeId nodes = count > 1 ? static_cast<NodeId>(std::atoi(arguments[1])) : 50000;
  for (const NodeId reach : {NodeId{4}, NodeId{100}, nodes}) {  // how far back a node reads: long chains to shallow webs
    std::mt19937 r(7);
    const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(r() % n); };
    Graph g;
    g.inputs = {g.add_value("x")};
    for (NodeId n = 0; n < nodes; ++n) {
      Node node;
      node.op_type = "Op";
      for (std::uint32_t k = 1 + below(2); k > 0; --k) {
        const std::uint32_t made = static_cast<std::uint32_t>(g.values.size());
        node.inputs.push_back(made - 1 - below(std::min(made, reach)));
      }
      node.outputs = {g.add_value("v")};
      g.nodes.push_back(std::move(node));
    }
    g.index_producers();
    g.values.back().is_output = true;
    g.outputs = {static_cast<ValueId>(g.values.size() - 1)};
    std::vector<DeviceModel> devices(3);
    const char* domains[] = {"host", "a", "b"};
    for (std::size_t d = 0; d < 3; ++d) {
      devices[d].domain = domains[d];
      devices[d].launch_ns = d == 0 ? 100 : 5000;
      devices[d].to_host_latency_ns = devices[d].from_host_latency_ns = 5000;
    }
    std::vector<Claim> claims;
    for (NodeId n = 0; n < nodes; ++n)
      for (std::uint32_t d = 0; d < 3; ++d)
        if (d == 0 || below(4)) claims.push_back(claim(d, {n}, (d == 0 ? 20 : 4) * (1 + below(1000))));
    for (NodeId n = 0; n + 8 < nodes; n += 1 + below(6)) {
      std::vector<NodeId> several{n};
      for (NodeId m = n + 1; m < n + 6; ++m)
        if (below(2)) several.push_back(m);
      if (several.size() > 1) claims.push_back(claim(1 + below(2), several, 2 * (1 + below(1000))));
    }
    CoverInput in;
    in.graph = &g, in.devices = devices, in.claims = claims;
    in.allowed.assign(nodes, ~0ull), in.skip.assign(nodes, false), in.ends_segment.assign(nodes, false);
    in.value_bytes.assign(g.values.size(), 4096);
    const auto start = std::chrono::steady_clock::now();
    const Cover c = cover(in);
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    std::printf("%u nodes, %zu claims, reach %u: %.0f ms, %.2f us a node, %zu parts, %zu uncovered\n", nodes, claims.size(), reach, ms, 1000 * ms / nodes,
                c.parts.size(), c.uncovered.size());
  }
  return 0;
}
