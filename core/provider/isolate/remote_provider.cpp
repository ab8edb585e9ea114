#include <algorithm>

#include "core/base/log.h"
#include "core/provider/isolate/isolate.h"
#include "core/provider/isolate/remote.h"

namespace tenon::isolate {
namespace {

constexpr double call_ns = 30'000;  // what asking another process costs, for the cover

RemoteProvider& provider_of(tenon_provider* p) { return *reinterpret_cast<RemoteProvider*>(p); }
RemoteDevice& device_of(tenon_device* d) { return *reinterpret_cast<RemoteDevice*>(d); }

tenon_status* not_here(const tenon_host_api*, tenon_host*, const tenon_config*, tenon_provider**) {
  return internal("an isolated provider is created by the process that serves it").release();
}
void destroy(tenon_provider* p) { delete &provider_of(p); }
tenon_status* enumerate(tenon_provider* p, tenon_span* out) {
  const auto& infos = provider_of(p).infos;
  *out = {infos.data(), infos.size(), sizeof(tenon_device_info), 0};
  return nullptr;
}
const void* get_extension(tenon_provider* p, tenon_str name, std::uint32_t version) {
  static const tenon_resize_extension resize{sizeof(tenon_resize_extension), 0, remote_resize};
  RemoteProvider& r = provider_of(p);
  if (version != 1) return nullptr;
  if (view(name) == "tenon.resize" && (r.first->description().has & has_resize)) return &resize;
  if (view(name) == "tenon.schema" && !r.schemas.empty()) return &r.schema_extension;
  return nullptr;
}
tenon_status* device_open(tenon_provider* p, std::uint64_t index, tenon_device** out) { return provider_of(p).open(index, out).release(); }
void device_close(tenon_device* d) { delete &device_of(d); }
tenon_status* infer(tenon_provider* p, const tenon_infer_args* args) { return provider_of(p).infer(*args).release(); }

Status fingerprint(RemoteDevice& device, char* text, std::uint64_t capacity, std::uint64_t* length) {
  TENON_ASSIGN(const auto peer, device.link->peer());
  return peer->call({Ask::fingerprint, "fingerprint"}, {}, [&](Reader& in) {
    const std::string_view said = in.text();
    if (!in.ok()) return Status();
    *length = said.size();
    std::memcpy(text, said.data(), std::min<std::uint64_t>(capacity, said.size()));
    return Status();
  });
}

}  // namespace

// Handles are this process's objects, and queues are kept in the other one: its memory is another memory, read over its routes only.
Status RemoteProvider::start() {
  TENON_ASSIGN(const auto peer, first->peer());
  const Description& d = first->description();
  devices = d.devices;
  domains.resize(devices.size()), routes.resize(devices.size());
  for (std::size_t i = 0; i < devices.size(); ++i) {
    DeviceInfo& device = devices[i];
    device.name += " (isolated)";
    for (DomainInfo& m : device.domains) {
      if (!m.host()) m.uid = fmt::format("isolated:{}:{}:{}", d.library.id, i, m.uid), m.kind = TENON_DOMAIN_DEVICE;
      domains[i].push_back({sizeof(tenon_domain), m.kind, str(m.uid), m.base_align, m.view_align, m.max_alloc, m.total_bytes, 0, 0});
    }
    for (const RouteInfo& r : device.routes) {
      if ((r.from != TENON_ROUTE_HOST && r.from >= device.domains.size()) || (r.to != TENON_ROUTE_HOST && r.to >= device.domains.size()))
        return invalid("device \"{}\": a route names a memory domain that it does not have", device.uid);
      routes[i].push_back({sizeof(tenon_route), r.from, r.to, 0, r.flags, r.bytes_per_ns, r.latency_ns + call_ns});
    }
    tenon_device_info info{};
    info.struct_size = sizeof info;
    info.kind = device.kind, info.uid = str(device.uid), info.name = str(device.name);
    info.domains = {domains[i].data(), domains[i].size(), sizeof(tenon_domain), 0};
    info.routes = {routes[i].data(), routes[i].size(), sizeof(tenon_route), 0};
    info.flops_per_ns = device.flops_per_ns, info.bytes_per_ns = device.bytes_per_ns, info.launch_ns = device.launch_ns + call_ns;
    info.memory_limit = device.memory_limit;
    infos.push_back(info);
  }
  schema_bytes = std::make_unique<Reader>(d.schemas);
  schema_reader = std::make_unique<GraphReader>(*schema_bytes);
  for (std::uint64_t left = d.schemas.empty() ? 0 : schema_bytes->count(1); left > 0; --left) {
    const tenon_node* n = schema_reader->node();
    if (!n) break;
    tenon_op_schema s{};
    s.struct_size = sizeof s;
    s.since_version = n->since_version, s.domain = n->domain, s.op_type = n->op_type;
    for (std::uint32_t* bound : {&s.min_inputs, &s.max_inputs, &s.min_outputs, &s.max_outputs}) *bound = schema_bytes->get<std::uint32_t>();
    s.attributes = n->attributes;
    s.infer = n->flags ? isolate::infer : nullptr;
    schemas.push_back(s);
  }
  if (!schema_bytes->ok()) return internal("the operators that it declares cannot be read");
  schema_extension = {sizeof(tenon_schema_extension), 0, {schemas.data(), schemas.size(), sizeof(tenon_op_schema), 0}};
  return {};
}

Status RemoteProvider::open(std::uint64_t index, tenon_device** out) {
  if (index >= devices.size()) return error(TENON_OUT_OF_RANGE, "device {} of {}", index, devices.size());
  if (first_index == UINT64_MAX) first_index = index;
  const std::shared_ptr<Link> link = first_index == index ? first : std::make_shared<Link>(launch);
  TENON_TRY(link->open(static_cast<std::uint32_t>(index), devices[index].uid));
  *out = reinterpret_cast<tenon_device*>(new RemoteDevice(link, devices[index]));
  return {};
}

Status RemoteProvider::infer(const tenon_infer_args& args) {
  Writer out;
  write_node(out, *args.node);
  out.put(args.inputs.count);
  for (std::uint64_t i = 0; i < args.inputs.count; ++i) {
    const auto& in = element<tenon_infer_input>(args.inputs, i);
    out.put(in.dtype), out.put(in.rank);
    out.array(in.dims, in.rank > 0 ? static_cast<std::uint64_t>(in.rank) : 0);
  }
  TENON_ASSIGN(const auto peer, first->peer());
  return peer->call({Ask::infer, fmt::format("inference of {}.{}", view(args.node->domain), view(args.node->op_type))}, out, [&](Reader& in) {
    for (std::uint64_t left = in.count(1); left > 0; --left) {
      const auto index = in.get<std::uint32_t>();
      const auto dtype = in.get<std::int32_t>(), rank = in.get<std::int32_t>();
      const auto dims = in.array<std::int64_t>();
      if (!in.ok() || (rank > 0 && dims.size() != static_cast<std::size_t>(rank))) return in.fail(), Status();
      args.output(args.sink, index, dtype, rank, dims.data());
    }
    return Status();
  });
}

std::shared_ptr<const Writer> RemoteDevice::graph(const tenon_graph& g) {
  auto made = std::make_shared<Writer>();
  write_graph(*made, g);
  std::lock_guard lock(mutex);
  if (auto last = last_graph.lock(); last && std::ranges::equal(last->bytes(), made->bytes())) return last;
  last_graph = made;
  return made;
}

void remote_end(Link& link, Ask ask, std::uint64_t number) {
  const auto peer = link.current();
  if (!peer) return;
  Writer out;
  out.put(number);
  (void)peer->call({ask, "giving back what is not needed any more"}, out);
}

tenon_provider_api remote_api(const Description& d) {
  tenon_provider_api api{};
  api.struct_size = sizeof api;
  api.abi_major = TENON_ABI_MAJOR, api.abi_minor = d.library.abi_minor;
  api.features = d.features & TENON_FEATURE_CONCURRENT_COMPILE;
  api.create = not_here, api.destroy = destroy, api.enumerate = enumerate, api.get_extension = get_extension;
  api.device_open = device_open, api.device_close = device_close;
  api.fingerprint = [](tenon_device* device, char* text, std::uint64_t capacity, std::uint64_t* length) {
    return fingerprint(device_of(device), text, capacity, length).release();
  };
  if (d.has & has_buffers) {
    api.buffer_alloc = remote_buffer_alloc, api.buffer_free = remote_buffer_free, api.buffer_handle = remote_buffer_handle;
    api.copy = remote_copy;
  }
  api.query = remote_query, api.compile = remote_compile, api.program_destroy = remote_program_destroy;
  api.program_plan = remote_plan, api.plan_destroy = remote_plan_destroy;
  api.plan_bind = remote_bind, api.binding_update = remote_binding_update, api.binding_destroy = remote_binding_destroy;
  api.execute = remote_execute;
  return api;
}

}  // namespace tenon::isolate

namespace tenon {

Result<LoadedLibrary> load_isolated(const Manifest& manifest, const TrustPolicy& policy, const OptionsPtr& options, std::chrono::milliseconds limit) {
  auto remote = std::make_unique<isolate::RemoteProvider>(isolate::Launch{manifest.path, manifest.library, manifest.id, manifest.sha256, policy.sha256,
                                                                          policy.require_pinned, options ? options_text(*options) : "{}", limit});
  if (Status s = remote->start(); !s.ok()) return std::move(s).at(fmt::format("provider {} (isolated)", manifest.id.empty() ? manifest.library : manifest.id));
  const isolate::Description& d = remote->first->description();
  LoadedLibrary out = d.library;
  if (out.id.empty() || (!manifest.id.empty() && out.id != manifest.id)) return invalid("provider {}: its process says that it is \"{}\"", manifest.id, out.id);
  out.api = isolate::remote_api(d);
  out.created = reinterpret_cast<tenon_provider*>(remote.release());
  log_debug("loader", "{} {} from {} is loaded in a process of its own", out.id, out.version, manifest.library);
  return out;
}

}  // namespace tenon
