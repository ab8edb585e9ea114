// infer: types and shapes of a graph through the onnx library's per-node inference, with our own context.
//
// A ShapeTable holds concrete sizes for one signature; run_node fills in a node's outputs from its inputs, evaluating
// small values on the way. The symbolic types of a load come from the same code: the graph is run for two sets of sizes
// in which every symbol has its own number; what does not change is fixed, what does is a symbol.
// Threads: a GraphInference is used by one thread at a time (the owner of the plan cache holds a lock).
#pragma once

#include <memory>
#include <vector>

#include "core/base/limits.h"
#include "core/graph/graph.h"
#include "core/ops/custom.h"

namespace tenon {

// What is known of the values of one graph for one signature.
struct ShapeTable {
  struct Entry {
    Dims dims;             // -1: not known
    bool ranked = false;
    ConstantPtr known;     // elements, where they are known
  };
  std::vector<Entry> values;

  // Constants are known; everything else is empty.
  explicit ShapeTable(const Graph& graph);
  // All dims are known.
  bool complete(ValueId v) const;
};

class GraphInference {
 public:
  GraphInference(const Model& model, const Graph& graph, const CustomOps* custom);
  ~GraphInference();
  GraphInference(GraphInference&&) noexcept;

  // Fills in the outputs of one node. Control flow and sequence operators leave theirs as they are.
  // Errors: INVALID_ARGUMENT when the sizes contradict each other; names the node.
  Status run_node(NodeId node, ShapeTable& shapes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Sets the type of every value of the graph and of its bodies. Errors: INVALID_ARGUMENT for types that contradict an
// operator, naming the node.
Status infer_types(Model& model, Graph& graph, const CustomOps* custom);

// Marks the nodes that core evaluates itself (Node::host_evaluated), and says which values inference needs on the host
// although a provider makes them.
std::vector<bool> mark_host_evaluated(const Model& model, Graph& graph, const CustomOps* custom);

}  // namespace tenon
