#include "core/partition/parts.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace tenon {
namespace {

struct Parts {
  const CoverInput& in;
  const Graph& graph;
  const std::vector<std::vector<NodeId>>& readers;
  const std::vector<std::uint32_t>& chosen;

  Cover run() {
    Cover out;
    const std::size_t count = graph.nodes.size();
    out.node_claim = chosen;
    out.node_part.assign(count, none);
    out.node_segment.assign(count, 0);
    out.node_level.assign(count, 0);
    settle_levels(out);
    for (std::size_t round = 0; round < 4 * count + 64 && set_places_apart(out); ++round) settle_levels(out);
    // All nodes of one device, level and segment are one part: an edge between parts always raises the level, so parts are
    // convex and their order is acyclic, connected or not, and one crossing serves them all.
    std::map<std::array<std::uint32_t, 3>, std::uint32_t> index;
    for (NodeId n = 0; n < count; ++n)
      if (chosen[n] != none) index.emplace(part_of(out, n), 0);
    for (auto& [key, part] : index) {
      part = static_cast<std::uint32_t>(out.parts.size());
      CoverPart& p = out.parts.emplace_back();
      p.device = key[2], p.level = key[1], p.segment = key[0];
    }
    for (NodeId n = 0; n < count; ++n) {
      if (chosen[n] == none) {
        if (!in.skip[n]) out.uncovered.push_back(n);
        continue;
      }
      const std::uint32_t p = index[part_of(out, n)];
      out.node_part[n] = p;
      if (in.claims[chosen[n]].nodes.front() == n) {
        out.parts[p].claims.push_back(chosen[n]);
        out.parts[p].cost_ns += in.claims[chosen[n]].cost_ns;
      }
    }
    boundaries(out);
    for (const CoverPart& p : out.parts) out.cost_ns += p.cost_ns + in.devices[p.device].launch_ns;
    return out;
  }
  // Raises levels and segments until every edge is in order.
  void settle_levels(Cover& out) const {
    std::vector<std::uint32_t>& level = out.node_level;
    const std::size_t count = graph.nodes.size();
    std::vector<std::uint32_t> base(count, 0);  // the level at which the node's segment begins for it
    // The nodes of a unit share level and segment: repeat until nothing moves (units are few and convex).
    for (bool moved = true; moved;) {
      moved = false;
      for (NodeId n = 0; n < count; ++n) {
        std::uint32_t l = level[n], s = out.node_segment[n], b = base[n];
        for_each_producer(n, [&](NodeId p) {
          const bool ends = in.ends_segment[p];
          b = std::max(b, ends ? level[p] + 1 : base[p]);
          s = std::max(s, out.node_segment[p] + (ends ? 1u : 0u));
          // Shape arithmetic is done before the segment runs, so it orders nothing within it.
          if (graph.nodes[n].host_evaluated || graph.nodes[p].host_evaluated) return;
          const bool hop = ends || chosen[n] == none || label_of(p) != label_of(n) || changes_place(p, n);
          l = std::max(l, level[p] + (hop ? 1u : 0u));
        });
        l = std::max(l, b);
        base[n] = b;
        auto raise = [&](NodeId m) {
          if (level[m] < l) level[m] = l, moved |= m < n;
          if (out.node_segment[m] < s) out.node_segment[m] = s, moved |= m < n;
        };
        if (chosen[n] == none) raise(n);
        else for (NodeId m : in.claims[chosen[n]].nodes) raise(m);
      }
    }
  }
  // A part has one operand for a value: of two claims that read it in different memories one rises to the next level, and
  // what depends on it with it. True: one rose.
  bool set_places_apart(Cover& out) const {
    if (std::all_of(in.claims.begin(), in.claims.end(), [](const Claim& c) { return c.rules.empty(); })) return false;
    for (ValueId v = 0; v < graph.values.size(); ++v) {
      std::map<std::array<std::uint32_t, 3>, NodeId> first;  // by part
      for (NodeId n : readers[v]) {
        if (chosen[n] == none || graph.values[v].constant || in.devices[label_of(n)].on_host()) continue;
        const NodeId other = first.emplace(part_of(out, n), n).first->second;
        if (on_host(other, v) == on_host(n, v)) continue;
        const std::uint32_t rising = depends(out, chosen[other], chosen[n]) ? chosen[other] : chosen[n];
        for (NodeId m : in.claims[rising].nodes) ++out.node_level[m];
        return true;
      }
    }
    return false;
  }
  std::array<std::uint32_t, 3> part_of(const Cover& out, NodeId n) const { return {out.node_segment[n], out.node_level[n], label_of(n)}; }
  // Whether a claim reads, through others of its part, what the second one makes.
  bool depends(const Cover& out, std::uint32_t claim, std::uint32_t on) const {
    std::vector<std::uint32_t> open{claim};
    std::set<std::uint32_t> seen{claim};
    while (!open.empty()) {
      const std::uint32_t c = open.back();
      open.pop_back();
      if (c == on) return true;
      for (NodeId n : in.claims[c].nodes)
        for_each_producer(n, [&](NodeId p) {
          if (chosen[p] != none && part_of(out, p) == part_of(out, n) && seen.insert(chosen[p]).second) open.push_back(chosen[p]);
        });
    }
    return false;
  }
  // Whether the claim that holds n wants value v in host memory; of a device whose memory that is, all are.
  bool on_host(NodeId n, ValueId v) const {
    if (chosen[n] == none || in.devices[label_of(n)].on_host()) return true;
    const auto& rules = in.claims[chosen[n]].rules;
    return std::any_of(rules.begin(), rules.end(), [&](const OperandRule& r) { return r.value == v && r.place == TENON_PLACE_HOST; });
  }
  // Between claims of one device: a value is made in one memory and read in the other, so a copy stands between them.
  bool changes_place(NodeId producer, NodeId reader) const {
    if (chosen[producer] == chosen[reader] || in.claims[chosen[producer]].rules.empty() + in.claims[chosen[reader]].rules.empty() == 2) return false;
    const auto& inputs = graph.nodes[reader].inputs;
    return std::any_of(inputs.begin(), inputs.end(), [&](ValueId v) {
      return v != none && graph.values[v].producer == producer && on_host(producer, v) != on_host(reader, v);
    });
  }
  std::uint32_t label_of(NodeId n) const { return chosen[n] == none ? none : in.claims[chosen[n]].device; }
  template <class F>
  void for_each_producer(NodeId n, F f) const {
    for (ValueId v : graph.nodes[n].inputs)
      if (v != none && graph.values[v].producer != none) f(graph.values[v].producer);
    for (const GraphPtr& body : graph.nodes[n].subgraphs())
      for (const OuterValue& o : body->outer)
        if (graph.values[o.parent].producer != none) f(graph.values[o.parent].producer);
  }
  // Core answers it from the sizes that its plan knows; the elements stay where they are.
  bool sizes_alone(NodeId n) const {
    const Node& node = graph.nodes[n];
    return node.host_evaluated && (node.is("Shape") || node.is("Size"));
  }
  void boundaries(Cover& out) const {
    std::vector<std::uint32_t> seen(graph.values.size(), none);
    for (std::uint32_t p = 0; p < out.parts.size(); ++p)
      for (std::uint32_t c : out.parts[p].claims)
        for (NodeId n : in.claims[c].nodes) {
          for (ValueId v : graph.nodes[n].inputs) {
            if (v == none || graph.values[v].constant || seen[v] == p) continue;
            const NodeId producer = graph.values[v].producer;
            if (producer != none && out.node_part[producer] == p) continue;
            seen[v] = p;
            out.parts[p].inputs.push_back(v);
            out.parts[p].input_on_host.push_back(on_host(n, v));
          }
          for (ValueId v : graph.nodes[n].outputs) {
            if (v == none) continue;
            // Strings are never temps: their elements are reached through the host.
            bool leaves = graph.values[v].is_output || graph.values[v].type.dtype == TENON_DTYPE_STRING;
            for (NodeId r : readers[v]) leaves |= out.node_part[r] != p && !(sizes_alone(r) && out.node_segment[r] == out.node_segment[n]);
            if (!leaves) continue;
            out.parts[p].outputs.push_back(v);
            out.parts[p].output_on_host.push_back(on_host(n, v));
          }
        }
  }
};

}  // namespace

Cover make_parts(const CoverInput& input, const std::vector<std::vector<NodeId>>& readers, const std::vector<std::uint32_t>& chosen) {
  return Parts{input, *input.graph, readers, chosen}.run();
}

}  // namespace tenon
