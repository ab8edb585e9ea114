// Plan: a program's launches for one set of shapes. Binding: the same with addresses, ready to be enqueued.
//
// A plan is made by program_plan, immutable afterwards and shared by bindings; a binding belongs to one run context and holds kernel
// objects of its own, since arguments are state of a kernel object.
#pragma once

#include <memory>
#include <vector>

#include "plugins/opencl/bound_kernel.h"
#include "plugins/opencl/program.h"

namespace tenon::opencl {

// An argument whose memory is known when a plan is bound.
struct PlannedArg {
  enum class Kind : std::uint8_t { operand, constant, derived, scalar } kind = Kind::scalar;
  std::uint32_t index = 0;     // operand, constant, or memory of the plan's own
  std::uint64_t offset = 0;    // bytes
  cl_uint number = 0;          // of the (first) parameter in the kernel's text
  std::array<unsigned char, 8> bytes{};
  std::uint32_t size = 0;
};

// Where an operand's bytes are.
struct Place {
  cl_mem mem = nullptr;
  std::uint64_t offset = 0;
};

struct PlannedLaunch {
  BuiltKernel kernel;
  std::vector<PlannedArg> args;
  std::array<std::size_t, 3> global, local;
  const char* name;
  const std::string* label;  // the unit's
};

// What a plan was made from, kept where the plan may have to be made again to measure others.
struct PlanInput {
  struct Item {
    tenon_plan_value value{};
    Dims dims;
    std::vector<char> known;
  };
  std::vector<Item> items;
  std::vector<tenon_plan_value> values;  // pointing into items

  explicit PlanInput(const tenon_plan_args& args);
};

// A buffer of a plan: an operand of the part (inputs, outputs, temps), a constant of the program, or made of constants alone.
struct PlanBuffer {
  std::uint32_t operand = no_value, constant = no_value, derived = no_value;
  std::uint64_t temp_bytes = 0;  // of a temp
};

// The launches of units that asked for a choice, made with one candidate; nothing is told to the host.
struct Trial {
  struct Piece {
    std::string key;
    int count = 0, chosen = 0;
    std::vector<Launch> launches;
  };
  std::vector<PlanBuffer> buffers;
  std::vector<Piece> pieces;

  static Trial make(const Program& program, const tenon_plan_args& args, int candidate);
};

class Plan {
 public:
  // Calls the sink. Throws Failure and HostError.
  static std::unique_ptr<Plan> make(std::shared_ptr<const Program> program, const tenon_plan_args& args, tenon_plan_sink* sink);

  std::shared_ptr<const Program> program;
  std::vector<PlannedLaunch> launches;
  std::vector<std::shared_ptr<BuiltProgram>> programs;  // what the launches use
  std::vector<MemHandle> derived;                       // what was computed from constants, once
  std::unique_ptr<PlanInput> input;                     // where the device tunes

  // Sets an argument of a launch; operand: where it is, if it is one. Throws Failure.
  void set(BoundKernel& kernel, const PlannedArg& arg, Place operand) const;
};

class Binding {
 public:
  Binding(const Plan& plan, const tenon_address* addresses, std::uint64_t count);
  void update(const std::uint32_t* changed, const tenon_address* addresses, std::uint64_t count);
  // Enqueues launches [first, first + count) into queue.
  void enqueue(cl_command_queue queue, std::uint64_t first, std::uint64_t count) const;

  const Plan& plan;

 private:
  struct Operand {
    tenon_address address{};
    Place place;
    MemHandle own;       // a wrapped operand of its own
  };
  void wrap_shared();
  void wrap(Operand& o);
  void set(std::size_t launch, std::size_t arg);

  std::vector<Operand> operands_;
  std::vector<MemHandle> shared_;   // wrapped arenas
  std::vector<BoundKernel> kernels_;
  std::vector<std::vector<std::pair<std::size_t, std::size_t>>> uses_;  // by operand: launch, argument
};

}  // namespace tenon::opencl
