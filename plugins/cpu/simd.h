// Highway's targets for this provider: the baseline, AVX2 and AVX-512; one of them is chosen at run time.
// Include before any hwy header. Fewer targets keep the library small and the builds short.
#pragma once

#include "plugins/cpu/isa.h"

// Not lazily from detect_targets.h: these names are defined there, and macros expand where they are used.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)

// The forms of a function that HWY_BEFORE_NAMESPACE ... foreach_target.h made, and the one for this machine. Highway's own
// HWY_EXPORT needs its library, which measures the resolution of a timer for 7 ms when it is loaded.
#define TENON_SIMD_EXPORT(function)                                                                     \
  static constexpr decltype(&HWY_STATIC_DISPATCH(function)) function##_forms[] = {                      \
      &HWY_STATIC_DISPATCH(function), HWY_CHOOSE_AVX2(function), HWY_CHOOSE_AVX3(function)}
#define TENON_SIMD(function) (*function##_forms[::tenon::cpu::simd_form()])
