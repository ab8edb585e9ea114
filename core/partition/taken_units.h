// TakenUnits: claims of several nodes that were taken together, and whether one more still leaves an order in which all run.
//
// Each unit may be convex by itself and two still wait for each other: a -> b of one, b' -> a' of the other. A node that may be
// computed again can lie in several units; what is outside reads it from one of them (its owner) or from a claim of its own.
// Owned by one cover; threads: no state outside the object.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/partition/claim_table.h"

namespace tenon {

class TakenUnits {
 public:
  // The table must outlive the object; the graph's nodes are in topological order.
  explicit TakenUnits(const ClaimTable& table);
  // The unit that makes the node's values for others, an index into the claims, or none.
  std::uint32_t of(NodeId n) const { return of_[n]; }
  // Every node of it is in no unit yet, or may be computed again on the claim's device.
  bool is_free(std::uint32_t claim) const;
  // No path leaves the claim's nodes and comes back, where a unit is entered at any of its nodes and left from those it owns.
  bool fits(std::uint32_t claim);
  // REQUIRES is_free and fits. It owns its nodes but those that may be computed again.
  void take(std::uint32_t claim);
  void drop(std::uint32_t claim);
  // Lets a unit make the values of a node that it holds; false, and nothing is done, where something it waits for reads them.
  bool own(std::uint32_t claim, NodeId n);
  // Whether any unit holds the node.
  bool held(NodeId n) const { return of_[n] != none || copies_.contains(n); }
  const std::vector<std::uint32_t>& copies(NodeId n) const;

 private:
  bool comes_back(std::uint32_t claim, const std::vector<NodeId>& from);
  template <class F>
  void for_each_holder(NodeId n, F f) const;  // a unit, or none for the node alone

  const ClaimTable& table_;
  std::vector<std::uint32_t> of_;
  std::unordered_map<NodeId, std::vector<std::uint32_t>> copies_;  // units that hold a node without owning it
  std::vector<NodeId> reach_;            // per node: the last node of all units that span it, itself at least
  std::vector<std::uint32_t> seen_node_, seen_unit_;  // mark of the last visit
  std::uint32_t mark_ = 0;
};

}  // namespace tenon
