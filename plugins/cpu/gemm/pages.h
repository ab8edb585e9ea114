// Pages: asks the system for large pages under memory that is read from end to end in every run.
// With small pages a product whose weights do not fit the caches waits for page walks: a tenth of the time for many rows, a
// third for one. Any thread.
#pragma once

#include <cstdint>

namespace tenon::cpu::gemm {

// Before memory is written for the first time. Only an advice: nothing happens where the system has no large pages.
void prefer_large_pages(void* memory, std::uint64_t bytes);

}  // namespace tenon::cpu::gemm
