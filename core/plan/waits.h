// waits: which items of a plan must wait for queues, and for which.
//
// A queue does its work in the order in which it was given, some time after the host has gone on. The host, and each other
// queue, waits for it where it touches memory that work of the queue touches, unless both only read: up to that work where
// the queue can be marked, else for all that it was given. A pure function.
#pragma once

#include <cstdint>
#include <vector>

#include "core/plan/memory.h"

namespace tenon {

struct QueuedWork {
  std::uint32_t queue = none;  // none: the host does it and goes on when it is done
  std::vector<Region> regions;
};

// `by` waits until `queue` has done the work at this index of the list, and all before it; none: all that was given so far.
struct FoundWait {
  std::uint32_t queue = none;
  std::uint32_t by = none;  // none: the host
  std::uint32_t after = none;
};

// For each work of the list, done or given in this order, the waits before it. marked: by queue, whether it can be marked.
std::vector<std::vector<FoundWait>> find_waits(const std::vector<QueuedWork>& work, const std::vector<bool>& marked);

}  // namespace tenon
