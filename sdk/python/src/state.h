// State: what a session keeps between the runs of one conversation, as Python sees it.
// Owned by Python; a session's own state keeps its session alive by nanobind's keep_alive. Threads: one at a time.
#pragma once

#include <memory>

#include <nanobind/nanobind.h>

#include "failure.h"

namespace tenon::python {

class State {
 public:
  // owned: released with this; else the session's own.
  State(tenon_state* state, bool owned) : raw_(state, owned ? &tenon_state_release : [](tenon_state*) {}) {}
  tenon_state* raw() const { return raw_.get(); }

 private:
  std::unique_ptr<tenon_state, void (*)(tenon_state*)> raw_;
};

void add_states(nanobind::module_& m);

}  // namespace tenon::python
