// Registry: the providers of this process.
//
// Found by discovery, loaded when first asked for, kept as long as anyone holds them (and their libraries for ever).
// Process-wide; any thread; opening is serialised for each library.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/base/config.h"
#include "core/provider/discovery.h"
#include "core/provider/provider.h"
#include "core/provider/trust.h"
#include "core/provider/watch.h"

namespace tenon {

struct ProviderInfo {
  std::string id, version, path, where;
  std::vector<std::string> aliases;
  std::string state;   // "ready" (may be loaded), "loaded", "shadowed", "unusable", "quarantined"
  std::string reason;  // for shadowed, unusable and quarantined
  std::vector<std::string> devices;  // kinds from the manifest, or "uid (name)" once loaded
};

// A provider as one session uses it.
struct SessionProvider {
  ProviderPtr provider;
  std::vector<DevicePtr> devices;
  OptionsPtr options;
  bool watched = false;   // it may not come back from a call; what came with this library and runs on the host alone does
  bool fallback = false;  // appended to providers that the configuration names: takes only what none of those claims
};

class Registry {
 public:
  static Registry& instance();

  // A folder, manifest or library that counts before all others.
  void add_path(const std::string& path);
  // Loads nothing. paths: the configuration's provider_paths.
  std::vector<ProviderInfo> list(const std::vector<std::string>& paths = {});
  // name: id, alias, or path of a manifest or library. options: JSON, checked before any code is loaded; they reach
  // create only when the provider is not open yet. Errors: NOT_FOUND (names what is there), those of the loader.
  Result<ProviderPtr> open(const std::string& name, const std::string& options = "{}",
                           const std::vector<std::string>& paths = {});
  // A library that ended the process in which it was tried is not loaded any more. name: as for open. Errors: NOT_FOUND;
  // FAILED_PRECONDITION: it came with this library, and stands and falls with it.
  Status quarantine(const std::string& name, const std::string& what, const std::vector<std::string>& paths = {});
  // A library that crashed or hung when it was tried is tried again next time. name: as for open. Errors: NOT_FOUND: there is
  // no such provider, or it is not in quarantine.
  Status forget_quarantine(const std::string& name, const std::vector<std::string>& paths = {});
  // All providers of a configuration with their devices and checked options, in order. Without entries: every usable
  // provider found that does not wait to be named, the cpu last, and cost decides. Behind entries that do not name it the cpu is appended as a fallback
  // unless placement.on_unsupported is "error". What was left out and why (providers that are not required, and with skip_lost devices that were lost or
  // set aside) goes to notes.
  Result<std::vector<SessionProvider>> open_all(const Config& config, std::vector<std::string>& notes, const Watch::Limits& limits, bool skip_lost = false);

 private:
  Registry() = default;
  Result<OptionsPtr> session_options(const Manifest& manifest, const Config& config, const std::string& options) const;
  Result<Found> look_up(const std::string& name, const std::vector<std::string>& paths);
  // In processes of its own, with this limit of one call: it is not the provider that others use in this one.
  using Isolate = std::optional<std::chrono::milliseconds>;
  // One library, loaded at most once in each of both ways; who comes meanwhile waits his turn.
  struct Slot {
    Turn turn;
    std::weak_ptr<Provider> open;  // guarded by the registry's mutex
  };
  ProviderPtr is_open(const std::string& key);
  Result<ProviderPtr> open_found(Found found, OptionsPtr options, TrustPolicy policy, Isolate isolate = {});
  // The provider and those of its devices that `device` names, on a thread of its own where it may not come back.
  Result<SessionProvider> open_devices(Found found, OptionsPtr options, TrustPolicy policy, Isolate isolate, const std::string& device,
                                       const Watch::Limits& limits);

  std::mutex mutex_;
  std::vector<std::string> paths_;
  std::map<std::string, std::shared_ptr<Slot>> slots_;  // by library path
};

}  // namespace tenon
