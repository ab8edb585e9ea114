// Socket: messages with file descriptors between core and the process of an isolated provider.
//
// A message is a kind, bytes and descriptors, and arrives whole or not at all. What is longer than a packet travels in a sealed
// memory file that it carries. Owned by one side; one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/provider/isolate/shared_memory.h"

namespace tenon::isolate {

inline constexpr std::size_t max_fds = 32;  // of one message, beside the long body's

struct Message {
  std::uint32_t kind = 0;
  std::span<const std::byte> body;  // valid until the next receive
  std::vector<Fd> fds;
};

class Socket {
 public:
  explicit Socket(Fd fd) : fd_(std::move(fd)) {}
  // Two ends; receive and send of `here` give up after the slice (0: never).
  static Result<std::pair<Socket, Fd>> pair(std::chrono::milliseconds slice);

  // Errors: UNAVAILABLE when the other end is gone, RESOURCE_EXHAUSTED.
  Status send(std::uint32_t kind, std::span<const std::byte> body, std::span<const int> fds = {});
  enum class Got { message, nothing_yet, closed, nonsense };
  Got receive(Message& out);
  int fd() const { return fd_.get(); }

 private:
  Fd fd_;
  std::vector<std::byte> buffer_;
  SharedMemory spilled_;
};

}  // namespace tenon::isolate
