// evaluator: computes small values itself: shape arithmetic and the folding of small constants.
//
// With recipes the only arithmetic in core: up to 1,024 elements of integers, bool and float. Everything larger is a
// provider's work. Pure functions; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace tenon {

inline constexpr std::int64_t small_elements = 1024;

// True if the evaluator knows this operator.
bool evaluable(const Node& node);

// Outputs of the node for these inputs (null where omitted); nullopt where a type, a size or a value is beyond it.
std::optional<std::vector<ConstantPtr>> evaluate(const Node& node, std::span<const ConstantPtr> inputs);

// True for the element types that it computes with.
bool evaluator_takes(DType type);
// The same, or a type that inference alone reads: what a run is fed of it may be looked at when the run is planned.
bool host_reads(DType type);

// Elements of a Range; nullopt where a bound is no number or delta is 0.
std::optional<std::int64_t> range_size(const Constant& start, const Constant& limit, const Constant& delta);

// Why evaluate cannot: a division by zero or an index outside its range among the inputs; empty for other reasons.
std::string evaluation_fault(const Node& node, std::span<const ConstantPtr> inputs);

}  // namespace tenon
