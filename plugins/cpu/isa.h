// Isa: the instruction sets that kernels are written for, in rising order.
// Plain data; any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace tenon::cpu {

enum class Isa : std::uint8_t { plain, avx2, avx512, avx512_vnni };

// The best that CPU and operating system support, capped by TENON_MAX_CPU_ISA=avx2|avx512 (avx512 includes VNNI).
Isa detect_isa();

// The form of the vector code (simd.h): 0 the baseline, 1 AVX2, 2 AVX-512. That of detect_isa() until cap_simd_form.
extern std::atomic<int> simd_form_now;
inline int simd_form() { return simd_form_now.load(std::memory_order_relaxed); }
// For tests, which run every form: down to isa, for all threads.
void cap_simd_form(Isa isa);

}  // namespace tenon::cpu
