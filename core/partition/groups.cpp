#include "core/partition/groups.h"

#include <algorithm>
#include <array>
#include <functional>
#include <queue>
#include <unordered_map>

namespace tenon {

Groups::Groups(const ClaimTable& table, const std::vector<std::uint32_t>& chosen) : of(chosen.size(), none), table_(table) {
  const Graph& graph = table.graph;
  std::vector<std::uint32_t> group_of_claim(table.in.claims.size(), none);
  for (NodeId n = 0; n < chosen.size(); ++n) {
    const std::uint32_t c = chosen[n];
    if (c != none && group_of_claim[c] != none) {
      of[n] = group_of_claim[c];
      continue;
    }
    of[n] = static_cast<std::uint32_t>(all.size());
    Group& g = all.emplace_back();
    g.bundle = of[n];
    g.claim = c;
    if (c == none) {
      g.nodes = {n};
      continue;
    }
    group_of_claim[c] = of[n];
    g.device = table.claim(c).device;
    g.nodes = table.claim(c).nodes;
  }
  for (std::uint32_t g = 0; g < all.size(); ++g)
    for (NodeId n : all[g].nodes)
      if (of[n] != g) {
        copies.resize(graph.nodes.size());
        copies[n].push_back(g);
      }
  for (std::uint32_t g = 0; g < all.size(); ++g) {
    first_edge_.push_back(static_cast<std::uint32_t>(edges.size()));
    for (NodeId n : all[g].nodes) {
      const auto reads_value = [&](ValueId v) {
        const NodeId p = v == none ? none : graph.values[v].producer;
        if (p == none || holds(g, p)) return;
        const bool shape = graph.nodes[n].host_evaluated || graph.nodes[p].host_evaluated;
        const std::uint32_t from = of[p];
        const bool place = all[g].claim != none && all[from].claim != none && on_host(from, v) != on_host(g, v);
        edges.push_back({from, g, table.in.ends_segment[p], shape, place});
      };
      for (ValueId v : graph.nodes[n].inputs) reads_value(v);
      for (const GraphPtr& body : graph.nodes[n].subgraphs())
        for (const OuterValue& o : body->outer) reads_value(o.parent);
    }
  }
  first_edge_.push_back(static_cast<std::uint32_t>(edges.size()));
  for (const Group& g : all) {
    if (g.claim == none || table.in.devices[g.device].on_host()) continue;
    for (const OperandRule& r : table.claim(g.claim).rules) {
      if (r.place != TENON_PLACE_HOST) continue;
      placed_.resize(graph.values.size());
      placed_[r.value] = true;
    }
  }
}

bool Groups::holds(std::uint32_t group, NodeId n) const { return std::binary_search(all[group].nodes.begin(), all[group].nodes.end(), n); }

bool Groups::reads(std::uint32_t group, NodeId reader, ValueId v) const {
  const NodeId p = table_.graph.values[v].producer;
  return holds(group, reader) && (p == none || !holds(group, p));
}

bool Groups::on_host(std::uint32_t group, ValueId v) const {
  const Group& g = all[group];
  if (g.claim == none || table_.in.devices[g.device].on_host()) return true;
  const auto& rules = table_.claim(g.claim).rules;
  return std::any_of(rules.begin(), rules.end(), [&](const OperandRule& r) { return r.value == v && r.place == TENON_PLACE_HOST; });
}

// Bundles in topological order, the one with the lowest group first among those that can go. Shape arithmetic may lead from a
// bundle back into it.
std::vector<std::uint32_t> Groups::sorted(const std::vector<std::uint32_t>& bundle_of, bool with_shapes) const {
  std::vector<std::vector<std::uint32_t>> members(all.size()), next(all.size());
  std::vector<std::uint32_t> waits(all.size(), 0);
  for (std::uint32_t g = 0; g < all.size(); ++g) members[bundle_of[g]].push_back(g);
  for (const Edge& e : edges) {
    const std::uint32_t from = bundle_of[e.from], to = bundle_of[e.to];
    if (from != to && (with_shapes || !e.shape)) next[from].push_back(to), ++waits[to];
  }
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> ready;
  for (std::uint32_t b = 0; b < all.size(); ++b)
    if (!members[b].empty() && waits[b] == 0) ready.push(b);
  std::vector<std::uint32_t> order;
  while (!ready.empty()) {
    const std::uint32_t b = ready.top();
    ready.pop();
    order.insert(order.end(), members[b].begin(), members[b].end());
    for (std::uint32_t to : next[b])
      if (--waits[to] == 0) ready.push(to);
  }
  return order;
}

std::vector<std::uint32_t> Groups::ranks() const {
  std::vector<std::uint32_t> alone(all.size()), rank(all.size());
  for (std::uint32_t g = 0; g < all.size(); ++g) alone[g] = g;
  const std::vector<std::uint32_t> order = sorted(alone, true);
  for (std::uint32_t i = 0; i < order.size(); ++i) rank[order[i]] = i;
  return rank;
}

// The ways in which a group needs its operands, where another group of its part may need them differently: f(value, way).
template <class F>
void Groups::for_each_way(std::uint32_t group, F f) const {
  const Group& g = all[group];
  if (g.claim == none || (placed_.empty() && copies.empty())) return;
  const bool on_host_anyway = table_.in.devices[g.device].on_host();
  for (NodeId n : g.nodes) {
    const auto read = [&](ValueId v) {
      if (v == none || table_.graph.values[v].constant) return;
      if (!on_host_anyway && !placed_.empty() && placed_[v]) f(v, on_host(group, v) ? in_host : on_device);
      const NodeId p = table_.graph.values[v].producer;
      if (p == none || copies.empty() || copies[p].empty() || holds(group, p)) return;
      const Group& maker = all[of[p]];
      if (maker.device != g.device || maker.level != g.level || maker.segment != g.segment) f(v, from_outside);
    };
    for (ValueId v : table_.graph.nodes[n].inputs) read(v);
    for (const GraphPtr& body : table_.graph.nodes[n].subgraphs())
      for (const OuterValue& o : body->outer) read(o.parent);
    if (!copies.empty() && of[n] != group)
      for (ValueId v : table_.graph.nodes[n].outputs)
        if (v != none) f(v, made_inside);
  }
}

// What the parts that are made so far need of values.
class Groups::Operands {
 public:
  // Whether a part that has the value in this way can be the one that the group falls into.
  bool fits(const Group& g, ValueId v, Way way) const {
    const auto at = ways_.find(key(g, v));
    return at == ways_.end() || (at->second & against(way)) == 0;
  }
  void add(const Group& g, ValueId v, Way way) { ways_[key(g, v)] |= way; }

 private:
  static std::uint8_t against(Way way) {
    switch (way) {
      case on_device: return in_host;
      case in_host: return on_device;
      case made_inside: return from_outside;
      default: return made_inside;
    }
  }
  struct Key {
    std::uint32_t value, device, level, segment;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& k) const {
      return static_cast<std::size_t>((std::uint64_t{k.value} << 32 | k.level) * 0x9e3779b97f4a7c15u ^ (std::uint64_t{k.segment} << 8 | k.device) * 0xff51afd7ed558ccdu);
    }
  };
  static Key key(const Group& g, ValueId v) { return {v, g.device, g.level, g.segment}; }
  std::unordered_map<Key, std::uint8_t, Hash> ways_;
};

void Groups::settle() {
  std::vector<std::uint32_t> bundle_of;
  for (const Group& g : all) bundle_of.push_back(g.bundle);
  const bool bundled = std::any_of(all.begin(), all.end(), [&](const Group& g) { return &g - all.data() != g.bundle; });
  const std::vector<std::uint32_t> order = sorted(bundle_of, !bundled);
  for (Group& g : all) g.level = g.segment = g.base = 0;
  // Once, but where what shape arithmetic passes on comes later in the order: it may raise segments only.
  for (bool moved = true; moved;) {
    moved = false;
    table_.count(edges.size());
    Operands operands;
    for (std::size_t i = 0; i < order.size();) {
      const std::uint32_t bundle = all[order[i]].bundle;
      const std::array before{all[order[i]].level, all[order[i]].segment, all[order[i]].base};
      std::uint32_t level = before[0], segment = 0, base = 0;
      std::size_t end = i;
      for (; end < order.size() && all[order[end]].bundle == bundle; ++end) {
        const Group& g = all[order[end]];
        for (std::uint32_t e = first_edge_[order[end]]; e < first_edge_[order[end] + 1]; ++e) {
          const Group& from = all[edges[e].from];
          if (from.bundle == bundle) continue;
          base = std::max(base, edges[e].ends ? from.level + 1 : from.base);
          segment = std::max(segment, from.segment + (edges[e].ends ? 1u : 0u));
          if (edges[e].shape) continue;
          const bool hop = edges[e].ends || edges[e].place || g.claim == none || from.device != g.device;
          level = std::max(level, from.level + (hop ? 1u : 0u));
        }
      }
      level = std::max(level, base);
      // To the first level whose part has every operand as this bundle needs it.
      for (bool fits = false; !fits; ++level) {
        for (std::size_t m = i; m < end; ++m) {
          Group& g = all[order[m]];
          g.level = level, g.segment = segment, g.base = base;
        }
        fits = true;
        for (std::size_t m = i; m < end && fits; ++m)
          for_each_way(order[m], [&](ValueId v, Way way) { fits = fits && operands.fits(all[order[m]], v, way); });
      }
      moved |= bundled && before != std::array{all[order[i]].level, all[order[i]].segment, all[order[i]].base};
      for (; i < end; ++i) for_each_way(order[i], [&](ValueId v, Way way) { operands.add(all[order[i]], v, way); });
    }
  }
}

}  // namespace tenon
