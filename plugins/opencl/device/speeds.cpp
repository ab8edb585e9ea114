#include "plugins/opencl/device/speeds.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "plugins/opencl/device/device.h"

namespace tenon::opencl {
namespace {

constexpr const char* to_key = "speed to device, bytes a microsecond";
constexpr const char* from_key = "speed from device, bytes a microsecond";
constexpr const char* latency_key = "latency of a copy, ns";
constexpr const char* products_key = "speed of products, flops a microsecond";

double now_ns() { return static_cast<double>(std::chrono::steady_clock::now().time_since_epoch().count()); }
double known(const Tuning& tuning, const char* key, double unit, double guess) {
  const int value = tuning.find(key);
  return value > 0 ? value * unit : guess;
}

}  // namespace

Speeds speeds_of(const Profile& p, const Tuning& tuning) {
  Speeds s;
  s.flops_per_ns = known(tuning, products_key, 1e-3, p.cpu ? 2.0 * p.vector * p.compute_units : 32.0 * p.compute_units);
  s.bytes_per_ns = p.cpu ? 8 : p.unified ? 20 : 200;
  s.to_device = known(tuning, to_key, 1e-3, p.unified ? 8 : 12);
  s.from_device = known(tuning, from_key, 1e-3, p.unified ? 8 : 12);
  s.copy_latency_ns = known(tuning, latency_key, 1, p.unified ? 5000 : 20000);
  s.launch_ns = p.cpu ? 40000 : 20000;
  return s;
}

void measure_copies(const Device& device, Tuning& tuning) {
  if (tuning.find(to_key) > 0) return;
  const std::uint64_t bytes = 8 << 20;
  std::vector<char> host(bytes, 1);
  const MemHandle mem = device.allocate(bytes);
  std::lock_guard lock(device.own_queue_lock());
  const Api& api = *device.api;
  double to = 0, from = 0, latency = 0;
  const auto best = [](double& have, double ns) { have = have == 0 ? ns : std::min(have, ns); };
  for (int i = 0; i < 3; ++i) {
    double start = now_ns();
    check(api.clEnqueueWriteBuffer(device.own_queue(), mem.get(), CL_TRUE, 0, bytes, host.data(), 0, nullptr, nullptr), "measuring copies");
    best(to, now_ns() - start);
    start = now_ns();
    check(api.clEnqueueReadBuffer(device.own_queue(), mem.get(), CL_TRUE, 0, bytes, host.data(), 0, nullptr, nullptr), "measuring copies");
    best(from, now_ns() - start);
    start = now_ns();
    check(api.clEnqueueReadBuffer(device.own_queue(), mem.get(), CL_TRUE, 0, 4, host.data(), 0, nullptr, nullptr), "measuring copies");
    best(latency, now_ns() - start);
  }
  tuning.put(to_key, static_cast<int>(static_cast<double>(bytes) / to * 1e3));
  tuning.put(from_key, static_cast<int>(static_cast<double>(bytes) / from * 1e3));
  tuning.put(latency_key, static_cast<int>(std::min(latency, 1e9)));
  tuning.save();
}

void note_products(Tuning& tuning, double flops_per_ns) {
  if (flops_per_ns > 0) tuning.put(products_key, static_cast<int>(std::min(flops_per_ns * 1e3, 2e9)));
}

}  // namespace tenon::opencl
