// Random small problems for the cover, what a choice of claims costs, and what must hold of any cover.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/partition/cover.h"

namespace tenon::test {

using Random = std::mt19937;

inline int below(Random& r, int n) { return static_cast<int>(r() % static_cast<unsigned>(n)); }
inline double cost(Random& r) { return 1 + below(r, 1000); }

inline Claim claim(std::uint32_t device, std::vector<NodeId> nodes, double cost_ns) {
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

inline void add_graph(Problem& p, Random& r, int nodes) {
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

inline void add_devices(Problem& p, Random& r, int count) {
  for (int d = 0; d < count; ++d) {
    DeviceModel m;
    m.name = "d" + std::to_string(d);
    m.domain = d == 0 ? "host" : "m" + std::to_string(below(r, 3) == 0 ? 1 : d);
    m.to_host_latency_ns = below(r, 200);
    m.from_host_latency_ns = below(r, 200);
    for (const DeviceModel& other : p.devices)  // one memory, one way to it
      if (other.domain == m.domain) m.to_host_latency_ns = other.to_host_latency_ns, m.from_host_latency_ns = other.from_host_latency_ns;
    p.devices.push_back(m);
  }
}

inline void add_single_claims(Problem& p, Random& r) {
  for (NodeId n = 0; n < p.graph.nodes.size(); ++n)
    for (std::uint32_t d = 0; d < p.devices.size(); ++d)
      if (d == 0 || below(r, 4) != 0) p.claims.push_back(claim(d, {n}, cost(r)));
}

// Claims of several nodes on any device, that overlap, interleave and hold paths through other nodes.
inline void add_claims_of_several(Problem& p, Random& r, int count, int one_in = 4) {
  for (; count > 0; --count) {
    Claim several = claim(static_cast<std::uint32_t>(below(r, static_cast<int>(p.devices.size()))), {}, 1);
    for (NodeId n = 0; n < p.graph.nodes.size(); ++n)
      if (below(r, one_in) == 0) several.nodes.push_back(n);
    if (several.nodes.size() > 1) p.claims.push_back(several);
  }
}

inline const DeviceModel& host_model() {
  static const DeviceModel host{.name = "host", .domain = "host"};
  return host;
}

// Whether the claim holds the node.
inline bool holds(const Problem& p, std::uint32_t claim, NodeId n) {
  return std::binary_search(p.claims[claim].nodes.begin(), p.claims[claim].nodes.end(), n);
}

// What a choice costs: its claims, each once, and one copy of a value to each other memory in which a claim that does not make
// it reads it, or for the caller. owner: per node, the claim that makes its values for others; claims: all that are chosen.
inline double cost_of(const Problem& p, const std::vector<std::uint32_t>& owner, const std::vector<std::uint32_t>& claims) {
  static const DeviceModel host{.name = "host", .domain = "host"};
  double total = 0;
  std::vector<std::vector<const DeviceModel*>> needed(p.graph.values.size());
  const auto need = [&](ValueId v, const DeviceModel& d) {
    auto& list = needed[v];
    if (std::none_of(list.begin(), list.end(), [&](const DeviceModel* t) { return t->domain == d.domain; })) list.push_back(&d);
  };
  for (std::uint32_t c : claims) {
    total += p.claims[c].cost_ns;
    for (NodeId n : p.claims[c].nodes)
      for (ValueId v : p.graph.nodes[n].inputs)
        if (const NodeId made = p.graph.values[v].producer; made == none || !holds(p, c, made)) need(v, p.devices[p.claims[c].device]);
  }
  for (ValueId v = 0; v < p.graph.values.size(); ++v) {
    const NodeId made = p.graph.values[v].producer;
    const DeviceModel& home = made == none ? host : p.devices[p.claims[owner[made]].device];
    if (p.graph.values[v].is_output && made != none) need(v, host);
    for (const DeviceModel* to : needed[v]) total += copy_cost(home, *to, p.input.value_bytes[v]);
  }
  return total;
}

inline std::vector<std::uint32_t> claims_of(const Cover& c) {
  std::vector<std::uint32_t> all;
  for (const CoverPart& part : c.parts) all.insert(all.end(), part.claims.begin(), part.claims.end());
  return all;
}
inline double cost_of(const Problem& p, const Cover& c) { return cost_of(p, c.node_claim, claims_of(c)); }

// Whatever was chosen: every node made by one claim, that claim in one part, and no claim and no part before what it reads.
inline void expect_runs(const Problem& p, const Cover& c) {
  ASSERT_TRUE(c.uncovered.empty());
  std::vector<int> times(p.graph.nodes.size());
  std::vector<bool> ready(p.graph.values.size()), leaves(p.graph.values.size());
  for (ValueId v : p.graph.inputs) ready[v] = leaves[v] = true;
  for (const CoverPart& part : c.parts) {
    for (ValueId v : part.inputs) ASSERT_TRUE(leaves[v]) << "a part reads " << p.graph.values[v].name << ", which no part before it gives away";
    std::vector<bool> inside(p.graph.values.size());
    for (ValueId v : part.inputs) inside[v] = true;
    for (std::uint32_t claim : part.claims) {
      ASSERT_EQ(p.claims[claim].device, part.device);
      for (NodeId n : p.claims[claim].nodes) {
        ASSERT_TRUE(p.input.allowed[n] >> part.device & 1);
        ASSERT_NE(c.node_claim[n], none);
        times[n] += c.node_claim[n] == claim;
        for (ValueId v : p.graph.nodes[n].inputs) {
          const NodeId made = p.graph.values[v].producer;
          if (made != none && holds(p, claim, made)) continue;
          ASSERT_TRUE(inside[v]) << p.graph.values[v].name << " is neither an operand of the part nor made before in it";
        }
      }
      for (NodeId n : p.claims[claim].nodes)
        if (c.node_claim[n] == claim)
          for (ValueId v : p.graph.nodes[n].outputs) inside[v] = ready[v] = true;
    }
    for (ValueId v : part.outputs) {
      ASSERT_TRUE(ready[v]);
      leaves[v] = true;
    }
  }
  for (ValueId v : p.graph.outputs) ASSERT_TRUE(leaves[v]);
  for (int t : times) ASSERT_EQ(t, 1);
}

}  // namespace tenon::test
