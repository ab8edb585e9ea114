#include "core/provider/isolate/socket.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/time.h>

namespace tenon::isolate {
namespace {

constexpr std::uint32_t magic = 0x316e6f74;  // "ton1"
constexpr std::size_t packet = 65536;        // of the body, at most
constexpr std::uint64_t longest = std::uint64_t{1} << 32;

struct Head {
  std::uint32_t magic = isolate::magic, kind = 0;
  std::uint64_t bytes = 0;
  std::uint32_t fds = 0, spilled = 0;
};

}  // namespace

Result<std::pair<Socket, Fd>> Socket::pair(std::chrono::milliseconds slice) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return error(TENON_RESOURCE_EXHAUSTED, "no socket to a provider's process: {}", std::strerror(errno));
  Socket here{Fd(ends[0])};
  Fd there(ends[1]);
  const timeval wait{slice.count() / 1000, static_cast<suseconds_t>(slice.count() % 1000 * 1000)};
  ::setsockopt(here.fd(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  const timeval long_wait{10, 0};
  ::setsockopt(here.fd(), SOL_SOCKET, SO_SNDTIMEO, &long_wait, sizeof long_wait);
  return std::pair(std::move(here), std::move(there));
}

Status Socket::send(std::uint32_t kind, std::span<const std::byte> body, std::span<const int> fds) {
  Head head{magic, kind, body.size(), static_cast<std::uint32_t>(fds.size()), body.size() > packet};
  if (fds.size() > max_fds || body.size() > longest) return internal("a message of {} bytes and {} descriptors is too long", body.size(), fds.size());
  Fd spilled;
  if (head.spilled) TENON_SET(spilled, SharedMemory::frozen(body));
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (max_fds + 1))] = {};
  iovec parts[2] = {{&head, sizeof head}, {const_cast<std::byte*>(body.data()), head.spilled ? 0 : body.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (const std::size_t count = fds.size() + head.spilled) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * count);
    auto* to = reinterpret_cast<int*>(CMSG_DATA(c));
    if (head.spilled) *to++ = spilled.get();
    if (!fds.empty()) std::memcpy(to, fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL) >= 0) return {};
    if (errno != EINTR) return error(TENON_UNAVAILABLE, "the process of a provider does not listen: {}", std::strerror(errno));
  }
}

Socket::Got Socket::receive(Message& out) {
  buffer_.resize(sizeof(Head) + packet);
  out.fds.clear();
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (max_fds + 1))];
  iovec part{buffer_.data(), buffer_.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) return Got::nothing_yet;
  if (n <= 0) return Got::closed;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      out.fds.emplace_back(fd);
    }
  }
  Head head;
  const auto got = static_cast<std::size_t>(n);
  if (got < sizeof head || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) return Got::nonsense;
  std::memcpy(&head, buffer_.data(), sizeof head);
  if (head.magic != magic || head.spilled > 1 || out.fds.size() != std::uint64_t{head.fds} + head.spilled) return Got::nonsense;
  out.kind = head.kind;
  if (!head.spilled) {
    if (head.bytes != got - sizeof head) return Got::nonsense;
    out.body = {buffer_.data() + sizeof head, got - sizeof head};
    return Got::message;
  }
  if (head.bytes > longest) return Got::nonsense;
  Result<SharedMemory> memory = SharedMemory::map(std::move(out.fds.front()), head.bytes, true);
  if (!memory.ok()) return Got::nonsense;
  out.fds.erase(out.fds.begin());
  spilled_ = *std::move(memory);
  spilled_.close_fd();
  out.body = {spilled_.data(), head.bytes};
  return Got::message;
}

}  // namespace tenon::isolate
