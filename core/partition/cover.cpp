#include "core/partition/cover.h"

#include <algorithm>

#include "core/partition/min_cut.h"
#include "core/partition/parts.h"
#include "core/partition/taken_units.h"

namespace tenon {
namespace {

constexpr double forbidden = 1e15;  // ns; stands for infinity inside the cut

struct Covering {
  const CoverInput& in;
  const Graph& graph;
  std::vector<std::vector<NodeId>> readers;
  std::vector<std::vector<std::uint32_t>> single;  // [device][node] -> cheapest single claim, none
  std::vector<std::uint32_t> label;                // per node: device, none
  std::vector<std::uint32_t> chosen;               // per node: claim

  explicit Covering(const CoverInput& input) : in(input), graph(*input.graph), readers(graph.readers()) {
    single.assign(in.devices.size(), std::vector<std::uint32_t>(graph.nodes.size(), none));
    for (std::uint32_t c = 0; c < in.claims.size(); ++c) {
      const Claim& claim = in.claims[c];
      if (claim.nodes.size() != 1 || !permitted(claim)) continue;
      std::uint32_t& best = single[claim.device][claim.nodes[0]];
      if (best == none || claim.cost_ns < in.claims[best].cost_ns) best = c;
    }
  }

  bool permitted(const Claim& claim) const {
    return std::all_of(claim.nodes.begin(), claim.nodes.end(),
                       [&](NodeId n) { return !in.skip[n] && (in.allowed[n] >> claim.device & 1); });
  }
  double single_cost(std::uint32_t device, NodeId n) const {
    const std::uint32_t c = single[device][n];
    return c == none ? forbidden : in.claims[c].cost_ns;
  }

  // ---- step 1: units, multi-node claims that save something and close no cycle ------------------------------------
  std::vector<std::vector<std::uint32_t>> units;  // [device][node] -> accepted multi-node claim, none

  void find_units() {
    units.assign(in.devices.size(), std::vector<std::uint32_t>(graph.nodes.size(), none));
    for (std::uint32_t d = 0; d < in.devices.size(); ++d) {
      std::vector<std::pair<double, std::uint32_t>> order;
      for (std::uint32_t c = 0; c < in.claims.size(); ++c) {
        const Claim& claim = in.claims[c];
        if (claim.device != d || claim.nodes.size() < 2 || !permitted(claim)) continue;
        double alone = 0;
        for (NodeId n : claim.nodes) alone += single_cost(d, n) < forbidden ? single_cost(d, n) : cheapest(n);
        if (alone - claim.cost_ns > 0) order.emplace_back(claim.cost_ns - alone, c);
      }
      std::stable_sort(order.begin(), order.end(), [](auto& a, auto& b) { return a.first < b.first; });
      TakenUnits taken(graph, readers, in.claims);
      for (auto& [saving, c] : order) {
        const Claim& claim = in.claims[c];
        const bool is_free = std::all_of(claim.nodes.begin(), claim.nodes.end(), [&](NodeId n) { return taken.of(n) == none; });
        if (!is_free || !taken.fits(c)) continue;
        taken.take(c);
        for (NodeId n : claim.nodes) units[d][n] = c;
      }
    }
  }
  double cheapest(NodeId n) const {
    double best = forbidden;
    for (std::uint32_t d = 0; d < in.devices.size(); ++d) best = std::min(best, single_cost(d, n));
    return best;
  }
  // ---- step 2: labels by minimum cut; pairs of devices in turn when there are more than two --------------------------
  void find_labels() {
    label.assign(graph.nodes.size(), none);
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      if (in.skip[n]) continue;
      double best = forbidden;
      for (std::uint32_t d = 0; d < in.devices.size(); ++d) {
        const double cost = node_cost(d, n);
        if (cost < best) best = cost, label[n] = d;
      }
    }
    const std::uint32_t devices = static_cast<std::uint32_t>(in.devices.size());
    if (devices < 2) return;
    for (int sweep = 0; sweep < (devices == 2 ? 1 : 3); ++sweep)
      for (std::uint32_t a = 0; a < devices; ++a)
        for (std::uint32_t b = a + 1; b < devices; ++b) swap(a, b);
  }
  // A node inside a unit costs its share of it.
  double node_cost(std::uint32_t d, NodeId n) const {
    if (const std::uint32_t u = units[d][n]; u != none)
      return in.claims[u].cost_ns / static_cast<double>(in.claims[u].nodes.size());
    return single_cost(d, n);
  }
  double copy(std::uint32_t from, std::uint32_t to, ValueId v) const {
    return copy_cost(in.devices[from], in.devices[to], in.value_bytes[v]);
  }
  double host_copy(std::uint32_t d, ValueId v, bool to_host) const {
    static const DeviceModel host{.name = "host", .domain = "host"};
    return to_host ? copy_cost(in.devices[d], host, in.value_bytes[v]) : copy_cost(host, in.devices[d], in.value_bytes[v]);
  }

  // Relabels the nodes that carry a or b at least cost; all other labels stand.
  void swap(std::uint32_t a, std::uint32_t b) {
    MinCut cut(2);
    std::vector<std::uint32_t> vertex(graph.nodes.size(), none);
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      if (label[n] != a && label[n] != b) continue;
      vertex[n] = cut.add_node();  // source side: a
      cut.add_edge(0, vertex[n], node_cost(b, n) + launch_share(b));
      cut.add_edge(vertex[n], 1, node_cost(a, n) + launch_share(a));
    }
    for (ValueId v = 0; v < graph.values.size(); ++v) {
      if (graph.values[v].constant) continue;
      const NodeId p = graph.values[v].producer;
      const std::uint32_t pv = p == none ? none : vertex[p];
      std::vector<std::uint32_t> moving;
      bool host_reader = graph.values[v].is_output;
      for (NodeId r : readers[v]) {
        if (vertex[r] != none) moving.push_back(vertex[r]);
        else if (in.skip[r] || label[r] != none) host_reader |= in.skip[r];
      }
      if (pv == none && moving.empty()) continue;
      if (pv == none) {  // made on the host or by a third device: a copy to whichever side reads it
        const bool from_host = p == none || label[p] == none;
        add_reader_cost(cut, moving, from_host ? host_copy(a, v, false) : copy(label[p], a, v),
                        from_host ? host_copy(b, v, false) : copy(label[p], b, v));
        continue;
      }
      if (host_reader) {
        cut.add_edge(0, pv, host_copy(b, v, true));
        cut.add_edge(pv, 1, host_copy(a, v, true));
      }
      if (moving.empty()) continue;
      if (const double c = copy(a, b, v); c > 0) {  // producer on a, some reader on b: one copy
        const std::uint32_t x = cut.add_node();
        cut.add_edge(pv, x, c);
        for (std::uint32_t r : moving) cut.add_edge(x, r, forbidden);
      }
      if (const double c = copy(b, a, v); c > 0) {
        const std::uint32_t y = cut.add_node();
        cut.add_edge(y, pv, c);
        for (std::uint32_t r : moving) cut.add_edge(r, y, forbidden);
      }
    }
    const std::vector<bool> sink = cut.solve();
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      if (vertex[n] == none) continue;
      const std::uint32_t d = sink[vertex[n]] ? b : a;
      if (node_cost(d, n) < forbidden) label[n] = d;
    }
  }
  static void add_reader_cost(MinCut& cut, const std::vector<std::uint32_t>& moving, double on_a, double on_b) {
    if (on_a > 0) {  // some reader on a (source side)
      const std::uint32_t y = cut.add_node();
      cut.add_edge(y, 1, on_a);
      for (std::uint32_t r : moving) cut.add_edge(r, y, forbidden);
    }
    if (on_b > 0) {
      const std::uint32_t x = cut.add_node();
      cut.add_edge(0, x, on_b);
      for (std::uint32_t r : moving) cut.add_edge(x, r, forbidden);
    }
  }
  // Parts are not known yet; a launch is charged as if a part had eight nodes.
  double launch_share(std::uint32_t d) const { return in.devices[d].launch_ns / 8; }

  // Nodes that nobody claims alone go first: whatever the labels say, they need their unit.
  void choose_needed(TakenUnits& taken) {
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      if (in.skip[n] || chosen[n] != none || cheapest(n) < forbidden) continue;
      std::uint32_t best = none;
      for (std::uint32_t c = 0; c < in.claims.size(); ++c) {
        const Claim& claim = in.claims[c];
        if (claim.nodes.size() < 2 || !std::binary_search(claim.nodes.begin(), claim.nodes.end(), n) || !permitted(claim)) continue;
        const bool is_free = std::all_of(claim.nodes.begin(), claim.nodes.end(), [&](NodeId m) { return chosen[m] == none; });
        if (is_free && (best == none || claim.cost_ns < in.claims[best].cost_ns) && taken.fits(c)) best = c;
      }
      if (best == none) continue;
      taken.take(best);
      for (NodeId m : in.claims[best].nodes) chosen[m] = best, label[m] = in.claims[best].device;
    }
  }

  void choose() {
    chosen.assign(graph.nodes.size(), none);
    TakenUnits taken(graph, readers, in.claims);  // of all devices: units of two can close a cycle that neither has alone
    choose_needed(taken);
    for (NodeId n = 0; n < graph.nodes.size(); ++n) {
      if (label[n] == none || chosen[n] != none) continue;
      const std::uint32_t d = label[n], u = units[d][n];
      const bool whole = u != none && std::all_of(in.claims[u].nodes.begin(), in.claims[u].nodes.end(),
                                                  [&](NodeId m) { return label[m] == d && chosen[m] == none; });
      if (whole && taken.fits(u)) {
        taken.take(u);
        for (NodeId m : in.claims[u].nodes) chosen[m] = u;
      } else if (single[d][n] != none) {
        chosen[n] = single[d][n];
      } else {
        for (std::uint32_t o = 0; o < in.devices.size() && chosen[n] == none; ++o)
          if (single[o][n] != none) chosen[n] = single[o][n], label[n] = o;
      }
    }
  }
};

}  // namespace

double copy_cost(const DeviceModel& from, const DeviceModel& to, double bytes) {
  if (from.domain == to.domain) return 0;
  double cost = 0;
  if (!from.on_host()) cost += from.to_host_latency_ns + bytes / from.to_host_bytes_per_ns;
  if (!to.on_host()) cost += to.from_host_latency_ns + bytes / to.from_host_bytes_per_ns;
  return cost;
}

Cover cover(const CoverInput& input) {
  Covering work(input);
  work.find_units();
  work.find_labels();
  work.choose();
  return make_parts(input, work.readers, work.chosen);
}

}  // namespace tenon
