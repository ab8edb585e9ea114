// The cover on random small graphs: every node once, parts in an order that can run. What it costs: gap_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/partition/problem.h"

namespace tenon {
namespace {

using namespace test;

// Claims of several nodes, on any device, that overlap, interleave and hold paths through other nodes.
TEST(Cover, ClaimsOfSeveralNodesAlwaysGiveAnOrder) {
  int taken = 0;
  for (unsigned seed = 0; seed < 5000; ++seed) {
    Random r(seed);
    Problem p;
    add_graph(p, r, 4 + below(r, 12));
    add_devices(p, r, 1 + below(r, 3));
    add_single_claims(p, r);
    add_claims_of_several(p, r, below(r, 8));
    for (std::uint64_t& a : p.input.allowed)
      if (below(r, 5) == 0) a = 1;
    p.finish();
    const Cover c = cover(p.input);
    expect_runs(p, c);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
    for (const CoverPart& part : c.parts)
      for (std::uint32_t c : part.claims) taken += p.claims[c].nodes.size() > 1;
  }
  EXPECT_GT(taken, 1000);
}

// Rules of claims that want operands in host memory: within a part everybody agrees where a value lives.
TEST(Cover, EveryOperandOfAPartHasOnePlace) {
  int on_host = 0;
  for (unsigned seed = 0; seed < 4000; ++seed) {
    Random r(seed);
    Problem p;
    add_graph(p, r, 3 + below(r, 12));
    add_devices(p, r, 1 + below(r, 3));
    if (below(r, 2)) p.devices[0].domain = "m0";
    add_single_claims(p, r);
    add_claims_of_several(p, r, below(r, 5));
    for (Claim& c : p.claims)
      for (ValueId v = 0; v < p.graph.values.size(); ++v)
        if (below(r, 5) == 0) c.rules.push_back({v, TENON_PLACE_HOST, TENON_ALIAS_NONE, none, -1});
    p.finish();
    const Cover c = cover(p.input);
    expect_runs(p, c);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
    const auto host = [&](const Claim& claim, ValueId v) {
      return p.devices[claim.device].on_host() ||
             std::any_of(claim.rules.begin(), claim.rules.end(), [&](const OperandRule& rule) { return rule.value == v; });
    };
    for (const CoverPart& part : c.parts) {
      ASSERT_EQ(part.inputs.size(), part.input_on_host.size());
      ASSERT_EQ(part.outputs.size(), part.output_on_host.size());
      for (std::uint32_t id : part.claims)
        for (NodeId n : p.claims[id].nodes)
          for (ValueId v : p.graph.nodes[n].inputs) {
            const auto operand = std::find(part.inputs.begin(), part.inputs.end(), v);
            if (operand != part.inputs.end()) {
              ASSERT_EQ(part.input_on_host[static_cast<std::size_t>(operand - part.inputs.begin())], host(p.claims[id], v)) << "seed " << seed;
              on_host += host(p.claims[id], v);
              continue;
            }
            const std::uint32_t maker = c.node_claim[p.graph.values[v].producer];
            ASSERT_TRUE(maker == id || host(p.claims[maker], v) == host(p.claims[id], v)) << "seed " << seed;
          }
    }
  }
  EXPECT_GT(on_host, 1000);
}

// a -> b and b' -> a': each unit is convex by itself, together neither can go first.
TEST(Cover, UnitsThatWaitForEachOtherAreNotBothTaken) {
  for (std::uint32_t second : {0u, 1u}) {  // units of one device, of two
    Problem p;
    Graph& g = p.graph;
    g.inputs = {g.add_value("x")};
    const std::vector<std::vector<ValueId>> reads = {{0}, {1}, {0}, {3}};
    for (const auto& inputs : reads) {
      Node node;
      node.op_type = "Op";
      node.inputs = inputs;
      node.outputs = {g.add_value("v")};
      g.nodes.push_back(std::move(node));
    }
    g.index_producers();
    for (ValueId v : {2u, 4u}) g.values[v].is_output = true, g.outputs.push_back(v);
    p.input.allowed.assign(4, ~0ull), p.input.skip.assign(4, false), p.input.ends_segment.assign(4, false);
    p.input.value_bytes.assign(g.values.size(), 1);
    p.devices.resize(2);
    p.devices[0].domain = p.devices[1].domain = "host";
    for (NodeId n = 0; n < 4; ++n)
      for (std::uint32_t d : {0u, 1u}) p.claims.push_back(claim(d, {n}, 100));
    p.claims.push_back(claim(0, {0, 3}, 10));
    p.claims.push_back(claim(second, {1, 2}, 20));
    p.finish();
    const Cover c = cover(p.input);
    expect_runs(p, c);
    EXPECT_EQ(c.node_claim[0], 8u);
    EXPECT_EQ(c.node_claim[3], 8u);
    EXPECT_NE(c.node_claim[1], 9u);
    EXPECT_NE(c.node_claim[2], 9u);
  }
}

// The second device would take b and c alone for less, but nobody else has a.
TEST(Cover, ANodeThatOnlyAUnitHoldsKeepsItsUnit) {
  Problem p;
  Graph& g = p.graph;
  g.inputs = {g.add_value("x")};
  for (int n = 0; n < 3; ++n) {
    Node node;
    node.op_type = "Op";
    node.inputs = {static_cast<ValueId>(n)};
    node.outputs = {g.add_value("v" + std::to_string(n))};
    g.nodes.push_back(std::move(node));
  }
  g.index_producers();
  g.values.back().is_output = true;
  g.outputs = {3};
  p.input.allowed.assign(3, ~0ull);
  p.input.skip.assign(3, false);
  p.input.ends_segment.assign(3, false);
  p.input.value_bytes.assign(4, 0);
  Random r(1);
  add_devices(p, r, 2);
  const auto claim = [&](std::uint32_t device, std::vector<NodeId> nodes, double ns) {
    Claim& c = p.claims.emplace_back();
    c.device = device, c.nodes = std::move(nodes), c.cost_ns = ns;
  };
  claim(0, {0, 1}, 1000);
  claim(1, {1}, 1);
  claim(1, {2}, 1);
  p.finish();
  const Cover c = cover(p.input);
  expect_runs(p, c);
  EXPECT_EQ(c.node_claim, (std::vector<std::uint32_t>{0, 0, 2}));
}

TEST(Cover, SaysWhatNobodyClaims) {
  Random r(1);
  Problem p;
  add_graph(p, r, 3);
  add_devices(p, r, 2);
  p.claims = {claim(0, {0}, 1), claim(1, {2}, 1)};
  p.input.allowed[2] = 1;
  p.finish();
  EXPECT_EQ(cover(p.input).uncovered, (std::vector<NodeId>{1, 2}));
}

}  // namespace
}  // namespace tenon
