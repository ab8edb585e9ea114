// PlanTrace: what happens when in a plan, and which memory is held from when to when; kept only where somebody asks for it.
// Plain data, filled by the planner; no locks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace tenon {

struct PlanTrace {
  // A buffer of an arena. Values written in place share one: it is named by the first.
  struct Span {
    ValueId value = none;       // none: a temp
    std::uint32_t domain = 0;   // index into Plan::domains
    std::uint64_t bytes = 0;
    std::uint32_t first = 0, last = 0;  // indices into steps, both held
  };
  std::vector<std::string> steps;  // by time
  std::vector<Span> spans;

  void at(std::uint32_t time, std::string_view what) {
    if (steps.size() <= time) steps.resize(time + 1);
    std::string& text = steps[time];
    text += (text.empty() ? "" : " | ") + std::string(what);
  }
};

}  // namespace tenon
