// place: decides which device runs each node of one graph: rules, query, function bodies, cover.
//
// May change the graph: nodes that run by their bodies are replaced by them. Called while a session loads, one graph at a
// time. No state.
#pragma once

#include <string>
#include <vector>

#include "core/base/config.h"
#include "core/onnx/import.h"
#include "core/partition/costs.h"
#include "core/partition/cover.h"
#include "core/partition/query.h"

namespace tenon {

struct PlaceInput {
  Model* model = nullptr;
  Graph* graph = nullptr;
  const std::vector<SessionDevice>* devices = nullptr;
  const Config* config = nullptr;
  const ImportOptions* import = nullptr;
  DimBounds bounds;
  std::uint32_t max_workers = 1;
  LoadContext* load = nullptr;
  const LearnedCosts* costs = nullptr;  // measured before: they replace estimates; may be null
};

struct Refused {
  std::uint32_t device = 0;
  std::int32_t reason = 0;
  std::string text;
};

struct Placement {
  std::unique_ptr<GraphView> view;            // of the graph as it was queried; compile gets it too
  std::vector<Claim> claims;
  std::vector<DeviceModel> models;            // by device
  Cover cover;
  std::vector<bool> host_step;                // per node: core runs it itself (control flow, sequences, optionals)
  std::vector<bool> host_read;                // per value: later inference needs its elements
  std::vector<double> value_bytes;            // at the sizes of estimates
  std::vector<std::vector<Refused>> refusals; // per node, by device
  std::vector<std::string> why;               // per node
  std::vector<int> rule;                      // per node: the configuration's rule that fits, -1 none
  std::vector<std::uint64_t> allowed;         // per node: devices that might bid, after rules and fallbacks
  std::vector<bool> ends_segment;             // per node, as the cover saw it
  std::vector<std::string> notes;
  Status unsupported;                         // not ok: placement.on_unsupported is "report" and there are such nodes
};

// banned: per node, bit d set where device d must not run it (compile refused it); may be empty. A node is known by its
// first output there, as ids change: see Placement. Errors: UNIMPLEMENTED naming the nodes that no device takes, with
// every device's reason (or Placement::unsupported); those of providers.
Result<Placement> place(const PlaceInput& input, const std::vector<std::pair<std::string, std::uint32_t>>& banned);

// True for nodes that core runs itself.
bool is_host_step(const Graph& graph, const Node& node);
bool is_control_flow(const Node& node);

}  // namespace tenon
