#include "plugins/cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

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
#else
bool has_avx2() { return false; }
bool has_avx512() { return false; }
bool has_vnni() { return false; }
#endif

Isa detect() {
  const char* given = std::getenv("TENON_MAX_CPU_ISA");
  const std::string_view limit = given ? given : "";
  if (limit != "avx2") {
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
