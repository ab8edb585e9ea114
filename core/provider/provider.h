// Provider and Device: the C++ face of a provider's table of functions.
//
// Made by the registry, once per process; handles are shared. Every failure of a provider comes back as a Status whose
// text begins with the provider's id. Threads: create, open and close are serialised here; query, compile and plan are
// serialised per device unless the provider says CONCURRENT_COMPILE; the rest is as provider.h says.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <tenon/provider.h>
#include <tenon/resize.h>

#include "core/base/dynlib.h"
#include "core/base/float_mode.h"
#include "core/base/status.h"
#include "core/provider/manifest.h"
#include "core/provider/options.h"
#include "core/provider/watch.h"

struct tenon_host;

namespace tenon {

class Provider;

struct DomainInfo {
  std::int32_t kind = TENON_DOMAIN_HOST;
  std::string uid = "host";
  std::uint64_t base_align = 64, view_align = 64, max_alloc = 0, total_bytes = 0;
  std::int32_t dlpack_type = 0, dlpack_id = 0;

  bool host() const { return uid == "host"; }
};

struct RouteInfo {
  std::uint32_t from = TENON_ROUTE_HOST, to = TENON_ROUTE_HOST;
  std::uint64_t flags = 0;
  double bytes_per_ns = 0, latency_ns = 0;
};

struct DeviceInfo {
  std::int32_t kind = TENON_DEVICE_CPU;
  std::string uid, name, sync_family;
  std::vector<DomainInfo> domains;
  std::vector<RouteInfo> routes;
  double flops_per_ns = 0, bytes_per_ns = 0, launch_ns = 0;
  std::uint64_t memory_limit = 0;
};

class Device;
using DevicePtr = std::shared_ptr<Device>;

// Memory of a device's own domain; freed with the last holder.
class DeviceBuffer {
 public:
  DeviceBuffer(DevicePtr device, tenon_buffer* buffer, tenon_address address)
      : device_(std::move(device)), buffer_(buffer), address_(address) {}
  ~DeviceBuffer();
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  const tenon_address& address() const { return address_; }

 private:
  DevicePtr device_;
  tenon_buffer* buffer_;
  tenon_address address_;
};

// Opened once per process and closed with the last holder.
class Device : public std::enable_shared_from_this<Device> {
 public:
  Device(std::shared_ptr<Provider> provider, std::uint32_t index, DeviceInfo info, tenon_device* handle);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceInfo& info() const { return info_; }
  std::uint32_t index() const { return index_; }
  Provider& provider() const { return *provider_; }
  tenon_device* handle() const { return handle_; }
  const tenon_provider_api& api() const;
  bool lost() const { return lost_.load(std::memory_order_relaxed); }
  // UNAVAILABLE while a call on it does not return (watch.h).
  Status trouble() const { return Watch::trouble(this); }
  Watch::Subject subject() const;
  bool has_plan() const { return api().program_plan != nullptr; }
  bool has_bind() const { return has_plan() && api().plan_bind != nullptr; }
  bool can_resize() const { return has_plan() && resize_ != nullptr; }  // extension "tenon.resize"
  bool has_streams() const { return api().stream_create != nullptr && api().stream_sync != nullptr; }
  bool has_events() const { return api().event_create != nullptr && api().event_record != nullptr && api().event_wait != nullptr; }
  // The host can wait for a place in a stream.
  bool has_marks() const { return has_streams() && api().event_create != nullptr && api().event_record != nullptr && api().event_host_wait != nullptr; }
  // "" when the provider has none.
  Result<std::string> fingerprint();

  Status query(const tenon_query& query, tenon_query_sink& sink);
  Result<tenon_program*> compile(const tenon_part& part, const tenon_compile_options& options);
  void program_destroy(tenon_program* program);
  Result<tenon_plan*> plan(tenon_program* program, const tenon_plan_args& args, tenon_plan_sink& sink);  // may be null
  // A plan for a box, to other sizes in it. REQUIRES can_resize().
  Status resize(tenon_program* program, tenon_plan* plan, const tenon_resize_args& args);
  void plan_destroy(tenon_plan* plan);
  Result<tenon_binding*> bind(tenon_plan* plan, const tenon_address* addresses, std::uint64_t count, tenon_stream* hint);
  Status binding_update(tenon_binding* binding, const std::uint32_t* changed, const tenon_address* addresses,
                        std::uint64_t count);
  void binding_destroy(tenon_binding* binding);
  // Its Watch::Call is the caller's, who knows which nodes these are, and whose workers call this too.
  Status execute(tenon_program* program, const tenon_execute_args& args) {
    return guarded([&] { return api().execute(program, &args); });
  }

  // Memory of domain `domain` of this device, which is not "host".
  Result<std::shared_ptr<DeviceBuffer>> alloc(std::uint32_t domain, std::uint64_t bytes, std::uint64_t alignment);
  // Index of the route between two of the device's domains (TENON_ROUTE_HOST for the host); -1 when there is none.
  int route(std::uint32_t from, std::uint32_t to) const;
  // Done when it returns unless there is a stream.
  Status copy(std::uint32_t route, tenon_stream* stream, const tenon_address& dst, const tenon_address& src,
              std::uint64_t bytes);

  Result<tenon_stream*> stream_create(void* native = nullptr);
  void stream_destroy(tenon_stream* stream);
  void* stream_native(tenon_stream* stream);  // null: there is none
  Status stream_sync(tenon_stream* stream);
  Result<tenon_event*> event_create(std::uint64_t flags = 0);
  void event_destroy(tenon_event* event);
  Status event_record(tenon_event* event, tenon_stream* stream);
  Status event_wait(tenon_event* event, tenon_stream* stream);
  Status event_host_wait(tenon_event* event, std::uint64_t timeout_ns);

 private:
  friend class DeviceBuffer;
  // A failure of this provider, its id in front; marks the device lost if it says so.
  Status took(tenon_status* status);
  // Calls into the provider; an exception that comes out of C code is its fault, not our end, and rounding stays as it was.
  template <class Fn>
  Status guarded(Fn&& fn) {
    const FloatMode kept;
    try {
      tenon_status* s = fn();
      return s ? took(s) : Status();
    } catch (const std::exception& e) {
      return threw(e.what());
    } catch (...) {
      return threw("of an unknown type");
    }
  }
  template <class Fn>
  Status call(const char* function, Fn&& fn, std::chrono::nanoseconds limit = {}) {
    const Watch::Call watched(function, subject(), limit);
    return guarded(fn);
  }
  Status threw(const char* what);
  Result<Turn::Hold> serialise();

  std::shared_ptr<Provider> provider_;
  std::uint32_t index_;
  DeviceInfo info_;
  tenon_device* handle_;
  const tenon_resize_extension* resize_ = nullptr;
  std::atomic<bool> lost_{false};
  Turn compile_turn_;
};

struct OpsetRange {
  std::string domain;
  std::int32_t max_opset = 0;
};

// What the loader got out of a library: negotiated, checked, the table copied into one of full size.
struct LoadedLibrary {
  std::shared_ptr<Dynlib> library;
  std::string identity;  // of its file (file_identity)
  tenon_provider_api api{};
  std::uint32_t abi_minor = 0;       // negotiated
  std::uint64_t header_hash = 0;     // of the headers that it was built from
  std::string id, version, build_id;
  std::vector<OpsetRange> opsets;
  tenon_provider* created = nullptr;  // where create has been called already: in a process of its own
};

class Provider : public std::enable_shared_from_this<Provider> {
 public:
  // Calls create and enumerate. Errors are the provider's.
  static Result<std::shared_ptr<Provider>> make(Manifest manifest, LoadedLibrary library, OptionsPtr options);
  ~Provider();
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  const std::string& id() const { return library_.id; }
  const std::string& version() const { return library_.version; }
  const std::string& build_id() const { return library_.build_id; }
  std::uint32_t abi_minor() const { return library_.abi_minor; }
  std::uint64_t header_hash() const { return library_.header_hash; }
  const std::string& library_identity() const { return library_.identity; }  // of its file: another build, another identity
  const Manifest& manifest() const { return manifest_; }
  const tenon_provider_api& api() const { return library_.api; }
  const std::vector<OpsetRange>& opsets() const { return library_.opsets; }
  tenon_provider* handle() const { return handle_; }
  // Known from enumerate; nothing is opened by asking.
  const std::vector<DeviceInfo>& devices() const { return devices_; }
  // The same device for everyone who asks. Errors: OUT_OF_RANGE, the provider's.
  Result<DevicePtr> open_device(std::uint32_t index);
  // Indices that a configuration's "device" names: "" the first, a number, a uid or a glob. Errors: NOT_FOUND.
  Result<std::vector<std::uint32_t>> select(const std::string& device) const;
  // null when the provider has no such extension.
  const void* extension(std::string_view name, std::uint32_t version) const;
  // Its library is in processes of its own; what it binds there follows sizes as well as addresses.
  bool isolated() const { return library_.created != nullptr; }
  bool concurrent_compile() const { return (api().features & TENON_FEATURE_CONCURRENT_COMPILE) != 0; }

 private:
  Provider() = default;
  Manifest manifest_;
  LoadedLibrary library_;
  OptionsPtr options_;  // those of create; kept as long as the provider
  std::unique_ptr<tenon_host> host_;
  tenon_provider* handle_ = nullptr;
  std::vector<DeviceInfo> devices_;
  Turn turn_;  // of open_ and what opens devices
  std::vector<std::weak_ptr<Device>> open_;
};

using ProviderPtr = std::shared_ptr<Provider>;

}  // namespace tenon
