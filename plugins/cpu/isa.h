// Isa: the instruction sets that kernels are written for, in rising order. Precision: how exact float32 results must be.
// Plain data; any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace tenon::cpu {

// avx512_bf16 has VNNI too, amx has all of them: tiles of bytes and of bfloat16 (amx/tiles.h).
enum class Isa : std::uint8_t { plain, avx2, avx512, avx512_vnni, avx512_bf16, amx };

// The best that CPU and operating system support, capped by TENON_MAX_CPU_ISA=avx2|avx512 (avx512 includes VNNI and bfloat16, not
// tiles).
Isa detect_isa();

// highest: no worse than float32 products; high: 2e-5 of the largest output, so Winograd, Strassen's sums and two parts of bfloat16
// may be used; medium: bfloat16.
enum class Precision : std::uint8_t { highest, high, medium };

// The form of the vector code (simd.h): 0 the baseline, 1 AVX2, 2 AVX-512. That of detect_isa() until cap_simd_form.
extern std::atomic<int> simd_form_now;
inline int simd_form() { return simd_form_now.load(std::memory_order_relaxed); }
// For tests, which run every form: down to isa, for all threads.
void cap_simd_form(Isa isa);

}  // namespace tenon::cpu
