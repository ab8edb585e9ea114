// Resident: a value that stays in a device's memory between runs of a block: what a loop carries, and what its body takes from
// the graph around it.
//
// Plain data of whoever runs the block, one thread at a time.
#pragma once

#include <memory>

#include "core/graph/graph.h"
#include "core/provider/provider.h"

namespace tenon {

// One domain of a device.
struct DeviceMemory {
  DevicePtr device;  // null: there is none
  std::uint32_t domain = 0;

  const std::string& uid() const { return device->info().domains[domain].uid; }
  bool same(const DeviceMemory& other) const { return device && other.device && uid() == other.uid(); }
};

struct Resident {
  ValueId value = none;  // a feed or an output of the block
  DeviceMemory memory;
  // Where it is: of a feed before the run, null where the host has it; of all after the run. Then the host has no copy of
  // an output; a null one is on the host.
  std::shared_ptr<DeviceBuffer> buffer;
};

}  // namespace tenon
