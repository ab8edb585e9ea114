// CPU features by the names of /proc/cpuinfo, for manifests.
// No state; any thread.
#pragma once

#include <string_view>

namespace tenon {

// "avx2", "avx512f", "amx_int8", "asimd", ...; false for names that the CPU or the kernel does not list.
bool cpu_has(std::string_view feature);

}  // namespace tenon
