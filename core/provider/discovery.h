// Discovery: which manifests there are, in the order in which they count.
// Reads folders and manifests, no code. No state; any thread.
#pragma once

#include <string>
#include <vector>

#include "core/provider/manifest.h"

namespace tenon {

// Found::where of what came with this libtenon.
inline constexpr const char* own_installation = "libtenon";

struct Found {
  std::string path;      // manifest, or library without one
  std::string where;     // "api", "TENON_PROVIDER_PATH", "libtenon", "/etc/tenon/providers.d", ...
  Manifest manifest;
  Status problem;        // set: the manifest is unusable and why
  std::string shadowed_by;  // path of the manifest with the same id that won
};

// paths (API, then configuration) come first: folders, manifests or libraries. usable: each is asked whether it could be loaded,
// which looks for the libraries that it needs; without it `problem` speaks of the manifest alone.
std::vector<Found> discover(const std::vector<std::string>& paths, bool usable = true);

}  // namespace tenon
