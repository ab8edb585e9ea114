// FloatMode: how this thread rounds and treats denormals, kept as it was while foreign code runs.
//
// A library that changes it and forgets would change the results of everything that runs on the thread afterwards. Lives on the
// stack of one thread.
#pragma once

#include <cfenv>
#include <cstdint>

namespace tenon {

class FloatMode {
 public:
  FloatMode() : before_(now()) {}
  ~FloatMode() {
    if (now() != before_) set(before_);
  }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr std::uint32_t raised = 0x3f;  // exceptions that have been raised are no mode
  static std::uint32_t now() { return __builtin_ia32_stmxcsr() & ~raised; }
  static void set(std::uint32_t mode) {
    std::fesetround(static_cast<int>((mode >> 13 & 3) << 10));  // the x87 unit's too
    __builtin_ia32_ldmxcsr(mode | (__builtin_ia32_stmxcsr() & raised));
  }
#else
  static std::uint32_t now() { return static_cast<std::uint32_t>(std::fegetround()); }
  static void set(std::uint32_t mode) { std::fesetround(static_cast<int>(mode)); }
#endif
  const std::uint32_t before_;
};

}  // namespace tenon
