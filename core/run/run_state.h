// RunState: what one call of run shares between the graph, its bodies and their steps: cancellation, threads, profile.
// Lives on the stack of the call; used by that thread, its gang's workers through GangTask only.
#pragma once

#include <optional>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/run/node_ban.h"
#include "core/run/report.h"

namespace tenon {

struct RunState {
  std::vector<NodeBan> refused;  // after UNSUPPORTED_SHAPE: the nodes of the part that could not be planned
  Control control;
  unsigned max_workers = 1;
  Profile* profile = nullptr;  // set: steps are run one by one
  bool outputs_may_move = false;  // an output given over an input gets memory of its own where the plan does not write it there
  std::optional<Gang> gang;    // taken at the first step that is worth it, kept to the end

  Gang& take_gang() {
    if (!gang) gang.emplace(max_workers, control);
    return *gang;
  }
};

}  // namespace tenon
