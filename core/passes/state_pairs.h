// state_pairs: inputs that are fed with outputs of the run before, such as the caches of a decoder, become what a session keeps.
//
// A pair whose output is Concat(input, new rows) is turned from copying into appending: the input is a cache with room for more
// rows than count, TensorScatter writes the new ones into it, and a Slice of the first rows is what the model reads. Other
// outputs are handed on as they are. Run at load by one thread, after types are inferred and before the passes.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/graph/graph.h"

namespace tenon {

struct StatePair {
  std::size_t input = 0, output = 0;  // indices into the graph's inputs and outputs
  std::int32_t axis = -1;             // rows are appended along it; -1: the output is the next input
};

struct StatePairs {
  std::vector<StatePair> pairs;
  // Where pairs append: inputs that were added behind the model's. rows: int64[1], how many rows count; places: int64[batch],
  // where each sample's new rows go, which is the same.
  std::size_t rows_input = 0, places_input = 0;
  Dim fresh;                        // rows that a run adds
  bool appends = false;
  std::vector<std::string> notes;   // pairs that could not append, and why
};

// names: input and output of each pair; one "*" in both stands for the same text. Errors: INVALID_ARGUMENT where a name or
// pattern fits nothing, or two pairs share an input or an output, or the types differ.
Result<StatePairs> bind_state(Model& model, std::span<const std::pair<std::string, std::string>> names);

}  // namespace tenon
