// ClaimTable: the claims of one cover sorted by what its steps ask: who claims a node alone, who may, who may twice.
//
// Made once per cover from its input, which it refers to; read-only afterwards. Threads: no state outside the object.
#pragma once

#include <cstdint>
#include <vector>

#include "core/partition/cover.h"

namespace tenon {

class ClaimTable {
 public:
  static constexpr double forbidden = 1e15;  // ns; stands for infinity where costs are added up

  explicit ClaimTable(const CoverInput& input);

  const CoverInput& in;
  const Graph& graph;
  std::vector<std::vector<NodeId>> readers;            // per value
  std::vector<std::vector<std::uint32_t>> single;      // [device][node] -> cheapest claim of that node alone, none
  std::vector<std::vector<std::uint32_t>> holding;     // per node: claims of several nodes that hold it and may be chosen

  std::uint32_t devices() const { return static_cast<std::uint32_t>(in.devices.size()); }
  const Claim& claim(std::uint32_t c) const { return in.claims[c]; }
  bool holds(std::uint32_t c, NodeId n) const;
  // Rules allow it, no node of it is skipped, and it seals nothing that others need and that cannot be computed again.
  bool eligible(const Claim& claim) const;
  double single_cost(std::uint32_t device, NodeId n) const;
  // The device on which the node alone costs least; none where nobody claims it alone.
  std::uint32_t cheapest_device(NodeId n) const;
  double cheapest(NodeId n) const;
  // All claims of the node alone on that device are RECOMPUTABLE, and there is one: the node may lie in several claims of it.
  bool recomputable(std::uint32_t device, NodeId n) const { return recomputable_[device][n]; }
  // Inside the claim others read the node's value, and the claim does not let such values out.
  bool sealed_in(std::uint32_t c, NodeId n) const;
  // Steps of the searches that walk the graph, for Cover::steps.
  void count(std::uint64_t steps) const { steps_ += steps; }
  std::uint64_t steps() const { return steps_; }
  // Somebody outside the claim reads a value of the node, or it is an output of the graph.
  bool needed_outside(const Claim& claim, NodeId n) const;

 private:
  std::vector<std::vector<bool>> recomputable_;  // [device][node]
  mutable std::uint64_t steps_ = 0;
};

}  // namespace tenon
