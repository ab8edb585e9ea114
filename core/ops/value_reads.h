// value_reads: where sizes depend on elements: what shape inference reads, and what only the run can tell.
//
// Static tables; any thread.
#pragma once

#include "core/graph/graph.h"

namespace tenon {

// True if shape inference needs the elements of this input, not only its dims.
bool inference_reads(const Node& node, std::size_t input);

// True if the sizes of the outputs depend on the elements of the inputs, however they were made.
bool data_dependent(const Node& node);

}  // namespace tenon
