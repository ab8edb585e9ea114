#include "core/base/host_memory.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "core/base/pages.h"

namespace tenon {
namespace {

constexpr std::uint64_t large = std::uint64_t{2} << 20;

// Large blocks that were given back, the oldest first: a run that makes the same outputs as the last one writes to memory
// that the system has filled in already.
class Spare {
 public:
  static Spare& instance() {
    static Spare* made = new Spare;  // tensors may outlive static destructors
    return *made;
  }
  // Null unless a block has at least the size and not much more; then size is what it has.
  std::shared_ptr<void> take(std::uint64_t& size) {
    std::lock_guard lock(mutex_);
    const auto it = std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& b) { return b.size >= size && b.size - size <= size / 4; });
    if (it == blocks_.end()) return nullptr;
    std::shared_ptr<void> memory = std::move(it->memory);
    size = it->size;
    bytes_ -= size;
    blocks_.erase(it);
    return memory;
  }
  void give(std::shared_ptr<void> memory, std::uint64_t size) {
    if (size > most) return;
    std::lock_guard lock(mutex_);
    blocks_.push_back({std::move(memory), size});
    for (bytes_ += size; bytes_ > most; blocks_.erase(blocks_.begin())) bytes_ -= blocks_.front().size;
  }

 private:
#if defined(__SANITIZE_ADDRESS__)
  static constexpr std::uint64_t most = 0;
#else
  static constexpr std::uint64_t most = std::uint64_t{32} << 20;  // bytes that are kept
#endif
  Spare() { blocks_.reserve(most / large + 1); }  // so that giving back never allocates
  struct Block {
    std::shared_ptr<void> memory;
    std::uint64_t size;
  };
  std::mutex mutex_;
  std::vector<Block> blocks_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::shared_ptr<void> host_memory(std::uint64_t bytes) {
  if (bytes > std::numeric_limits<std::uint64_t>::max() / 2) return nullptr;
  if (bytes >= large) {
    std::uint64_t size = bytes;
    std::shared_ptr<void> block = Spare::instance().take(size);
    if (!block) block = large_memory(size);
    if (!block) return nullptr;
    void* memory = block.get();
    return {memory, [block = std::move(block), size](void*) mutable { Spare::instance().give(std::move(block), size); }};
  }
  void* memory = ::operator new(bytes, std::align_val_t(64), std::nothrow);
  if (!memory) return nullptr;
  return {memory, [](void* p) { ::operator delete(p, std::align_val_t(64)); }};
}

}  // namespace tenon
