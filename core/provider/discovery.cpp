#include "core/provider/discovery.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/base/dynlib.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace tenon {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view suffix = ".tenon.json";

bool is_library(const std::string& path) { return path.ends_with(".so") || path.find(".so.") != std::string::npos; }

class Search {
 public:
  explicit Search(bool usable) : usable_(usable) {}

  std::vector<Found> found;

  // A manifest, a library, or a folder with manifests in it or in its direct subfolders.
  void place(const std::string& path, const std::string& where) {
    if (path.empty()) return;
    std::error_code code;
    if (fs::is_directory(path, code)) {
      std::vector<std::string> manifests, folders;
      list(path, manifests, &folders);
      std::sort(folders.begin(), folders.end());
      for (const std::string& folder : folders) list(folder, manifests, nullptr);
      std::sort(manifests.begin(), manifests.end());
      for (const std::string& file : manifests) manifest(file, where);
    } else if (path.ends_with(suffix)) {
      manifest(path, where);
    } else if (is_library(path) && fs::is_regular_file(path, code)) {
      library(path, where);
    } else {
      log_debug("loader", "{} ({}) does not exist", path, where);
    }
  }
  void places(const std::string& list, const std::string& where) {
    std::size_t begin = 0;
    while (begin <= list.size()) {
      const std::size_t end = std::min(list.find(':', begin), list.size());
      place(list.substr(begin, end - begin), where);
      begin = end + 1;
    }
  }

 private:
  static void list(const std::string& folder, std::vector<std::string>& manifests, std::vector<std::string>* folders) {
    std::error_code code;
    for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
      const std::string path = it->path().string();
      std::error_code ignored;
      if (path.ends_with(suffix) && it->is_regular_file(ignored)) manifests.push_back(path);
      else if (folders && it->is_directory(ignored)) folders->push_back(path);
    }
  }

  // A library stands for the manifest beside it that names it.
  void library(const std::string& path, const std::string& where) {
    std::error_code code;
    const std::string real = fs::weakly_canonical(path, code).string();
    std::vector<std::string> manifests;
    list(fs::path(real).parent_path().string(), manifests, nullptr);
    for (const std::string& file : manifests) {
      const Result<Manifest> m = read_manifest(file);
      if (m.ok() && m->library == real) return manifest(file, where);
    }
    Found f;
    f.path = real;
    f.where = where;
    f.manifest = bare_manifest(real);
    add(std::move(f));
  }

  void manifest(const std::string& path, const std::string& where) {
    Found f;
    std::error_code code;
    f.path = fs::canonical(path, code).string();
    f.where = where;
    if (code) {
      f.path = path;
      f.problem = error(TENON_NOT_FOUND, "manifest \"{}\": {}", path, code.message());
    } else if (Result<Manifest> m = read_manifest(f.path); m.ok()) {
      f.manifest = *std::move(m);
      if (usable_) f.problem = preflight(f.manifest);
    } else {
      f.problem = std::move(m.status());
    }
    add(std::move(f));
  }

  void add(Found f) {
    if (!seen_.insert(f.path).second) return;
    if (!f.manifest.id.empty())
      for (const Found& other : found)
        if (other.manifest.id == f.manifest.id && other.shadowed_by.empty()) {
          f.shadowed_by = other.path;
          break;
        }
    log_debug("loader", "{}: {} {} ({}){}{}", f.path, f.manifest.id, f.manifest.version, f.where,
              f.problem.ok() ? "" : ": " + std::string(f.problem.text()), f.shadowed_by.empty() ? "" : ": shadowed by " + f.shadowed_by);
    found.push_back(std::move(f));
  }

  const bool usable_;
  std::set<std::string> seen_;
};

}  // namespace

std::vector<Found> discover(const std::vector<std::string>& paths, bool usable) {
  Search search(usable);
  for (const std::string& path : paths) search.place(path, "path");
  if (const std::string only = trusted_env("TENON_PROVIDER_PATH"); !only.empty()) {
    search.places(only, "TENON_PROVIDER_PATH");
    return std::move(search.found);
  }
  search.places(trusted_env("TENON_ADD_PROVIDER_PATH"), "TENON_ADD_PROVIDER_PATH");
  if (const std::string own = own_library_path(); !own.empty()) {
    const fs::path folder = fs::path(own).parent_path();
    search.place((folder / "tenon/providers").string(), own_installation);
    // An executable that holds the core itself (tests, static builds): bin/x beside lib/tenon.
    search.place((folder / "../lib/tenon/providers").lexically_normal().string(), own_installation);
  }
  if (!privileged_process())
    // A relative one would be the working directory's.
    if (const std::string data = expand_variables("${XDG_DATA_HOME}"); data.starts_with('/')) search.place(data + "/tenon/providers.d", "XDG_DATA_HOME");
  for (const char* path : {"/etc/tenon/providers.d", "/usr/local/share/tenon/providers.d", "/usr/share/tenon/providers.d"}) search.place(path, path);
  return std::move(search.found);
}

}  // namespace tenon
