// The OpenCL device that tests use, opened once; null where there is none, with the reason.
#pragma once

#include <memory>
#include <string>

#include "plugins/opencl/device/device.h"

namespace tenon::opencl {

Device* device();
const std::string& no_device();

}  // namespace tenon::opencl
