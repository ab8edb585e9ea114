// Plan steps: what a planner has emitted becomes a plan: kernels are built, temps and steps told to the host, and what depends on
// constants alone is run at once. Free function; runs in program_plan.
#pragma once

#include "plugins/opencl/planner.h"

namespace tenon::opencl {

// Fills plan.launches, programs and derived; plan.program is set. Calls the sink. Throws Failure and HostError.
void tell_steps(const Planner& planner, const tenon_plan_args& args, tenon_plan_sink* sink, Plan& plan);

}  // namespace tenon::opencl
