// RunContext: the memory of one run in flight on one block: arenas, slots, queues, and plans bound to their addresses.
//
// Taken from the block's pool for the length of a run and given back when its queues are idle; grows to its largest plan.
// One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/plan/box.h"
#include "core/plan/plan.h"
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
};
struct BoundPlan {
  std::shared_ptr<const Plan> plan;
  std::uint64_t arena_version = 0;
  std::vector<BoundProgram> programs;
  std::vector<SlotUse> slots;  // operands whose address changes from run to run
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
  std::uint64_t arena_bytes() const;

  std::vector<Datum> slots;       // by value
  std::vector<std::int64_t> key;  // scratch for signatures
  const Program* refused = nullptr;  // the program whose provider refused the sizes of the run
  std::vector<std::pair<ValueId, Datum*>> destinations;  // scratch: where the caller wants outputs
  Growth growth;                  // of the feeds' sizes
  std::unique_ptr<BoxPlan> box;   // the plan for sizes that grow, null until some do

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
  Status grow(const Plan& plan);
  Status allocate(Slab& slab, const Plan::Domain& domain, std::uint64_t bytes);
  Status fill(BoundPlan& bound);
  const Arena* arena(const std::string& uid) const;

  std::vector<Arena> arenas_;
  RunQueues queues_;  // destroyed before the memory that they worked with, after the bindings
  std::uint64_t arena_version_ = 0;
  std::vector<std::unique_ptr<BoundPlan>> bound_;  // most recent first
};

// Where a datum's bytes (or strings) are, as providers see it.
tenon_address datum_address(Datum& datum);
// A copy of a small tensor's elements as plan-time knowledge.
Result<ConstantPtr> known_elements(const Datum& datum);

}  // namespace tenon
