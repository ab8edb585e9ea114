// Large memory: zeroed buffers from the system, on large pages where it has them.
//
// A buffer of 2 MiB and more begins on a border of 2 MiB, so that its whole large pages can be used; its tail is of small
// pages, so nothing is wasted. Where large pages turn out to be slow to get, small ones are taken for a while. Smaller ones come from the heap and are not zeroed. Owned by the holder; any thread.
#pragma once

#include <cstdint>
#include <memory>

namespace tenon {

// At least 64-byte aligned; null when there is none.
std::shared_ptr<void> large_memory(std::uint64_t bytes, std::uint64_t alignment = 64);

// For memory that has been written and stays: where it is on small pages, the system may put large ones in their place by and by.
void prefer_large_pages(void* memory, std::uint64_t bytes);

// Gives the whole pages inside a read-only file mapping back to the system: they are read again if anyone asks.
void forget_pages(const void* begin, std::uint64_t bytes);

}  // namespace tenon
