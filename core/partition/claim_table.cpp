#include "core/partition/claim_table.h"

#include <algorithm>

namespace tenon {

ClaimTable::ClaimTable(const CoverInput& input) : in(input), graph(*input.graph), readers(graph.readers()), holding(graph.nodes.size()) {
  const std::size_t count = graph.nodes.size();
  single.assign(devices(), std::vector<std::uint32_t>(count, none));
  recomputable_.assign(devices(), std::vector<bool>(count));
  std::vector<std::vector<bool>> fixed(devices(), std::vector<bool>(count));
  for (std::uint32_t c = 0; c < in.claims.size(); ++c) {
    const Claim& alone = in.claims[c];
    if (alone.nodes.size() != 1 || !eligible(alone)) continue;
    const NodeId n = alone.nodes[0];
    std::uint32_t& best = single[alone.device][n];
    if (best == none || alone.cost_ns < in.claims[best].cost_ns) best = c;
    if (!(alone.flags & TENON_CLAIM_RECOMPUTABLE)) fixed[alone.device][n] = true;
  }
  for (std::uint32_t d = 0; d < devices(); ++d)
    for (NodeId n = 0; n < count; ++n) recomputable_[d][n] = single[d][n] != none && !fixed[d][n];
  for (std::uint32_t c = 0; c < in.claims.size(); ++c) {
    if (in.claims[c].nodes.size() < 2 || !eligible(in.claims[c])) continue;
    for (NodeId n : in.claims[c].nodes) holding[n].push_back(c);
  }
}

bool ClaimTable::holds(std::uint32_t c, NodeId n) const {
  const std::vector<NodeId>& nodes = in.claims[c].nodes;
  return std::binary_search(nodes.begin(), nodes.end(), n);
}

bool ClaimTable::eligible(const Claim& claim) const {
  const bool sealed = (claim.flags & TENON_CLAIM_SEALED) != 0 && claim.nodes.size() > 1;
  return std::all_of(claim.nodes.begin(), claim.nodes.end(), [&](NodeId n) {
    if (in.skip[n] || !(in.allowed[n] >> claim.device & 1)) return false;
    if (!sealed || recomputable_[claim.device][n] || !needed_outside(claim, n)) return true;
    for (ValueId v : graph.nodes[n].outputs)
      if (v != none)
        for (NodeId r : readers[v])
          if (std::binary_search(claim.nodes.begin(), claim.nodes.end(), r)) return false;
    return true;
  });
}

bool ClaimTable::needed_outside(const Claim& claim, NodeId n) const {
  for (ValueId v : graph.nodes[n].outputs) {
    if (v == none) continue;
    if (graph.values[v].is_output) return true;
    for (NodeId r : readers[v])
      if (!std::binary_search(claim.nodes.begin(), claim.nodes.end(), r)) return true;
  }
  return false;
}

bool ClaimTable::sealed_in(std::uint32_t c, NodeId n) const {
  if (!(in.claims[c].flags & TENON_CLAIM_SEALED)) return false;
  for (ValueId v : graph.nodes[n].outputs)
    if (v != none && std::any_of(readers[v].begin(), readers[v].end(), [&](NodeId r) { return holds(c, r); })) return true;
  return false;
}

double ClaimTable::single_cost(std::uint32_t device, NodeId n) const {
  const std::uint32_t c = single[device][n];
  return c == none ? forbidden : in.claims[c].cost_ns;
}

std::uint32_t ClaimTable::cheapest_device(NodeId n) const {
  std::uint32_t best = none;
  for (std::uint32_t d = 0; d < devices(); ++d)
    if (single[d][n] != none && (best == none || single_cost(d, n) < single_cost(best, n))) best = d;
  return best;
}

double ClaimTable::cheapest(NodeId n) const {
  const std::uint32_t d = cheapest_device(n);
  return d == none ? forbidden : single_cost(d, n);
}

}  // namespace tenon
