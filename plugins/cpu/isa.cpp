#include "plugins/cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "plugins/cpu/amx/tiles.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace tenon::cpu {
namespace {

#if defined(__x86_64__)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd");
}
bool has_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
bool has_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return has_vnni() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}
#else
bool has_avx2() { return false; }
bool has_avx512() { return false; }
bool has_vnni() { return false; }
bool has_bf16() { return false; }
#endif

Isa detect() {
  const char* given = std::getenv("TENON_MAX_CPU_ISA");
  const std::string_view limit = given ? given : "";
  if (limit != "avx2") {
    if (limit != "avx512" && has_bf16() && amx::available()) return Isa::amx;
    if (has_bf16()) return Isa::avx512_bf16;
    if (has_vnni()) return Isa::avx512_vnni;
    if (has_avx512()) return Isa::avx512;
  }
  return has_avx2() ? Isa::avx2 : Isa::plain;
}

int form_of(Isa isa) { return isa >= Isa::avx512 ? 2 : isa >= Isa::avx2 ? 1 : 0; }

}  // namespace

std::atomic<int> simd_form_now{form_of(detect_isa())};

void cap_simd_form(Isa isa) { simd_form_now = form_of(std::min(isa, detect_isa())); }

Isa detect_isa() {
  static const Isa found = detect();
  return found;
}

}  // namespace tenon::cpu
