// RunContext: the memory of one run in flight on one block: arenas, slots, kept values, queues, and plans bound to their
// addresses.
//
// Taken from the block's pool for the length of a run and given back when its queues are idle; grows to its largest plan.
// One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/plan/box.h"
#include "core/plan/plan.h"
#include "core/plan/resident.h"
#include "core/run/growth.h"
#include "core/run/queues.h"
#include "core/tensor/datum.h"

namespace tenon {

// A plan with the addresses of this context in it.
struct BoundProgram {
  std::vector<tenon_address> addresses;  // by operand
  tenon_binding* binding = nullptr;      // where the provider binds
};
struct SlotUse {
  std::uint32_t program, operand;
  ValueId value;
  bool kept;  // in a device's memory
};
struct BoundPlan {
  std::shared_ptr<const Plan> plan;
  std::uint64_t arena_version = 0;
  std::vector<BoundProgram> programs;
  std::vector<SlotUse> slots;  // operands whose address changes from run to run, by program
  std::vector<RunQueue*> queues;  // beside the plan's

  BoundPlan() = default;
  BoundPlan(BoundPlan&& o) noexcept = default;
  BoundPlan& operator=(BoundPlan&& o) noexcept;
  ~BoundPlan();
  void unbind();
};

class RunContext {
 public:
  explicit RunContext(const Graph& graph) : slots(graph.values.size()) {}

  // The plan with up-to-date addresses. Errors: RESOURCE_EXHAUSTED, the provider's.
  Result<BoundPlan*> bind(const std::shared_ptr<const Plan>& plan);
  // Its addresses are not needed any more.
  void forget(const std::shared_ptr<const Plan>& plan);
  tenon_address address(const Plan& plan, const Storage& storage) const;
  RunQueues& queues() { return queues_; }
  // Gives slot v memory for these dims: what it has, where that is large enough and nobody else holds it.
  Status size_slot(ValueId v, DType dtype, const std::int64_t* dims, std::size_t rank);
  // Gives what a plan keeps in memories of devices its buffers, before the plan is bound: those of the run before where
  // they are large enough and nobody else holds them. REQUIRES idle queues.
  Status keep(const Plan& plan);
  // The value stands in this buffer of the caller's until it is given back.
  void lend(const Resident& resident);
  void give_back_lent();
  // Where a value is kept. REQUIRES that keep or lend was called for it in this run.
  const std::shared_ptr<DeviceBuffer>& kept_buffer(ValueId v, const std::string& uid) const;
  std::uint64_t arena_bytes() const;

  std::vector<Datum> slots;       // by value
  std::vector<std::int64_t> key;  // scratch for signatures
  const Program* refused = nullptr;  // the program whose provider refused the sizes of the run
  std::vector<std::pair<ValueId, Datum*>> destinations;  // scratch: where the caller wants outputs
  Growth growth;                  // of the feeds' sizes
  std::unique_ptr<BoxPlan> box;   // the plan for sizes that grow, null until some do
  std::span<const Resident> residents;  // of the run

 private:
  struct Slab {
    std::uint64_t bytes = 0;
    std::shared_ptr<void> memory;  // host buffer or DeviceBuffer
    tenon_address address{};
  };
  struct Arena {
    std::string uid;
    std::vector<Slab> slabs;
  };
  // A value in a device's memory. Two buffers take turns where one is still held by somebody.
  struct Kept {
    ValueId value = none;
    std::string uid;
    std::uint64_t alignment = 0;
    std::shared_ptr<DeviceBuffer> now, spare, lent;
  };
  // Puts addresses that have changed since the run before into the programs; a binding is told of its own all at once.
  Status update(BoundPlan& bound);
  Status grow(const Plan& plan);
  Status allocate(Slab& slab, const Plan::Domain& domain, std::uint64_t bytes);
  Status fill(BoundPlan& bound);
  const Arena* arena(const std::string& uid) const;
  const Kept* kept(ValueId v, const std::string& uid) const;
  Kept& kept_or_new(ValueId v, const std::string& uid);

  std::vector<Arena> arenas_;
  std::vector<Kept> kept_;
  RunQueues queues_;  // destroyed before the memory that they worked with, after the bindings
  std::uint64_t arena_version_ = 0;
  std::vector<std::uint32_t> moved_;        // scratch: operands of one program whose addresses have changed
  std::vector<tenon_address> moved_to_;
  std::vector<std::unique_ptr<BoundPlan>> bound_;  // most recent first
};

// Where a datum's bytes (or strings) are, as providers see it.
tenon_address datum_address(Datum& datum);
// A copy of a small tensor's elements as plan-time knowledge.
Result<ConstantPtr> known_elements(const Datum& datum);

}  // namespace tenon
