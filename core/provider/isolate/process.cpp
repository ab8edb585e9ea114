#include "core/provider/isolate/process.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "core/base/child_process.h"
#include "core/base/dynlib.h"
#include "core/provider/isolate/protocol.h"

extern char** environ;

namespace tenon::isolate {

std::string host_program() {
  const std::filesystem::path folder = std::filesystem::path(own_library_path()).parent_path();
  std::error_code code;
  for (const char* place : {"tenon/tenon_provider_host", "../lib/tenon/tenon_provider_host"})
    if (const auto path = folder / place; std::filesystem::is_regular_file(path, code)) return path.lexically_normal().string();
  return "";
}

Result<Process> Process::start(Fd control, Fd log) {
  std::string program = host_program();
  if (program.empty())
    return error(TENON_NOT_FOUND, "an isolated provider needs the program lib/tenon/tenon_provider_host beside libtenon; install all of tenon");
  // Out of the way of the numbers that the child knows them by.
  control = Fd(::fcntl(control.get(), F_DUPFD_CLOEXEC, 10));
  log = Fd(::fcntl(log.get(), F_DUPFD_CLOEXEC, 10));
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, control.get(), control_fd);
  ::posix_spawn_file_actions_adddup2(&files, log.get(), log_fd);
  sigset_t none, usual;
  ::sigemptyset(&none);
  ::sigemptyset(&usual);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGCHLD}) ::sigaddset(&usual, signal);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &usual);
  // Its own group: what a terminal sends to the application is for the application.
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  char* const arguments[] = {program.data(), nullptr};
  pid_t pid = -1;
  const int code = control && log ? ::posix_spawn(&pid, program.c_str(), &files, &attributes, arguments, environ) : EMFILE;
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (code != 0) return error(TENON_UNAVAILABLE, "\"{}\" cannot be started: {}", program, std::strerror(code));
  return Process(pid);
}

void Process::kill() {
  if (pid_ > 0) ::kill(-pid_, SIGKILL), ::kill(pid_, SIGKILL);
}

const std::string& Process::end(std::chrono::milliseconds patience) {
  if (pid_ <= 0) return end_;
  int status = 0;
  pid_t ended = 0;
  const auto until = std::chrono::steady_clock::now() + patience;
  while ((ended = ::waitpid(pid_, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (ended == 0) {
    kill();
    do ended = ::waitpid(pid_, &status, 0);
    while (ended < 0 && errno == EINTR);
  }
  pid_ = -1;
  ChildResult result;
  result.end = ended > 0 && WIFSIGNALED(status) ? ChildResult::End::signalled : ChildResult::End::exited;
  result.code = result.end == ChildResult::End::signalled ? WTERMSIG(status) : WEXITSTATUS(status);
  // Somebody else in this process may have waited for all children.
  end_ = ended < 0 ? "ended, and its exit status was taken by another wait" : result.end == ChildResult::End::signalled ? "was " + result.text() : result.text();
  return end_;
}

}  // namespace tenon::isolate
