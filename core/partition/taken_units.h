// TakenUnits: claims of several nodes that were taken together, and whether one more still leaves an order in which all run.
//
// Each unit may be convex by itself and two still wait for each other: a -> b of one, b' -> a' of the other.
// Owned by one cover; threads: no state outside the object.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/partition/claim.h"

namespace tenon {

class TakenUnits {
 public:
  // All three must outlive the object; the graph's nodes are in topological order.
  TakenUnits(const Graph& graph, const std::vector<std::vector<NodeId>>& readers, std::span<const Claim> claims);
  // The unit of a node, an index into the claims, or none.
  std::uint32_t of(NodeId n) const { return of_[n]; }
  void take(std::uint32_t claim);
  // No path leaves the claim's nodes and comes back, where a unit is entered at any of its nodes and left from any.
  bool fits(std::uint32_t claim);

 private:
  std::pair<NodeId, NodeId> ends(std::uint32_t claim) const;

  const Graph& graph_;
  const std::vector<std::vector<NodeId>>& readers_;
  std::span<const Claim> claims_;
  std::vector<std::uint32_t> of_;
  std::vector<NodeId> reach_;        // per node: the last node of all units that span it, itself at least
  std::vector<std::uint32_t> seen_;  // per node: mark of the last visit
  std::uint32_t mark_ = 0;
};

}  // namespace tenon
