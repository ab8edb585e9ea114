// ChildProcess: runs a command to its end in a process of its own, with a time limit and its output kept.
//
// For whatever may crash or hang: probing a provider, one case of a conformance test. The child leads a process group, which
// is killed as a whole at the limit and after the end, and it dies with its parent. Depends on nothing else of core, so that
// tools take it as it is. No state; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace tenon {

struct ChildOptions {
  std::chrono::milliseconds limit{30'000};  // 0: none
  std::size_t output_limit = 1 << 20;       // bytes kept of each of stdout and stderr; the rest is read and dropped
  std::vector<std::pair<std::string, std::string>> environment;  // set in the child, on top of ours
  std::chrono::milliseconds silence{0};     // how long it may write nothing; 0: for ever
};

struct ChildResult {
  enum class End {
    exited,       // code: what it returned
    signalled,    // code: the signal
    timed_out,    // killed at the limit, or as it was silent for too long
    not_started,  // code: errno
  } end = End::not_started;
  int code = 0;
  std::string out, err;  // in full unless `cut`
  bool cut = false;      // the output limit was reached
  std::chrono::milliseconds time{0};
  std::chrono::milliseconds silent{0};  // how long it had written nothing when it was killed for that; else 0

  bool ok() const { return end == End::exited && code == 0; }
  // "exited with 3", "killed by SIGSEGV (invalid memory access)", "killed: still running after 5.0 s", ...
  std::string text() const;
};

// command[0] is a path, or a name that is looked up in PATH. Standard input is empty. Returns when the child has ended.
ChildResult run_child(const std::vector<std::string>& command, const ChildOptions& options = {});
// "SIGSEGV"; "signal 77" for numbers without a name.
std::string signal_name(int signal);

}  // namespace tenon
