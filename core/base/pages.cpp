#include "core/base/pages.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

namespace tenon {
namespace {

constexpr std::uint64_t large_page = std::uint64_t{2} << 20;

constexpr std::uintptr_t round_up(std::uintptr_t at, std::uint64_t unit) { return (at + unit - 1) / unit * unit; }

// Until when (nanoseconds of the clock) large pages are left alone. In a virtual machine whose host has yet to find the
// memory behind them, or where they must be put together first, they take longer than the small pages that they stand for.
std::atomic<std::int64_t> slow_until{0};
constexpr std::int64_t slow_page = 1'000'000, patience = 60'000'000'000;

std::int64_t now() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Asks for large pages and takes the first one to see what it costs.
void try_large_pages(void* memory, std::uint64_t bytes) {
#ifdef MADV_HUGEPAGE
  const std::int64_t begin = now();
  if (begin < slow_until.load(std::memory_order_relaxed)) return;
  if (::madvise(memory, bytes, MADV_HUGEPAGE) != 0) return;
  *static_cast<volatile char*>(memory) = 0;
  const std::int64_t end = now();
  if (end - begin <= slow_page) return;
  slow_until.store(end + patience, std::memory_order_relaxed);
  if (bytes > large_page) ::madvise(static_cast<char*>(memory) + large_page, bytes - large_page, MADV_NOHUGEPAGE);
#else
  (void)memory, (void)bytes;
#endif
}

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
  try_large_pages(memory, bytes / large_page * large_page);
  return {memory, [wanted](void* p) { ::munmap(p, wanted); }};
}

void prefer_large_pages(void* memory, std::uint64_t bytes) {
#ifdef MADV_HUGEPAGE
  const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(memory), begin = round_up(at, large_page), end = (at + bytes) / large_page * large_page;
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)memory, (void)bytes;
#endif
}

void forget_pages(const void* data, std::uint64_t bytes) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(data), begin = round_up(at, page), end = (at + bytes) / page * page;
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace tenon
