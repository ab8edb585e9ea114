// Manifest: the file <name>.tenon.json that describes a provider without loading it.
// Plain data; read-only after parsing. Any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/provider/options.h"

namespace tenon {

struct Manifest {
  std::string path;     // of the file; empty for a bare library
  std::string id;
  std::vector<std::string> aliases;
  std::string version, vendor, licence, homepage;
  std::uint32_t abi_major = 0, abi_min = 0, abi_target = 0;
  std::string library;  // absolute, for this platform; "" when there is none for it
  std::vector<std::string> platforms;
  std::string sha256;   // of the library; "" unchecked
  std::vector<std::string> libs, optional_libs, cpu_features;
  std::vector<std::string> devices;  // kinds, for people
  bool unloadable = false;
  bool on_request = false;           // takes part only where a configuration names it
  OptionsPtr options_schema;         // JSON Schema; null: anything goes

  bool answers_to(std::string_view name) const;  // id or alias
};

// "linux-x86_64": the key of this platform in "library".
std::string platform_key();
// Reads no code. All faults at once, as the configuration names them.
Result<Manifest> read_manifest(const std::string& path);
Result<Manifest> parse_manifest(std::string_view json, const std::string& path);
// A manifest for a library without one; its id comes from the library.
Manifest bare_manifest(const std::string& library);

// What stands against loading it, decided without loading it: platform, ABI, needed libraries, CPU features, file.
// Errors: MISSING_DEPENDENCY, ABI_MISMATCH, NOT_FOUND, PERMISSION_DENIED.
Status preflight(const Manifest& manifest);

// Options checked against options_schema, defaults filled in. Errors: INVALID_ARGUMENT, all faults at once.
Result<OptionsPtr> check_options(const Manifest& manifest, std::string_view options_json);
// Whether the schema has this top-level property.
bool knows_option(const Manifest& manifest, std::string_view name);

}  // namespace tenon
