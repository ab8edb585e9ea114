#include "core/provider/isolate/shared_memory.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tenon::isolate {
namespace {

constexpr int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;

Status no_memory(std::uint64_t bytes, const char* call) {
  return error(TENON_RESOURCE_EXHAUSTED, "no shared memory of {} bytes: {}: {}", bytes, call, std::strerror(errno));
}

Result<std::byte*> mapped(int fd, std::uint64_t bytes, int protection) {
  void* data = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return no_memory(bytes, "mmap");
  return static_cast<std::byte*>(data);
}

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

SharedMemory::~SharedMemory() {
  if (data_) ::munmap(data_, bytes_);
}

Result<SharedMemory> SharedMemory::make(std::uint64_t bytes) {
  bytes = std::max<std::uint64_t>(bytes, 1);
  SharedMemory out;
  out.fd_ = Fd(::memfd_create("tenon", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!out.fd_) return no_memory(bytes, "memfd_create");
  if (bytes > std::uint64_t{1} << 46 || ::ftruncate(out.fd(), static_cast<off_t>(bytes)) != 0) return no_memory(bytes, "ftruncate");
  if (::fcntl(out.fd(), F_ADD_SEALS, size_seals | F_SEAL_SEAL) != 0) return no_memory(bytes, "sealing");
  TENON_SET(out.data_, mapped(out.fd(), bytes, PROT_READ | PROT_WRITE));
  out.bytes_ = bytes;
  return out;
}

Result<Fd> SharedMemory::frozen(std::span<const std::byte> bytes) {
  Fd fd(::memfd_create("tenon", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return no_memory(bytes.size(), "memfd_create");
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return no_memory(bytes.size(), "write");
    done += static_cast<std::size_t>(n);
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, size_seals | F_SEAL_WRITE | F_SEAL_SEAL) != 0) return no_memory(bytes.size(), "sealing");
  return fd;
}

Result<SharedMemory> SharedMemory::map(Fd fd, std::uint64_t bytes, bool only_read) {
  struct stat info {};
  const int seals = ::fcntl(fd.get(), F_GET_SEALS), wanted = size_seals | (only_read ? F_SEAL_WRITE : 0);
  if (seals < 0 || (seals & wanted) != wanted || ::fstat(fd.get(), &info) != 0 || info.st_size < 0 || static_cast<std::uint64_t>(info.st_size) < bytes)
    return invalid("shared memory of {} bytes was announced, what came has {} bytes and seals {:#x}", bytes, info.st_size, seals);
  SharedMemory out;
  out.bytes_ = std::max<std::uint64_t>(bytes, 1);
  if (info.st_size > 0) TENON_SET(out.data_, mapped(fd.get(), out.bytes_, only_read ? PROT_READ : PROT_READ | PROT_WRITE));
  out.fd_ = std::move(fd);
  return out;
}

}  // namespace tenon::isolate
