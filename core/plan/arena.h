// arena: offsets for buffers with known lifetimes in one or several blocks of memory (slabs).
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
  std::uint32_t slab = 0;             // the answer
  std::uint64_t offset = 0;
};

// Sets slab and offset of every buffer so that no two that are alive at the same time overlap; returns the bytes of each
// slab, none of which is over max_slab (0: no bound, one slab). Largest first, each into the lowest gap of the first slab
// that holds it: O(n * neighbours in time). REQUIRES that no buffer is larger than max_slab. Errors: OUT_OF_RANGE.
Result<std::vector<std::uint64_t>> lay_out(std::vector<ArenaBuffer>& buffers, std::uint64_t max_slab = 0);

}  // namespace tenon
