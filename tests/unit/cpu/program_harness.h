// ProgramRun: takes the nodes of an OpTest through the real thing: compile, plan, execute, in place of core.
//
// Every temp has memory of its own, which is overwritten with garbage outside the stages in which the plan says that it is
// alive, and in-place pairs share memory where core could let them: lifetimes that are wrong give wrong results.
#pragma once

#include "plugins/cpu/plan.h"
#include "tests/unit/cpu/fake_host.h"
#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {

struct ProgramOptions {
  Isa isa = Isa::plain;
  bool plain = false;
  std::uint32_t workers = 1;  // threads that meet at barriers
  FindRow find = find_row;
  Precision precision = Precision::high;
};

struct ProgramResults {
  std::string error;                             // "" or "<code>: <text>"
  std::map<std::string, Tensor> values;          // the outputs
  std::vector<tenon_plan_sink::Step> steps;
  std::vector<Step> planned;
  std::size_t temps = 0;

  const Tensor& operator[](const std::string& name) const { return values.at(name); }
  std::string step_names() const;                // "a b c"
};

// inputs of the part: all of the test's inputs, in the order given. outputs: values that leave it.
ProgramResults run_program(OpTest& test, const std::vector<std::string>& outputs, const ProgramOptions& options = {});

}  // namespace tenon::cpu::test
