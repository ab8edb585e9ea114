// waits: which items of a plan must wait for queues, and for which.
//
// A queue does its work in the order in which it was given, some time after the host has gone on. The host, and each other
// queue, waits for it where it touches memory that work of the queue touches, unless both only read. A pure function.
#pragma once

#include <cstdint>
#include <vector>

#include "core/plan/memory.h"

namespace tenon {

struct QueuedWork {
  std::uint32_t queue = none;  // none: the host does it and goes on when it is done
  std::vector<Region> regions;
};

// For each work of the list, done or given in this order, the waits before it.
std::vector<std::vector<PlannedWait>> find_waits(const std::vector<QueuedWork>& work, std::uint32_t queues);

}  // namespace tenon
