// Children: runs cases in processes of their own that may crash or hang.
//
// A case that is `shared` runs with others in one child, one after another; when the child dies, the case that was running is
// charged and the others go on in a new one. What fails in company is tried once more alone, and that result counts.
// Called by the main thread of a process without other threads.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "sdk/kit/case.h"
#include "sdk/kit/target.h"

namespace tenon::kit {

struct Limits {
  double seconds = 60;  // of one case
  int jobs = 1;         // children at a time
};

// Calls done(index, outcome) for each case as it ends. Errors: std::runtime_error when no process can be made.
void run_cases(const Target& target, const std::vector<Case>& cases, const Limits& limits,
               const std::function<void(std::size_t, const Outcome&)>& done);
// One body in a child, for questions that are no case. out receives what it wrote.
Outcome run_alone(const std::function<std::string()>& body, double seconds, std::string* out);

}  // namespace tenon::kit
