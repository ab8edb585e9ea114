#include "core/base/host_memory.h"

#include <cstdlib>
#include <limits>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace tenon {

std::shared_ptr<void> host_memory(std::uint64_t bytes) {
  constexpr std::uint64_t page = std::uint64_t{2} << 20;
  if (bytes > std::numeric_limits<std::uint64_t>::max() / 2) return nullptr;
#if defined(__linux__)
  if (bytes >= page) {
    // The last page is a large one, too, where more than a quarter of it is used.
    const std::uint64_t rest = bytes % page, size = rest > page / 4 ? bytes - rest + page : bytes;
    void* memory = nullptr;
    if (::posix_memalign(&memory, page, size) != 0) return nullptr;
    ::madvise(memory, size, MADV_HUGEPAGE);  // an advice: nothing is lost where it is not taken
    return {memory, ::free};
  }
#endif
  void* memory = ::operator new(bytes, std::align_val_t(64), std::nothrow);
  if (!memory) return nullptr;
  return {memory, [](void* p) { ::operator delete(p, std::align_val_t(64)); }};
}

}  // namespace tenon
