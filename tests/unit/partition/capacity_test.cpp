// What does not fit a memory moves, the cheapest per byte first, and says so.
#include <gtest/gtest.h>

#include "tests/unit/partition/problem.h"

namespace tenon {
namespace {

using namespace test;

// A chain of nodes that the second device, with a memory of its own, runs for 10 ns each and the host for more.
struct Chain : Problem {
  explicit Chain(const std::vector<double>& host_cost, std::uint64_t weights, std::uint64_t limit) {
    graph.inputs = {graph.add_value("x")};
    for (std::size_t n = 0; n < host_cost.size(); ++n) {
      Node node;
      node.op_type = "Op";
      node.inputs = {static_cast<ValueId>(n)};
      node.outputs = {graph.add_value("v" + std::to_string(n))};
      graph.nodes.push_back(std::move(node));
    }
    graph.index_producers();
    graph.values.back().is_output = true;
    graph.outputs = {static_cast<ValueId>(host_cost.size())};
    input.allowed.assign(host_cost.size(), ~0ull);
    input.skip.assign(host_cost.size(), false);
    input.ends_segment.assign(host_cost.size(), false);
    input.value_bytes.assign(graph.values.size(), 0);
    devices.resize(2);
    devices[0].domain = "host";
    devices[1].domain = "acme:0";
    devices[1].memory_limit = limit;
    for (NodeId n = 0; n < host_cost.size(); ++n) {
      claims.push_back(claim(0, {n}, host_cost[n]));
      claims.push_back(claim(1, {n}, 10));
      claims.back().weight_bytes = weights;
    }
    finish();
  }
  std::vector<std::uint32_t> devices_of(const Cover& c) const {
    std::vector<std::uint32_t> out;
    for (std::uint32_t claim : c.node_claim) out.push_back(claims[claim].device);
    return out;
  }
};

TEST(Capacity, AllFitsAndNothingMoves) {
  Chain p({100, 100, 100}, 1000, 3000);
  const Cover c = cover(p.input);
  EXPECT_EQ(p.devices_of(c), (std::vector<std::uint32_t>{1, 1, 1}));
  EXPECT_TRUE(c.displaced.empty() && c.shortage.empty());
}

TEST(Capacity, TheCheapestPerByteMovesFirst) {
  Chain p({500, 60, 400, 90}, 1000, 2000);
  const Cover c = cover(p.input);
  expect_runs(p, c);
  EXPECT_EQ(p.devices_of(c), (std::vector<std::uint32_t>{1, 0, 1, 0}));
  ASSERT_EQ(c.displaced.size(), 2u);
  EXPECT_EQ(c.displaced[0].node, 1u);
  EXPECT_EQ(c.displaced[1].node, 3u);
  EXPECT_EQ(c.displaced[0].device, 1u);
}

TEST(Capacity, TheLargestWorkspaceCountsOnce) {
  Chain p({100, 100, 100}, 0, 1000);
  for (Claim& c : p.claims)
    if (c.device == 1) c.workspace_bytes = 1000;
  EXPECT_TRUE(cover(p.input).displaced.empty());
  p.claims[3].workspace_bytes = 1001;
  const Cover c = cover(p.input);
  EXPECT_EQ(p.devices_of(c), (std::vector<std::uint32_t>{1, 0, 1}));
}

TEST(Capacity, DevicesOfOneMemoryShareItsLimit) {
  Chain p({100, 100}, 1000, 1500);
  DeviceModel twin = p.devices[1];
  p.devices.push_back(twin);
  p.claims[3].device = 2;  // the second node is the twin's
  p.finish();
  const Cover c = cover(p.input);
  EXPECT_EQ(c.displaced.size(), 1u);
}

TEST(Capacity, WhereNothingCanMoveItSaysWhatIsMissing) {
  Chain p({100, 100}, 1000, 1500);
  p.input.allowed = {2, 2};  // only the small device
  const Cover c = cover(p.input);
  EXPECT_NE(c.shortage.find("acme:0"), std::string::npos);
  EXPECT_NE(c.shortage.find("1500"), std::string::npos);
  EXPECT_NE(c.shortage.find("2000"), std::string::npos);
}

// Random problems: afterwards every memory holds what was chosen, or the cover says that it does not.
TEST(Capacity, HoldsWhateverTheProblem) {
  int moved = 0, short_of = 0;
  for (unsigned seed = 0; seed < 3000; ++seed) {
    Random r(seed);
    Problem p;
    add_graph(p, r, 3 + below(r, 15));
    add_devices(p, r, 3);
    add_single_claims(p, r);
    add_claims_of_several(p, r, below(r, 5));
    for (Claim& c : p.claims) c.weight_bytes = static_cast<std::uint64_t>(below(r, 100)), c.workspace_bytes = static_cast<std::uint64_t>(below(r, 50));
    const std::uint64_t limit = 60 + static_cast<std::uint64_t>(below(r, 300));
    for (DeviceModel& d : p.devices)
      if (!d.on_host()) d.memory_limit = limit;
    p.finish();
    const Cover c = cover(p.input);
    expect_runs(p, c);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
    moved += !c.displaced.empty();
    short_of += !c.shortage.empty();
    if (!c.shortage.empty()) continue;
    for (const DeviceModel& memory : p.devices) {
      std::uint64_t weights = 0, workspace = 0;
      for (std::uint32_t id : claims_of(c))
        if (p.devices[p.claims[id].device].domain == memory.domain)
          weights += p.claims[id].weight_bytes, workspace = std::max(workspace, p.claims[id].workspace_bytes);
      ASSERT_TRUE(memory.on_host() || weights + workspace <= limit) << "seed " << seed;
    }
  }
  EXPECT_GT(moved, 500);
  EXPECT_LT(short_of, moved);
}

}  // namespace
}  // namespace tenon
