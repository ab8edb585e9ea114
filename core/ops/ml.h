// Shapes of the operators of ai.onnx.ml that the onnx library's inference leaves open.
// Pure functions; any thread.
#pragma once

#include <span>
#include <vector>

#include "core/graph/graph.h"

namespace tenon {

// Fills in the dims of outputs that have none; types are right already. Leaves what it does not know.
void complete_ml_shapes(const Node& node, std::span<const Type> inputs, std::vector<Type>& outputs);

}  // namespace tenon
