// FileMap: a file mapped read-only into memory.
// Shared by everything that points into it; unmapped with the last holder. Immutable; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/base/status.h"

namespace tenon {

// Path, inode, size and the times of the last write and of the last change, which nobody can set: equal identities, equal
// bytes. "" where there is no such file.
std::string file_identity(const std::string& path);

class FileMap {
 public:
  // Errors: NOT_FOUND and PERMISSION_DENIED with the path; DATA_LOSS for an empty file.
  static Result<std::shared_ptr<const FileMap>> open(const std::string& path);
  // A file that another process has opened: its descriptor, which is taken over, and what that process calls it.
  static Result<std::shared_ptr<const FileMap>> adopt(int fd, const std::string& path, const std::string& identity);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Copies bytes [offset, offset + bytes) without touching the mapping: no page of it becomes resident. Errors: DATA_LOSS
  // where the file has become shorter.
  Status read(std::uint64_t offset, void* to, std::uint64_t bytes) const;
  const std::string& path() const { return path_; }
  int fd() const { return file_; }
  // file_identity at the time of opening.
  const std::string& identity() const { return identity_; }

 private:
  FileMap() = default;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  int file_ = -1;
  std::string path_, identity_;
};

}  // namespace tenon
