// pass: one target-free rewrite of a graph, and the ordered list of all of them.
//
// A pass knows operators but no provider. It leaves the graph right and equal in what it computes; nodes that it removed
// are marked by an empty op_type until the driver compacts. Run at load by one thread.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <vector>

#include "core/base/config.h"
#include "core/graph/graph.h"
#include "core/ops/custom.h"

namespace tenon {

struct PassContext {
  Model& model;
  Graph& graph;                       // the main graph or a body
  const CustomOps* custom = nullptr;  // may be null
  bool is_body = false;               // sizes of a body's inputs may differ from one iteration to the next
  std::size_t rewrites = 0;           // made by this pass on this graph
  bool unsorted = false;              // the pass appended nodes that others before them read
};

struct Pass {
  const char* name;
  Optimize level;  // the lowest level at which it runs
  Status (*run)(PassContext&);
};

// In the order in which they run.
std::span<const Pass> passes();

struct PassReport {
  const char* name;
  std::size_t rewrites = 0;  // over all graphs
  std::chrono::nanoseconds time{};
};

struct PassOptions {
  const CustomOps* custom = nullptr;
  // Called before the first pass (name "import") and after each pass that changed something. Unset: the graph's text goes
  // to the log topic "passes" at trace level, when that is enabled.
  std::function<void(const char* pass, const Graph&)> dump;
};

// Runs every pass of the level over the graph, then over the bodies in its nodes, outside in; sorts and compacts. Types of
// new values are set; ids change. out_report may be null.
Status run_passes(Model& model, Graph& graph, Optimize level, const PassOptions& options = {},
                  std::vector<PassReport>* out_report = nullptr);

// One pass by itself, over one graph without its bodies: for tests and tools.
Status run_pass(const Pass& pass, Model& model, Graph& graph, const CustomOps* custom = nullptr);

}  // namespace tenon
