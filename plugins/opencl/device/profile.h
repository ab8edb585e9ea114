// Profile: what a device is like, as far as kernels are written differently for it.
//
// Filled once when the device is looked at, from what it answers and never from its name; immutable. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/opencl/cl/api.h"

namespace tenon::opencl {

struct Profile {
  std::string name, vendor, platform, version, driver;
  bool cpu = false;           // one work item is one thread with vector registers: work groups of one, explicit vectors
  bool discrete_local = false;  // fast local memory of its own: products and convolutions tile through it
  bool fp64 = false, fp16 = false;  // arithmetic; half can always be loaded and stored
  bool unified = false;       // device memory is host memory
  bool compiler = true;
  bool keeps_kernels = false; // the driver has a cache of compiled kernels on disk, and would compile all again to hand them out
  std::uint32_t compute_units = 1;
  std::uint32_t vector = 4;   // float lanes that kernels work on at once: 16, 8 or 4
  std::uint32_t group = 64;   // work-group size of kernels without local memory: 1 on CPU-like devices
  std::uint64_t max_alloc = 0, total = 0, local_bytes = 0, base_align = 128, max_group = 1;

  // What turns one source into another machine code: part of the keys of caches.
  std::string identity() const { return platform + "|" + name + "|" + version + "|" + driver; }
};

Profile look_at(const Api& api, cl_platform_id platform, cl_device_id device);

}  // namespace tenon::opencl
