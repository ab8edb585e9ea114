#include "plugins/opencl/provider_info.h"

#include <cstdlib>

#include "plugins/opencl/device/speeds.h"

namespace tenon::opencl {
namespace {

// Where built kernels are kept unless the configuration says otherwise; "" where there is no home.
std::string usual_cache() {
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && xdg[0] == '/') return std::string(xdg) + "/tenon/opencl";
  if (const char* home = std::getenv("HOME"); home && home[0] == '/') return std::string(home) + "/.cache/tenon/opencl";
  return {};
}

}  // namespace

DeviceOptions device_options(const Host& host, const tenon_config* config) {
  DeviceOptions o;
  o.device = host.text_or(config, "/device", "any");
  o.memory = host.text_or(config, "/memory", "auto");
  o.profile = host.text_or(config, "/profile", "auto");
  if (host.bool_or(config, "/cache", true)) o.cache = host.text_or(config, "/cache_folder", "");
  if (host.bool_or(config, "/cache", true) && o.cache.empty()) o.cache = usual_cache();
  o.tune = host.bool_or(config, "/tune", false);
  o.cache_bytes = host.int_or(config, "/cache_mb", 256) << 20;
  return o;
}

DeviceInfo::DeviceInfo(const Candidate& c, const DeviceOptions& options) : uid(c.uid()), name(c.profile.name + " (OpenCL)"), domain_uid(uid) {
  const Profile& p = c.profile;
  const bool host = shares_host_memory(p, options);
  domain.struct_size = sizeof domain;
  domain.kind = host ? TENON_DOMAIN_HOST : TENON_DOMAIN_DEVICE;  // a cl_mem is no address, whatever memory is behind it
  domain.uid = str(host ? std::string_view("host") : std::string_view(domain_uid));
  domain.base_align = 64;
  domain.view_align = 64;
  if (!host) domain.dlpack_type = 4;  // kDLOpenCL
  domain.max_alloc = p.max_alloc;
  domain.total_bytes = p.total;
  const Speeds speeds = speeds_of(p, Tuning(options.cache, p.identity()));
  if (!host)
    routes = {{sizeof(tenon_route), TENON_ROUTE_HOST, 0, 0, 0, speeds.to_device, speeds.copy_latency_ns},
              {sizeof(tenon_route), 0, TENON_ROUTE_HOST, 0, 0, speeds.from_device, speeds.copy_latency_ns}};
  info.struct_size = sizeof info;
  info.kind = p.cpu ? TENON_DEVICE_CPU : TENON_DEVICE_GPU;
  info.uid = str(uid);
  info.name = str(name);
  info.domains = {&domain, 1, sizeof(tenon_domain), 0};
  info.routes = {routes.data(), routes.size(), sizeof(tenon_route), 0};
  info.flops_per_ns = speeds.flops_per_ns;
  info.bytes_per_ns = speeds.bytes_per_ns;
  info.launch_ns = speeds.launch_ns;
  info.memory_limit = host ? 0 : p.total;
}

}  // namespace tenon::opencl
