#include "core/base/pages.h"

#include <algorithm>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

namespace tenon {
namespace {

constexpr std::uint64_t large_page = std::uint64_t{2} << 20;

constexpr std::uintptr_t round_up(std::uintptr_t at, std::uint64_t unit) { return (at + unit - 1) / unit * unit; }

}  // namespace

std::shared_ptr<void> large_memory(std::uint64_t bytes, std::uint64_t alignment) {
  alignment = std::max<std::uint64_t>(alignment, 64);
  if (bytes >= std::uint64_t{1} << 62 || alignment > std::uint64_t{1} << 32) return nullptr;
  if (bytes < large_page || alignment > large_page) {
    void* memory = nullptr;
    if (::posix_memalign(&memory, alignment, bytes ? bytes : 1) != 0) return nullptr;
    return {memory, ::free};
  }
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t wanted = round_up(bytes, page), size = wanted + large_page;
  void* raw = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto all = reinterpret_cast<std::uintptr_t>(raw), begin = round_up(all, large_page);
  if (begin > all) ::munmap(raw, begin - all);
  if (all + size > begin + wanted) ::munmap(reinterpret_cast<void*>(begin + wanted), all + size - begin - wanted);
  void* memory = reinterpret_cast<void*>(begin);
#ifdef MADV_HUGEPAGE
  ::madvise(memory, bytes / large_page * large_page, MADV_HUGEPAGE);
#endif
  return {memory, [wanted](void* p) { ::munmap(p, wanted); }};
}

void forget_pages(const void* data, std::uint64_t bytes) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(data), begin = round_up(at, page), end = (at + bytes) / page * page;
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace tenon
