// host_reads: which values of a segment somebody reads in host memory.
// No state.
#pragma once

#include "core/plan/planner.h"

namespace tenon {

// By value: the caller, inference, a host step, or a program whose operand is in host memory reads it. Of later segments
// LaterReads knows.
std::vector<bool> host_reads(const PlanInput& input, std::uint32_t segment);

}  // namespace tenon
