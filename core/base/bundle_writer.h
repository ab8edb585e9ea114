// BundleWriter: a bundle as it is written: sections one after the other, then the index.
//
// The file grows beside its final place and appears there whole or not at all. One thread.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "core/base/bundle.h"

namespace tenon {

class BundleWriter {
 public:
  // Errors: PERMISSION_DENIED and UNAVAILABLE with the path and the reason.
  static Result<std::unique_ptr<BundleWriter>> create(const std::string& path);
  ~BundleWriter();  // what was not committed is gone
  BundleWriter(const BundleWriter&) = delete;
  BundleWriter& operator=(const BundleWriter&) = delete;

  // The next bytes, at the next multiple of alignment; their offset in the file. Errors: RESOURCE_EXHAUSTED (a full disk).
  Result<std::uint64_t> append(std::span<const std::byte> bytes, std::uint64_t alignment = bundle_page);
  // Header and index, at the end: the file at working_path() is a bundle from now on. More may be appended, which writes over the
  // index; then this must be called again.
  Status write_index(const BundleIndex& index);
  // Gives the file its name.
  Status commit();

  std::uint64_t size() const { return at_; }
  const std::string& working_path() const { return working_; }

 private:
  BundleWriter() = default;
  Status write(std::uint64_t offset, std::span<const std::byte> bytes);
  std::string path_, working_;
  int file_ = -1;
  std::uint64_t at_ = bundle_page;
};

}  // namespace tenon
