// host_memory: memory for what the elements of a tensor or an arena are written to.
// Aligned to 64 bytes at least; given back with the last holder. Large blocks are in large pages and a few are kept for the next
// that ask: the first write to a new page costs more than filling it, and outputs are new in every run. Any thread.
#pragma once

#include <cstdint>
#include <memory>

namespace tenon {

// Null without memory. Not filled.
std::shared_ptr<void> host_memory(std::uint64_t bytes);

}  // namespace tenon
