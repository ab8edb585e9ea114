// query: asks one device what it can run of a graph, and keeps its answers: costed claims and reasoned refusals.
// No state; called while a session loads.
#pragma once

#include <string>
#include <vector>

#include "core/partition/claim.h"
#include "core/provider/graph_view.h"
#include "core/provider/provider.h"

namespace tenon {

// A device as one session uses it.
struct SessionDevice {
  DevicePtr device;
  OptionsPtr options;
  bool fallback = false;  // nobody named it: it takes only what no other device of the session claims

  const std::string& provider() const { return device->provider().id(); }
};

struct DeviceRefusal {
  NodeId node = none;
  std::int32_t reason = TENON_REJECT_NOT_ANSWERED;
  std::string text;
};

struct QueryAnswer {
  std::vector<Claim> claims;           // Claim::device is the number given
  std::vector<DeviceRefusal> refusals; // one for every node without a claim that is not host-evaluated
  std::vector<std::string> faults;     // objects that had to be dropped
};

// number: position of the device in the session, also its rank where it gives no estimate. Errors: the provider's; a
// claim or refusal outside the graph is a fault of the provider and is dropped.
Result<QueryAnswer> query_device(const SessionDevice& device, std::uint32_t number, const GraphView& view, std::uint32_t max_workers,
                                 tenon_task& load);

// The device as the cover sees it.
DeviceModel device_model(const SessionDevice& device);

}  // namespace tenon
