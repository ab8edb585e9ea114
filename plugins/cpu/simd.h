// Highway's targets for this provider: the baseline, AVX2 and AVX-512; one of them is chosen at run time.
// Include before any hwy header. Fewer targets keep the library small and the builds short.
#pragma once

// Not lazily from detect_targets.h: these names are defined there, and macros expand where they are used.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
