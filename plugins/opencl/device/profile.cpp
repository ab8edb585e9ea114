#include "plugins/opencl/device/profile.h"

#include <algorithm>
#include <vector>

namespace tenon::opencl {
namespace {

template <class T>
T number(const Api& api, cl_device_id device, cl_device_info what, T fallback) {
  T value = fallback;
  return api.clGetDeviceInfo(device, what, sizeof value, &value, nullptr) == CL_SUCCESS ? value : fallback;
}

std::string device_text(const Api& api, cl_device_id device, cl_device_info what) {
  std::size_t bytes = 0;
  if (api.clGetDeviceInfo(device, what, 0, nullptr, &bytes) != CL_SUCCESS || bytes == 0) return {};
  std::string text(bytes, '\0');
  if (api.clGetDeviceInfo(device, what, bytes, text.data(), nullptr) != CL_SUCCESS) return {};
  return text.substr(0, text.find('\0'));
}

std::string platform_text(const Api& api, cl_platform_id platform, cl_platform_info what) {
  std::size_t bytes = 0;
  if (api.clGetPlatformInfo(platform, what, 0, nullptr, &bytes) != CL_SUCCESS || bytes == 0) return {};
  std::string text(bytes, '\0');
  if (api.clGetPlatformInfo(platform, what, bytes, text.data(), nullptr) != CL_SUCCESS) return {};
  return text.substr(0, text.find('\0'));
}

}  // namespace

Profile look_at(const Api& api, cl_platform_id platform, cl_device_id device) {
  Profile p;
  p.name = device_text(api, device, CL_DEVICE_NAME);
  p.vendor = device_text(api, device, CL_DEVICE_VENDOR);
  p.version = device_text(api, device, CL_DEVICE_VERSION);
  p.driver = device_text(api, device, CL_DRIVER_VERSION);
  p.platform = platform_text(api, platform, CL_PLATFORM_VERSION);
  // The one place where a driver is known by name: nothing that it answers tells this.
  p.keeps_kernels = p.platform.find(" PoCL ") != std::string::npos;
  const std::string extensions = " " + device_text(api, device, CL_DEVICE_EXTENSIONS) + " ";
  p.fp64 = extensions.find(" cl_khr_fp64 ") != std::string::npos;
  p.fp16 = extensions.find(" cl_khr_fp16 ") != std::string::npos;
  p.cpu = (number<cl_device_type>(api, device, CL_DEVICE_TYPE, 0) & CL_DEVICE_TYPE_CPU) != 0;
  p.unified = number<cl_bool>(api, device, CL_DEVICE_HOST_UNIFIED_MEMORY, CL_FALSE) == CL_TRUE;
  p.compiler = number<cl_bool>(api, device, CL_DEVICE_COMPILER_AVAILABLE, CL_TRUE) == CL_TRUE;
  p.compute_units = std::max<std::uint32_t>(number<cl_uint>(api, device, CL_DEVICE_MAX_COMPUTE_UNITS, 1), 1);
  p.max_alloc = number<cl_ulong>(api, device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 0);
  p.total = number<cl_ulong>(api, device, CL_DEVICE_GLOBAL_MEM_SIZE, 0);
  p.local_bytes = number<cl_ulong>(api, device, CL_DEVICE_LOCAL_MEM_SIZE, 0);
  p.max_group = number<std::size_t>(api, device, CL_DEVICE_MAX_WORK_GROUP_SIZE, 1);
  p.base_align = std::max<std::uint64_t>(number<cl_uint>(api, device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, 1024) / 8, 64);
  const bool local = number<cl_device_local_mem_type>(api, device, CL_DEVICE_LOCAL_MEM_TYPE, CL_GLOBAL) == CL_LOCAL;
  p.discrete_local = !p.cpu && !p.unified && local;
  const std::uint32_t lanes = number<cl_uint>(api, device, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, 4);
  p.vector = p.cpu ? (lanes >= 16 ? 16 : 8) : 4;
  p.group = p.cpu ? 1 : static_cast<std::uint32_t>(std::min<std::uint64_t>(64, p.max_group));
  return p;
}

}  // namespace tenon::opencl
