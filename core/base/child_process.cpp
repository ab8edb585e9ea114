#include "core/base/child_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <string_view>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

extern char** environ;

namespace tenon {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto glance = std::chrono::milliseconds(20);  // how often the end is looked for while a pipe stays open

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) ends_ = {-1, -1};
  }
  ~Pipe() { close_read(), close_write(); }
  Pipe(const Pipe&) = delete;
  bool made() const { return ends_[0] >= 0; }
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  void close_read() { close(ends_[0]); }
  void close_write() { close(ends_[1]); }

 private:
  static void close(int& end) {
    if (end >= 0) ::close(std::exchange(end, -1));
  }
  std::array<int, 2> ends_{-1, -1};
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> merged_environment(const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    bool replaced = false;
    for (const auto& [name, value] : added) replaced |= text.size() > name.size() && text.starts_with(name) && text[name.size()] == '=';
    if (!replaced) out.emplace_back(text);
  }
  for (const auto& [name, value] : added) out.push_back(name + "=" + value);
  return out;
}

// Between fork and exec: other threads of the parent may have held any lock, so system calls only.
[[noreturn]] void become(char* const* command, char* const* environment, int out, int err, int fault, pid_t parent) {
  const auto fail = [&] {
    const int code = errno;
    [[maybe_unused]] const ssize_t told = ::write(fault, &code, sizeof code);
    ::_exit(127);
  };
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  sigset_t all;
  sigemptyset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGCHLD}) ::signal(signal, SIG_DFL);
  const int empty = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (empty < 0 || ::dup2(empty, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) fail();
  ::execvpe(command[0], command, environment);
  fail();
  ::_exit(127);
}

// Reads what there is. False at the end of the stream.
bool take(int from, std::string& to, std::size_t limit, bool& cut) {
  char buffer[16384];
  const ssize_t n = ::read(from, buffer, sizeof buffer);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (n <= 0) return false;
  const std::size_t room = limit - std::min(limit, to.size());
  const std::size_t kept = std::min(room, static_cast<std::size_t>(n));
  to.append(buffer, kept);
  cut |= kept < static_cast<std::size_t>(n);
  return true;
}

const char* meaning(int signal) {
  switch (signal) {
    case SIGSEGV: return " (invalid memory access)";
    case SIGBUS: return " (bad address, or a mapped file became shorter)";
    case SIGILL: return " (an instruction that this CPU does not have)";
    case SIGFPE: return " (arithmetic fault)";
    case SIGABRT: return " (it called abort)";
    case SIGKILL: return " (by another process, or out of memory)";
    default: return "";
  }
}

}  // namespace

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

std::string ChildResult::text() const {
  switch (end) {
    case End::exited: return fmt::format("exited with {}", code);
    case End::signalled: return fmt::format("killed by {}{}", signal_name(code), meaning(code));
    case End::timed_out: {
      const auto seconds = [](std::chrono::milliseconds t) { return static_cast<double>(t.count()) / 1000; };
      return fmt::format("killed: still running after {:.1f} s{}", seconds(time),
                         silent.count() > 0 ? fmt::format(", silent for the last {:.1f} s", seconds(silent)) : "");
    }
    case End::not_started: break;
  }
  return fmt::format("could not be started: {}", std::strerror(code));
}

ChildResult run_child(const std::vector<std::string>& command, const ChildOptions& options) {
  ChildResult result;
  result.code = EINVAL;
  if (command.empty()) return result;
  std::vector<std::string> words = command, environment = merged_environment(options.environment);
  const std::vector<char*> argv = pointers(words), envp = pointers(environment);
  Pipe out, err, fault;
  const pid_t parent = ::getpid();
  const auto start = Clock::now();
  const pid_t child = out.made() && err.made() && fault.made() ? ::fork() : -1;
  if (child < 0) {
    result.code = errno;
    return result;
  }
  if (child == 0) become(argv.data(), envp.data(), out.write_end(), err.write_end(), fault.write_end(), parent);
  ::setpgid(child, child);  // by both: whichever comes first
  out.close_write(), err.close_write(), fault.close_write();

  auto heard = start;
  const auto mute = [&] { return options.silence.count() > 0 && Clock::now() - heard >= options.silence; };
  const auto over = [&] { return (options.limit.count() > 0 && Clock::now() - start >= options.limit) || mute(); };
  int status = 0;
  bool ended = false;
  const auto look = [&] { return ended = ended || ::waitpid(child, &status, WNOHANG) == child; };
  // Until it ends, not until its pipes close: something it started may hold them for ever.
  while (!look() && !over()) {
    pollfd ends[2] = {{out.read_end(), POLLIN, 0}, {err.read_end(), POLLIN, 0}};
    if (ends[0].fd < 0 && ends[1].fd < 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    if (::poll(ends, 2, static_cast<int>(glance.count())) <= 0) continue;
    if ((ends[0].revents | ends[1].revents) & POLLIN) heard = Clock::now();
    if (ends[0].revents && !take(out.read_end(), result.out, options.output_limit, result.cut)) out.close_read();
    if (ends[1].revents && !take(err.read_end(), result.err, options.output_limit, result.cut)) err.close_read();
  }
  result.time = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  const bool timed_out = !look();
  if (timed_out && mute()) result.silent = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - heard);
  ::kill(-child, SIGKILL);
  if (timed_out) ::waitpid(child, &status, 0);
  // What it had written before.
  const auto drain = [&](Pipe& from, std::string& to) {
    for (pollfd end{from.read_end(), POLLIN, 0}; end.fd >= 0 && ::poll(&end, 1, 0) > 0;)
      if (!take(end.fd, to, options.output_limit, result.cut)) break;
  };
  drain(out, result.out), drain(err, result.err);

  int code = 0;
  if (::read(fault.read_end(), &code, sizeof code) == static_cast<ssize_t>(sizeof code)) {
    result.end = ChildResult::End::not_started;
    result.code = code;
  } else if (timed_out) {
    result.end = ChildResult::End::timed_out;
  } else if (WIFSIGNALED(status)) {
    result.end = ChildResult::End::signalled;
    result.code = WTERMSIG(status);
  } else {
    result.end = ChildResult::End::exited;
    result.code = WEXITSTATUS(status);
  }
  return result;
}

}  // namespace tenon
