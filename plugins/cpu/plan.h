// Plan: a program's steps for one set of shapes, and the walk over them.
//
// Made by program_plan, immutable afterwards, walked by any number of runs at once; a plan for a box of sizes belongs to one
// run context, and resize changes it between runs. The functors of all steps lie in one arena that the plan owns.
#pragma once

#include <memory>
#include <vector>

#include "plugins/cpu/program.h"

struct tenon_resize_args;

namespace tenon::cpu {

class BoxPlanner;

// Memory that only grows; pointers into it stay.
class Arena {
 public:
  void* alloc(std::size_t bytes, std::size_t alignment);

 private:
  struct Chunk {
    std::unique_ptr<std::byte[]> memory;
    std::size_t used, size;
  };
  std::vector<Chunk> chunks_;
};

struct Step {
  void (*fn)(const void* params, const StepContext& context);
  const void* params;
  const char* label;  // the program's
  bool spmd;     // every worker; else worker 0 alone
  bool barrier;  // the workers meet before it: always next to an SPMD step
  bool poll;     // a good moment to ask whether the run was cancelled
};

class Plan {
 public:
  // Calls the sink. Throws Failure (UNSUPPORTED_SHAPE among others) and HostError.
  static std::unique_ptr<Plan> make(const Program& program, const tenon_plan_args& args, tenon_plan_sink* sink);
  Plan();
  ~Plan();

  // Other sizes in the box that the plan was made for. Throws as make does; the plan is not to be used then.
  void resize(const tenon_resize_args& args);

  // Failures inside steps go to the host's fail. Never throws.
  void execute(const Host& host, const tenon_execute_args& args) const noexcept;
  const std::vector<Step>& steps() const { return steps_; }

 private:
  friend class Planner;
  friend class BoxPlanner;
  std::vector<Step> steps_;
  Arena arena_;
  std::vector<std::shared_ptr<const void>> held_;
  std::unique_ptr<BoxPlanner> box_;  // null: for one set of sizes
};

}  // namespace tenon::cpu
