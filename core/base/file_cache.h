// FileCache: a folder of files by key: packed weights and measured choices that outlive the process.
//
// One file per key: a page of header (magic, sizes, hashes, the key itself), then the bytes. Files are mapped read-only, so
// processes share them; they appear whole or not at all, because they are renamed into place. What is short, foreign or of another key is no
// hit. The folder and its files must belong to the user and be writable by nobody else. Bounded: trim removes what was
// used longest ago. Any thread; any number of processes at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace tenon {

class FileCache {
 public:
  enum class Check { header, content };  // content: all bytes are hashed before they are handed out

  // The folder is made when it is missing. Errors: PERMISSION_DENIED where others may write to it or it is another user's.
  static Result<std::shared_ptr<FileCache>> open(const std::string& folder, std::uint64_t limit);
  ~FileCache();
  FileCache(const FileCache&) = delete;
  FileCache& operator=(const FileCache&) = delete;

  struct Entry {
    std::span<const std::byte> bytes;   // begins on a page
    std::shared_ptr<const void> keep;
  };
  std::optional<Entry> get(std::string_view key, Check check) const;
  // A folder that is full or gone is no error: it is logged, and the cache is one file poorer.
  void put(std::string_view key, std::span<const std::byte> bytes);
  void remove(std::string_view key);
  // Brings the folder below its limit, if anything was put since.
  void trim();

  const std::string& folder() const { return folder_; }
  std::uint64_t limit() const { return limit_; }

 private:
  FileCache() = default;
  int open_file(const std::string& name, std::uint64_t& size) const;
  std::string folder_;
  int directory_ = -1;
  std::uint64_t limit_ = 0;
  std::atomic<bool> grown_{false};
};

}  // namespace tenon
