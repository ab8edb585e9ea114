// Execution: one run of one block, from feeds to outputs: segments one after the other, items of each in order.
//
// Lives on the stack of Block::run; the calling thread drives it, the gang's workers enter through programs only.
#pragma once

#include <mutex>
#include <vector>

#include "core/provider/task.h"
#include "core/run/block.h"

namespace tenon {

// The run as its providers see it: threads, memory for outputs whose size the data decides, and, where it is profiled, what
// their devices report of themselves.
class RunTask final : public GangTask {
 public:
  RunTask(Control& control, const Graph& graph, RunContext& context, std::uint64_t memory_limit, bool profiled)
      : GangTask(control), graph_(graph), context_(context), memory_limit_(memory_limit), profiled_(profiled) {}
  void enter(const PlannedProgram& program) { program_ = &program; }
  // Device events are collected, from any thread, and put behind the step with which the profile ends.
  bool traced() const override { return profiled_; }
  void trace(const tenon_trace_event& event) override;
  void take_trace(Profile& profile);
  Status alloc_output(std::uint32_t operand, std::uint32_t rank, const std::int64_t* dims, tenon_address* out) override;

  // Where the caller of run wants an output of unknown size; null entries and other values: the context's memory.
  std::vector<std::pair<ValueId, Datum*>>* destinations = nullptr;

 private:
  const Graph& graph_;
  RunContext& context_;
  std::uint64_t memory_limit_;
  const PlannedProgram* program_ = nullptr;
  const bool profiled_;
  std::mutex trace_mutex_;
  std::vector<ProfileEvent> trace_;
};

class Execution {
 public:
  Execution(const Block& block, RunState& state, RunContext& context);

  Status run(std::span<const Datum* const> feeds, std::span<Datum> outputs, const std::vector<bool>* wanted, std::span<Resident> residents);

  // ---- for host steps ----
  const Graph& graph() const { return block_.graph_; }
  const Block& block() const { return block_; }
  RunState& state() { return state_; }
  // The value as a datum that shares its bytes; REQUIRES that it is on the host and made by now.
  Result<Datum> datum(ValueId v) const;
  // Where host step n reads the value in a device's memory; null: it is on the host. Of the former shape_of is a datum
  // without data.
  std::shared_ptr<DeviceBuffer> on_device(NodeId n, ValueId v) const;
  Datum shape_of(ValueId v) const;
  // Gives a value made by a host step its place. The datum's bytes must not belong to the caller of run.
  void set(ValueId v, Datum datum);

 private:
  Status signature(std::span<const Datum* const> feeds);
  Status segment_key(const Plan& plan);
  void place_outputs(std::span<Datum> outputs, const std::vector<bool>* wanted);
  Status prepare_slots(const Plan& plan);
  bool writes_over(const Plan& plan, ValueId input, const Datum& output) const;
  void move_apart(const Plan& plan, std::span<const Datum* const> feeds, std::span<Datum> outputs) const;
  Status check_overlap(const Plan& plan, std::span<const Datum* const> feeds, std::span<const Datum> outputs) const;
  Status items(BoundPlan& bound);
  Status wait(const BoundPlan& bound, const PlannedItem& item);
  Status program(const PlannedProgram& planned, BoundProgram& bound, RunQueue* queue);
  Status steps(const PlannedProgram& planned, BoundProgram& bound, RunQueue* queue, std::uint64_t first, std::uint64_t count, bool spmd);
  Status copy(const Plan& plan, const PlannedCopy& copy, RunQueue* queue);
  Status finish(std::span<Datum> outputs, const std::vector<bool>* wanted);
  void hand_over(std::span<Datum> outputs, std::span<Resident> residents);

  const Block& block_;
  RunState& state_;
  RunContext& context_;
  RunTask task_;
  const Plan* plan_ = nullptr;
  std::vector<std::pair<ValueId, Datum*>>& destinations_;  // outputs that programs write directly; the context's
};

// A datum of its own with the same contents. Errors: RESOURCE_EXHAUSTED.
Result<Datum> copy_datum(const Datum& from);
// Bytes that the dims need (slots may hold more).
std::uint64_t exact_bytes(const Datum& datum);

// Runs one node that no provider runs: control flow, sequences, optionals.
Status run_host_step(Execution& execution, NodeId node);
Status run_control_flow(Execution& execution, NodeId node);   // control_flow.cpp
Status run_handle_step(Execution& execution, NodeId node);    // handle_steps.cpp

}  // namespace tenon
