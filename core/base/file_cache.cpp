#include "core/base/file_cache.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/base/log.h"
#include "core/base/owner.h"

namespace tenon {
namespace {

constexpr std::uint64_t page = 4096;
constexpr char magic[8] = {'T', 'E', 'N', 'O', 'N', 'C', '0', '1'};
constexpr std::string_view suffix = ".tnc", unfinished = ".new";
constexpr std::time_t abandoned_after = 3600;  // seconds after which an unfinished file is nobody's
constexpr std::time_t used_again_after = 600;  // the time of use is written this often at most

struct Header {
  char magic[8];
  std::uint64_t header_bytes, key_bytes, content_bytes;
  std::uint64_t content_hash[2];
  std::uint64_t header_hash;  // of the header's pages, this field 0
};

std::string name_of(std::string_view key) {
  const XXH128_hash_t h = XXH3_128bits(key.data(), key.size());
  return fmt::format("{:016x}{:016x}{}", h.high64, h.low64, suffix);
}

// The header's pages with the key in them.
std::vector<char> header_of(std::string_view key, std::uint64_t content_bytes, XXH128_hash_t content) {
  std::vector<char> pages((sizeof(Header) + key.size() + page - 1) / page * page);
  Header h{};
  std::memcpy(h.magic, magic, sizeof magic);
  h.header_bytes = pages.size();
  h.key_bytes = key.size();
  h.content_bytes = content_bytes;
  h.content_hash[0] = content.low64, h.content_hash[1] = content.high64;
  std::memcpy(pages.data(), &h, sizeof h);
  if (!key.empty()) std::memcpy(pages.data() + sizeof h, key.data(), key.size());
  h.header_hash = XXH3_64bits(pages.data(), pages.size());
  std::memcpy(pages.data(), &h, sizeof h);
  return pages;
}

bool write_all(int file, const void* from, std::uint64_t bytes) {
  const auto* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t done = ::write(file, at, std::min<std::uint64_t>(bytes, std::uint64_t{1} << 30));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    at += done, bytes -= static_cast<std::uint64_t>(done);
  }
  return true;
}

}  // namespace

Result<std::shared_ptr<FileCache>> FileCache::open(const std::string& folder, std::uint64_t limit) {
  std::error_code code;
  const std::filesystem::path parent = std::filesystem::path(folder).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, code);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return error(TENON_PERMISSION_DENIED, "the cache's folder \"{}\" cannot be made: {}", folder, std::strerror(errno));
  std::shared_ptr<FileCache> cache(new FileCache);
  cache->directory_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat info {};
  if (cache->directory_ < 0 || ::fstat(cache->directory_, &info) != 0)
    return error(TENON_PERMISSION_DENIED, "the cache's folder \"{}\" cannot be opened: {}", folder, std::strerror(errno));
  if (const char* why = not_ours(info))
    return error(TENON_PERMISSION_DENIED, "the cache's folder \"{}\" (mode {:o}): {}; what is in it cannot be trusted", folder, info.st_mode & 07777, why);
  cache->folder_ = folder;
  cache->limit_ = limit;
  return cache;
}

FileCache::~FileCache() {
  if (directory_ >= 0) ::close(directory_);
}

// -1 where there is none that may be used.
int FileCache::open_file(const std::string& name, std::uint64_t& size) const {
  const int file = ::openat(directory_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0) return -1;
  struct stat info {};
  if (::fstat(file, &info) != 0 || !S_ISREG(info.st_mode) || not_ours(info)) {
    ::close(file);
    return -1;
  }
  size = static_cast<std::uint64_t>(info.st_size);
  if (std::time(nullptr) - info.st_mtim.tv_sec > used_again_after) ::futimens(file, nullptr);
  return file;
}

std::optional<FileCache::Entry> FileCache::get(std::string_view key, Check check) const {
  const std::string name = name_of(key);
  std::uint64_t size = 0;
  const int file = open_file(name, size);
  if (file < 0) return std::nullopt;
  const auto map = [&]() -> void* { return size < page ? MAP_FAILED : ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0); };
  void* raw = map();
  ::close(file);
  const auto bad = [&](const char* why) {
    log_warn("cache", "{}/{}: {}; it is made anew", folder_, name, why);
    return std::optional<Entry>();
  };
  if (raw == MAP_FAILED) return bad("cannot be mapped, or is too short");
  std::shared_ptr<const void> keep(raw, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
  Header h;
  std::memcpy(&h, raw, sizeof h);
  if (std::memcmp(h.magic, magic, sizeof magic) != 0) return bad("not a file of this cache");
  if (h.header_bytes > size || h.header_bytes % page != 0 || h.key_bytes > h.header_bytes - sizeof h || size - h.header_bytes != h.content_bytes)
    return bad("its length is not what its header says");
  const std::byte* content = static_cast<const std::byte*>(raw) + h.header_bytes;
  const std::vector<char> expected = header_of(key, h.content_bytes, {h.content_hash[0], h.content_hash[1]});
  if (expected.size() != h.header_bytes || std::memcmp(expected.data(), raw, expected.size()) != 0) return bad("its header is damaged, or of another key");
  if (check == Check::content) {
    const XXH128_hash_t found = XXH3_128bits(content, h.content_bytes);
    if (found.low64 != h.content_hash[0] || found.high64 != h.content_hash[1]) return bad("its bytes are damaged");
  }
  return Entry{{content, h.content_bytes}, std::move(keep)};
}

void FileCache::put(std::string_view key, std::span<const std::byte> bytes) {
  if (bytes.size() > limit_) return;
  static std::atomic<unsigned> counter{0};
  const std::string name = name_of(key), temporary = fmt::format("{}.{}.{}{}", name, ::getpid(), counter.fetch_add(1), unfinished);
  const int file = ::openat(directory_, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return log_debug("cache", "{}: no file can be made: {}", folder_, std::strerror(errno));
  const std::vector<char> header = header_of(key, bytes.size(), XXH3_128bits(bytes.data(), bytes.size()));
  bool ok = write_all(file, header.data(), header.size()) && write_all(file, bytes.data(), bytes.size());
  ok = ::close(file) == 0 && ok && ::renameat(directory_, temporary.c_str(), directory_, name.c_str()) == 0;
  if (!ok) {
    log_debug("cache", "{}/{} cannot be written: {}", folder_, name, std::strerror(errno));
    ::unlinkat(directory_, temporary.c_str(), 0);
    return;
  }
  grown_.store(true, std::memory_order_relaxed);
}

void FileCache::remove(std::string_view key) { ::unlinkat(directory_, name_of(key).c_str(), 0); }

void FileCache::trim() {
  if (!grown_.exchange(false, std::memory_order_relaxed)) return;
  const int again = ::openat(directory_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = again < 0 ? nullptr : ::fdopendir(again);
  if (!listing) {
    if (again >= 0) ::close(again);
    return;
  }
  struct File {
    std::string name;
    std::time_t used;
    std::uint64_t bytes;
  };
  std::vector<File> files;
  std::uint64_t total = 0;
  const std::time_t now = std::time(nullptr);
  while (const dirent* entry = ::readdir(listing)) {
    const std::string name = entry->d_name;
    const bool half = name.ends_with(unfinished);
    if (!half && !name.ends_with(suffix)) continue;  // not ours
    struct stat info {};
    if (::fstatat(directory_, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode)) continue;
    if (half && now - info.st_mtim.tv_sec > abandoned_after) ::unlinkat(directory_, name.c_str(), 0);
    if (half) continue;
    files.push_back({name, info.st_mtim.tv_sec, static_cast<std::uint64_t>(info.st_size)});
    total += files.back().bytes;
  }
  ::closedir(listing);
  if (total <= limit_) return;
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.used != b.used ? a.used < b.used : a.name < b.name; });
  for (const File& f : files) {
    if (total <= limit_) break;
    if (::unlinkat(directory_, f.name.c_str(), 0) == 0) total -= f.bytes;
  }
}

}  // namespace tenon
