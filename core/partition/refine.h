// Refine: exchanges after the labels: a claim of several nodes for what runs in its place, a unit for its nodes alone, a node's
// device for another. Each is kept if the true cost falls and an order remains.
//
// Labels see a unit as shares of its nodes and never two claims at once that overlap; this does. Used by one cover; no locks.
#pragma once

#include <cstdint>
#include <vector>

#include "core/partition/taken_units.h"

namespace tenon {

class Refine {
 public:
  // Changes both: units are taken and dropped, labels (a device per node) follow. All three must outlive the object.
  Refine(const ClaimTable& table, TakenUnits& taken, std::vector<std::uint32_t>& label);
  void run();

 private:
  bool take(std::uint32_t claim);
  bool dissolve(std::uint32_t claim);
  bool relabel(NodeId n);
  void fall_back(NodeId n, std::uint32_t device);
  double cost(const std::vector<NodeId>& nodes);
  bool needed_alone(NodeId n) const;
  double copies(ValueId v);
  std::uint32_t device_of(NodeId n) const { return taken_.of(n) != none ? table_.claim(taken_.of(n)).device : label_[n]; }

  const ClaimTable& table_;
  TakenUnits& taken_;
  std::vector<std::uint32_t>& label_;
  std::vector<std::uint32_t> seen_;  // per value: mark of the last visit
  std::uint32_t mark_ = 0;
  std::vector<std::uint32_t> homes_, units_;  // scratch: devices that a value is needed on; units that were counted
};

}  // namespace tenon
