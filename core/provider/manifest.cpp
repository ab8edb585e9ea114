#include "core/provider/manifest.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>

#include "core/base/dynlib.h"
#include "core/base/file_map.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/provider/cpu_features.h"
#include "core/provider/options_impl.h"
#include "core/provider/options_schema.h"
#include "core/provider/trust.h"

namespace tenon {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Reads typed members and remembers what is wrong.
class Reader {
 public:
  explicit Reader(JsonText& text) : text_(text) {}

  std::string text(const json& object, const std::string& base, const char* key, bool needed) {
    if (!object.contains(key)) {
      if (needed) text_.fault(base, false, fmt::format("the key \"{}\" is missing", key));
      return "";
    }
    if (!object[key].is_string()) return wrong(base, key, "a text"), "";
    return object[key].get<std::string>();
  }
  std::vector<std::string> texts(const json& object, const std::string& base, const char* key) {
    std::vector<std::string> out;
    if (!object.contains(key)) return out;
    if (!object[key].is_array()) return wrong(base, key, "an array of texts"), out;
    for (const json& item : object[key]) {
      if (!item.is_string()) return wrong(base, key, "an array of texts"), out;
      out.push_back(item.get<std::string>());
    }
    return out;
  }
  // Kinds of devices: texts, or objects with a "kind".
  std::vector<std::string> kinds(const json& root, const char* key) {
    std::vector<std::string> out;
    if (!root.contains(key)) return out;
    if (!root[key].is_array()) return wrong("", key, "an array of devices"), out;
    for (const json& device : root[key]) {
      const json& kind = device.is_object() && device.contains("kind") ? device["kind"] : device;
      if (!kind.is_string()) return wrong("", key, "an array of kinds, or of objects with a \"kind\","), out;
      out.push_back(kind.get<std::string>());
    }
    return out;
  }
  bool flag(const json& root, const char* key) {
    if (root.contains(key) && !root[key].is_boolean()) wrong("", key, "true or false");
    return root.contains(key) && root[key].is_boolean() && root[key].get<bool>();
  }
  std::uint32_t number(const json& object, const std::string& base, const char* key, bool needed) {
    if (!object.contains(key)) {
      if (needed) text_.fault(base, false, fmt::format("the key \"{}\" is missing", key));
      return 0;
    }
    if (!object[key].is_number_unsigned() || object[key].get<std::uint64_t>() > 0xffff) return wrong(base, key, "a small number"), 0;
    return object[key].get<std::uint32_t>();
  }
  void known(const json& object, const std::string& base, const std::vector<std::string>& names) {
    for (const auto& [key, value] : object.items()) {
      if (key.starts_with("x-") || key == "$schema" || std::find(names.begin(), names.end(), key) != names.end()) continue;
      const std::string near = nearest(key, names);
      text_.fault(base + "/" + pointer_part(key), false, near.empty() ? "unknown key" : fmt::format("unknown key; did you mean \"{}\"?", near));
    }
  }
  const json& object(const json& parent, const std::string& base, const char* key) {
    static const json empty = json::object();
    if (!parent.contains(key)) return empty;
    if (!parent[key].is_object()) return wrong(base, key, "an object"), empty;
    return parent[key];
  }

 private:
  void wrong(const std::string& base, const char* key, std::string_view expected) {
    text_.fault(base + "/" + key, true, fmt::format("{} is expected", expected));
  }
  JsonText& text_;
};

// The library's place, which must lie inside the manifest's folder.
std::string library_path(JsonText& text, const std::string& name, const std::string& manifest) {
  const std::string pointer = "/library/" + platform_key();
  const fs::path relative(name);
  if (name.empty() || relative.is_absolute() || name.find('\0') != std::string::npos) {
    text.fault(pointer, true, "a path relative to the manifest's folder is expected");
    return "";
  }
  std::error_code code;
  const fs::path folder = fs::weakly_canonical(fs::path(manifest).parent_path().empty() ? "." : fs::path(manifest).parent_path(), code);
  const fs::path full = fs::weakly_canonical(folder / relative, code);
  const std::string inside = full.lexically_relative(folder).string();
  if (code || inside.empty() || inside == "." || inside.starts_with("..")) {
    text.fault(pointer, true, fmt::format("\"{}\" leads out of the manifest's folder", name));
    return "";
  }
  return full.string();
}

}  // namespace

bool Manifest::answers_to(std::string_view name) const {
  return name == id || std::find(aliases.begin(), aliases.end(), name) != aliases.end();
}

std::string platform_key() {
#if defined(__x86_64__)
  return "linux-x86_64";
#elif defined(__aarch64__)
  return "linux-aarch64";
#else
  return "linux-unknown";
#endif
}

Result<Manifest> parse_manifest(std::string_view source, const std::string& path) {
  JsonText text = read_json(source, path);
  TENON_TRY(text.status());
  const json& root = text.root;
  if (!root.is_object()) return invalid("{}: an object is expected", path);
  Reader read(text);
  read.known(root, "", {"manifest_version", "id", "aliases", "version", "vendor", "licence", "license", "abi", "library", "sha256", "requires",
                        "devices", "options_schema", "homepage", "unloadable", "on_request", "description"});
  if (read.number(root, "", "manifest_version", true) != 1 && text.faults.empty())
    text.fault("/manifest_version", true, "this host reads manifest version 1");

  Manifest m;
  m.path = path;
  m.id = read.text(root, "", "id", true);
  if (m.id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-.") != std::string::npos)
    text.fault("/id", true, "an id consists of a-z, 0-9, '.', '_' and '-'");
  m.aliases = read.texts(root, "", "aliases");
  m.version = read.text(root, "", "version", true);
  m.vendor = read.text(root, "", "vendor", false);
  m.licence = read.text(root, "", root.contains("license") ? "license" : "licence", false);
  m.homepage = read.text(root, "", "homepage", false);
  const json& abi = read.object(root, "", "abi");
  if (!root.contains("abi")) text.fault("", false, "the key \"abi\" is missing");
  else {
    read.known(abi, "/abi", {"major", "min", "target"});
    m.abi_major = read.number(abi, "/abi", "major", true);
    m.abi_min = read.number(abi, "/abi", "min", false);
    m.abi_target = read.number(abi, "/abi", "target", true);
  }
  if (!root.contains("library")) text.fault("", false, "the key \"library\" is missing");
  const json& library = read.object(root, "", "library");
  for (const auto& [platform, file] : library.items()) m.platforms.push_back(platform);
  if (const std::string file = read.text(library, "/library", platform_key().c_str(), false); !file.empty())
    m.library = library_path(text, file, path);
  m.sha256 = read.text(read.object(root, "", "sha256"), "/sha256", platform_key().c_str(), false);
  const json& needs = read.object(root, "", "requires");
  read.known(needs, "/requires", {"libs", "optional_libs", "cpu_features"});
  m.libs = read.texts(needs, "/requires", "libs");
  m.optional_libs = read.texts(needs, "/requires", "optional_libs");
  m.cpu_features = read.texts(needs, "/requires", "cpu_features");
  m.devices = read.kinds(root, "devices");
  m.unloadable = read.flag(root, "unloadable");
  m.on_request = read.flag(root, "on_request");
  if (root.contains("options_schema")) {
    std::vector<std::string> faults;
    check_schema(root["options_schema"], "/options_schema", faults);
    for (const std::string& fault : faults) text.faults.push_back(fmt::format("{}: {}", path, fault));
    m.options_schema = std::make_shared<tenon_config>(tenon_config{root["options_schema"]});
  }
  TENON_TRY(text.status());
  return m;
}

Result<Manifest> read_manifest(const std::string& path) {
  if (privileged_process())
    if (Status s = only_ours(path); !s.ok()) return std::move(s).at("manifest refused in a privileged process");
  // Every session looks at all of them: what has been read once counts as long as the file is the same.
  struct Read {
    std::string identity;
    Manifest manifest;
  };
  static std::mutex mutex;
  static auto* seen = new std::map<std::string, Read>;
  const std::string identity = file_identity(path);
  {
    std::lock_guard lock(mutex);
    if (const auto it = seen->find(path); it != seen->end() && it->second.identity == identity) return it->second.manifest;
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return error(TENON_NOT_FOUND, "manifest \"{}\" cannot be read", path);
  TENON_ASSIGN(Manifest m, parse_manifest(text.str(), path));
  std::lock_guard lock(mutex);
  (*seen)[path] = {identity, m};
  return m;
}

Manifest bare_manifest(const std::string& library) {
  Manifest m;
  std::error_code code;
  m.library = fs::weakly_canonical(library, code).string();
  m.platforms = {platform_key()};
  m.abi_major = TENON_ABI_MAJOR;
  m.abi_target = TENON_ABI_MINOR;
  return m;
}

Status preflight(const Manifest& m) {
  if (m.library.empty()) {
    std::string all;
    for (const std::string& platform : m.platforms) all += (all.empty() ? "" : ", ") + platform;
    return error(TENON_MISSING_DEPENDENCY, "{}: no library for {}; there is one for: {}", m.id, platform_key(), all.empty() ? "nothing" : all);
  }
  if (m.abi_major != TENON_ABI_MAJOR)
    return error(TENON_ABI_MISMATCH, "{}: made for ABI {}.{}, this host speaks {}.{}; install a build of the provider for this host", m.id,
                 m.abi_major, m.abi_target, TENON_ABI_MAJOR, TENON_ABI_MINOR);
  if (m.abi_min > TENON_ABI_MINOR)
    return error(TENON_ABI_MISMATCH, "{}: needs at least ABI minor {}, this host speaks {}; install a newer tenon", m.id, m.abi_min, TENON_ABI_MINOR);
  std::error_code code;
  if (!fs::is_regular_file(m.library, code)) return error(TENON_NOT_FOUND, "{}: its library \"{}\" does not exist", m.id, m.library);
  if (privileged_process())
    if (Status s = only_ours(m.library); !s.ok()) return std::move(s).at(m.id + ": library refused in a privileged process");
  for (const std::string& feature : m.cpu_features)
    if (!cpu_has(feature)) return error(TENON_MISSING_DEPENDENCY, "{}: needs the CPU feature \"{}\", which this CPU does not have", m.id, feature);
  for (const std::string& lib : m.libs)
    if (!Dynlib::available(lib))
      return error(TENON_MISSING_DEPENDENCY, "{}: needs the library {}, which the system's loader does not find", m.id, lib);
  return {};
}

Result<OptionsPtr> check_options(const Manifest& manifest, std::string_view options) {
  JsonText text = read_json(options.empty() ? "{}" : options, fmt::format("options of provider {}", manifest.id));
  TENON_TRY(text.status());
  std::vector<std::string> faults;
  if (!text.root.is_object()) faults.push_back("error at /: an object is expected");
  else if (manifest.options_schema) apply_schema(manifest.options_schema->value, text.root, "", faults);
  for (const std::string& fault : faults) text.faults.push_back(fmt::format("options of provider {}: {}", manifest.id, fault));
  TENON_TRY(text.status());
  return OptionsPtr(std::make_shared<tenon_config>(tenon_config{std::move(text.root)}));
}

bool knows_option(const Manifest& manifest, std::string_view name) {
  if (!manifest.options_schema || !manifest.options_schema->value.is_object()) return false;
  const auto properties = manifest.options_schema->value.find("properties");
  return properties != manifest.options_schema->value.end() && properties->contains(std::string(name));
}

}  // namespace tenon
