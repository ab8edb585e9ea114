#include "core/base/host_memory.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace tenon {
namespace {

#if defined(__linux__)
constexpr std::uint64_t page = std::uint64_t{2} << 20;

// Large blocks that were given back, the oldest first: a run that makes the same outputs as the last one writes to memory
// that the system has filled in already.
class Spare {
 public:
  static Spare& instance() {
    static Spare* made = new Spare;  // tensors may outlive static destructors
    return *made;
  }
  // Null unless a block has at least the size and not much more; then size is what it has.
  void* take(std::uint64_t& size) {
    std::lock_guard lock(mutex_);
    const auto it = std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& b) { return b.size >= size && b.size - size <= size / 4; });
    if (it == blocks_.end()) return nullptr;
    void* memory = it->memory;
    size = it->size;
    bytes_ -= size;
    blocks_.erase(it);
    return memory;
  }
  void give(void* memory, std::uint64_t size) {
    if (size > most) return ::free(memory);
    std::lock_guard lock(mutex_);
    blocks_.push_back({memory, size});
    for (bytes_ += size; bytes_ > most; blocks_.erase(blocks_.begin())) {
      bytes_ -= blocks_.front().size;
      ::free(blocks_.front().memory);
    }
  }

 private:
#if defined(__SANITIZE_ADDRESS__)
  static constexpr std::uint64_t most = 0;
#else
  static constexpr std::uint64_t most = std::uint64_t{32} << 20;  // bytes that are kept
#endif
  Spare() { blocks_.reserve(most / page + 1); }  // so that giving back never allocates
  struct Block {
    void* memory;
    std::uint64_t size;
  };
  std::mutex mutex_;
  std::vector<Block> blocks_;
  std::uint64_t bytes_ = 0;
};
#endif

}  // namespace

std::shared_ptr<void> host_memory(std::uint64_t bytes) {
  if (bytes > std::numeric_limits<std::uint64_t>::max() / 2) return nullptr;
#if defined(__linux__)
  if (bytes >= page) {
    // The last page is a large one, too, where more than a quarter of it is used.
    const std::uint64_t rest = bytes % page;
    std::uint64_t size = rest > page / 4 ? bytes - rest + page : bytes;
    void* memory = Spare::instance().take(size);
    if (!memory) {
      if (::posix_memalign(&memory, page, size) != 0) return nullptr;
      ::madvise(memory, size, MADV_HUGEPAGE);  // an advice: nothing is lost where it is not taken
    }
    return {memory, [size](void* p) { Spare::instance().give(p, size); }};
  }
#endif
  void* memory = ::operator new(bytes, std::align_val_t(64), std::nothrow);
  if (!memory) return nullptr;
  return {memory, [](void* p) { ::operator delete(p, std::align_val_t(64)); }};
}

}  // namespace tenon
