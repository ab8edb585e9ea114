#include "plugins/cpu/device.h"

#include <algorithm>
#include <cstring>

#include <cpuid.h>
#include <sched.h>
#include <unistd.h>

namespace tenon::cpu {
namespace {

std::string brand() {
  unsigned regs[12] = {};
  for (unsigned i = 0; i < 3; ++i)
    if (!__get_cpuid(0x80000002u + i, &regs[4 * i], &regs[4 * i + 1], &regs[4 * i + 2], &regs[4 * i + 3])) return "CPU";
  char text[sizeof regs + 1] = {};
  std::memcpy(text, regs, sizeof regs);
  const std::string s(text);
  const auto first = s.find_first_not_of(' '), last = s.find_last_not_of(' ');
  return first == std::string::npos ? "CPU" : s.substr(first, last - first + 1);
}

int processors() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(CPU_COUNT(&set), 1) : 1;
}

// What one processor does in a nanosecond with fused multiply-adds that hit the cache, at a usual clock.
double flops_per_ns(Isa isa) {
  switch (isa) {
    case Isa::plain: return 2;
    case Isa::avx2: return 60;
    case Isa::amx: return 250;
    default: return 90;
  }
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::plain: return "plain";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::avx512_vnni: return "avx512_vnni";
    case Isa::avx512_bf16: return "avx512_bf16";
    case Isa::amx: return "amx";
  }
  return "";
}

Device::Device() : isa(detect_isa()), name(brand()), fingerprint(std::string("cpu ") + isa_name(isa)) {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  domain.struct_size = sizeof domain;
  domain.kind = TENON_DOMAIN_HOST;
  domain.uid = str("host");
  domain.base_align = 64;
  domain.view_align = 64;
  domain.total_bytes = pages > 0 && page > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page) : 0;
  domain.dlpack_type = 1;  // kDLCPU
  info.struct_size = sizeof info;
  info.kind = TENON_DEVICE_CPU;
  info.uid = str("cpu");
  info.name = str(name);
  info.domains = {&domain, 1, sizeof(tenon_domain), 0};
  info.flops_per_ns = flops_per_ns(isa) * processors();
  info.bytes_per_ns = 10;
  info.launch_ns = 500;
}

}  // namespace tenon::cpu
