#include "core/base/file_map.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace tenon {

Result<std::shared_ptr<const FileMap>> FileMap::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int code = errno == ENOENT ? TENON_NOT_FOUND : errno == EACCES ? TENON_PERMISSION_DENIED : TENON_UNKNOWN;
    return error(code, "cannot open \"{}\": {}", path, std::strerror(errno));
  }
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
  void* data = ::mmap(nullptr, map->size_, PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (data == MAP_FAILED) return error(TENON_RESOURCE_EXHAUSTED, "cannot map \"{}\": {}", path, std::strerror(errno));
  map->data_ = static_cast<const std::byte*>(data);
  map->identity_ = fmt::format("{}|{}.{}|{}|{}.{}", path, info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  return std::shared_ptr<const FileMap>(std::move(map));
}

FileMap::~FileMap() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace tenon
