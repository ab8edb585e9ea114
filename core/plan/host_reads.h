// host_reads: which values of a segment somebody reads in host memory.
// No state.
#pragma once

#include "core/plan/planner.h"

namespace tenon {

bool later_segment_reads(const PlanInput& input, std::uint32_t segment, ValueId v);

// By value: the caller, a later segment, inference, a host step, or a program whose operand is in host memory reads it.
std::vector<bool> host_reads(const PlanInput& input, std::uint32_t segment);

}  // namespace tenon
