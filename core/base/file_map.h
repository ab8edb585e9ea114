// FileMap: a file mapped read-only into memory.
// Shared by everything that points into it; unmapped with the last holder. Immutable; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "core/base/status.h"

namespace tenon {

class FileMap {
 public:
  // Errors: NOT_FOUND and PERMISSION_DENIED with the path; DATA_LOSS for an empty file.
  static Result<std::shared_ptr<const FileMap>> open(const std::string& path);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Path, inode, size and time of the last change: two maps with equal identities hold equal bytes.
  const std::string& identity() const { return identity_; }

 private:
  FileMap() = default;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_, identity_;
};

}  // namespace tenon
