#include "plugins/opencl/plan.h"

#include <algorithm>
#include <map>

namespace tenon::opencl {

Binding::Binding(const Plan& p, const tenon_address* addresses, std::uint64_t count) : plan(p), operands_(count), uses_(count) {
  const Device& device = *plan.program->device;
  for (std::uint64_t o = 0; o < count; ++o) operands_[o].address = addresses[o];
  for (std::size_t l = 0; l < plan.launches.size(); ++l)
    for (std::size_t a = 0; a < plan.launches[l].args.size(); ++a)
      if (const PlannedArg& arg = plan.launches[l].args[a]; arg.kind == PlannedArg::Kind::operand) {
        if (arg.index >= count) throw Failure{TENON_INTERNAL, "a launch reads operand " + std::to_string(arg.index) + " of " + std::to_string(count)};
        uses_[arg.index].emplace_back(l, a);
      }
  if (device.host_memory) wrap_shared();
  for (Operand& o : operands_)
    if (!o.mem) wrap(o);
  for (std::size_t l = 0; l < plan.launches.size(); ++l) {
    const PlannedLaunch& launch = plan.launches[l];
    cl_int code = CL_SUCCESS;
    cl_kernel k = device.api->clCreateKernel(launch.kernel.program->program, launch.kernel.name.c_str(), &code);
    check(code, *launch.label + ": its kernel");
    kernels_.emplace_back(k, device.api->clReleaseKernel);
    for (std::size_t a = 0; a < launch.args.size(); ++a) set(l, a);
  }
}

// Operands of one arena come as its start and an offset: one buffer for all of them.
void Binding::wrap_shared() {
  struct Extent {
    std::uint64_t end = 0;
    std::vector<std::size_t> operands;
  };
  std::map<void*, Extent> extents;
  for (std::size_t o = 0; o < operands_.size(); ++o) {
    const tenon_address& a = operands_[o].address;
    if (!a.handle || uses_[o].empty()) continue;
    Extent& e = extents[a.handle];
    e.end = std::max(e.end, a.offset + a.bytes);
    e.operands.push_back(o);
  }
  for (auto& [handle, e] : extents) {
    if (e.operands.size() < 2) continue;
    shared_.push_back(plan.program->device->wrap(handle, e.end));
    for (std::size_t o : e.operands) {
      operands_[o].mem = shared_.back().get();
      operands_[o].offset = operands_[o].address.offset;
    }
  }
}

void Binding::wrap(Operand& o) {
  const Device& device = *plan.program->device;
  if (!device.host_memory) {
    o.mem = static_cast<cl_mem>(o.address.handle);
    o.offset = o.address.offset;
    return;
  }
  if (!o.address.handle) return;
  o.own = device.wrap(static_cast<char*>(o.address.handle) + o.address.offset, o.address.bytes);
  o.mem = o.own.get();
  o.offset = 0;
}

void Binding::update(const std::uint32_t* changed, const tenon_address* addresses, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint32_t index = changed[i];
    if (index >= operands_.size()) throw Failure{TENON_INTERNAL, "binding_update names an operand that the plan lacks"};
    Operand& o = operands_[index];
    o.address = addresses[i];
    o.mem = nullptr;
    if (uses_[index].empty()) continue;
    wrap(o);
    for (const auto& [launch, arg] : uses_[index]) set(launch, arg);
  }
}

void set_argument(const Device& device, cl_kernel kernel, const PlannedLaunch& launch, std::size_t a, cl_mem mem, std::uint64_t offset) {
  cl_uint number = 0;
  for (std::size_t i = 0; i < a; ++i) number += launch.args[i].kind == PlannedArg::Kind::scalar ? 1 : 2;
  const PlannedArg& arg = launch.args[a];
  const auto put = [&](cl_uint n, std::size_t size, const void* value) { check(device.api->clSetKernelArg(kernel, n, size, value), *launch.label + ": argument " + std::to_string(n)); };
  if (arg.kind == PlannedArg::Kind::scalar) return put(number, arg.size, arg.bytes.data());
  const cl_ulong at = arg.offset + offset;
  put(number, sizeof mem, &mem);
  put(number + 1, sizeof at, &at);
}

void Binding::set(std::size_t l, std::size_t a) {
  const PlannedLaunch& launch = plan.launches[l];
  const PlannedArg& arg = launch.args[a];
  cl_mem mem = nullptr;
  std::uint64_t offset = 0;
  if (arg.kind == PlannedArg::Kind::operand) {
    mem = operands_[arg.index].mem;
    offset = operands_[arg.index].offset;
  } else if (arg.kind == PlannedArg::Kind::constant) {
    mem = plan.program->constants[arg.index]->mem;
    offset = plan.program->constants[arg.index]->offset;
  } else if (arg.kind == PlannedArg::Kind::derived) {
    mem = plan.derived[arg.index].get();
  }
  set_argument(*plan.program->device, kernels_[l].get(), launch, a, mem, offset);
}

void Binding::enqueue(cl_command_queue queue, std::uint64_t first, std::uint64_t count) const {
  const Device& device = *plan.program->device;
  for (std::uint64_t l = first; l < first + count; ++l) {
    const PlannedLaunch& launch = plan.launches[l];
    check(device.api->clEnqueueNDRangeKernel(queue, kernels_[l].get(), 3, nullptr, launch.global.data(), launch.local.data(), 0, nullptr, nullptr), *launch.label);
  }
}

}  // namespace tenon::opencl
