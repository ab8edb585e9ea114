#include "core/provider/trust.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file_map.h"
#include "core/base/log.h"
#include "core/base/sha256.h"

namespace tenon {
namespace {

namespace fs = std::filesystem;

// A group of the user's name with nobody else in it, as systems with a umask of 002 give every user.
bool private_group(gid_t id) {
  if (privileged_process() || id != ::getegid()) return false;
  std::vector<char> groups(16384), users(16384);
  group g{}, *found = nullptr;
  passwd u{}, *user = nullptr;
  if (::getgrgid_r(id, &g, groups.data(), groups.size(), &found) != 0 || !found) return false;
  if (::getpwuid_r(::geteuid(), &u, users.data(), users.size(), &user) != 0 || !user) return false;
  if (std::strcmp(found->gr_name, user->pw_name) != 0) return false;
  for (char** member = found->gr_mem; *member; ++member)
    if (std::strcmp(*member, user->pw_name) != 0) return false;
  return true;
}

Status one_level(const std::string& path, const std::string& file) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return error(TENON_NOT_FOUND, "\"{}\": {}", path, std::strerror(errno));
  const bool folder = S_ISDIR(info.st_mode);
  const char* what = folder ? "folder" : "file";
  if (info.st_uid != 0 && info.st_uid != ::geteuid())
    return error(TENON_PERMISSION_DENIED, "\"{}\": the {} \"{}\" belongs to user {}, neither to root nor to the user of this process ({}); change its owner",
                 file, what, path, info.st_uid, ::geteuid());
  if (folder && (info.st_mode & S_ISVTX)) return {};
  if ((info.st_mode & S_IWOTH) || ((info.st_mode & S_IWGRP) && !private_group(info.st_gid)))
    return error(TENON_PERMISSION_DENIED, "\"{}\": the {} \"{}\" may be written by others (mode {:04o}); chmod go-w it", file, what, path,
                 static_cast<unsigned>(info.st_mode & 07777));
  return {};
}

// A closed file descriptor is worth nothing to a library that was loaded through it: a number used again would name another.
class Sealed {
 public:
  ~Sealed() {
    if (fd_ >= 0) ::close(fd_);
  }
  Status fill(std::span<const std::byte> bytes) {
    fd_ = ::memfd_create("tenon-provider", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd_ < 0) return error(TENON_UNAVAILABLE, "memfd_create: {}", std::strerror(errno));
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return error(TENON_RESOURCE_EXHAUSTED, "a copy of {} bytes cannot be written: {}", bytes.size(), std::strerror(errno));
      done += static_cast<std::size_t>(n);
    }
    if (::fcntl(fd_, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
      return error(TENON_UNAVAILABLE, "a copy cannot be sealed: {}", std::strerror(errno));
    return {};
  }
  int release() { return std::exchange(fd_, -1); }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// The SHA-256 of what was sealed: whatever happens to the file, these are the bytes that will run.
Result<std::string> hash_of(int fd, std::size_t bytes) {
  void* map = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return error(TENON_RESOURCE_EXHAUSTED, "a copy of {} bytes cannot be mapped: {}", bytes, std::strerror(errno));
  std::string hash = sha256({static_cast<const std::byte*>(map), bytes});
  ::munmap(map, bytes);
  return hash;
}

}  // namespace

Status only_ours(const std::string& path) {
  std::error_code code;
  const fs::path real = fs::canonical(path, code);
  if (code) return error(TENON_NOT_FOUND, "\"{}\": {}", path, code.message());
  for (fs::path at = real;; at = at.parent_path()) {
    TENON_TRY(one_level(at.string(), real.string()));
    if (at == at.parent_path()) return {};
  }
}

Status check_writers(const Manifest& manifest) {
  static std::mutex mutex;
  static auto* warned = new std::set<std::string>;
  for (const std::string& path : {manifest.path, manifest.library}) {
    if (path.empty()) continue;
    Status s = only_ours(path);
    if (s.ok()) continue;
    if (privileged_process()) return std::move(s).at("refused in a privileged process");
    if (s.code() != TENON_PERMISSION_DENIED) continue;
    std::lock_guard lock(mutex);
    if (warned->insert(path).second) log_warn("loader", "provider {}: {}; whoever can write there runs code in this process", manifest.id, s.text());
  }
  return {};
}

namespace {

// The hash that is demanded of the library; "" for none.
Result<std::string> pin_of(const Manifest& manifest, const TrustPolicy& policy) {
  if (!policy.sha256.empty() && !manifest.sha256.empty() && policy.sha256 != manifest.sha256)
    return error(TENON_DATA_LOSS, "\"{}\": the configuration expects SHA-256 {}, the manifest says {}", manifest.library, policy.sha256, manifest.sha256);
  const std::string& expected = policy.sha256.empty() ? manifest.sha256 : policy.sha256;
  if (expected.empty() && policy.require_pinned)
    return error(TENON_PERMISSION_DENIED,
                 "\"{}\": /trust/require_pinned is set, and neither the manifest nor the entry under /providers has a sha256; `sha256sum` prints it",
                 manifest.library);
  return expected;
}

Status compare(const std::string& found, const std::string& expected, const Manifest& manifest, const TrustPolicy& policy) {
  if (found == expected) return {};
  return error(TENON_DATA_LOSS, "\"{}\": SHA-256 is {}, the {} says {}; nothing of it was run", manifest.library, found,
               policy.sha256.empty() ? "manifest" : "configuration", expected);
}

}  // namespace

Status check_pin(const Manifest& manifest, const TrustPolicy& policy) {
  TENON_ASSIGN(const std::string expected, pin_of(manifest, policy));
  if (expected.empty()) return {};
  TENON_ASSIGN(const auto file, FileMap::open(manifest.library));
  return compare(sha256(file->bytes()), expected, manifest, policy);
}

Result<std::shared_ptr<Dynlib>> load_trusted(const Manifest& manifest, const TrustPolicy& policy) {
  TENON_ASSIGN(const std::string expected, pin_of(manifest, policy));
  if (expected.empty()) return Dynlib::open(manifest.library);
  TENON_ASSIGN(const auto file, FileMap::open(manifest.library));
  Sealed copy;
  TENON_TRY(copy.fill(file->bytes()));
  TENON_ASSIGN(const std::string found, hash_of(copy.fd(), file->bytes().size()));
  TENON_TRY(compare(found, expected, manifest, policy));
  Result<std::shared_ptr<Dynlib>> loaded = Dynlib::open_copy(copy.fd(), manifest.library);
  if (loaded.ok()) {
    copy.release();  // as long as the library: for ever
    return loaded;
  }
  // What it needs from its own folder is not found from a copy.
  const Status ours = only_ours(manifest.library);
  if (!ours.ok())
    return error(loaded.status().code(), "{}; by its path a pinned library is loaded only where nobody else can change it: {}", loaded.status().text(), ours.text());
  if (file_identity(manifest.library) != file->identity())
    return error(TENON_DATA_LOSS, "\"{}\" was changed while it was checked", manifest.library);
  return Dynlib::open(manifest.library);
}

}  // namespace tenon
