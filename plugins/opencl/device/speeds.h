// Speeds: how fast a device copies and computes, as the host's cost model wants to know it.
//
// First guesses from the profile; what was measured once on this device and driver replaces them (device/tuning.h keeps it). Plain data.
#pragma once

#include "plugins/opencl/device/profile.h"
#include "plugins/opencl/device/tuning.h"

namespace tenon::opencl {

class Device;

struct Speeds {
  double flops_per_ns = 0, bytes_per_ns = 0;        // of kernels: float32 products, memory
  double to_device = 0, from_device = 0;            // bytes a nanosecond of large copies
  double copy_latency_ns = 0, launch_ns = 0;        // of a small copy and of a part
};

Speeds speeds_of(const Profile& profile, const Tuning& tuning);

// Measures copies on an open device unless that was done before: some 20 ms, once for each device and driver. Throws Failure.
void measure_copies(const Device& device, Tuning& tuning);
// Remembers that products ran at this speed.
void note_products(Tuning& tuning, double flops_per_ns);

}  // namespace tenon::opencl
