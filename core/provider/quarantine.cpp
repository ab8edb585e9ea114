#include "core/provider/quarantine.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/dynlib.h"
#include "core/base/file_cache.h"
#include "core/base/file_map.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/text.h"

namespace tenon {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
constexpr std::size_t largest_record = 65536;

// By file: what this process knows, which counts before what stands on disk.
struct Known {
  std::mutex mutex;
  std::map<std::string, Quarantine::Record> records;
};
Known& known() {
  static Known* made = new Known;
  return *made;
}

std::string hash_of_file(const std::string& path) {
  const auto file = FileMap::open(path);
  return file.ok() ? sha256((*file)->bytes()) : std::string();
}

// A record that another user can write would let him keep a good provider out, or a bad one in.
std::string read_own(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return "";
  struct stat info {};
  std::string text;
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && only_owner_writes(info) && info.st_size > 0 &&
      static_cast<std::size_t>(info.st_size) <= largest_record) {
    text.resize(static_cast<std::size_t>(info.st_size));
    const ssize_t n = ::read(fd, text.data(), text.size());
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  }
  ::close(fd);
  return text;
}

std::optional<Quarantine::Record> parse(const std::string& text) {
  const json root = json::parse(text, nullptr, false);
  if (!root.is_object()) return std::nullopt;
  const auto get = [&](const char* key) { return root.contains(key) && root[key].is_string() ? root[key].get<std::string>() : std::string(); };
  Quarantine::Record r{get("library"), get("identity"), get("sha256"), root.contains("passed") && root["passed"] == true, get("reason")};
  if (r.library.empty() || r.identity.empty()) return std::nullopt;
  return r;
}

}  // namespace

Quarantine::Quarantine(std::string folder) : folder_(std::move(folder)) {
  if (!folder_.empty() || privileged_process()) return;
  if (const std::string cache = expand_variables("${XDG_CACHE_HOME}"); !cache.empty() && cache[0] == '/') folder_ = cache + "/tenon/providers";
}

std::string Quarantine::file_of(const std::string& library) const {
  const std::string name = sha256({reinterpret_cast<const std::byte*>(library.data()), library.size()}).substr(0, 32) + ".json";
  return folder_.empty() ? name : folder_ + "/" + name;
}

std::optional<Quarantine::Record> Quarantine::find(const std::string& library) const {
  const std::string file = file_of(library);
  std::optional<Record> found;
  {
    std::lock_guard lock(known().mutex);
    if (const auto it = known().records.find(file); it != known().records.end()) found = it->second;
  }
  if (!found && !folder_.empty()) found = parse(read_own(file));
  if (!found || found->library != library) return std::nullopt;
  if (found->identity == file_identity(library)) return found;
  // Touched or copied, the same bytes all the same: what they did once they would do again.
  if (!found->passed && !found->sha256.empty() && found->sha256 == hash_of_file(library)) return found;
  return std::nullopt;
}

void Quarantine::passed(const std::string& library) { write({library, file_identity(library), "", true, ""}); }

void Quarantine::failed(const std::string& library, const std::string& reason) {
  write({library, file_identity(library), hash_of_file(library), false, reason});
}

bool Quarantine::forget(const std::string& library) {
  const std::optional<Record> record = find(library);
  const std::string file = file_of(library);
  {
    std::lock_guard lock(known().mutex);
    known().records.erase(file);
  }
  if (!folder_.empty()) ::unlink(file.c_str());
  return record && !record->passed;
}

// Whole or not at all: written aside and renamed. A folder that cannot be written costs the next process a trial, no more.
void Quarantine::write(Record record) const {
  const std::string file = file_of(record.library);
  const json root = {{"library", record.library}, {"identity", record.identity}, {"sha256", record.sha256}, {"passed", record.passed}, {"reason", record.reason}};
  {
    std::lock_guard lock(known().mutex);
    known().records[file] = std::move(record);
  }
  if (folder_.empty()) return;
  std::error_code code;
  fs::create_directories(folder_, code);
  const std::string aside = fmt::format("{}.{}", file, ::getpid());
  const std::string text = root.dump(2) + "\n";
  const int fd = ::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  const bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  if (written && ::rename(aside.c_str(), file.c_str()) == 0) return;
  log_debug("loader", "\"{}\" cannot be written: {}", file, std::strerror(errno));
  ::unlink(aside.c_str());
}

Status quarantined(const std::string& id, const Quarantine::Record& record) {
  return error(TENON_FAILED_PRECONDITION,
               "provider {}: its library \"{}\" is in quarantine; loaded in a process of its own, that was {}. Install another build of it, or let it be "
               "tried again with `tenon providers --forget-quarantine {}`",
               id, record.library, record.reason, id.empty() ? record.library : id);
}

}  // namespace tenon
