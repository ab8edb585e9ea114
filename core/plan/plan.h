// Plan: everything decided for one segment of a graph at one signature: sizes, steps, addresses, copies, waits.
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
    arena,     // at an offset of one slab of a domain's arena
    slot,      // wherever the run's slot of this value says: inputs, outputs, sizes decided by data, other segments
    fixed,     // an evaluated value, in host memory: its bytes stand in the plan
    resident,  // an evaluated value in a device's memory: at an offset of a buffer of the plan, copied there once
    kept,      // in a buffer of the run's in a device's memory, which outlives the segment
    absent,
  } kind = Kind::absent;
  std::uint32_t domain = 0;  // index into Plan::domains
  std::uint32_t slab = 0;    // arena: of the domain; resident: index into Plan::residents
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
  std::uint32_t queue = none;  // index into Plan::queues; none: done when execute returns
  std::vector<Storage> operands;
  std::vector<PlannedStep> steps;
};

// A copy over a route that a device has.
struct PlannedCopy {
  ValueId value = none;
  DevicePtr device;
  std::uint32_t route = 0;
  std::uint32_t queue = none;  // as of a program
  Storage from, to;
  std::uint64_t bytes = 0;
};

// Before its item begins, what was given to `queue` is done: on the host, or for what follows on queue `by`.
struct PlannedWait {
  std::uint32_t queue = none;
  std::uint32_t by = none;    // none: the host waits
  std::uint32_t mark = none;  // up to this mark of the queue; none: all that was given so far
};

struct PlannedItem {
  enum class Kind : std::uint8_t { program, copy, host_step } kind = Kind::program;
  std::uint32_t index = 0;  // into programs or copies; a node for host steps
  std::vector<PlannedWait> waits;
  std::uint32_t mark = none;  // of its queue, set behind this item: somebody waits for it and for no more
};

struct Plan {
  ShapeTable shapes;  // after this segment, as far as known before it runs
  std::uint32_t segment = 0;
  std::vector<PlannedItem> items;  // after the last one the host waits for all queues
  std::vector<PlannedProgram> programs;
  std::vector<PlannedCopy> copies;
  std::vector<DevicePtr> queues;   // devices with streams that items of this plan use
  // Memory that runs allocate for this plan. Devices that name one uid share it; the first of them allocates.
  struct Domain {
    std::string uid = "host";
    DevicePtr device;            // null: host
    std::uint32_t index = 0;     // of the domain among the device's
    std::uint64_t alignment = 64;
    std::vector<std::uint64_t> slabs;  // bytes of each
    std::uint64_t bytes() const;
  };
  std::vector<Domain> domains;      // [0] is the host
  std::vector<std::shared_ptr<DeviceBuffer>> residents;
  // A value with a buffer of its own in a device's memory, for segments to come.
  struct Kept {
    ValueId value = none;
    std::uint32_t domain = 0;  // index into domains
    std::uint64_t bytes = 0;
    bool on_host = false;      // the host has it too
  };
  std::vector<Kept> keeps;     // that this segment makes or copies there
  std::vector<Kept> standing;  // once it has run: what later segments read where it is, older ones too
  struct BodyRead {
    NodeId node = none;
    ValueId value = none;
    std::uint32_t domain = 0;
  };
  std::vector<BodyRead> body_reads;  // kept values that bodies of host steps read where they are
  std::vector<Storage> on_host;     // by value: where host steps and outputs find it (of a device too, if the host reads its memory); absent elsewhere
  std::vector<ValueId> slots;       // values that need memory of their own in this segment (not inputs, not user outputs)
  std::vector<ConstantPtr> keep;    // what fixed storages point at
  std::vector<ValueId> open;        // tensors made here whose sizes the run decides
  std::vector<ValueId> fetched;     // values made here whose elements decide later sizes
  std::vector<std::pair<ValueId, ValueId>> in_place;  // inputs of the graph that an output may be written over
  std::vector<tenon_plan_value> values;  // what providers were told; in the plan of a box they keep looking at it
  std::uint64_t serial = 0;         // unique in the block: names what a following segment builds on
  bool last = true;                 // no segment follows

  explicit Plan(ShapeTable s) : shapes(std::move(s)) {}
  Plan(const Plan&) = delete;
  ~Plan();
};

// A readable dump: items, steps, operands, copies, waits, memory.
std::string plan_text(const Plan& plan, const Graph& graph);

}  // namespace tenon
