// arena: offsets for buffers with known lifetimes in one block of memory.
// A pure function; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/checked.h"

namespace tenon {

struct ArenaBuffer {
  std::uint64_t bytes = 0;
  std::uint64_t alignment = 64;
  std::uint32_t first = 0, last = 0;  // stages in which it is alive, both included
  std::uint64_t offset = 0;           // the answer
};

// Sets every offset so that no two buffers alive at the same time overlap; returns the bytes needed. Largest first, each
// into the lowest gap that holds it: O(n * neighbours in time). Errors: OUT_OF_RANGE.
Result<std::uint64_t> lay_out(std::vector<ArenaBuffer>& buffers);

}  // namespace tenon
