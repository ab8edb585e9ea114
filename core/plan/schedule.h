// Schedule: the items of a plan in their order, when each happens, and what it does to memory; from that, who waits.
//
// Owned by one planner; no locks.
#pragma once

#include <vector>

#include "core/plan/memory.h"
#include "core/plan/waits.h"

namespace tenon {

struct MemoryUse {
  MemoryPlace place;
  ValueId value = none;
  bool write = false;
};

class Schedule {
 public:
  Schedule(Plan& plan, PlanMemory& memory) : plan_(plan), memory_(memory) {}

  // The time at which the next item begins.
  std::uint32_t now() const { return time_; }
  // The queue of a device, none where it has no streams.
  std::uint32_t queue_of(const DevicePtr& device);
  // Adds an item that takes so many stages. What it uses is touched by the caller for programs, whose steps know better.
  void add(PlannedItem::Kind kind, std::uint32_t index, std::uint32_t queue, std::vector<MemoryUse> uses, std::uint32_t stages = 1);

  // Before memory is laid out: host memory that a queued copy works with is free again where the host next waits for that
  // queue anyway, so that nobody waits for the sake of memory alone. (Memory of queued programs is mostly taken over by
  // the same queue.)
  void keep_copied();
  // Once it is laid out: fills the waits of the plan's items.
  void set_waits();

 private:
  struct Work {
    std::uint32_t queue = none;
    std::uint32_t time = 0;
    std::vector<MemoryUse> uses;
  };
  std::vector<std::vector<FoundWait>> waits() const;

  Plan& plan_;
  PlanMemory& memory_;
  std::vector<Work> work_;  // by item
  std::uint32_t time_ = 1;
};

}  // namespace tenon
