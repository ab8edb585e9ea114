#include "plugins/cpu/gemm/pages.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace tenon::cpu::gemm {

void prefer_large_pages(void* memory, std::uint64_t bytes) {
#if defined(__linux__)
  // Whole pages inside the memory, so that nothing else is touched.
  constexpr std::uintptr_t kPage = std::uintptr_t{2} << 20;
  // Memory that begins on such a border was made by a host that has thought of it.
  if (reinterpret_cast<std::uintptr_t>(memory) % kPage == 0) return;
  const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(memory) + kPage - 1) / kPage * kPage;
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)memory, (void)bytes;
#endif
}

}  // namespace tenon::cpu::gemm
