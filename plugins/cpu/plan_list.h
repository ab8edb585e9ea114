// PlanList: a vector that an op fills while it plans, and that is gone when its plan returns.
//
// Its memory is a block that the thread keeps and PlanMemory::Scope, around the plan of one unit, starts anew: the next token
// of a decoder plans some units again and must not pay for an allocator. Outside of a scope, and beyond the block, it is the
// heap's. A list does not outlive its scope; what a step needs goes through PlanBuilder::keep. Threads: each its own.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace tenon::cpu {

class PlanMemory {
 public:
  class Scope {
   public:
    Scope();
    ~Scope();
    Scope(const Scope&) = delete;
  };

  // Null outside of a scope, or where the block is full.
  static void* take(std::size_t bytes, std::size_t alignment) noexcept;
  static bool owns(const void* p) noexcept;
};

template <class T>
struct PlanAllocator {
  using value_type = T;
  PlanAllocator() = default;
  template <class U>
  PlanAllocator(const PlanAllocator<U>&) noexcept {}

  T* allocate(std::size_t n) {
    if (void* p = PlanMemory::take(n * sizeof(T), alignof(T))) return static_cast<T*>(p);
    return static_cast<T*>(::operator new(n * sizeof(T)));
  }
  void deallocate(T* p, std::size_t) noexcept {
    if (!PlanMemory::owns(p)) ::operator delete(p);
  }
  template <class U>
  bool operator==(const PlanAllocator<U>&) const noexcept {
    return true;
  }
};

template <class T>
using PlanList = std::vector<T, PlanAllocator<T>>;

}  // namespace tenon::cpu
