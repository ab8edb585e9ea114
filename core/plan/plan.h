// Plan: everything decided for one segment of a graph at one signature: sizes, steps, addresses, copies.
//
// Plain data; immutable once made and shared by the cache that holds it and the contexts bound to it. Any thread may read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/onnx/infer.h"
#include "core/plan/program.h"

namespace tenon {

// Where the bytes of a value or a temp are.
struct Storage {
  enum class Kind : std::uint8_t {
    arena,   // at an offset of a domain's arena
    slot,    // wherever the run's slot of this value says: inputs, outputs, sizes decided by data, other segments
    fixed,   // a constant or an evaluated value: its bytes stand in the plan
    absent,
  } kind = Kind::absent;
  std::uint32_t domain = 0;  // index into Plan::domains
  ValueId value = none;
  std::uint64_t offset = 0, bytes = 0;
  const std::byte* data = nullptr;  // fixed
};

struct PlannedStep {
  std::string name;
  std::vector<NodeId> nodes;
  bool spmd = false;
};

struct PlannedProgram {
  const Program* program = nullptr;
  tenon_plan* handle = nullptr;  // null where the provider has no program_plan
  std::uint64_t step_count = 0;
  bool spmd = false;
  std::vector<Storage> operands;
  std::vector<PlannedStep> steps;
};

// A copy between the host and a device's memory, over one of its routes.
struct PlannedCopy {
  ValueId value = none;
  DevicePtr device;
  std::uint32_t route = 0;
  Storage from, to;
  std::uint64_t bytes = 0;
};

struct PlannedItem {
  enum class Kind : std::uint8_t { program, copy, host_step } kind = Kind::program;
  std::uint32_t index = 0;  // into programs or copies; a node for host steps
};

struct Plan {
  ShapeTable shapes;  // after this segment, as far as known before it runs
  std::uint32_t segment = 0;
  std::vector<PlannedItem> items;
  std::vector<PlannedProgram> programs;
  std::vector<PlannedCopy> copies;
  struct Arena {
    DevicePtr device;  // null: host
    std::uint64_t bytes = 0;
  };
  std::vector<Arena> domains;       // [0] is the host
  std::vector<Storage> on_host;     // by value: where host steps and outputs find it; absent elsewhere
  std::vector<ValueId> slots;       // values that need memory of their own in this segment (not inputs, not user outputs)
  std::vector<ConstantPtr> keep;    // what fixed storages point at
  std::vector<ValueId> open;        // tensors made here whose sizes the run decides
  std::vector<ValueId> fetched;     // values made here whose elements decide later sizes
  std::uint64_t serial = 0;         // unique in the block: names what a following segment builds on
  bool last = true;                 // no segment follows

  explicit Plan(ShapeTable s) : shapes(std::move(s)) {}
  Plan(const Plan&) = delete;
  ~Plan();
};

// A readable dump: items, steps, operands, memory.
std::string plan_text(const Plan& plan, const Graph& graph);

}  // namespace tenon
