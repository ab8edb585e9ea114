// routes: which device copies between two memories of a plan.
// No state.
#pragma once

#include "core/plan/planner.h"

namespace tenon {

struct PlanRoute {
  DevicePtr device;
  int index = -1;  // of the device's routes; -1: there is none
};

// From one of the plan's domains to another; the preferred device's (may be null) where it has one, else that of the first
// program's device that has.
PlanRoute find_route(const PlanInput& input, const Plan& plan, std::uint32_t from, std::uint32_t to, const DevicePtr& preferred);

}  // namespace tenon
