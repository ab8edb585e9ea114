#include "plugins/opencl/bound_kernel.h"

namespace tenon::opencl {

BoundKernel::BoundKernel(const Device& device, const BuiltKernel& kernel, const std::string& label) : device_(&device), label_(&label) {
  cl_int code = CL_SUCCESS;
  kernel_ = KernelHandle(device.api->clCreateKernel(kernel.program->program, kernel.name.c_str(), &code), device.api->clReleaseKernel);
  check(code, label + ": its kernel");
}

void BoundKernel::put(cl_uint number, std::size_t size, const void* value) {
  check(device_->api->clSetKernelArg(kernel_.get(), number, size, value), *label_ + ": argument " + std::to_string(number));
}

void BoundKernel::set(cl_uint number, std::span<const unsigned char> scalar) { put(number, scalar.size(), scalar.data()); }

void BoundKernel::set(cl_uint number, cl_mem memory, std::uint64_t offset) {
  const cl_ulong at = offset;
  put(number, sizeof memory, &memory);
  put(number + 1, sizeof at, &at);
}

void BoundKernel::enqueue(cl_command_queue queue, const std::array<std::size_t, 3>& global, const std::array<std::size_t, 3>& local) const {
  check(device_->api->clEnqueueNDRangeKernel(queue, kernel_.get(), 3, nullptr, global.data(), local.data(), 0, nullptr, nullptr), *label_);
}

}  // namespace tenon::opencl
