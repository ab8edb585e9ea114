// evaluator: computes small values itself: shape arithmetic and the folding of small constants.
//
// With recipes the only arithmetic in core: up to 1,024 elements of integers, bool and float. Everything larger is a
// provider's work. Pure functions; any thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/graph/graph.h"

namespace tenon {

inline constexpr std::int64_t small_elements = 1024;

// True if the evaluator knows this operator.
bool evaluable(const Node& node);

// Outputs of the node for these inputs (null where omitted); nullopt where a type, a size or a value is beyond it.
std::optional<std::vector<ConstantPtr>> evaluate(const Node& node, std::span<const ConstantPtr> inputs);

// True if shape inference needs the elements of this input, not only its dims.
bool inference_reads(const Node& node, std::size_t input);

// True if the sizes of the outputs depend on the elements of the inputs, however they were made.
bool data_dependent(const Node& node);

}  // namespace tenon
