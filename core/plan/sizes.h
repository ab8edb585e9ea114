// sizes: what every value of one segment measures, from the sizes and elements known before it runs.
// No state; called by one thread at a time per block, as inference is.
#pragma once

#include "core/plan/planner.h"

namespace tenon {

// Fills plan.shapes for plan.segment, and the lists of values whose sizes or elements only the run finds out. Errors: of
// inference, naming the node; INVALID_ARGUMENT where a run contradicts sizes that programs were compiled for;
// RESOURCE_EXHAUSTED for a value over limits.memory.
Status infer_sizes(const PlanInput& input, Plan& plan);

}  // namespace tenon
