// Claims: what devices offered for the nodes of one graph, as the cover reads it.
// Plain data, made by the query and read by the cover; no locks.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
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

struct Claim {
  std::uint32_t device = 0;
  std::vector<NodeId> nodes;  // ascending
  std::uint64_t token = 0;
  std::uint64_t flags = 0;  // TENON_CLAIM_*
  double cost_ns = 0;
  bool measured = false;      // the cost was learned from runs (costs.h), else it is the provider's estimate
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
