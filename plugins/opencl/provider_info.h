// What the provider says of itself: the options it was given, and each device as enumerate describes it.
//
// Made in create; immutable. Any thread.
#pragma once

#include <string>
#include <vector>

#include "plugins/opencl/device/device.h"

namespace tenon::opencl {

// Throws Failure: INVALID_ARGUMENT for an option that means nothing.
DeviceOptions device_options(const Host& host, const tenon_config* config);

// The info and what it points at.
struct DeviceInfo {
  DeviceInfo(const Candidate& candidate, const DeviceOptions& options);
  DeviceInfo(const DeviceInfo&) = delete;

  std::string uid, name, domain_uid;
  tenon_domain domain{};
  std::vector<tenon_route> routes;
  tenon_device_info info{};
};

}  // namespace tenon::opencl
