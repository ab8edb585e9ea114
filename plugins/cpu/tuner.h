// Tuner: which of several ways to compute a node is the fastest on this machine, by trying them.
//
// Only where the option `tune` asks for it. What was found counts for the process and, where the host keeps artifacts, for
// those after it. Trials run on one thread with random numbers at the sizes that the graph expects. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

// How a program treats its operators' choices.
struct Tuning {
  bool on = false;
  std::int32_t forced = -1;  // in a trial: the choice that is tried
};

// An index into names. The first is what the operator's own model would take, and the answer where nothing is tuned. Called in
// make, once for each node, by an operator that does what it is told.
std::uint32_t choose(CompileContext& context, const NodeView& node, std::span<const std::string_view> names);

}  // namespace tenon::cpu
