// SharedMemory and Fd: memory that two processes see, known by a file descriptor and by no name.
//
// Owned by the holder: unmapped, closed with it. Its size is sealed when it is made, so that no process can shorten it under the
// other. Threads: like any value; who writes when is the protocol's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "core/base/status.h"

namespace tenon::isolate {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  void reset();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(SharedMemory&& o) noexcept { *this = std::move(o); }
  SharedMemory& operator=(SharedMemory&& o) noexcept {
    std::swap(data_, o.data_), std::swap(bytes_, o.bytes_), std::swap(fd_, o.fd_);
    return *this;
  }
  ~SharedMemory();

  // Zeros, readable and writable here. Errors: RESOURCE_EXHAUSTED.
  static Result<SharedMemory> make(std::uint64_t bytes);
  // A copy that nobody can write to any more; it is not mapped here.
  static Result<Fd> frozen(std::span<const std::byte> bytes);
  // What came from the other process, at least as large as said. Errors: INVALID_ARGUMENT where its size is not sealed, it is
  // smaller, or, with only_read, it could still be written to; RESOURCE_EXHAUSTED.
  static Result<SharedMemory> map(Fd fd, std::uint64_t bytes, bool only_read);

  std::byte* data() const { return data_; }
  std::uint64_t bytes() const { return bytes_; }
  int fd() const { return fd_.get(); }
  // The mapping stays.
  void close_fd() { fd_.reset(); }

 private:
  std::byte* data_ = nullptr;
  std::uint64_t bytes_ = 0;
  Fd fd_;
};

}  // namespace tenon::isolate
