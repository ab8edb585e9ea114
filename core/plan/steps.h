// steps: what a provider plans for one program: its temps and steps, checked, in operand numbers of the part.
// No state; called with the block's lock held.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/plan/planner.h"

namespace tenon {

struct StepUse {
  std::vector<std::uint32_t> reads, writes;  // operand numbers, checked
  std::vector<tenon_inplace> inplace;
  std::uint32_t stage = 0;                   // never falls
};

struct ProgramSteps {
  std::vector<tenon_temp> temps;       // operands after the part's inputs and outputs
  std::optional<tenon_temp> workspace; // the last operand
  std::vector<StepUse> steps;
  std::vector<PlannedStep> named;      // as many
};

// Asks the provider; for one without program_plan every inner value is a temp and every chosen claim a step. handle is
// the provider's plan, null without one. Errors: the provider's, ABI_MISMATCH for what cannot be.
Result<ProgramSteps> plan_steps(const PlanInput& input, const Plan& plan, const Program& program, std::span<const tenon_plan_value> values,
                                tenon_plan*& handle);

}  // namespace tenon
