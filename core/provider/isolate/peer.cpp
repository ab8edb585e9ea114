#include "core/provider/isolate/peer.h"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"

namespace tenon::isolate {
namespace {

constexpr std::chrono::milliseconds slice(10);  // how often a waiting call looks whether it is still wanted
constexpr std::size_t longest_line = 16384;     // of a log

}  // namespace

Peer::Peer(std::string topic, std::chrono::milliseconds limit, Socket control, Fd log, Process process)
    : topic_(std::move(topic)), limit_(limit), owner_(::getpid()), control_(std::move(control)), log_(std::move(log)), process_(std::move(process)) {}

Result<std::shared_ptr<Peer>> Peer::start(std::string topic, std::chrono::milliseconds limit) {
  TENON_ASSIGN(auto control, Socket::pair(slice));
  int log[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, log) != 0)
    return error(TENON_RESOURCE_EXHAUSTED, "no socket to a provider's process: {}", std::strerror(errno));
  Fd here(log[0]), there(log[1]);
  TENON_ASSIGN(Process process, Process::start(std::move(control.second), std::move(there)));
  return std::shared_ptr<Peer>(new Peer(std::move(topic), limit, std::move(control.first), std::move(here), std::move(process)));
}

Peer::~Peer() {
  if (::getpid() != owner_) {  // a copy of the process that started it: not ours to end
    [[maybe_unused]] Process* kept = new Process(std::move(process_));
    return;
  }
  idle_.clear();
  { const Socket closing = std::move(control_); }
  forward_log();
  process_.end(std::chrono::seconds(2));
}

bool Peer::alive() {
  if (dead_) return false;
  char byte;
  std::lock_guard lock(mutex_);
  return ::recv(control_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

void Peer::forward_log() {
  char line[longest_line];
  for (;;) {
    const ssize_t n = ::recv(log_.get(), line, sizeof line, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    Reader in({reinterpret_cast<const std::byte*>(line), static_cast<std::size_t>(n)});
    const auto level = std::clamp<std::int32_t>(in.get<std::int32_t>(), TENON_LOG_TRACE, TENON_LOG_ERROR);
    const std::string_view text = in.text();
    if (in.ok() && log_enabled(topic_, level)) log_write(topic_, level, text);
  }
}

Result<std::unique_ptr<Peer::Channel>> Peer::channel() {
  std::lock_guard lock(mutex_);
  if (!idle_.empty()) {
    std::unique_ptr<Channel> taken = std::move(idle_.back());
    idle_.pop_back();
    return taken;
  }
  TENON_ASSIGN(auto ends, Socket::pair(slice));
  TENON_ASSIGN(SharedMemory page, SharedMemory::make(sizeof(Page)));
  const int fds[] = {ends.second.get(), page.fd()};
  TENON_TRY(control_.send(static_cast<std::uint32_t>(Ask::channel), {}, fds));
  page.close_fd();
  return std::make_unique<Channel>(std::move(ends.first), std::move(page));
}

Status Peer::finish(std::int32_t code, const Request& request, const std::string& reason) {
  std::lock_guard lock(mutex_);
  if (!dead_) {
    forward_log();  // its last words
    if (!reason.empty()) process_.kill();
    const std::string& end = process_.end(std::chrono::seconds(1));
    ended_ = reason.empty() ? "its process " + end : reason;
    dead_ = true;
    idle_.clear();
  }
  return error(code, "{} during {}", ended_, request.what);
}

std::string Peer::end() {
  (void)finish(TENON_UNAVAILABLE, {}, "");
  std::lock_guard lock(mutex_);
  return ended_;
}

Status Peer::gone(const Request& request) { return finish(TENON_UNAVAILABLE, request, ""); }

Status Peer::exchange(Channel& channel, const Request& request, const Writer& body, Message& answer) {
  using Clock = std::chrono::steady_clock;
  Page& page = channel.shared();
  page.cancelled.store(0, std::memory_order_relaxed);
  page.progress.store(0, std::memory_order_relaxed);
  if (!channel.socket.send(static_cast<std::uint32_t>(request.ask), body.bytes(), request.fds).ok()) return gone(request);
  auto life = Clock::now();
  std::uint32_t progress = 0;
  for (bool cancelled = false;;) {
    switch (channel.socket.receive(answer)) {
      case Socket::Got::message: return {};
      case Socket::Got::closed: return gone(request);
      case Socket::Got::nonsense: return finish(TENON_INTERNAL, request, "its process answered what the protocol does not know, and was ended");
      case Socket::Got::nothing_yet: break;
    }
    if (request.task && !cancelled && request.task->cancelled()) {
      cancelled = true;
      page.cancelled.store(1, std::memory_order_relaxed);
    }
    if (const std::uint32_t now = page.progress.load(std::memory_order_relaxed); now != progress && now <= 1'000'000) {
      progress = now;
      if (!cancelled) life = Clock::now();
      if (request.task) request.task->progress(now / 1e6);
    }
    if (dead_) return gone(request);
    if (limit_.count() > 0 && Clock::now() - life >= limit_)
      return finish(TENON_DEADLINE_EXCEEDED, request,
                    fmt::format("its process gave no sign of life for {:.1f} s (isolate_limit) and was ended", static_cast<double>(limit_.count()) / 1000));
  }
}

Status Peer::call_with_memory(const Request& request, const std::function<Status(Writer&, SharedMemory&, std::vector<int>&)>& give,
                              const std::function<Status(Reader&, SharedMemory&)>& take) {
  if (::getpid() != owner_)
    return error(TENON_FAILED_PRECONDITION, "{} in a copy of the process that loaded the model (fork): load it again there", request.what);
  if (dead_) return gone(request);
  Result<std::unique_ptr<Channel>> taken = channel();
  if (!taken.ok()) return taken.status().code() == TENON_UNAVAILABLE ? gone(request) : std::move(taken.status());
  Channel& channel = **taken;
  Writer body;
  Request full = request;
  Status status = give(body, channel.memory, full.fds);
  Message answer;
  bool usable = true;
  if (status.ok()) {
    status = exchange(channel, full, body, answer);
    usable = status.ok();
    if (usable) {
      Reader in(answer.body);
      const auto code = in.get<std::int32_t>();
      const auto native = in.get<std::int64_t>();
      const std::string_view text = in.text();
      if (in.ok() && code != TENON_OK) {
        auto* raw = new tenon_status{code, native, std::string(text)};
        status = Status(raw);
      } else if (in.ok() && take) {
        status = take(in, channel.memory);
      }
      if (!in.ok()) {
        usable = false;
        status = finish(TENON_INTERNAL, full, "its process answered nonsense, and was ended");
      }
    }
    forward_log();
  }
  if (usable && !dead_) {
    std::lock_guard lock(mutex_);
    idle_.push_back(*std::move(taken));
  }
  return status;
}

Status Peer::call(const Request& request, const Writer& body, const std::function<Status(Reader&)>& take) {
  return call_with_memory(
      request,
      [&](Writer& out, SharedMemory&, std::vector<int>&) {
        out.append(body);
        return Status();
      },
      [&](Reader& in, SharedMemory&) {
        Status status = take ? take(in) : Status();
        if (!in.done()) in.fail();
        return status;
      });
}

}  // namespace tenon::isolate
