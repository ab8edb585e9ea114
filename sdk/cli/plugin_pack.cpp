#include "sdk/cli/plugin_pack.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>

#include <fmt/format.h>
#include <minizip/zip.h>

#include "core/base/sha256.h"
#include "sdk/cli/session_args.h"
#include "sdk/cli/table.h"

namespace tenon::cli {
namespace {

namespace fs = std::filesystem;

struct File {
  std::string name, bytes;
  bool executable = false;
};

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  if (!in) throw Failure{failed, fmt::format("\"{}\" cannot be read", path.string())};
  return bytes;
}

std::string digest(const std::string& bytes) { return sha256(std::as_bytes(std::span(bytes))); }

// Hex to base64 without padding and with '-' and '_', as a wheel's RECORD wants it.
std::string base64(const std::string& hex) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : hex) {
    bits = bits << 4 | static_cast<std::uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    for (held += 4; held >= 6; held -= 6) out += letters[bits >> (held - 6) & 63];
  }
  if (held) out += letters[bits << (6 - held) & 63];
  return out;
}

void write_zip(const fs::path& path, const std::vector<File>& files) {
  fs::create_directories(path.parent_path());
  const fs::path draft = path.string() + ".part";
  const auto check = [&](int code) {
    if (code != ZIP_OK) throw Failure{failed, fmt::format("\"{}\" cannot be written", path.string())};
  };
  const zipFile zip = zipOpen64(draft.c_str(), APPEND_STATUS_CREATE);
  if (!zip) check(ZIP_ERRNO);
  const std::unique_ptr<void, void (*)(void*)> close(zip, [](void* z) { (void)zipClose(z, nullptr); });
  for (const File& f : files) {
    zip_fileinfo info{};
    info.tmz_date = {0, 0, 0, 1, 0, 1980};  // the same archive from the same files
    info.external_fa = static_cast<uLong>(f.executable ? 0100755 : 0100644) << 16;
    check(zipOpenNewFileInZip4_64(zip, f.name.c_str(), &info, nullptr, 0, nullptr, 0, nullptr, Z_DEFLATED, Z_DEFAULT_COMPRESSION, 0,
                                  -MAX_WBITS, DEF_MEM_LEVEL, Z_DEFAULT_STRATEGY, nullptr, 0, 3 << 8 | 20, 0,
                                  f.bytes.size() > 0xfffffff0));
    check(zipWriteInFileInZip(zip, f.bytes.data(), static_cast<unsigned>(f.bytes.size())));
    check(zipCloseFileInZip(zip));
  }
  std::error_code code;
  fs::rename(draft, path, code);
  if (code) check(ZIP_ERRNO);
}

// Letters that a Python name and a wheel's file name may have.
std::string python_name(std::string id) {
  for (char& c : id)
    if (c == '-' || c == '.') c = '_';
  return id;
}

std::vector<File> wheel_files(const std::vector<File>& provider, const std::string& id, const std::string& version,
                              const std::string& tag, const Json& manifest) {
  const std::string package = "tenon_provider_" + python_name(id), info = fmt::format("{}-{}.dist-info/", package, version);
  std::vector<File> out;
  for (const File& f : provider) out.push_back({package + "/" + f.name, f.bytes, f.executable});
  out.push_back({package + "/__init__.py", fmt::format("\"\"\"The provider {} for tenon. tenonrt finds it through the entry point "
                                                       "tenon.providers; nothing here is imported.\"\"\"\n",
                                                       id)});
  out.push_back({info + "METADATA", fmt::format("Metadata-Version: 2.1\nName: tenon-provider-{}\nVersion: {}\nSummary: {}\n", id,
                                                version, manifest.value("description", "A provider for tenon"))});
  out.push_back({info + "WHEEL", fmt::format("Wheel-Version: 1.0\nGenerator: tenon\nRoot-Is-Purelib: false\nTag: py3-none-{}\n", tag)});
  out.push_back({info + "entry_points.txt", fmt::format("[tenon.providers]\n{} = {}\n", id, package)});
  std::string record;
  for (const File& f : out) record += fmt::format("{},sha256={},{}\n", f.name, base64(digest(f.bytes)), f.bytes.size());
  out.push_back({info + "RECORD", record + info + "RECORD,,\n"});
  return out;
}

}  // namespace

int PluginPack::operator()() const {
  const fs::path source = fs::canonical(manifest);
  Json root = Json::parse(read(source), nullptr, false, true);
  if (!root.is_object() || !root.contains("id") || !root.contains("version") || !root["library"].is_object())
    throw Failure{usage, fmt::format("\"{}\" is no manifest of a provider: id, version and library are expected", manifest)};
  const std::string id = root["id"].get<std::string>(), version = root["version"].get<std::string>();
  std::vector<File> files;
  std::vector<std::string> platforms;
  for (const auto& [platform, name] : root["library"].items()) {
    const fs::path library = source.parent_path() / name.get<std::string>();
    if (!fs::is_regular_file(library)) {
      fmt::print(stderr, "tenon: no library for {}: \"{}\" does not exist; left out\n", platform, library.string());
      continue;
    }
    files.push_back({name.get<std::string>(), read(library), true});
    root["sha256"][platform] = digest(files.back().bytes);
    platforms.push_back(platform);
  }
  if (files.empty()) throw Failure{failed, fmt::format("\"{}\": none of its libraries is there", manifest)};
  for (const std::string& path : extra)
    files.push_back({fs::path(path).filename().string(), read(path),
                     (fs::status(path).permissions() & fs::perms::owner_exec) != fs::perms::none});
  files.push_back({id + ".tenon.json", root.dump(2) + "\n", false});
  fs::path target;
  if (wheel) {
    if (platforms.size() != 1)
      throw Failure{usage,
                    fmt::format("a wheel is for one platform; \"{}\" has libraries for {}", manifest, fmt::join(platforms, ", "))};
    std::string tag = platforms[0];
    std::replace(tag.begin(), tag.end(), '-', '_');
    target = fs::path(out) / fmt::format("tenon_provider_{}-{}-py3-none-{}.whl", python_name(id), version, tag);
    files = wheel_files(files, id, version, tag, root);
  } else {
    for (File& f : files) f.name = id + "/" + f.name;
    target = fs::path(out) / fmt::format("{}-{}-{}.zip", id, version, fmt::join(platforms, "-"));
  }
  write_zip(target, files);
  fmt::print("{}\n", target.string());
  return ok;
}

}  // namespace tenon::cli
