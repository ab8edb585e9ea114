#include "core/provider/loader.h"

#include <cstring>
#include <mutex>
#include <vector>

#include "core/base/file_map.h"
#include "core/base/log.h"
#include "core/provider/host.h"

namespace tenon {
namespace {

const char* sanitizer_name(std::uint32_t kind) {
  switch (kind) {
    case TENON_SANITIZER_NONE: return "none";
    case TENON_SANITIZER_ADDRESS: return "address";
    case TENON_SANITIZER_THREAD: return "thread";
    default: return "unknown";
  }
}

// What minor 0 had of the structs that a provider hands over; whoever has less was not built from any of the headers.
constexpr std::uint32_t first_desc_bytes = offsetof(tenon_provider_desc, api) + sizeof(void*);
constexpr std::uint32_t first_table_bytes = offsetof(tenon_provider_api, execute) + sizeof(void*);

// Loaded libraries stay: code of theirs may run in threads and at exit.
void keep_for_ever(const std::shared_ptr<Dynlib>& library) {
  static std::mutex mutex;
  static auto* kept = new std::vector<std::shared_ptr<Dynlib>>;
  std::lock_guard lock(mutex);
  kept->push_back(library);
}

}  // namespace

std::uint64_t host_features() { return TENON_FEATURE_CONCURRENT_COMPILE | TENON_FEATURE_UNLOADABLE; }

Result<LoadedLibrary> negotiate(const tenon_provider_desc* (*query)(const tenon_query_args*), const std::string& path,
                                const std::string& expected_id, const HostOffer& offer) {
  char reason[512] = {};
  tenon_query_args args{};
  args.struct_size = sizeof args;
  args.abi_major = offer.major;
  args.minor_min = offer.minor_min;
  args.minor_max = offer.minor_max;
  args.host_features = host_features();
  args.header_hash = offer.header_hash;
  args.host_version = str("0.1.0");
  args.error = reason;
  args.error_capacity = sizeof reason;
  const tenon_provider_desc* raw = query(&args);
  reason[sizeof reason - 1] = 0;
  if (!raw) return error(TENON_ABI_MISMATCH, "\"{}\": the provider refuses this host (ABI {}.{} to {}.{}): {}", path, offer.major, offer.minor_min,
                         offer.major, offer.minor_max, reason[0] ? reason : "it gives no reason");
  if (raw->struct_size < first_desc_bytes)
    return error(TENON_ABI_MISMATCH, "\"{}\": its description has {} bytes, at least {} are expected", path, raw->struct_size, first_desc_bytes);
  const tenon_provider_desc desc = full_copy(*raw);
  if (desc.abi_major != offer.major || desc.abi_minor < offer.minor_min || desc.abi_minor > offer.minor_max)
    return error(TENON_ABI_MISMATCH, "\"{}\": made for ABI {}.{}, this host speaks {}.{} to {}.{}; rebuild the provider with this host's headers", path,
                 desc.abi_major, desc.abi_minor, offer.major, offer.minor_min, offer.major, offer.minor_max);
  if (desc.header_hash != offer.header_hash)
    log_info("loader", "\"{}\": speaks ABI {}.{} and was built from other headers: hash {:#018x}, this host's {:#018x}", path, desc.abi_major,
             desc.abi_minor, desc.header_hash, offer.header_hash);
  if (desc.sanitizer != TENON_SANITIZER)
    return error(TENON_FAILED_PRECONDITION, "\"{}\": built with sanitizer {}, this host with {}; both must be the same", path,
                 sanitizer_name(desc.sanitizer), sanitizer_name(TENON_SANITIZER));
  if (const std::uint64_t unknown = desc.features_required & ~host_features())
    return error(TENON_ABI_MISMATCH, "\"{}\": requires features {:#x} that this host does not have; install a newer tenon", path, unknown);
  if (view(desc.id).empty()) return invalid("\"{}\": the provider has no id", path);
  if (!expected_id.empty() && view(desc.id) != expected_id)
    return invalid("\"{}\": the library says it is \"{}\", its manifest says \"{}\"", path, view(desc.id), expected_id);
  if (!desc.api) return invalid("\"{}\": the provider \"{}\" has no table of functions", path, view(desc.id));
  if (desc.api->struct_size < first_table_bytes)
    return error(TENON_ABI_MISMATCH, "\"{}\": its table of functions has {} bytes, at least {} are expected", path, desc.api->struct_size, first_table_bytes);

  LoadedLibrary out;
  out.api = full_copy(*desc.api);
  out.abi_minor = desc.abi_minor;
  out.header_hash = desc.header_hash;
  out.id = view(desc.id);
  out.version = view(desc.version);
  out.build_id = view(desc.build_id);
  if (desc.opsets.count > 4096) return invalid("\"{}\": the provider \"{}\" names {} operator sets", path, out.id, desc.opsets.count);
  for (const tenon_opset& opset : full_copies<tenon_opset>(desc.opsets))
    out.opsets.push_back({std::string(view(opset.domain)), opset.max_opset});

  const std::pair<const char*, bool> required[] = {
      {"create", out.api.create},           {"destroy", out.api.destroy},           {"enumerate", out.api.enumerate},
      {"device_open", out.api.device_open}, {"device_close", out.api.device_close}, {"query", out.api.query},
      {"compile", out.api.compile},         {"program_destroy", out.api.program_destroy}, {"execute", out.api.execute}};
  std::string missing;
  for (const auto& [name, there] : required)
    if (!there) missing += (missing.empty() ? "" : ", ") + std::string(name);
  if (!missing.empty()) return invalid("\"{}\": the provider \"{}\" lacks required functions: {}", path, out.id, missing);
  // Functions that only make sense together; provider.h says which.
  const tenon_provider_api& a = out.api;
  std::string half;
  if (a.program_plan && !a.plan_destroy) half = "program_plan without plan_destroy";
  else if (a.plan_bind && (!a.binding_destroy || !a.binding_update || !a.program_plan)) half = "plan_bind without binding_update, binding_destroy and program_plan";
  else if (a.buffer_alloc && (!a.buffer_free || !a.buffer_handle || !a.copy)) half = "buffer_alloc without buffer_free, buffer_handle and copy";
  else if (a.stream_create && (!a.stream_destroy || !a.stream_sync)) half = "stream_create without stream_destroy and stream_sync";
  else if (a.event_create && (!a.event_destroy || !a.event_record || !a.event_host_wait)) half = "event_create without event_destroy, event_record and event_host_wait";
  if (!half.empty()) return invalid("\"{}\": the provider \"{}\" has {}", path, out.id, half);
  return out;
}

Result<LoadedLibrary> load_library(const Manifest& manifest, const TrustPolicy& policy) {
  TENON_TRY(preflight(manifest));
  TENON_ASSIGN(std::shared_ptr<Dynlib> library, load_trusted(manifest, policy));
  void* symbol = library->symbol("tenon_provider_query");
  if (!symbol) return invalid("\"{}\": not a tenon provider: it does not export tenon_provider_query", library->path());
  keep_for_ever(library);
  TENON_ASSIGN(LoadedLibrary loaded,
               negotiate(reinterpret_cast<const tenon_provider_desc* (*)(const tenon_query_args*)>(symbol), library->path(), manifest.id));
  loaded.identity = file_identity(library->path());
  loaded.library = std::move(library);
  log_debug("loader", "loaded {} {} from {}", loaded.id, loaded.version, loaded.library->path());
  return loaded;
}

}  // namespace tenon
