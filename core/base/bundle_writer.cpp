#include "core/base/bundle_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/bundle_header.h"
#include "core/base/sha256.h"

namespace tenon {
namespace {

unsigned nibble(char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); }

}  // namespace

Result<std::unique_ptr<BundleWriter>> BundleWriter::create(const std::string& path) {
  std::unique_ptr<BundleWriter> made(new BundleWriter);
  made->path_ = path;
  made->working_ = fmt::format("{}.{}.new", path, ::getpid());
  made->file_ = ::open(made->working_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (made->file_ < 0) {
    const int code = errno == EACCES || errno == EPERM || errno == EROFS ? TENON_PERMISSION_DENIED : errno == ENOENT ? TENON_NOT_FOUND : TENON_UNAVAILABLE;
    return error(code, "the bundle \"{}\" cannot be written: \"{}\": {}", path, std::exchange(made->working_, std::string()), std::strerror(errno));
  }
  return made;
}

BundleWriter::~BundleWriter() {
  if (file_ >= 0) ::close(file_);
  if (!working_.empty()) ::unlink(working_.c_str());
}

Status BundleWriter::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(file_, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return error(TENON_RESOURCE_EXHAUSTED, "the bundle \"{}\" cannot be written at byte {}: {}", path_, offset, std::strerror(errno));
    offset += static_cast<std::uint64_t>(done);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return {};
}

Result<std::uint64_t> BundleWriter::append(std::span<const std::byte> bytes, std::uint64_t alignment) {
  const std::uint64_t offset = (at_ + alignment - 1) / alignment * alignment;
  TENON_TRY(write(offset, bytes));
  at_ = offset + bytes.size();
  return offset;
}

Status BundleWriter::write_index(const BundleIndex& index) {
  const std::string text = index.text(), digest = sha256({reinterpret_cast<const std::byte*>(text.data()), text.size()});
  BundleHeader h{};
  std::memcpy(h.magic, BundleHeader::begins, sizeof h.magic);
  h.format = BundleHeader::newest;
  h.index_offset = (at_ + bundle_page - 1) / bundle_page * bundle_page;
  h.index_bytes = text.size();
  h.file_bytes = h.index_offset + h.index_bytes;
  for (std::size_t i = 0; i < sizeof h.digest; ++i) h.digest[i] = static_cast<unsigned char>(nibble(digest[2 * i]) << 4 | nibble(digest[2 * i + 1]));
  if (::ftruncate(file_, static_cast<off_t>(h.index_offset)) != 0)
    return error(TENON_RESOURCE_EXHAUSTED, "the bundle \"{}\" cannot be written: {}", path_, std::strerror(errno));
  TENON_TRY(write(h.index_offset, {reinterpret_cast<const std::byte*>(text.data()), text.size()}));
  return write(0, {reinterpret_cast<const std::byte*>(&h), sizeof h});
}

Status BundleWriter::commit() {
  if (::fsync(file_) != 0 || ::rename(working_.c_str(), path_.c_str()) != 0)
    return error(TENON_UNAVAILABLE, "the bundle \"{}\" cannot be given its name: {}", path_, std::strerror(errno));
  working_.clear();
  return {};
}

}  // namespace tenon
