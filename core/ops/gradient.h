// gradient: Gradient of ai.onnx.preview.training, spelled out as the nodes that compute it.
//
// Reverse mode over the nodes between the tensors that it names: what flows back through each operator is a rule of a few
// nodes (gradient_rules.h). Pure rewrites of a graph under construction; one thread.
#pragma once

#include "core/graph/graph.h"

namespace tenon {

inline bool is_gradient(const Node& node) { return node.is("Gradient", "ai.onnx.preview.training"); }

// The names in xs and zs, one after the other. Errors: INVALID_ARGUMENT where there are none, one stands twice, or inputs and
// outputs do not fit them. After import the inputs of the node are as many given values, then the values of these names, and
// of y at the end: so every pass keeps them.
Result<std::vector<std::string>> gradient_names(const Node& node);

enum class GradientState {
  spelled,  // nodes have been appended, the node itself is marked dead
  moved,    // the nodes between were copied for values other than those named; types are to be inferred before it goes on
  waits,    // another Gradient stands between and comes first
};

// REQUIRES sorted nodes, producers and types. New nodes go to `fresh`, without what their schemas say; visits counts down and
// bounds the work. Errors: UNIMPLEMENTED that names the operator without a rule, RESOURCE_EXHAUSTED at 0 visits.
Result<GradientState> spell_gradient(Graph& graph, NodeId node, std::vector<Node>& fresh, std::uint64_t& visits);

}  // namespace tenon
