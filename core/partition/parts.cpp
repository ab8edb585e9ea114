#include "core/partition/parts.h"

#include <algorithm>
#include <array>
#include <map>

#include "core/partition/groups.h"
#include "core/partition/merge.h"

namespace tenon {
namespace {

class Parts {
 public:
  Parts(const ClaimTable& table, const std::vector<std::uint32_t>& chosen) : table_(table), graph_(table.graph), chosen_(chosen), groups_(table, chosen) {}

  Cover run() {
    groups_.settle();
    if (merge_parts(table_, groups_)) groups_.settle();
    Cover out;
    out.node_claim = chosen_;
    const std::size_t count = graph_.nodes.size();
    out.node_part.assign(count, none);
    for (NodeId n = 0; n < count; ++n) {
      const Groups::Group& g = groups_.all[groups_.of[n]];
      out.node_segment.push_back(g.segment);
      out.node_level.push_back(g.level);
      if (chosen_[n] == none && !table_.in.skip[n]) out.uncovered.push_back(n);
    }
    // All groups of one device, level and segment are one part: an edge between parts always raises the level, so parts are
    // convex and their order is acyclic, connected or not, and one crossing serves them all.
    std::map<std::array<std::uint32_t, 3>, std::uint32_t> index;
    for (std::uint32_t g = 0; g < groups_.all.size(); ++g)
      if (groups_.all[g].claim != none) index.emplace(key(g), 0);
    for (auto& [key, part] : index) {
      part = static_cast<std::uint32_t>(out.parts.size());
      CoverPart& p = out.parts.emplace_back();
      p.device = key[2], p.level = key[1], p.segment = key[0];
    }
    const std::vector<std::uint32_t> rank = groups_.ranks();
    std::vector<std::uint32_t> in_order(rank.size());
    for (std::uint32_t g = 0; g < rank.size(); ++g) in_order[rank[g]] = g;
    part_of_.assign(groups_.all.size(), none);
    for (std::uint32_t g : in_order) {
      const Groups::Group& group = groups_.all[g];
      if (group.claim == none) continue;
      CoverPart& p = out.parts[part_of_[g] = index[key(g)]];
      p.claims.push_back(group.claim);
      p.cost_ns += table_.claim(group.claim).cost_ns;
    }
    for (NodeId n = 0; n < count; ++n) out.node_part[n] = part_of_[groups_.of[n]];
    boundaries(out);
    for (const CoverPart& p : out.parts) out.cost_ns += p.cost_ns + table_.in.devices[p.device].launch_ns;
    return out;
  }

 private:
  std::array<std::uint32_t, 3> key(std::uint32_t g) const { return {groups_.all[g].segment, groups_.all[g].level, groups_.all[g].device}; }

  void boundaries(Cover& out) const {
    std::vector<std::uint32_t> group_of_claim(table_.in.claims.size(), none);
    for (std::uint32_t g = 0; g < groups_.all.size(); ++g)
      if (groups_.all[g].claim != none) group_of_claim[groups_.all[g].claim] = g;
    std::vector<std::uint32_t> seen(graph_.values.size(), none);
    for (std::uint32_t p = 0; p < out.parts.size(); ++p)
      for (std::uint32_t c : out.parts[p].claims) {
        const std::uint32_t g = group_of_claim[c];
        for (NodeId n : groups_.all[g].nodes) {
          for (ValueId v : graph_.nodes[n].inputs) {
            if (v == none || graph_.values[v].constant || seen[v] == p || !groups_.reads(g, n, v)) continue;
            const NodeId producer = graph_.values[v].producer;
            if (producer != none && out.node_part[producer] == p) continue;
            seen[v] = p;
            out.parts[p].inputs.push_back(v);
            out.parts[p].input_on_host.push_back(groups_.on_host(g, v));
          }
          if (groups_.of[n] != g) continue;  // others have it from elsewhere
          for (ValueId v : graph_.nodes[n].outputs) {
            if (v == none || !leaves(n, v, p)) continue;
            out.parts[p].outputs.push_back(v);
            out.parts[p].output_on_host.push_back(groups_.on_host(g, v));
          }
        }
      }
  }
  bool leaves(NodeId n, ValueId v, std::uint32_t part) const {
    // Strings are never temps: their elements are reached through the host.
    bool out = graph_.values[v].is_output || graph_.values[v].type.dtype == TENON_DTYPE_STRING;
    for (NodeId r : table_.readers[v])
      groups_.for_each_holder(r, [&](std::uint32_t g) { out = out || (part_of_[g] != part && !groups_.holds(g, n) && !sizes_alone(g, r, n)); });
    return out;
  }
  // Core answers the reader from the sizes that its plan knows; the elements stay where they are.
  bool sizes_alone(std::uint32_t group, NodeId reader, NodeId producer) const {
    const Node& node = graph_.nodes[reader];
    return node.host_evaluated && (node.is("Shape") || node.is("Size")) && groups_.all[group].segment == groups_.all[groups_.of[producer]].segment;
  }

  const ClaimTable& table_;
  const Graph& graph_;
  const std::vector<std::uint32_t>& chosen_;
  Groups groups_;
  std::vector<std::uint32_t> part_of_;  // per group
};

}  // namespace

Cover make_parts(const ClaimTable& table, const std::vector<std::uint32_t>& chosen) { return Parts(table, chosen).run(); }

}  // namespace tenon
