// Trust: which libraries this process may load: who could have written them, and whether they are the very bytes expected.
//
// Code of a provider runs with all rights of the process, so the question is asked before any of it does. No state; any thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/base/dynlib.h"
#include "core/base/status.h"
#include "core/provider/manifest.h"

namespace tenon {

// What a configuration demands of a provider's library.
struct TrustPolicy {
  std::string sha256;           // of the configuration's entry; "" none
  bool require_pinned = false;  // neither the entry nor the manifest has a SHA-256: refused
  std::chrono::milliseconds probe_limit{20'000};
  bool probe = true;            // a library from outside the installation is first loaded in a process of its own
};

// Who but root and the user of this process may change the file: its owner and mode, and those of every folder above it (where
// others may write but not rename what is not theirs, as in /tmp, a folder is no danger to a file of the user's). Errors:
// PERMISSION_DENIED naming the path and how to set it right; NOT_FOUND.
Status only_ours(const std::string& path);
// The same of a provider's manifest and library. A privileged process refuses; any other goes on with a warning, once per path.
Status check_writers(const Manifest& manifest);

// Whether the library is what policy and manifest demand, before any process runs code of it. Errors: as load_trusted, which asks
// again of the very bytes that it loads.
Status check_pin(const Manifest& manifest, const TrustPolicy& policy);
// The library as the policy and the manifest allow it: opened once, hashed, and where a hash was demanded loaded from a sealed
// copy of those bytes, so that nothing can be changed in between. A pinned library that needs others from its own folder cannot
// be loaded from a copy; it is loaded by its path if only_ours holds for it. Errors: PERMISSION_DENIED (not pinned), DATA_LOSS
// (another hash), those of Dynlib.
Result<std::shared_ptr<Dynlib>> load_trusted(const Manifest& manifest, const TrustPolicy& policy);

}  // namespace tenon
