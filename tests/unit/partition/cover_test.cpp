// The cover on random small graphs: every node once, parts in an order that can run, costs against all assignments.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/partition/cover.h"

namespace tenon {
namespace {

using Random = std::mt19937;

int below(Random& r, int n) { return static_cast<int>(r() % static_cast<unsigned>(n)); }
double cost(Random& r) { return 1 + below(r, 1000); }

Claim claim(std::uint32_t device, std::vector<NodeId> nodes, double cost_ns) {
  Claim c;
  c.device = device;
  c.nodes = std::move(nodes);
  c.cost_ns = cost_ns;
  return c;
}

// One output a node; inputs from earlier nodes or the graph.
struct Problem {
  Graph graph;
  std::vector<DeviceModel> devices;
  std::vector<Claim> claims;
  CoverInput input;

  void finish() {
    input.graph = &graph;
    input.devices = devices;
    input.claims = claims;
  }
};

void add_graph(Problem& p, Random& r, int nodes) {
  Graph& g = p.graph;
  g.inputs = {g.add_value("x"), g.add_value("z")};
  for (int n = 0; n < nodes; ++n) {
    Node node;
    node.op_type = "Op";
    for (int k = 1 + below(r, 2); k > 0; --k) node.inputs.push_back(static_cast<ValueId>(below(r, static_cast<int>(g.values.size()))));
    node.outputs = {g.add_value("v" + std::to_string(n))};
    g.nodes.push_back(std::move(node));
  }
  g.index_producers();
  for (Value& v : g.values)
    if (v.producer != none && below(r, 4) == 0) v.is_output = true;
  g.values.back().is_output = true;
  for (ValueId v = 0; v < g.values.size(); ++v)
    if (g.values[v].is_output) g.outputs.push_back(v);
  p.input.allowed.assign(g.nodes.size(), ~0ull);
  p.input.skip.assign(g.nodes.size(), false);
  p.input.ends_segment.assign(g.nodes.size(), false);
  for (std::size_t v = 0; v < g.values.size(); ++v) p.input.value_bytes.push_back(cost(r) * 4);
}

void add_devices(Problem& p, Random& r, int count) {
  for (int d = 0; d < count; ++d) {
    DeviceModel m;
    m.name = "d" + std::to_string(d);
    m.domain = d == 0 ? "host" : "m" + std::to_string(below(r, 3) == 0 ? 1 : d);
    m.to_host_latency_ns = below(r, 200);
    m.from_host_latency_ns = below(r, 200);
    p.devices.push_back(m);
  }
}

void add_single_claims(Problem& p, Random& r) {
  for (NodeId n = 0; n < p.graph.nodes.size(); ++n)
    for (std::uint32_t d = 0; d < p.devices.size(); ++d)
      if (d == 0 || below(r, 4) != 0) p.claims.push_back(claim(d, {n}, cost(r)));
}

// What an assignment of devices costs: its nodes, one copy of a value to every other memory that reads it, outputs to the host.
double cost_of(const Problem& p, const std::vector<std::uint32_t>& label) {
  static const DeviceModel host{.name = "host", .domain = "host"};
  double total = 0;
  for (NodeId n = 0; n < label.size(); ++n) {
    double best = infinite_cost;
    for (const Claim& c : p.claims)
      if (c.device == label[n] && c.nodes == std::vector<NodeId>{n}) best = std::min(best, c.cost_ns);
    total += best;
  }
  const auto readers = p.graph.readers();
  for (ValueId v = 0; v < p.graph.values.size(); ++v) {
    const NodeId made = p.graph.values[v].producer;
    const DeviceModel& home = made == none ? host : p.devices[label[made]];
    for (std::uint32_t d = 0; d < p.devices.size(); ++d)
      if (std::any_of(readers[v].begin(), readers[v].end(), [&](NodeId n) { return label[n] == d; }) && (made == none || label[made] != d))
        total += copy_cost(home, p.devices[d], p.input.value_bytes[v]);
    if (made != none && p.graph.values[v].is_output) total += copy_cost(home, host, p.input.value_bytes[v]);
  }
  return total;
}

double best_cost(const Problem& p) {
  std::vector<std::uint32_t> label(p.graph.nodes.size());
  double best = infinite_cost;
  for (;;) {
    best = std::min(best, cost_of(p, label));
    std::size_t n = 0;
    while (n < label.size() && ++label[n] == p.devices.size()) label[n++] = 0;
    if (n == label.size()) return best;
  }
}

std::vector<std::uint32_t> labels(const Problem& p, const Cover& c) {
  std::vector<std::uint32_t> label;
  for (std::uint32_t claim : c.node_claim) label.push_back(p.claims[claim].device);
  return label;
}

// Whatever was chosen: every node in one claim, that claim in one part, and no part before what it reads.
void expect_runs(const Problem& p, const Cover& c) {
  ASSERT_TRUE(c.uncovered.empty());
  std::vector<int> times(p.graph.nodes.size());
  std::vector<bool> ready(p.graph.values.size());
  for (ValueId v : p.graph.inputs) ready[v] = true;
  for (const CoverPart& part : c.parts) {
    for (ValueId v : part.inputs) ASSERT_TRUE(ready[v]) << "a part reads " << p.graph.values[v].name << " before it is made";
    for (std::uint32_t claim : part.claims) {
      ASSERT_EQ(p.claims[claim].device, part.device);
      for (NodeId n : p.claims[claim].nodes) {
        ++times[n];
        ASSERT_EQ(c.node_claim[n], claim);
        ASSERT_TRUE(p.input.allowed[n] >> part.device & 1);
        for (ValueId v : p.graph.nodes[n].outputs) ready[v] = true;
      }
    }
    for (ValueId v : part.outputs) ASSERT_TRUE(ready[v]);
  }
  for (int t : times) ASSERT_EQ(t, 1);
}

TEST(Cover, TwoDevicesAtLeastCost) {
  for (unsigned seed = 0; seed < 2000; ++seed) {
    Random r(seed);
    Problem p;
    add_graph(p, r, 1 + below(r, 9));
    add_devices(p, r, 2);
    add_single_claims(p, r);
    p.finish();
    const Cover c = cover(p.input);
    expect_runs(p, c);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
    ASSERT_NEAR(cost_of(p, labels(p, c)), best_cost(p), 1e-6) << "seed " << seed;
  }
}

TEST(Cover, ThreeDevicesComeClose) {
  double sum = 0, best_sum = 0;
  for (unsigned seed = 0; seed < 500; ++seed) {
    Random r(seed);
    Problem p;
    add_graph(p, r, 1 + below(r, 7));
    add_devices(p, r, 3);
    add_single_claims(p, r);
    p.finish();
    const Cover c = cover(p.input);
    expect_runs(p, c);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
    const double got = cost_of(p, labels(p, c)), best = best_cost(p);
    ASSERT_LE(got, best * 1.5 + 1e-6) << "seed " << seed;
    sum += got, best_sum += best;
  }
  EXPECT_LE(sum, best_sum * 1.005);
}

// Claims of several nodes, on any device, that overlap, interleave and hold paths through other nodes.
TEST(Cover, ClaimsOfSeveralNodesAlwaysGiveAnOrder) {
  int taken = 0;
  for (unsigned seed = 0; seed < 5000; ++seed) {
    Random r(seed);
    Problem p;
    add_graph(p, r, 4 + below(r, 12));
    add_devices(p, r, 1 + below(r, 3));
    add_single_claims(p, r);
    for (int k = below(r, 8); k > 0; --k) {
      Claim several = claim(static_cast<std::uint32_t>(below(r, static_cast<int>(p.devices.size()))), {}, 1);
      for (NodeId n = 0; n < p.graph.nodes.size(); ++n)
        if (below(r, 4) == 0) several.nodes.push_back(n);
      if (several.nodes.size() > 1) p.claims.push_back(several);
    }
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
    for (int k = below(r, 5); k > 0; --k) {
      Claim several = claim(static_cast<std::uint32_t>(below(r, static_cast<int>(p.devices.size()))), {}, 1);
      for (NodeId n = 0; n < p.graph.nodes.size(); ++n)
        if (below(r, 4) == 0) several.nodes.push_back(n);
      if (several.nodes.size() > 1) p.claims.push_back(several);
    }
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
