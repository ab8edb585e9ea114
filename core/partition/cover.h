// Cover: chooses, for every node that needs one, the claim that computes it, at least total cost, and cuts the result into
// parts that are convex by construction.
//
// Four steps: units (claims of several nodes that save something), labels (a device per node), capacity (what does not fit a
// memory moves), parts. A pure function of graph, claims and costs: it looks at no op name. Deterministic; ties go to the
// earlier device, then the lower node. Threads: no state.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/partition/claim.h"

namespace tenon {

struct CoverInput {
  const Graph* graph = nullptr;
  std::span<const DeviceModel> devices;
  std::span<const Claim> claims;
  std::vector<std::uint64_t> allowed;      // per node: bit d set, device d may run it (configuration rules)
  std::vector<double> value_bytes;         // per value, at the sizes of estimates
  std::vector<bool> skip;                  // per node: no part holds it (host-evaluated, host steps)
  std::vector<bool> ends_segment;          // per node: sizes after it are known only once it has run
};

// Nodes that one device computes together. A node that may be computed again lies in each of the claims that hold it.
struct CoverPart {
  std::uint32_t device = 0;
  std::vector<std::uint32_t> claims;  // indices into CoverInput::claims, in execution order
  std::uint32_t level = 0;
  std::uint32_t segment = 0;
  std::vector<ValueId> inputs;   // boundary values, constants excluded
  std::vector<ValueId> outputs;  // made here and read elsewhere, or outputs of the graph
  std::vector<bool> input_on_host, output_on_host;  // beside them: a claim wants it in host memory (TENON_PLACE_HOST)
  double cost_ns = 0;
};

// A node that a device was to run and whose memory had no room for it.
struct Displaced {
  NodeId node = none;
  std::uint32_t device = 0;
};

struct Cover {
  std::vector<CoverPart> parts;              // in an order in which they can run
  std::vector<std::uint32_t> node_claim;     // per node: claim that makes its values for others, none if skipped or uncovered
  std::vector<std::uint32_t> node_part;      // per node: index into parts, none likewise
  std::vector<std::uint32_t> node_segment;   // per node, skipped ones too
  std::vector<std::uint32_t> node_level;     // likewise: edges between parts and host steps raise it
  std::vector<NodeId> uncovered;             // no allowed device claims them
  std::vector<Displaced> displaced;          // in the order in which they were moved
  std::string shortage;                      // not empty: a memory is too small and nothing more can be moved; says which and by how much
  double cost_ns = 0;                        // claims and launches, without copies
  std::uint64_t steps = 0;                   // edges and nodes looked at by searches: what the cover took, on any machine
};

Cover cover(const CoverInput& input);

// The cost in ns of one copy of bytes between two devices; 0 within one domain.
double copy_cost(const DeviceModel& from, const DeviceModel& to, double bytes);

}  // namespace tenon
