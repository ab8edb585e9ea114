// infer_guard: what the onnx library's inference functions take for granted and would crash on, asked before they are called.
//
// Stateless; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/graph/graph.h"

namespace tenon {

// True for the operators that inference_fault knows something of.
bool has_inference_guard(const Node& node);
// ranks: of each input, -1 where it is not known. "": nothing speaks against it.
std::string inference_fault(const Node& node, std::span<const std::int64_t> ranks);

}  // namespace tenon
