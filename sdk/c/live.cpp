#include "sdk/c/live.h"

#include <deque>
#include <map>
#include <mutex>
#include <new>

#include "core/base/log.h"

namespace tenon::sdk {
namespace {

constexpr std::size_t most_dead = 1024;  // of one size: as many releases later a handle may name another object

// By size; first in, first out.
struct Dead {
  std::mutex mutex;
  std::map<std::size_t, std::deque<void*>> all;
};
Dead& dead() {
  static Dead* made = new Dead;  // objects may be released after main
  return *made;
}

}  // namespace

void* live_memory(std::size_t bytes) {
  {
    std::lock_guard lock(dead().mutex);
    std::deque<void*>& of_size = dead().all[bytes];
    if (of_size.size() >= most_dead) {
      void* memory = of_size.front();
      of_size.pop_front();
      return memory;
    }
  }
  return ::operator new(bytes);
}

void dead_memory(void* memory, std::size_t bytes) noexcept {
  new (memory) std::atomic<std::uint64_t>(0);
  try {
    std::lock_guard lock(dead().mutex);
    dead().all[bytes].push_back(memory);
  } catch (const std::exception&) {
    // No memory to note it: it stays, as what is not used again.
  }
}

void log_not_live(const char* what) noexcept {
  try {
    log_at(TENON_LOG_ERROR, "api", "{}: released twice, or of another kind; nothing was done", what);
  } catch (const std::exception&) {
  }
}

}  // namespace tenon::sdk
