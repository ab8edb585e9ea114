#include "core/provider/provider.h"

#include <algorithm>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/provider/host.h"
#include "core/provider/task.h"

namespace tenon {
namespace {

Status absent(const Provider& provider, const char* function) {
  return error(TENON_UNIMPLEMENTED, "provider {}: it has no {}", provider.id(), function);
}

// Takes over what a provider says of a device; what cannot be true is an error.
Result<DeviceInfo> read_device(const tenon_device_info& raw, const Provider& provider) {
  DeviceInfo d;
  d.kind = raw.kind;
  d.uid = view(raw.uid);
  d.name = view(raw.name);
  d.sync_family = view(raw.sync_family);
  d.flops_per_ns = raw.flops_per_ns;
  d.bytes_per_ns = raw.bytes_per_ns;
  d.launch_ns = raw.launch_ns;
  d.memory_limit = raw.memory_limit;
  if (raw.domains.count > 4096 || raw.routes.count > 65536)
    return invalid("device \"{}\" has {} memory domains and {} routes", d.uid, raw.domains.count, raw.routes.count);
  for (const tenon_domain& m : full_copies<tenon_domain>(raw.domains)) {
    DomainInfo i;
    i.kind = m.kind;
    i.uid = view(m.uid);
    i.base_align = std::max<std::uint64_t>(m.base_align, 1);
    i.view_align = m.view_align;
    i.max_alloc = m.max_alloc;
    i.total_bytes = m.total_bytes;
    i.dlpack_type = m.dlpack_type;
    i.dlpack_id = m.dlpack_id;
    if (i.uid.empty() || (i.base_align & (i.base_align - 1)) != 0 || i.base_align > (1u << 30))
      return invalid("device \"{}\": a memory domain has uid \"{}\" and alignment {}", d.uid, i.uid, i.base_align);
    if (!i.host() && !provider.api().buffer_alloc)
      return invalid("device \"{}\" has the memory domain \"{}\", but the provider has no buffer_alloc", d.uid, i.uid);
    d.domains.push_back(std::move(i));
  }
  if (d.domains.empty()) return invalid("device \"{}\" has no memory domain", d.uid);
  for (const tenon_route& r : full_copies<tenon_route>(raw.routes)) {
    const auto known = [&](std::uint32_t domain) { return domain == TENON_ROUTE_HOST || domain < d.domains.size(); };
    if (!known(r.from_domain) || !known(r.to_domain)) return invalid("device \"{}\": a route names a memory domain that it does not have", d.uid);
    d.routes.push_back({r.from_domain, r.to_domain, r.flags, r.bytes_per_ns, r.latency_ns});
  }
  for (std::uint32_t i = 0; i < d.domains.size(); ++i) {
    if (d.domains[i].host()) continue;
    const auto has = [&](std::uint32_t from, std::uint32_t to) {
      return std::any_of(d.routes.begin(), d.routes.end(), [&](const RouteInfo& r) { return r.from == from && r.to == to; });
    };
    if (!has(TENON_ROUTE_HOST, i) || !has(i, TENON_ROUTE_HOST))
      return invalid("device \"{}\": the memory domain \"{}\" lacks a route to or from the host", d.uid, d.domains[i].uid);
  }
  return d;
}

// For calls made before there is a device; see Device::call.
template <class Fn>
Status provider_call(const std::string& id, const char* function, Fn&& fn) {
  const Watch::Call watched(function, {nullptr, id, {}});
  try {
    return take_status(fn());
  } catch (const std::exception& e) {
    return internal("threw an exception across the ABI: {}; a provider must catch its own (provider.hpp does)", e.what());
  } catch (...) {
    return internal("threw an exception of an unknown type across the ABI");
  }
}

// For calls that end a handle: they return nothing, and an exception out of one has nowhere to go but the log.
template <class Fn>
void end_handle(const Provider& provider, const char* function, Fn&& fn) noexcept {
  try {
    fn();
  } catch (const std::exception& e) {
    log_warn("loader", "provider {}: {} threw an exception across the ABI: {}; what it held may not be free", provider.id(), function, e.what());
  } catch (...) {
    log_warn("loader", "provider {}: {} threw an exception across the ABI; what it held may not be free", provider.id(), function);
  }
}

}  // namespace

DeviceBuffer::~DeviceBuffer() {
  if (buffer_) end_handle(device_->provider(), "buffer_free", [&] { device_->api().buffer_free(device_->handle(), buffer_); });
}

Device::Device(std::shared_ptr<Provider> provider, std::uint32_t index, DeviceInfo info, tenon_device* handle)
    : provider_(std::move(provider)), index_(index), info_(std::move(info)), handle_(handle) {
  const auto* resize = static_cast<const tenon_resize_extension*>(provider_->extension("tenon.resize", 1));
  if (resize && resize->struct_size >= offsetof(tenon_resize_extension, plan_resize) + sizeof(resize->plan_resize) && resize->plan_resize) resize_ = resize;
}

Device::~Device() {
  if (handle_) end_handle(*provider_, "device_close", [&] { api().device_close(handle_); });
}

const tenon_provider_api& Device::api() const { return provider_->api(); }

Status Device::took(tenon_status* raw) {
  if (!raw) return {};
  Status status = take_status(raw);
  if (status.code() == TENON_DEVICE_LOST) lost_.store(true, std::memory_order_relaxed);
  return std::move(status).at("provider " + provider_->id());
}

Status Device::threw(const char* what) {
  return internal("provider {}: threw an exception across the ABI: {}; a provider must catch its own (provider.hpp does)", provider_->id(), what);
}

Watch::Subject Device::subject() const { return {this, provider_->id(), info_.uid}; }

Result<Turn::Hold> Device::serialise() {
  if (provider_->concurrent_compile()) return Turn::Hold();
  return compile_turn_.take();
}

Result<std::string> Device::fingerprint() {
  if (!api().fingerprint) return std::string();
  std::string text(256, '\0');
  std::uint64_t length = 0;
  TENON_TRY(call("fingerprint", [&] { return api().fingerprint(handle_, text.data(), text.size(), &length); }));
  if (length > text.size()) {
    if (length > 65536) return invalid("provider {}: its fingerprint has {} bytes", provider_->id(), length);
    text.resize(length);
    TENON_TRY(call("fingerprint", [&] { return api().fingerprint(handle_, text.data(), text.size(), &length); }));
  }
  text.resize(std::min<std::uint64_t>(length, text.size()));
  return text;
}

Status Device::query(const tenon_query& query, tenon_query_sink& sink) {
  TENON_ASSIGN(const Turn::Hold turn, serialise());
  const std::chrono::nanoseconds limit = query.load ? query.load->begin_query() : std::chrono::nanoseconds(0);
  Status status = call("query", [&] { return api().query(handle_, &query, &sink); }, limit);
  if (query.load && !query.load->end_query())
    return error(TENON_DEADLINE_EXCEEDED, "provider {}: query of a graph of {} nodes took too long; it has to return soon after cancelled() says so",
                 provider_->id(), query.graph->nodes.count);
  return status;
}

Result<tenon_program*> Device::compile(const tenon_part& part, const tenon_compile_options& options) {
  TENON_ASSIGN(const Turn::Hold turn, serialise());
  tenon_program* program = nullptr;
  TENON_TRY(call("compile", [&] { return api().compile(handle_, &part, &options, &program); }));
  if (!program) return internal("provider {}: compile succeeded without a program", provider_->id());
  return program;
}

void Device::program_destroy(tenon_program* program) {
  if (program) end_handle(*provider_, "program_destroy", [&] { api().program_destroy(program); });
}

Result<tenon_plan*> Device::plan(tenon_program* program, const tenon_plan_args& args, tenon_plan_sink& sink) {
  if (!has_plan()) return absent(*provider_, "program_plan");
  TENON_ASSIGN(const Turn::Hold turn, serialise());
  tenon_plan* plan = nullptr;
  TENON_TRY(call("program_plan", [&] { return api().program_plan(program, &args, &sink, &plan); }));
  return plan;
}

Status Device::resize(tenon_program* program, tenon_plan* plan, const tenon_resize_args& args) {
  return call("plan_resize", [&] { return resize_->plan_resize(program, plan, &args); });
}

void Device::plan_destroy(tenon_plan* plan) {
  if (plan && api().plan_destroy) end_handle(*provider_, "plan_destroy", [&] { api().plan_destroy(plan); });
}

Result<tenon_binding*> Device::bind(tenon_plan* plan, const tenon_address* addresses, std::uint64_t count, tenon_stream* hint) {
  if (!has_bind()) return absent(*provider_, "plan_bind");
  tenon_binding* binding = nullptr;
  TENON_TRY(call("plan_bind", [&] { return api().plan_bind(plan, addresses, count, hint, &binding); }));
  return binding;
}

Status Device::binding_update(tenon_binding* binding, const std::uint32_t* changed, const tenon_address* addresses, std::uint64_t count) {
  if (!api().binding_update) return absent(*provider_, "binding_update");
  return call("binding_update", [&] { return api().binding_update(binding, changed, addresses, count); });
}

void Device::binding_destroy(tenon_binding* binding) {
  if (binding && api().binding_destroy) end_handle(*provider_, "binding_destroy", [&] { api().binding_destroy(binding); });
}

Result<std::shared_ptr<DeviceBuffer>> Device::alloc(std::uint32_t domain, std::uint64_t bytes, std::uint64_t alignment) {
  if (domain >= info_.domains.size() || info_.domains[domain].host() || !api().buffer_alloc)
    return internal("provider {}: no memory can be had in domain {}", provider_->id(), domain);
  const DomainInfo& d = info_.domains[domain];
  if (d.max_alloc != 0 && bytes > d.max_alloc)
    return error(TENON_RESOURCE_EXHAUSTED, "provider {}: {} bytes are more than the largest buffer of \"{}\" ({})", provider_->id(), bytes, d.uid, d.max_alloc);
  tenon_buffer* buffer = nullptr;
  TENON_TRY(call("buffer_alloc", [&] { return api().buffer_alloc(handle_, domain, bytes, std::max(alignment, d.base_align), &buffer); }));
  if (!buffer) return internal("provider {}: buffer_alloc succeeded without a buffer", provider_->id());
  void* handle = nullptr;
  Status status = call("buffer_handle", [&] { return handle = api().buffer_handle(handle_, buffer), nullptr; });
  auto made = std::make_shared<DeviceBuffer>(shared_from_this(), buffer, tenon_address{handle, 0, bytes});
  TENON_TRY(std::move(status));
  return made;
}

int Device::route(std::uint32_t from, std::uint32_t to) const {
  for (std::size_t i = 0; i < info_.routes.size(); ++i)
    if (info_.routes[i].from == from && info_.routes[i].to == to) return static_cast<int>(i);
  return -1;
}

Status Device::copy(std::uint32_t route, tenon_stream* stream, const tenon_address& dst, const tenon_address& src, std::uint64_t bytes) {
  if (!api().copy) return absent(*provider_, "copy");
  return call("copy", [&] { return api().copy(handle_, route, stream, &dst, &src, bytes); });
}

Result<tenon_stream*> Device::stream_create(void* native) {
  if (!api().stream_create) return absent(*provider_, "stream_create");
  tenon_stream* stream = nullptr;
  TENON_TRY(call("stream_create", [&] { return api().stream_create(handle_, native, &stream); }));
  return stream;
}
void Device::stream_destroy(tenon_stream* stream) {
  if (stream && api().stream_destroy) end_handle(*provider_, "stream_destroy", [&] { api().stream_destroy(stream); });
}
void* Device::stream_native(tenon_stream* stream) {
  void* native = nullptr;
  if (api().stream_native) end_handle(*provider_, "stream_native", [&] { native = api().stream_native(stream); });
  return native;
}
Status Device::stream_sync(tenon_stream* stream) {
  return call("stream_sync", [&] { return api().stream_sync(stream); });
}

Result<tenon_event*> Device::event_create(std::uint64_t flags) {
  if (!api().event_create) return absent(*provider_, "event_create");
  tenon_event* event = nullptr;
  TENON_TRY(call("event_create", [&] { return api().event_create(handle_, flags, &event); }));
  return event;
}
void Device::event_destroy(tenon_event* event) {
  if (event && api().event_destroy) end_handle(*provider_, "event_destroy", [&] { api().event_destroy(event); });
}
Status Device::event_record(tenon_event* event, tenon_stream* stream) { return call("event_record", [&] { return api().event_record(event, stream); }); }
Status Device::event_wait(tenon_event* event, tenon_stream* stream) {
  return call("event_wait", [&] { return api().event_wait(event, stream); });
}
Status Device::event_host_wait(tenon_event* event, std::uint64_t timeout_ns) { return call("event_host_wait", [&] { return api().event_host_wait(event, timeout_ns); }); }

Result<std::shared_ptr<Provider>> Provider::make(Manifest manifest, LoadedLibrary library, OptionsPtr options) {
  std::shared_ptr<Provider> p(new Provider);
  p->manifest_ = std::move(manifest);
  p->library_ = std::move(library);
  p->options_ = std::move(options);
  if (p->manifest_.id.empty()) p->manifest_.id = p->library_.id;
  if (p->manifest_.version.empty()) p->manifest_.version = p->library_.version;
  p->host_ = std::make_unique<tenon_host>(tenon_host{p->library_.id});
  const std::string where = "provider " + p->id();
  tenon_provider* handle = p->library_.created;
  if (!handle)
    if (Status s = provider_call(p->id(), "create", [&] { return p->api().create(&host_api(), p->host_.get(), p->options_.get(), &handle); }); !s.ok())
      return std::move(s).at(where);
  if (!handle) return internal("{}: create succeeded without a provider", where);
  p->handle_ = handle;
  tenon_span span{};
  if (Status s = provider_call(p->id(), "enumerate", [&] { return p->api().enumerate(handle, &span); }); !s.ok()) return std::move(s).at(where);
  if (span.count > 4096) return invalid("{}: it reports {} devices", where, span.count);
  for (const tenon_device_info& raw : full_copies<tenon_device_info>(span)) {
    Result<DeviceInfo> device = read_device(raw, *p);
    if (!device.ok()) return std::move(device.status()).at(where);
    p->devices_.push_back(*std::move(device));
  }
  p->open_.resize(p->devices_.size());
  return p;
}

Provider::~Provider() {
  if (handle_) end_handle(*this, "destroy", [&] { api().destroy(handle_); });
}

Result<DevicePtr> Provider::open_device(std::uint32_t index) {
  TENON_ASSIGN(const Turn::Hold turn, turn_.take());
  if (index >= devices_.size()) return error(TENON_OUT_OF_RANGE, "provider {}: it has {} devices, device {} was asked for", id(), devices_.size(), index);
  if (DevicePtr open = open_[index].lock()) return open;
  tenon_device* handle = nullptr;
  if (Status s = provider_call(id(), "device_open", [&] { return api().device_open(handle_, index, &handle); }); !s.ok()) return std::move(s).at("provider " + id());
  if (!handle) return internal("provider {}: device_open succeeded without a device", id());
  DevicePtr device = std::make_shared<Device>(shared_from_this(), index, devices_[index], handle);
  open_[index] = device;
  return device;
}

Result<std::vector<std::uint32_t>> Provider::select(const std::string& device) const {
  if (devices_.empty()) return error(TENON_NOT_FOUND, "provider {}: it has no device on this machine", id());
  std::vector<std::uint32_t> out;
  if (device.empty()) {
    out.push_back(0);
  } else if (device.size() < 7 && device.find_first_not_of("0123456789") == std::string::npos) {
    const unsigned long index = std::stoul(device);
    if (index < devices_.size()) out.push_back(static_cast<std::uint32_t>(index));
  } else {
    for (std::uint32_t i = 0; i < devices_.size(); ++i)
      if (glob_match(device, devices_[i].uid)) out.push_back(i);
  }
  if (!out.empty()) return out;
  std::string all;
  for (std::size_t i = 0; i < devices_.size(); ++i) all += fmt::format("{}{}: {} ({})", i ? ", " : "", i, devices_[i].uid, devices_[i].name);
  return error(TENON_NOT_FOUND, "provider {}: it has no device \"{}\"; it has {}", id(), device, all);
}

const void* Provider::extension(std::string_view name, std::uint32_t version) const {
  const void* found = nullptr;
  const Watch::Call watched("get_extension", {nullptr, id(), {}});
  if (api().get_extension) end_handle(*this, "get_extension", [&] { found = api().get_extension(handle_, str(name), version); });
  return found;
}

}  // namespace tenon
