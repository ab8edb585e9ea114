// How the hostile provider goes wrong when it is created and says what devices it has.
#include <stdexcept>
#include <vector>

#include "hostile.h"

namespace hostile {
namespace {

// What enumerate would have said, changed.
template <class Fn>
void report(tenon_span* out, Fn change) {
  static std::vector<tenon_device_info> devices;
  static tenon_domain domain;
  static tenon_route route;
  domain = provider().domain;
  route = tenon_route{sizeof(tenon_route), TENON_ROUTE_HOST, 0, 0, 0, 10, 100};
  devices.assign(1, provider().device);
  devices[0].domains = {&domain, 1, sizeof(tenon_domain), 0};
  change(devices, domain, route);
  *out = {devices.data(), devices.size(), sizeof(tenon_device_info), 0};
}

}  // namespace

void spoil_devices(tenon_provider_api& api) {
  if (is("throw_in_create")) api.create = [](const tenon_host_api*, tenon_host*, const tenon_config*, tenon_provider**) -> tenon_status* { throw std::runtime_error("boom in create"); };
  if (is("null_provider")) api.create = [](const tenon_host_api*, tenon_host*, const tenon_config*, tenon_provider**) -> tenon_status* { return nullptr; };
  if (is("fail_in_create"))
    api.create = [](const tenon_host_api* host, tenon_host* self, const tenon_config*, tenon_provider**) -> tenon_status* {
      return host->status_new(self, TENON_UNAVAILABLE, 7, str("the driver is too old"));
    };
  if (is("throw_in_enumerate")) api.enumerate = [](tenon_provider*, tenon_span*) -> tenon_status* { throw std::runtime_error("boom in enumerate"); };
  if (is("no_devices")) api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* { *out = {}; return nullptr; };
  if (is("too_many_devices"))
    api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* {
      *out = {&provider().device, std::uint64_t{1} << 40, sizeof(tenon_device_info), 0};
      return nullptr;
    };
  if (is("no_stride"))
    api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* {
      *out = {&provider().device, 3, 0, 0};
      return nullptr;
    };
  if (is("device_without_memory"))
    api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* {
      report(out, [](auto& devices, auto&, auto&) { devices[0].domains = {}; });
      return nullptr;
    };
  if (is("crooked_alignment"))
    api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* {
      report(out, [](auto&, auto& domain, auto&) { domain.base_align = 48; });
      return nullptr;
    };
  if (is("memory_without_alloc"))
    api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* {
      report(out, [](auto&, auto& domain, auto&) { domain.uid = str("hostile:memory"); });
      return nullptr;
    };
  if (is("route_to_nowhere"))
    api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* {
      report(out, [](auto& devices, auto&, auto& route) {
        route.to_domain = 17;
        devices[0].routes = {&route, 1, sizeof(tenon_route), 0};
      });
      return nullptr;
    };
  if (is("twin_devices"))
    api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* {
      report(out, [](auto& devices, auto&, auto&) { devices.push_back(devices[0]); });
      return nullptr;
    };
  if (is("null_device")) api.device_open = [](tenon_provider*, std::uint64_t, tenon_device**) -> tenon_status* { return nullptr; };
  if (is("throw_in_open")) api.device_open = [](tenon_provider*, std::uint64_t, tenon_device**) -> tenon_status* { throw std::runtime_error("boom in device_open"); };
  if (is("throw_in_close")) api.device_close = [](tenon_device*) { throw std::runtime_error("boom in device_close"); };
  if (is("throw_in_destroy")) api.destroy = [](tenon_provider*) { throw std::runtime_error("boom in destroy"); };
  if (is("throw_in_extension")) api.get_extension = [](tenon_provider*, tenon_str, std::uint32_t) -> const void* { throw std::runtime_error("boom in get_extension"); };
}

}  // namespace hostile
