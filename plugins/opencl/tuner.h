// Tuner: measures the ways in which a plan's heavy units can be done and keeps the fastest for plans to come.
//
// Runs when a plan is executed for the second time and only where the option "tune" asks for it; at most budget_ns a program. Uses memory
// and a queue of its own: results of the run are not touched.
#pragma once

#include "plugins/opencl/plan.h"

namespace tenon::opencl {

inline constexpr double tuning_budget_ns = 3e9;

// Never throws: what cannot be measured keeps its seed. Returns how many choices were measured.
int tune(const Plan& plan, double budget_ns = tuning_budget_ns) noexcept;

}  // namespace tenon::opencl
