// Live: objects behind handles that know whether they still are, and of what kind: a handle that was released, or is of another
// kind, is an error of the caller's that can be told.
//
// An object's first bytes name its kind. What was released keeps its memory, with that name gone, until many more have been: so
// handles are looked at without locks and without touching freed memory. Not told: a handle that was never one, and one that is
// released by one thread while another uses it. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tenon::sdk {

// Memory for an object; that of one released long ago where there is some.
void* live_memory(std::size_t bytes);
// Takes back what live_memory gave; it is given out again when others have been released after it.
void dead_memory(void* memory, std::size_t bytes) noexcept;

// T derives from it first and has no virtual functions. Kind: four letters.
template <class T, std::uint32_t Kind>
class Live {
 public:
  static void* operator new(std::size_t bytes) { return live_memory(bytes); }
  static void operator delete(void* memory) noexcept { dead_memory(memory, sizeof(T)); }
  // The object, or null where the handle is null, released or of another kind.
  static bool is(const T* handle) {
    return handle && reinterpret_cast<const std::atomic<std::uint64_t>*>(handle)->load(std::memory_order_acquire) == (std::uint64_t{Kind} << 32 | Kind);
  }

 protected:
  Live() = default;
  Live(const Live&) = delete;

 private:
  std::atomic<std::uint64_t> kind_{std::uint64_t{Kind} << 32 | Kind};
};

// handle, or null where it is no live object of its type.
template <class T>
T* live(T* handle) {
  return T::is(handle) ? handle : nullptr;
}
void log_not_live(const char* what) noexcept;
// Ends an object once; what is none is left alone, with a line in the log.
template <class T>
void release(T* handle, const char* what) noexcept {
  if (T::is(handle)) delete handle;
  else if (handle) log_not_live(what);
}

}  // namespace tenon::sdk
