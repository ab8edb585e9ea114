// Reports of a session as plain data: placement, profile, model description.
// Owned by whoever asked; no locks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/status.h"

namespace tenon {

struct ModelInfo {
  std::string path, producer_name, producer_version, domain, description, graph_name, graph_description;
  std::int64_t ir_version = 0, model_version = 0;
  std::vector<std::pair<std::string, std::int64_t>> opsets;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::uint64_t node_count = 0, weight_bytes = 0;
};

// A device as the session uses it.
struct PlacedDevice {
  std::string provider, version, uid, name;
  std::string memory;        // uid of the memory its values are in; "host" is core's own
  bool fallback = false;     // nobody named it: it takes only what no other device claims
  double launch_ns = 0;      // fixed cost of one part
  std::uint64_t measured = 0;  // claims whose cost was measured before instead of estimated
  bool isolated = false;       // its provider is in a process of its own
};

// Why one device does not run one node.
struct Refusal {
  std::string provider;
  std::int32_t reason = 0;  // TENON_REJECT_*
  std::string text;
  std::uint32_t device = 0;  // index into PlacementReport::devices
};

// One device's claim on a node, taken or not.
struct Offer {
  std::uint32_t device = 0;  // index into PlacementReport::devices
  double cost_ns = 0;        // of the whole claim
  std::uint32_t nodes = 1;   // that it computes together
  bool measured = false;     // this computation was; else an estimate
  std::string_view cost_from;  // "provider's hint", "device's speed", "default", "measured", "measured nearby"
  bool allowed = true;       // false: a rule of the configuration, or a fallback's place, stands against it
  bool chosen = false;
};

struct PlacedValue {
  std::string name, type;   // type with the sizes that estimates are made for: "float32[1,64,56,56]"
  std::uint64_t bytes = 0;  // at those sizes; 0 unknown
  bool constant = false, input = false, output = false;
};

struct PlacedNode {
  std::string name, op_type, domain;
  std::string graph;     // "" for the main graph, else the path of the body: "loop/body"
  std::string provider;  // "core" for shape arithmetic and control flow
  std::string device;
  std::int32_t part = -1;
  double cost_ns = 0;
  std::string why;  // "cost", "rule 2", "only claim", ...
  std::vector<Refusal> refusals;
  bool measured = false;                       // the cost was
  std::vector<std::int32_t> inputs, outputs;   // indices into PlacementReport::values; -1 where omitted
  std::vector<Offer> offers;                   // of all devices, in their order
  std::vector<std::string> sources;            // the model's own nodes that it stands for
  std::string op;                              // domain and type as one: "Conv", "com.acme.Thing"
  std::int32_t rule = -1;                      // of the configuration, the first that fits
};

struct PlacedPart {
  std::string provider, device;
  std::uint64_t node_count = 0;
  double cost_ns = 0;
};

struct PlacedCopy {
  std::string value, from, to;
  std::uint64_t bytes = 0;  // at the sizes of estimates
  double cost_ns = 0;
};

// Memory of one run of the main graph at the sizes of estimates, planned without running.
struct MemoryReport {
  struct Domain {
    std::string uid;
    std::uint64_t bytes = 0;                // of its arena and of what later segments read there
    std::vector<std::uint64_t> live;        // by step: bytes that hold something then
  };
  struct Held {
    std::string value;                      // "" for an intermediate value inside a part
    std::string memory;
    std::uint64_t bytes = 0;
  };
  std::vector<std::string> steps;           // what happens when
  std::vector<Domain> domains;              // only those that a run allocates in
  std::uint32_t peak_step = 0;              // where all memories together hold most
  std::vector<Held> at_peak;                // largest first, at most 16
  std::string note;                         // why there is none, or what it leaves out
};

struct PlacementReport {
  std::vector<PlacedNode> nodes;
  std::vector<PlacedPart> parts;
  std::vector<PlacedCopy> copies;
  std::vector<std::string> notes;  // providers left out and why, rounds of covering again, ...
  Status unsupported;              // not ok: nodes that nothing runs (provider "none"), and so no run is possible
  std::uint64_t arena_bytes = 0;   // of the last plan
  std::uint64_t weight_bytes = 0;
  std::vector<PlacedDevice> devices;
  std::vector<PlacedValue> values;
  MemoryReport memory;
  double cost_ns = 0;              // of one run: nodes, launches, copies
  std::string costs_folder;        // of measured costs, absolute; "" none

  // The node of that name, or that makes the value of that name; nodes.size() where there is none.
  std::size_t find(std::string_view name) const;
};

struct ProfileEvent {
  std::string name, op_type, provider;
  std::uint64_t start_ns = 0, duration_ns = 0;
  std::uint32_t worker = 0;
  std::uint32_t device = 0xffffffffu;   // of the session; none for core's own steps
  std::vector<std::uint32_t> nodes = {};  // of the graph `graph`; empty where the provider does not say
  const void* graph = nullptr;          // tells graphs of one session apart; never followed
};

// One claim's cost as runs showed it.
struct LearnedLine {
  std::string provider, device, operators;
  double ns = 0;
  std::uint32_t samples = 0;
};

struct Profile {
  std::vector<ProfileEvent> events;
  // Chrome trace format (chrome://tracing, Perfetto).
  std::string chrome_trace() const;
};

}  // namespace tenon
