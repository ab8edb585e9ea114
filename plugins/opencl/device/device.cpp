#include "plugins/opencl/device/device.h"

#include <algorithm>

namespace tenon::opencl {

bool shares_host_memory(const Profile& profile, const DeviceOptions& options) {
  if (options.memory == "host") return true;
  return options.memory == "auto" && profile.cpu && profile.unified;
}

Device::Device(Host h, std::shared_ptr<const Api> a, Candidate c, const DeviceOptions& options)
    : host(h), api(std::move(a)), candidate(std::move(c)), profile(candidate.profile), host_memory(shares_host_memory(profile, options)), tunes(options.tune) {
  if (options.profile == "gpu" && profile.cpu) {
    profile.cpu = false;
    profile.discrete_local = true;
    profile.vector = 4;
    profile.group = 64;
  } else if (options.profile == "cpu" && !profile.cpu) {
    profile.cpu = true;
    profile.discrete_local = false;
    profile.vector = 8;
    profile.group = 1;
  }
  cl_int code = CL_SUCCESS;
  context = api->clCreateContext(nullptr, 1, &candidate.device, nullptr, nullptr, &code);
  check(code, "a context for " + profile.name);
  try {
    queue_ = make_queue();
    kernels = std::make_unique<Kernels>(*api, context, candidate.device, profile.identity(), profile.keeps_kernels ? "" : options.cache, options.cache_bytes);
    tuning = std::make_unique<Tuning>(options.cache, profile.identity());
  } catch (...) {
    queue_ = {};
    api->clReleaseContext(context);
    throw;
  }
}

Device::~Device() {
  kernels.reset();
  queue_ = {};
  api->clReleaseContext(context);
}

QueueHandle Device::make_queue() const {
  cl_int code = CL_SUCCESS;
  cl_command_queue q = api->clCreateCommandQueue(context, candidate.device, 0, &code);
  check(code, "a queue for " + profile.name);
  return {q, api->clReleaseCommandQueue};
}

MemHandle Device::allocate(std::uint64_t bytes) const {
  if (profile.max_alloc && bytes > profile.max_alloc)
    throw Failure{TENON_RESOURCE_EXHAUSTED, "a buffer of " + std::to_string(bytes) + " bytes on " + profile.name + ", which allows " + std::to_string(profile.max_alloc)};
  cl_int code = CL_SUCCESS;
  // On unified memory the driver then places it where the host can reach it, and copies are plain ones.
  const cl_mem_flags flags = CL_MEM_READ_WRITE | (profile.unified ? CL_MEM_ALLOC_HOST_PTR : 0);
  cl_mem m = api->clCreateBuffer(context, flags, std::max<std::uint64_t>(bytes, 1), nullptr, &code);
  check(code, "a buffer of " + std::to_string(bytes) + " bytes on " + profile.name);
  return {m, api->clReleaseMemObject};
}

MemHandle Device::wrap(void* data, std::uint64_t bytes) const {
  cl_int code = CL_SUCCESS;
  cl_mem m = api->clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, std::max<std::uint64_t>(bytes, 1), data, &code);
  check(code, "host memory of " + std::to_string(bytes) + " bytes as a buffer on " + profile.name);
  return {m, api->clReleaseMemObject};
}

}  // namespace tenon::opencl
