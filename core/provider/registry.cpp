#include "core/provider/registry.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/provider/isolate/isolate.h"
#include "core/provider/loader.h"
#include "core/provider/options_impl.h"
#include "core/provider/probe.h"

namespace tenon {
namespace {

// The provider that takes what no other does.
constexpr std::string_view fallback_id = "cpu";

// Ours, and the host's processor alone: it waits for nothing but itself.
bool may_not_return(const Found& found) { return found.where != own_installation || found.manifest.devices != std::vector<std::string>{"cpu"}; }

std::string file_of(const Found& found) { return found.manifest.library.empty() ? found.path : found.manifest.library; }

}  // namespace

Registry& Registry::instance() {
  static Registry* made = new Registry;  // never destroyed: sessions may outlive static destructors
  return *made;
}

void Registry::add_path(const std::string& path) {
  std::error_code code;
  const std::string full = std::filesystem::absolute(path, code).lexically_normal().string();
  std::lock_guard lock(mutex_);
  if (std::find(paths_.begin(), paths_.end(), full) == paths_.end()) paths_.push_back(full);
}

std::vector<ProviderInfo> Registry::list(const std::vector<std::string>& paths) {
  std::lock_guard lock(mutex_);
  std::vector<std::string> all = paths_;
  all.insert(all.end(), paths.begin(), paths.end());
  std::vector<ProviderInfo> out;
  for (const Found& found : discover(all)) {
    ProviderInfo info{found.manifest.id, found.manifest.version, found.path, found.where, found.manifest.aliases, "ready", "", found.manifest.devices};
    if (info.id.empty()) info.id = std::filesystem::path(found.path).filename().string();
    if (!found.shadowed_by.empty()) {
      info.state = "shadowed";
      info.reason = fmt::format("\"{}\" comes first", found.shadowed_by);
    } else if (!found.problem.ok()) {
      info.state = "unusable";
      info.reason = found.problem.text();
    } else if (const auto slot = slots_.find(file_of(found)); slot != slots_.end()) {
      if (const ProviderPtr provider = slot->second->open.lock()) {
        info.state = "loaded";
        info.id = provider->id();
        info.version = provider->version();
        info.devices.clear();
        for (const DeviceInfo& device : provider->devices()) info.devices.push_back(fmt::format("{} ({})", device.uid, device.name));
      }
    }
    if (info.state == "ready")
      if (const auto record = Quarantine().find(file_of(found)); record && !record->passed) {
        info.state = "quarantined";
        info.reason = quarantined(info.id, *record).text();
      }
    out.push_back(std::move(info));
  }
  return out;
}

Status Registry::quarantine(const std::string& name, const std::string& what, const std::vector<std::string>& paths) {
  TENON_ASSIGN(const Found found, look_up(name, paths));
  if (found.where == own_installation) return error(TENON_FAILED_PRECONDITION, "provider {}: it came with this library, which keeps no record of it", name);
  Quarantine().failed(file_of(found), what);
  return {};
}

Status Registry::forget_quarantine(const std::string& name, const std::vector<std::string>& paths) {
  TENON_ASSIGN(const Found found, look_up(name, paths));
  if (Quarantine().forget(file_of(found))) return {};
  return error(TENON_NOT_FOUND, "provider {}: its library \"{}\" is not in quarantine", name, file_of(found));
}

Result<Found> Registry::look_up(const std::string& name, const std::vector<std::string>& paths) {
  std::vector<std::string> all;
  // A path names itself; it does not become a place where others are found.
  const bool is_path = name.find('/') != std::string::npos;
  if (is_path) all.push_back(name);
  {
    std::lock_guard lock(mutex_);
    all.insert(all.end(), paths_.begin(), paths_.end());
  }
  all.insert(all.end(), paths.begin(), paths.end());
  std::vector<Found> found = discover(all, false);  // the one that is wanted is looked at when it is opened
  if (is_path) {
    std::error_code code;
    const std::string real = std::filesystem::weakly_canonical(name, code).string();
    for (Found& f : found)
      if (f.path == real || f.manifest.library == real) return std::move(f);
    return error(TENON_NOT_FOUND, "\"{}\" is neither the manifest nor the library of a provider", name);
  }
  for (Found& f : found)
    if (f.shadowed_by.empty() && f.manifest.answers_to(name)) return std::move(f);
  // Broken manifests may be the reason: say so.
  std::vector<std::string> names;
  std::string known, broken;
  for (const Found& f : found) {
    if (f.manifest.id.empty()) {
      if (!f.problem.ok()) broken += fmt::format("\n  {}", f.problem.text());
      continue;
    }
    if (!f.shadowed_by.empty()) continue;
    known += (known.empty() ? "" : ", ") + f.manifest.id;
    names.push_back(f.manifest.id);
    names.insert(names.end(), f.manifest.aliases.begin(), f.manifest.aliases.end());
  }
  const std::string near = nearest(name, names);
  return error(TENON_NOT_FOUND, "there is no provider \"{}\"; {}found: {}{}", name, near.empty() ? "" : fmt::format("did you mean \"{}\"? ", near),
               known.empty() ? "none" : known, broken.empty() ? "" : "\nunusable manifests:" + broken);
}

ProviderPtr Registry::is_open(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto slot = slots_.find(key);
  return slot == slots_.end() ? nullptr : slot->second->open.lock();
}

Result<ProviderPtr> Registry::open_found(Found found, OptionsPtr options, TrustPolicy policy, Isolate isolate) {
  if (!found.problem.ok()) return std::move(found.problem);
  const std::string file = file_of(found), key = isolate ? file + "\nisolated" : file;
  std::shared_ptr<Slot> slot;
  {
    std::lock_guard lock(mutex_);
    std::shared_ptr<Slot>& at = slots_[key];
    if (!at) at = std::make_shared<Slot>();
    slot = at;
  }
  TENON_ASSIGN(const Turn::Hold turn, slot->turn.take());
  if (ProviderPtr provider = is_open(key)) return provider;
  if (!isolate) TENON_TRY(preflight(found.manifest));  // it may load what the library needs
  TENON_TRY(check_writers(found.manifest));
  // What came with this library is as good as this library.
  if (found.where == own_installation) {
    policy.require_pinned = false;
  } else if (policy.probe && !isolate && !privileged_process()) {
    TENON_TRY(check_pin(found.manifest, policy));  // loading asks again: without a probe, once is enough
    TENON_TRY(probe_library(found.manifest.id, file, policy.probe_limit, Quarantine()));
  }
  TENON_ASSIGN(LoadedLibrary library, isolate ? load_isolated(found.manifest, policy, options, *isolate) : load_library(found.manifest, policy));
  TENON_ASSIGN(ProviderPtr provider, Provider::make(std::move(found.manifest), std::move(library), std::move(options)));
  {
    std::lock_guard lock(mutex_);
    slot->open = provider;
  }
  log_info("loader", "provider {} {}: {} devices", provider->id(), provider->version(), provider->devices().size());
  return provider;
}

Result<ProviderPtr> Registry::open(const std::string& name, const std::string& options, const std::vector<std::string>& paths) {
  TENON_ASSIGN(Found found, look_up(name, paths));
  TENON_ASSIGN(OptionsPtr checked, check_options(found.manifest, options));
  return open_found(std::move(found), std::move(checked), {});
}

Result<SessionProvider> Registry::open_devices(Found found, OptionsPtr options, TrustPolicy policy, Isolate isolate, const std::string& device,
                                               const Watch::Limits& limits) {
  const auto out = std::make_shared<SessionProvider>();
  out->watched = !isolate && may_not_return(found);  // an isolated one has a limit for each call
  out->options = options;
  const bool watched = out->watched;
  const auto work = [this, out, found = std::make_shared<Found>(std::move(found)), options = std::move(options), policy = std::move(policy), isolate,
                     device]() -> Status {
    TENON_SET(out->provider, open_found(std::move(*found), options, policy, isolate));
    TENON_ASSIGN(const std::vector<std::uint32_t> indices, out->provider->select(device));
    for (const std::uint32_t index : indices) {
      TENON_ASSIGN(DevicePtr opened, out->provider->open_device(index));
      out->devices.push_back(std::move(opened));
    }
    return {};
  };
  TENON_TRY(watched ? Watch::run(limits, "load", work) : work());
  return std::move(*out);
}

Result<OptionsPtr> Registry::session_options(const Manifest& manifest, const Config& config, const std::string& text) const {
  TENON_ASSIGN(const OptionsPtr raw, make_options(text));
  tenon_config merged{raw->value};
  if (!config.precision.empty() && knows_option(manifest, "precision") && !merged.value.contains("precision"))
    merged.value["precision"] = config.precision;
  if (config.deterministic && knows_option(manifest, "deterministic") && !merged.value.contains("deterministic"))
    merged.value["deterministic"] = true;
  return check_options(manifest, options_text(merged));
}

Result<std::vector<SessionProvider>> Registry::open_all(const Config& config, std::vector<std::string>& notes, const Watch::Limits& limits,
                                                          bool skip_lost) {
  std::vector<ProviderEntry> entries = config.providers;
  if (entries.empty()) {
    // Nobody chose: all that can be used, the one that takes everything last.
    std::vector<std::string> all;
    {
      std::lock_guard lock(mutex_);
      all = paths_;
    }
    all.insert(all.end(), config.provider_paths.begin(), config.provider_paths.end());
    for (const Found& found : discover(all)) {
      if (!found.shadowed_by.empty() || found.manifest.id == fallback_id || found.manifest.answers_to(fallback_id)) continue;
      const std::string name = found.manifest.id.empty() ? found.path : found.manifest.id;
      if (!found.problem.ok()) notes.push_back(fmt::format("left out: {}", found.problem.text()));
      else if (!found.manifest.on_request) entries.push_back({name, "", "{}", false, ""});
    }
  }
  std::vector<SessionProvider> out;
  bool has_fallback = false;
  const auto add = [&](const ProviderEntry& entry) -> Status {
    TENON_ASSIGN(Found found, look_up(entry.use, config.provider_paths));
    std::string device = entry.device, text = entry.options;
    // Words that a provider of its own mind about devices understands are its option; a number is ours.
    if (device.find_first_not_of("0123456789") != std::string::npos && knows_option(found.manifest, "device")) {
      TENON_ASSIGN(const OptionsPtr raw, make_options(text));
      tenon_config merged{raw->value};
      if (!merged.value.contains("device")) merged.value["device"] = std::exchange(device, "");
      text = options_text(merged);
    }
    TENON_ASSIGN(OptionsPtr options, session_options(found.manifest, config, text));
    const TrustPolicy policy{entry.sha256, config.trust.require_pinned, config.trust.probe_limit, config.trust.probe};
    const Isolate isolate = entry.isolate ? Isolate(entry.isolate_limit) : std::nullopt;
    TENON_ASSIGN(SessionProvider sp, open_devices(std::move(found), options, policy, isolate, device, limits));
    for (DevicePtr& device : std::exchange(sp.devices, {})) {
      Status gone = device->lost() ? error(TENON_DEVICE_LOST, "provider {}: device \"{}\" was lost", sp.provider->id(), device->info().uid) : device->trouble();
      if (!gone.ok()) {
        if (!skip_lost) return gone;
        notes.push_back(fmt::format("left out: {}", gone.text()));
        continue;
      }
      for (const SessionProvider& other : out)
        for (const DevicePtr& used : other.devices)
          if (used == device) return invalid("provider {}: device \"{}\" is listed twice", sp.provider->id(), device->info().uid);
      sp.devices.push_back(std::move(device));
    }
    if (sp.devices.empty()) return {};
    has_fallback = has_fallback || sp.provider->id() == fallback_id;
    out.push_back(std::move(sp));
    return {};
  };
  for (const ProviderEntry& entry : entries) {
    Status status = add(entry);
    if (status.ok()) continue;
    if (entry.required) return status;
    notes.push_back(fmt::format("left out: {}", status.text()));
    log_info("loader", "provider {} is left out: {}", entry.use, status.text());
  }
  if (!has_fallback && !config.placement.error_on_unsupported) {
    if (Status status = add({std::string(fallback_id), "", "{}", false, ""}); status.ok()) {
      out.back().fallback = !config.providers.empty();
    } else {
      if (out.empty()) return status;
      notes.push_back(fmt::format("left out: {}", status.text()));
    }
  }
  if (out.empty()) return error(TENON_NOT_FOUND, "no provider can be used{}{}", notes.empty() ? "" : ": ", notes.empty() ? "" : notes.front());
  return out;
}

}  // namespace tenon
