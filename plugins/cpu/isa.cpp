#include "plugins/cpu/isa.h"

#include <cstdlib>
#include <string_view>

#include <oneapi/dnnl/dnnl.h>

#include "plugins/cpu/simd.h"
// After simd.h.
#include <hwy/targets.h>

namespace tenon::cpu {
namespace {

constexpr auto avx3_targets = HWY_AVX3 | HWY_AVX3_DL;

bool has_vnni() { return __builtin_cpu_supports("avx512vnni"); }

// Libraries that dispatch for themselves are held to the same limit, before they do so for the first time.
void limit_to(Isa isa) {
  if (isa == Isa::avx2) {
    hwy::DisableTargets(avx3_targets);
    dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
  } else {
    dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core_vnni);
  }
}

Isa detect() {
  const char* limit = std::getenv("TENON_MAX_CPU_ISA");
  if (limit && std::string_view(limit) == "avx2") limit_to(Isa::avx2);
  else if (limit && std::string_view(limit) == "avx512") limit_to(Isa::avx512_vnni);
  const auto targets = hwy::SupportedTargets();
  if (targets & avx3_targets) return has_vnni() ? Isa::avx512_vnni : Isa::avx512;
  if (targets & HWY_AVX2) return Isa::avx2;
  return Isa::plain;
}

}  // namespace

Isa detect_isa() {
  static const Isa found = detect();
  return found;
}

}  // namespace tenon::cpu
