// The operators of ai.onnx.ml on maps: ZipMap, DictVectorizer, CastMap.
//
// Pure functions; any thread.
#pragma once

#include <vector>

#include "core/graph/graph.h"
#include "core/tensor/datum.h"

namespace tenon {

// Output 0 of such a node. Errors: INVALID_ARGUMENT, OUT_OF_RANGE (a key outside max_map), UNIMPLEMENTED (another operator).
Result<Datum> run_map_operator(const Node& node, const std::vector<Datum>& in);

}  // namespace tenon
