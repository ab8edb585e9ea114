#include "core/base/file_map.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace tenon {
namespace {

std::string identity_of(const std::string& path, const struct stat& info) {
  return fmt::format("{}|{}.{}|{}|{}.{}|{}.{}", path, info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                     info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
}

}  // namespace

std::string file_identity(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? identity_of(path, info) : std::string();
}

Result<std::shared_ptr<const FileMap>> FileMap::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int code = errno == ENOENT ? TENON_NOT_FOUND : errno == EACCES ? TENON_PERMISSION_DENIED : TENON_UNKNOWN;
    return error(code, "cannot open \"{}\": {}", path, std::strerror(errno));
  }
  return adopt(fd, path, "");
}

Result<std::shared_ptr<const FileMap>> FileMap::adopt(int fd, const std::string& path, const std::string& identity) {
  struct stat info {};
  std::shared_ptr<FileMap> map(new FileMap);
  map->path_ = path;
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return invalid("\"{}\" is not a regular file", path);
  }
  if (info.st_size == 0) {
    ::close(fd);
    return error(TENON_DATA_LOSS, "\"{}\" is empty", path);
  }
  map->size_ = static_cast<std::size_t>(info.st_size);
  map->file_ = fd;
  void* data = ::mmap(nullptr, map->size_, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) return error(TENON_RESOURCE_EXHAUSTED, "cannot map \"{}\": {}", path, std::strerror(errno));
  map->data_ = static_cast<const std::byte*>(data);
  map->identity_ = identity.empty() ? identity_of(path, info) : identity;
  return std::shared_ptr<const FileMap>(std::move(map));
}

Status FileMap::read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
  if (offset > size_ || bytes > size_ - offset) return error(TENON_OUT_OF_RANGE, "\"{}\": bytes {} to {} of {}", path_, offset, offset + bytes, size_);
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(file_, at, std::min<std::uint64_t>(bytes, std::uint64_t{1} << 30), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      return error(TENON_DATA_LOSS, "cannot read \"{}\" at byte {}: {}", path_, offset, got == 0 ? "the file has become shorter" : std::strerror(errno));
    at += got, offset += static_cast<std::uint64_t>(got), bytes -= static_cast<std::uint64_t>(got);
  }
  return {};
}

FileMap::~FileMap() {
  if (file_ >= 0) ::close(file_);
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace tenon
