// gradients: every Gradient node of a model becomes the nodes that compute it, before any pass runs.
// A pure rewrite; one thread.
#pragma once

#include "core/base/limits.h"
#include "core/graph/graph.h"
#include "core/ops/custom.h"

namespace tenon {

// REQUIRES inferred types; infers them again where something was added. Nothing is done to a model without Gradient.
// Errors: UNIMPLEMENTED for operators without a gradient, RESOURCE_EXHAUSTED above limits.nodes and limits.nesting.
Status expand_gradients(Model& model, Graph& graph, const CustomOps* custom, const Limits& limits);

}  // namespace tenon
