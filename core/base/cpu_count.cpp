// How many CPUs the process may use: affinity mask, then the cgroup quota of it and its parents.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <sched.h>
#include <string>
#include <thread>

#include "core/base/cpu_count.h"
#include "core/base/text.h"
#include "core/base/thread_pool.h"

namespace tenon {

unsigned affinity_cpus() {
  // Grow the mask until the kernel's fits.
  for (int cpus = 1024; cpus <= 1 << 16; cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (!set) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    CPU_ZERO_S(bytes, set);
    const int n = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (n > 0) return static_cast<unsigned>(n);
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

namespace {

void lower(double& quota, double limit) {
  if (limit > 0 && (quota == 0 || limit < quota)) quota = limit;
}

}  // namespace

// Version 2 is one tree; version 1 has a tree for "cpu".
double cgroup_cpus() {
  double quota = 0;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    const bool v2 = controllers.empty();
    if (!v2 && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    for (int depth = 0; depth < 64; ++depth) {
      if (v2) {
        std::ifstream file("/sys/fs/cgroup" + path + "/cpu.max");
        std::string max;
        double period = 0;
        if (file >> max >> period && max != "max" && period > 0) lower(quota, parse_real(max).value_or(0) / period);
      } else {
        std::ifstream max("/sys/fs/cgroup/cpu" + path + "/cpu.cfs_quota_us");
        std::ifstream per("/sys/fs/cgroup/cpu" + path + "/cpu.cfs_period_us");
        double q = -1, period = 0;
        if (max >> q && per >> period && q > 0 && period > 0) lower(quota, q / period);
      }
      if (path.empty() || path == "/") break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return quota;
}

unsigned ThreadPool::usable_cpus() {
  static const unsigned count = [] {
    unsigned n = affinity_cpus();
    if (const double quota = cgroup_cpus(); quota > 0)
      n = std::min(n, std::max(1u, static_cast<unsigned>(std::ceil(quota))));
    return std::max(1u, n);
  }();
  return count;
}

}  // namespace tenon
