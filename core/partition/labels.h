// Labels: a device for every node at least cost, where a value that is read in another memory costs a copy.
//
// Two devices: the minimum cut, which is exact. More: expansion moves, three sweeps of them, then exchanges between pairs; a
// move is kept only if the true cost falls, as what a cut cannot say of it is left out. Deterministic; no state outside the call.
#pragma once

#include <cstdint>
#include <vector>

#include "core/partition/claim_table.h"

namespace tenon {

class Labels {
 public:
  // units: [device][node] -> the claim of several nodes that the device would take it in, none. Both must outlive the object.
  Labels(const ClaimTable& table, const std::vector<std::vector<std::uint32_t>>& units);
  // Per node: device, none where no device has the node or it is skipped.
  std::vector<std::uint32_t> find();
  // Nodes, copies and shares of launches, in ns.
  double cost(const std::vector<std::uint32_t>& label) const;
  // What the copies of one value cost.
  double copies(const std::vector<std::uint32_t>& label, ValueId v) const;
  // What a node costs on a device: inside a unit its share of it.
  double node_cost(std::uint32_t device, NodeId n) const { return node_cost_[device][n]; }

 private:
  void improve(std::vector<std::uint32_t>& label) const;
  bool expand(std::vector<std::uint32_t>& label, double& now, std::uint32_t to) const;
  bool exchange(std::vector<std::uint32_t>& label, double& now, std::uint32_t a, std::uint32_t b) const;
  std::vector<std::uint32_t> cut(const std::vector<std::uint32_t>& source, const std::vector<std::uint32_t>& sink) const;

  const ClaimTable& table_;
  std::vector<std::vector<double>> node_cost_;  // [device][node], launch share included
  std::vector<std::uint32_t> memory_;           // per device: number of its memory; 0 is the host's
  std::uint32_t memories_ = 1;
  std::vector<double> latency_, per_byte_;      // [from memory][to memory]
  double copy(std::uint32_t from, std::uint32_t to, ValueId v) const {
    const std::size_t at = from * memories_ + to;
    return latency_[at] + per_byte_[at] * table_.in.value_bytes[v];
  }
};

}  // namespace tenon
