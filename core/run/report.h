// Reports of a session as plain data: placement, profile, model description.
// Owned by whoever asked; no locks.
#pragma once

#include <cstdint>
#include <string>
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

// Why one device does not run one node.
struct Refusal {
  std::string provider;
  std::int32_t reason = 0;  // TENON_REJECT_*
  std::string text;
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

struct PlacementReport {
  std::vector<PlacedNode> nodes;
  std::vector<PlacedPart> parts;
  std::vector<PlacedCopy> copies;
  std::vector<std::string> notes;  // providers left out and why, rounds of covering again, ...
  Status unsupported;              // not ok: nodes that nothing runs (provider "none"), and so no run is possible
  std::uint64_t arena_bytes = 0;   // of the last plan
  std::uint64_t weight_bytes = 0;
};

struct ProfileEvent {
  std::string name, op_type, provider;
  std::uint64_t start_ns = 0, duration_ns = 0;
  std::uint32_t worker = 0;
};

struct Profile {
  std::vector<ProfileEvent> events;
  // Chrome trace format (chrome://tracing, Perfetto).
  std::string chrome_trace() const;
};

}  // namespace tenon
