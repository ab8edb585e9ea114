// host_memory: memory for what the elements of a tensor or an arena are written to.
// Aligned to 64 bytes at least; freed with the last holder. Large blocks ask for large pages: the first write to a small page
// costs more than filling it, and a block that is freed with every run is new every time. Any thread.
#pragma once

#include <cstdint>
#include <memory>

namespace tenon {

// Null without memory. Not filled.
std::shared_ptr<void> host_memory(std::uint64_t bytes);

}  // namespace tenon
