// Operators of the domain com.microsoft (and SimplifiedLayerNormalization): types of their outputs; onnx has no schemas.
// A read-only table; any thread.
#pragma once

#include <span>
#include <vector>

#include "core/graph/graph.h"

namespace tenon {

struct MicrosoftOp {
  std::string_view op_type;
  std::size_t outputs;  // at most
  // Types of the outputs from those of the inputs (dims -1 where unknown) and the elements of inputs, null where not known.
  Status (*infer)(const Node& node, std::span<const Type> inputs, std::span<const ConstantPtr> known, std::vector<Type>& outputs);
};

// null when the operator is not known.
const MicrosoftOp* find_microsoft_op(const Node& node);

}  // namespace tenon
