#include "sdk/kit/target.h"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <tenon/provider.h>
#include <tenon/tenon.hpp>

namespace tenon::kit {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view suffix = ".tenon.json";

Json read_manifest(const std::string& path) {
  std::ifstream file(path);
  Json root = Json::parse(file, nullptr, false, true);
  if (!root.is_object()) throw std::runtime_error(fmt::format("manifest \"{}\": a JSON object is expected", path));
  return root;
}

std::string platform() {
#if defined(__aarch64__)
  return "linux-aarch64";
#else
  return "linux-x86_64";
#endif
}

// The manifest beside a library that names it; "" when there is none.
std::string manifest_of(const std::string& library) {
  std::error_code code;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(library).parent_path(), code)) {
    if (!entry.path().string().ends_with(suffix)) continue;
    const Json root = read_manifest(entry.path().string());
    const Json named = root.value("library", Json::object()).value(platform(), Json());
    if (named.is_string() && fs::weakly_canonical(entry.path().parent_path() / named.get<std::string>(), code) == library)
      return entry.path().string();
  }
  return "";
}

}  // namespace

std::string kit_file(const std::string& name) {
  Dl_info info{};
  std::error_code code;
  if (dladdr(reinterpret_cast<const void*>(&tenon_version), &info) && info.dli_fname) {
    const fs::path file = fs::canonical(info.dli_fname, code).parent_path() / "tenon/kit" / name;
    if (fs::exists(file, code)) return file.string();
    throw std::runtime_error(fmt::format("\"{}\" is missing: this installation of tenon has no conformance kit", file.string()));
  }
  throw std::runtime_error("libtenon's own folder is not known");
}

Target Target::find(const std::string& name, const std::vector<std::string>& provider_paths) {
  Target t;
  std::error_code code;
  if (name.find('/') != std::string::npos || fs::is_regular_file(name, code)) {
    const std::string real = fs::canonical(name, code).string();
    if (code) throw std::runtime_error(fmt::format("\"{}\": {}", name, code.message()));
    if (fs::is_directory(real)) throw std::runtime_error(fmt::format("\"{}\" is a folder; its manifest or library is expected", name));
    if (real.ends_with(suffix)) t.manifest = real;
    else t.library = real, t.manifest = manifest_of(real);
  } else {
    for (const std::string& path : provider_paths) add_provider_path(path);
    const Json list = Json::parse(providers_json());
    std::string known;
    for (const Json& p : list) {
      const std::vector<std::string> aliases = p.value("aliases", std::vector<std::string>());
      if (p["state"] != "shadowed") known += (known.empty() ? "" : ", ") + p["id"].get<std::string>();
      if (p["state"] == "shadowed" || (p["id"] != name && std::find(aliases.begin(), aliases.end(), name) == aliases.end())) continue;
      t.manifest = p["path"];
      break;
    }
    if (t.manifest.empty()) throw std::runtime_error(fmt::format("there is no provider \"{}\"; found: {}", name, known));
    if (!t.manifest.ends_with(suffix)) std::swap(t.library, t.manifest);
  }
  if (t.manifest.empty()) return t;
  const Json root = read_manifest(t.manifest);
  t.id = root.value("id", "");
  t.version = root.value("version", "");
  if (t.library.empty()) {
    const std::string file = root.value("library", Json::object()).value(platform(), "");
    if (file.empty()) throw std::runtime_error(fmt::format("manifest \"{}\" names no library for {}", t.manifest, platform()));
    t.library = fs::weakly_canonical(fs::path(t.manifest).parent_path() / file, code).string();
  }
  if (!fs::is_regular_file(t.library, code))
    throw std::runtime_error(fmt::format("manifest \"{}\": its library \"{}\" does not exist", t.manifest, t.library));
  return t;
}

void Target::prepare() {
  std::string pattern = (fs::temp_directory_path() / "tenon-kit-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error(fmt::format("no folder can be made as \"{}\"", pattern));
  folder = pattern;
  watch_library = folder + "/libtenon_provider_watch.so";
  fs::copy_file(kit_file("libtenon_provider_watch.so"), watch_library);
  // The target's manifest with the watch as its library: options, needs and flags stay the provider's own.
  Json root = manifest.empty() ? Json{{"manifest_version", 1},
                                      {"version", "unknown"},
                                      {"abi", {{"major", TENON_ABI_MAJOR}, {"min", 0}, {"target", TENON_ABI_MINOR}}}}
                               : read_manifest(manifest);
  watch_id = (id.empty() ? "provider" : id) + ".kit";
  root["id"] = watch_id;
  root["library"] = {{platform(), "libtenon_provider_watch.so"}};
  root.erase("aliases");
  root.erase("sha256");
  watch_manifest = folder + "/watch.tenon.json";
  std::ofstream(watch_manifest) << root.dump(2);
}

void Target::close() {
  std::error_code code;
  if (!folder.empty()) fs::remove_all(folder, code);
}

}  // namespace tenon::kit
