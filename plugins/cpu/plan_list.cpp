#include "plugins/cpu/plan_list.h"

#include <cstdint>
#include <memory>

namespace tenon::cpu {
namespace {

constexpr std::size_t block_bytes = 64 << 10;

struct Block {
  std::unique_ptr<std::byte[]> memory;
  std::size_t used = 0;
  bool open = false;
};
thread_local Block block;

}  // namespace

PlanMemory::Scope::Scope() {
  if (!block.memory) block.memory.reset(new (std::nothrow) std::byte[block_bytes]);
  block.used = 0;
  block.open = block.memory != nullptr;
}
PlanMemory::Scope::~Scope() { block.open = false; }

void* PlanMemory::take(std::size_t bytes, std::size_t alignment) noexcept {
  if (!block.open) return nullptr;
  const std::size_t at = (block.used + alignment - 1) / alignment * alignment;
  if (at > block_bytes || bytes > block_bytes - at) return nullptr;
  block.used = at + bytes;
  return block.memory.get() + at;
}

bool PlanMemory::owns(const void* p) noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(block.memory.get()), at = reinterpret_cast<std::uintptr_t>(p);
  return begin != 0 && at >= begin && at < begin + block_bytes;
}

}  // namespace tenon::cpu
