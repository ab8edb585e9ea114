// BoundKernel: a kernel object with its arguments, ready to be enqueued. Arguments are state of a kernel object, so every launch
// that lives beside others has one of its own. Owned by who launches; one thread at a time.
#pragma once

#include <span>
#include <string>

#include "plugins/opencl/device/device.h"

namespace tenon::opencl {

class BoundKernel {
 public:
  // label: for messages, copied into them only. Throws Failure.
  BoundKernel(const Device& device, const BuiltKernel& kernel, const std::string& label);

  // Parameter `number` of the kernel's text. A buffer has two: its memory, then the byte where the tensor begins. Throws Failure.
  static constexpr cl_uint parameters_of_buffer = 2;
  void set(cl_uint number, std::span<const unsigned char> scalar);
  void set(cl_uint number, cl_mem memory, std::uint64_t offset);
  // Throws Failure.
  void enqueue(cl_command_queue queue, const std::array<std::size_t, 3>& global, const std::array<std::size_t, 3>& local) const;

 private:
  void put(cl_uint number, std::size_t size, const void* value);

  const Device* device_;
  const std::string* label_;
  KernelHandle kernel_;
};

}  // namespace tenon::opencl
