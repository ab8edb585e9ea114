#include "core/report/machine.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <sys/utsname.h>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <tenon/provider.h>

#include "core/base/cpu_count.h"
#include "core/base/dynlib.h"
#include "core/base/thread_pool.h"
#include "core/provider/cpu_features.h"

namespace tenon {
namespace {

using Json = nlohmann::ordered_json;

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  return "";
}

std::uint64_t memory_kib(const char* key) {
  std::ifstream file("/proc/meminfo");
  std::string word;
  for (std::uint64_t value = 0; file >> word;)
    if (word == key && file >> value) return value;
  return 0;
}

// The least limit of the cgroup and its parents; 0: none.
std::uint64_t cgroup_memory() {
  std::uint64_t least = 0;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const bool v2 = second == first + 1, v1 = line.substr(first + 1, second - first - 1) == "memory";
    if (!v2 && !v1) continue;
    std::string path = line.substr(second + 1);
    for (int depth = 0; depth < 64; ++depth) {
      std::ifstream file((v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory") + path + (v2 ? "/memory.max" : "/memory.limit_in_bytes"));
      std::uint64_t limit = 0;
      if (file >> limit && limit > 0 && limit < (std::uint64_t{1} << 60)) least = least == 0 ? limit : std::min(least, limit);
      if (path.empty() || path == "/") break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return least;
}

}  // namespace

std::string machine_json() {
  Json features = Json::array();
  for (const char* name : {"sse4_2",   "avx",      "fma",         "f16c",        "avx2",        "avx_vnni", "avx512f",
                           "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8",
                           "amx_bf16", "asimd",    "asimddp",     "sve",         "sve2",        "bf16",     "i8mm"})
    if (cpu_has(name)) features.push_back(name);
  const double quota = cgroup_cpus();
  const std::uint64_t limit = cgroup_memory();
  utsname kernel{};
  ::uname(&kernel);
  const char* sanitizer = TENON_SANITIZER == TENON_SANITIZER_ADDRESS  ? "address"
                          : TENON_SANITIZER == TENON_SANITIZER_THREAD ? "thread"
                                                                      : "none";
  const Json out = {{"library", own_library_path()},
                    {"abi",
                     {{"major", TENON_ABI_MAJOR},
                      {"minor", TENON_ABI_MINOR},
                      {"header_hash", fmt::format("{:#018x}", std::uint64_t{TENON_ABI_HEADER_HASH})}}},
                    {"compiler", __VERSION__},
                    {"sanitizer", sanitizer},
                    {"privileged", privileged_process()},
                    {"cpu",
                     {{"model", cpu_model()},
                      {"features", std::move(features)},
                      {"online", std::thread::hardware_concurrency()},
                      {"affinity", affinity_cpus()},
                      {"cgroup", quota > 0 ? Json(quota) : Json()},
                      {"usable", ThreadPool::usable_cpus()}}},
                    {"memory",
                     {{"total_bytes", memory_kib("MemTotal:") * 1024},
                      {"available_bytes", memory_kib("MemAvailable:") * 1024},
                      {"cgroup_bytes", limit > 0 ? Json(limit) : Json()}}},
                    {"kernel", fmt::format("{} {} {}", kernel.sysname, kernel.release, kernel.machine)}};
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tenon
