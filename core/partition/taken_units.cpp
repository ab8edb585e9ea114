#include "core/partition/taken_units.h"

#include <algorithm>

namespace tenon {

TakenUnits::TakenUnits(const Graph& graph, const std::vector<std::vector<NodeId>>& readers, std::span<const Claim> claims)
    : graph_(graph), readers_(readers), claims_(claims), of_(graph.nodes.size(), none), reach_(graph.nodes.size()),
      seen_(graph.nodes.size(), 0) {
  for (NodeId n = 0; n < reach_.size(); ++n) reach_[n] = n;
}

void TakenUnits::take(std::uint32_t claim) {
  const auto [first, last] = ends(claim);
  for (NodeId n : claims_[claim].nodes) of_[n] = claim;
  for (NodeId n = first; n <= last; ++n) reach_[n] = std::max(reach_[n], last);
}

bool TakenUnits::fits(std::uint32_t claim) {
  // Beyond `last` a path comes back only through a unit that reaches over it, and there is none.
  NodeId last = ends(claim).second;
  while (reach_[last] > last) last = reach_[last];
  const std::uint32_t inside = ++mark_, outside = ++mark_;
  for (NodeId n : claims_[claim].nodes) seen_[n] = inside;
  std::vector<NodeId> from = claims_[claim].nodes;
  const auto visit = [&](NodeId n) {
    if (seen_[n] == outside) return;
    seen_[n] = outside;
    from.push_back(n);
  };
  while (!from.empty()) {
    const NodeId n = from.back();
    from.pop_back();
    const bool came_from_inside = seen_[n] == inside;
    for (ValueId v : graph_.nodes[n].outputs) {
      if (v == none) continue;
      for (NodeId r : readers_[v]) {
        if (seen_[r] == inside) {
          if (!came_from_inside) return false;
        } else if (r <= last) {
          visit(r);
          if (of_[r] != none)
            for (NodeId m : claims_[of_[r]].nodes) visit(m);
        }
      }
    }
  }
  return true;
}

std::pair<NodeId, NodeId> TakenUnits::ends(std::uint32_t claim) const {
  const auto [first, last] = std::minmax_element(claims_[claim].nodes.begin(), claims_[claim].nodes.end());
  return {*first, *last};
}

}  // namespace tenon
