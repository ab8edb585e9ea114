// Claims: what devices offered for the nodes of one graph, as the cover reads it.
// Plain data, made by the query and read by the cover; no locks.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <tenon/host.h>

#include "core/graph/graph.h"

namespace tenon {

inline constexpr double infinite_cost = std::numeric_limits<double>::infinity();

// What a claim asks for one of its boundary values.
struct OperandRule {
  ValueId value = none;
  std::int32_t place = 0;  // TENON_PLACE_*
  std::int32_t alias = 0;  // TENON_ALIAS_*
  ValueId alias_value = none;
  std::int32_t append_axis = -1;
};

// Where the cost of a claim is from.
enum class CostFrom : std::uint8_t {
  hint,      // the provider's est_ns
  speed,     // work over the speed of the device: the claim's flops and bytes, else the bytes of its operands
  rank,      // nothing is known: the position of the device
  measured,  // this computation, in runs (costs.h)
  near,      // the same computation of other sizes was measured
};
// "provider's hint", "device's speed", "default", "measured", "measured nearby".
std::string_view cost_from_name(CostFrom from);

struct Claim {
  std::uint32_t device = 0;
  std::vector<NodeId> nodes;  // ascending
  std::uint64_t token = 0;
  std::uint64_t flags = 0;  // TENON_CLAIM_*
  double cost_ns = 0;
  CostFrom from = CostFrom::hint;
  double hint_ns = 0;         // the cost before anything learned took its place
  double bytes = 0;           // of its operands at the sizes of estimates, values inside left out
  std::uint64_t workspace_bytes = 0;
  std::uint64_t weight_bytes = 0;
  std::vector<OperandRule> rules;
};

// A device as the cover sees it. Copies between devices of one domain cost nothing.
struct DeviceModel {
  std::string name;     // provider, for reports
  std::string domain;   // uid of domains[0]; "host" is the core's memory
  double launch_ns = 0; // fixed cost of one part
  double to_host_latency_ns = 0, to_host_bytes_per_ns = 10;
  double from_host_latency_ns = 0, from_host_bytes_per_ns = 10;
  std::uint64_t memory_limit = 0;  // bytes of its memory that a session may use; 0: no bound

  bool on_host() const { return domain == "host"; }
};

}  // namespace tenon
