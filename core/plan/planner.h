// planner: makes the plan of one segment: sizes, the providers' steps, one arena per memory domain, copies.
// Called by one thread at a time per block (the block's lock).
#pragma once

#include <map>
#include <span>
#include <utility>

#include "core/base/limits.h"
#include "core/plan/plan.h"
#include "core/plan/resident.h"
#include "core/plan/trace.h"

namespace tenon {

struct PlanInput {
  const Graph* graph = nullptr;
  const Cover* cover = nullptr;
  const std::vector<Program>* programs = nullptr;
  const std::vector<Item>* items = nullptr;         // sorted by segment and level
  const std::vector<bool>* host_read = nullptr;     // per value: later inference needs its elements on the host
  const std::vector<std::vector<NodeId>>* readers = nullptr;
  GraphInference* inference = nullptr;
  std::uint32_t segment_count = 1;
  std::uint32_t max_workers = 1;
  const Plan* parent = nullptr;  // of the segment before; null for the first
  std::span<const Resident> residents;  // what the caller goes on with in memories of devices
  // Of host steps: values that their bodies read in a device's memory and nowhere else; may be null.
  const std::map<std::pair<NodeId, ValueId>, DeviceMemory>* body_reads = nullptr;
  bool box = false;  // for the largest sizes of a box (plan/box.h)
  Limits limits;
  tenon_task* load = nullptr;
  PlanTrace* trace = nullptr;  // for reports; null: nothing is traced
  bool resident(ValueId v) const {
    for (const Resident& r : residents)
      if (r.value == v) return true;
    return false;
  }
  // Where the bodies of host step n read v, null where the host needs it.
  const DeviceMemory* body_read(NodeId n, ValueId v) const {
    if (!body_reads) return nullptr;
    const auto found = body_reads->find({n, v});
    return found == body_reads->end() ? nullptr : &found->second;
  }
  const Program** refused = nullptr;  // where to note the program whose provider said UNSUPPORTED_SHAPE; may be null
};

// shapes: inputs, and what earlier segments made. Errors: of inference and providers, naming the node;
// RESOURCE_EXHAUSTED over limits.memory.
Result<std::unique_ptr<Plan>> make_plan(const PlanInput& input, std::uint32_t segment, ShapeTable shapes);

}  // namespace tenon
