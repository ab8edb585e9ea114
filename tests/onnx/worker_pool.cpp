#include "worker_pool.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tenon::corpus {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t stop = ~0ull;

bool send_all(int socket, const void* data, std::size_t size) {
  for (const char* at = static_cast<const char*>(data); size > 0;) {
    const ssize_t n = send(socket, at, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n, size -= static_cast<std::size_t>(n);
  }
  return true;
}

bool receive_all(int socket, void* data, std::size_t size) {
  for (char* at = static_cast<char*>(data); size > 0;) {
    const ssize_t n = recv(socket, at, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n, size -= static_cast<std::size_t>(n);
  }
  return true;
}

// A worker's life: an index comes, a text goes. It ends by exit, so that leaks are looked for.
[[noreturn]] void serve(int socket, const std::function<std::string(std::size_t)>& job) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (std::uint64_t index = 0; receive_all(socket, &index, sizeof index) && index != stop;) {
    const std::string text = job(index);
    const std::uint64_t size = text.size();
    if (!send_all(socket, &size, sizeof size) || !send_all(socket, text.data(), size)) break;
  }
  std::exit(0);
}

class Worker {
 public:
  explicit Worker(const std::function<std::string(std::size_t)>& job) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      throw std::runtime_error(fmt::format("socketpair: {}", std::strerror(errno)));
    process_ = fork();
    if (process_ < 0) throw std::runtime_error(fmt::format("fork: {}", std::strerror(errno)));
    if (process_ == 0) {
      close(ends[0]);
      serve(ends[1], job);
    }
    close(ends[1]);
    socket_ = ends[0];
  }
  Worker(Worker&& other) noexcept { *this = std::move(other); }
  Worker& operator=(Worker&& other) noexcept {
    std::swap(process_, other.process_), std::swap(socket_, other.socket_), std::swap(index, other.index), std::swap(begin, other.begin);
    return *this;
  }
  ~Worker() {
    if (process_ > 0) kill(process_, SIGKILL), end();
  }

  int socket() const { return socket_; }
  void start(std::size_t which) {
    index = which, begin = Clock::now();
    const std::uint64_t number = which;
    send_all(socket_, &number, sizeof number);  // a dead one is noticed when its answer is read
  }
  std::optional<std::string> answer() {
    std::uint64_t size = 0;
    if (!receive_all(socket_, &size, sizeof size)) return std::nullopt;
    std::string text(size, '\0');
    if (!receive_all(socket_, text.data(), size)) return std::nullopt;
    return text;
  }
  void kill_now() { kill(process_, SIGKILL); }
  // Waits for its end: "" if that was as asked for.
  std::string end() {
    send_all(socket_, &stop, sizeof stop);
    int status = 0;
    while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {}
    close(socket_);
    process_ = -1;
    if (WIFSIGNALED(status)) return fmt::format("died of signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status) == 0 ? "" : fmt::format("the process ended with status {}", WEXITSTATUS(status));
  }

  std::optional<std::size_t> index;  // the job in hand
  Clock::time_point begin;

 private:
  pid_t process_ = -1;
  int socket_ = -1;
};

}  // namespace

std::string WorkerPool::run(std::size_t count, const std::function<std::string(std::size_t)>& job,
                            const std::function<void(std::size_t, const std::string&, double)>& done) const {
  std::vector<Worker> all;
  std::size_t next = 0, ended = 0;
  for (std::size_t i = 0; i < std::min(std::max<std::size_t>(workers, 1), count); ++i) all.emplace_back(job);
  while (ended < count) {
    std::vector<pollfd> sockets;
    for (Worker& w : all) {
      if (!w.index && next < count) w.start(next++);
      sockets.push_back({w.socket(), static_cast<short>(w.index ? POLLIN : 0), 0});
    }
    poll(sockets.data(), sockets.size(), 200);
    for (std::size_t i = 0; i < all.size(); ++i) {
      Worker& w = all[i];
      if (!w.index) continue;
      const bool late = Clock::now() - w.begin > limit;
      if (!sockets[i].revents && !late) continue;
      const std::size_t index = *w.index;
      const double seconds = std::chrono::duration<double>(Clock::now() - w.begin).count();
      std::optional<std::string> text;
      if (sockets[i].revents) {
        text = w.answer();
      } else {
        w.kill_now();
        text = fmt::format("no end in {} s", limit.count());
      }
      w.index.reset();
      if (!text || !sockets[i].revents) {
        std::string death = w.end();
        if (!text) text = death.empty() ? "the process ended without a result" : death;
        w = Worker(job);
      }
      ++ended;
      done(index, *text, seconds);
    }
  }
  std::string deaths;
  for (Worker& w : all)
    if (const std::string death = w.end(); !death.empty())
      deaths += fmt::format("{}after its last job: {}", deaths.empty() ? "" : "; ", death);
  return deaths;
}

}  // namespace tenon::corpus
