// Process: a child that serves one device of an isolated provider, and how it ended.
//
// The program tenon_provider_host lies beside libtenon. It leaves when its parent does: its control socket closes then, however the
// parent ended. Owned by one holder; killed and reaped with it. Any thread.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include <sys/types.h>

#include "core/provider/isolate/shared_memory.h"

namespace tenon::isolate {

class Process {
 public:
  // The other ends of control and log. Errors: NOT_FOUND where the program is missing, UNAVAILABLE.
  static Result<Process> start(Fd control, Fd log);
  Process(Process&& o) noexcept : pid_(std::exchange(o.pid_, -1)), end_(std::move(o.end_)) {}
  Process& operator=(Process&&) = delete;
  ~Process() { end(std::chrono::milliseconds(0)); }

  // Waits for its end, and makes one after the patience. How it ended: "was killed by SIGSEGV (...)", the same every time.
  const std::string& end(std::chrono::milliseconds patience);
  void kill();
  pid_t pid() const { return pid_; }

 private:
  explicit Process(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
  std::string end_;
};

// "" when it is not there.
std::string host_program();

}  // namespace tenon::isolate
