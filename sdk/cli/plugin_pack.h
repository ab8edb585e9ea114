// PluginPack: `tenon plugin pack`: a provider's files in one archive, or in a Python wheel.
// One object a command; used by the main thread.
#pragma once

#include <string>
#include <vector>

namespace tenon::cli {

struct PluginPack {
  std::string manifest;
  std::vector<std::string> extra;  // files that belong beside the library
  std::string out = ".";
  bool wheel = false;

  // Writes <id>-<version>-<platform>.zip, or a wheel, and says its name. The manifest inside has the library's sha256. Errors: Failure.
  int operator()() const;
};

}  // namespace tenon::cli
