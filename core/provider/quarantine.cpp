#include "core/provider/quarantine.h"

#include <filesystem>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/base/dynlib.h"
#include "core/base/file_map.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/text.h"

namespace tenon {
namespace {

using nlohmann::json;
// Of all records; one takes two pages at most. Those that were used longest ago go first.
constexpr std::uint64_t most_bytes = std::uint64_t{2} << 20;

// By folder and library: what this process knows, which counts before what stands on disk.
struct Known {
  std::mutex mutex;
  std::map<std::pair<std::string, std::string>, Quarantine::Record> records;
};
Known& known() {
  static Known* made = new Known;
  return *made;
}

std::string hash_of_file(const std::string& path) {
  const auto file = FileMap::open(path);
  return file.ok() ? sha256((*file)->bytes()) : std::string();
}

std::optional<Quarantine::Record> parse(std::string_view text) {
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

std::string Quarantine::key_of(const std::string& library) const { return "quarantine\n" + library; }

// Null where there is no folder that can be trusted.
std::shared_ptr<FileCache> Quarantine::store(bool make) const {
  std::error_code code;
  if (folder_.empty() || (!make && !std::filesystem::exists(folder_, code))) return nullptr;
  Result<std::shared_ptr<FileCache>> opened = FileCache::open(folder_, most_bytes);
  if (opened.ok()) return *std::move(opened);
  log_debug("loader", "what providers did is not kept: {}", opened.status().text());
  return nullptr;
}

std::optional<Quarantine::Record> Quarantine::find(const std::string& library) const {
  std::optional<Record> found;
  {
    std::lock_guard lock(known().mutex);
    if (const auto it = known().records.find({folder_, library}); it != known().records.end()) found = it->second;
  }
  if (!found)
    if (const auto records = store(false))
      if (const auto entry = records->get(key_of(library), FileCache::Check::content))
        found = parse({reinterpret_cast<const char*>(entry->bytes.data()), entry->bytes.size()});
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
  {
    std::lock_guard lock(known().mutex);
    known().records.erase({folder_, library});
  }
  if (const auto records = store(false)) records->remove(key_of(library));
  return record && !record->passed;
}

// A folder that cannot be written costs the next process a trial, no more.
void Quarantine::write(Record record) const {
  const json root = {{"library", record.library}, {"identity", record.identity}, {"sha256", record.sha256}, {"passed", record.passed}, {"reason", record.reason}};
  const std::string key = key_of(record.library), text = root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  {
    std::lock_guard lock(known().mutex);
    known().records[{folder_, record.library}] = std::move(record);
  }
  if (const auto records = store(true)) {
    records->put(key, {reinterpret_cast<const std::byte*>(text.data()), text.size()});
    records->trim();
  }
}

Status quarantined(const std::string& id, const Quarantine::Record& record) {
  return error(TENON_FAILED_PRECONDITION,
               "provider {}: its library \"{}\" is in quarantine; loaded in a process of its own, that was {}. Install another build of it, or let it be "
               "tried again with `tenon providers --forget-quarantine {}`",
               id, record.library, record.reason, id.empty() ? record.library : id);
}

}  // namespace tenon
