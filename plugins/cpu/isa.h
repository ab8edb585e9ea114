// Isa: the instruction sets that kernels are written for, in rising order.
// Plain data; any thread.
#pragma once

#include <cstdint>

namespace tenon::cpu {

enum class Isa : std::uint8_t { plain, avx2, avx512, avx512_vnni };

// The best that CPU and operating system support, capped by TENON_MAX_CPU_ISA=avx2|avx512 (avx512 includes VNNI).
Isa detect_isa();

}  // namespace tenon::cpu
