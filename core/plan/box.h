// BoxPlan: one plan for a box of sizes: laid out for the largest, set to the sizes of each run.
//
// What a run inside the box costs is inference of the sizes that changed and the steps of the providers that see them; offsets,
// operands, stages stay. Only for plans that consist of nothing but programs of devices that can resize theirs (tenon.resize),
// whose sizes are all known before the run. Owned by one run context, and so used by one run at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/plan/planner.h"
#include "core/plan/size_rules.h"
#include "core/provider/watch.h"
#include "core/tensor/datum.h"

namespace tenon {

class BoxPlan {
 public:
  // largest: the feeds at the upper corner of the box. turn guards input.inference and is the caller's now. Null where such
  // a plan cannot be. Errors: as make_plan.
  static Result<std::unique_ptr<BoxPlan>> make(const PlanInput& input, const std::vector<ValueId>& feeds, ShapeTable largest, Turn& turn);

  const std::shared_ptr<Plan>& plan() const { return plan_; }
  // These are the sizes (and elements) that it is set to.
  bool at(std::span<const Datum* const> feeds) const;
  // No size is above the box, nor a number that inference reads.
  bool holds(std::span<const Datum* const> feeds) const;
  // Sets it to these feeds. REQUIRES holds. After an error the plan is not to be used any more; UNSUPPORTED_SHAPE and whatever
  // else it is, planning for these very sizes is what is left.
  Status set(std::span<const Datum* const> feeds);

 private:
  BoxPlan(const PlanInput& input, const std::vector<ValueId>& feeds, Turn& turn);
  Status infer(NodeId node);
  void follow_reads();
  Status changed(ValueId v);
  bool fits(ValueId v) const;

  PlanInput in_;
  const Graph& graph_;
  std::vector<ValueId> feeds_;
  Turn& turn_;
  SizeRules rules_;
  std::shared_ptr<Plan> plan_;
  std::vector<Dims> most_;                  // by feed
  std::vector<std::vector<std::int64_t>> most_numbers_;  // by feed: elements that inference reads, where they are int64
  // Nodes that depend on feeds, in order, and the values that they read, in a row.
  struct Behind {
    NodeId node;
    std::uint32_t inputs, end;  // in reads_
  };
  std::vector<Behind> behind_;
  std::vector<ValueId> reads_;
  // The memory that the last call looked at: the weights of a model have driven it out of the caches since, and one miss
  // after the other would take longer than all that is computed. Asked for at once, misses overlap.
  std::vector<NodeId> ran_, running_;
  std::vector<const void*> lines_;
  std::vector<std::uint64_t> capacity_;     // by value: bytes at the largest sizes
  std::vector<std::uint64_t> elements_;     // by value: the same in elements
  std::vector<std::uint32_t> declared_at_;  // by value: where its dims stand in declared_; none where nothing is declared of it
  std::vector<std::int64_t> declared_;      // of values behind feeds: the rank, then each dim as the graph fixes it, or -1
  std::vector<char> seen_;                  // by value: changed in this call
  std::vector<std::uint32_t> changed_;
  Dims scratch_;
  std::vector<std::byte> bytes_;
};

}  // namespace tenon
