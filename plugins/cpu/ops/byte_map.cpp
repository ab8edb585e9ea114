#include "plugins/cpu/ops/byte_map.h"

#include "plugins/cpu/ops/byte_finish.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tenon::cpu {
namespace {

#if defined(__x86_64__)
// Two look-ups of 128 entries, where the machine has them.
__attribute__((target("avx512f,avx512bw,avx512vbmi"))) void map_halves(const std::uint8_t* table, const std::uint8_t* x, std::int64_t n,
                                                                        std::uint8_t* out) {
  __m512i part[4];
  for (int k = 0; k < 4; ++k) part[k] = _mm512_loadu_si512(table + 64 * k);
  for (std::int64_t i = 0; i < n; i += 64) {
    const __mmask64 there = n - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (n - i)) - 1;
    const __m512i at = _mm512_maskz_loadu_epi8(there, x + i);
    const __m512i lower = _mm512_permutex2var_epi8(part[0], at, part[1]), upper = _mm512_permutex2var_epi8(part[2], at, part[3]);
    _mm512_mask_storeu_epi8(out + i, there, _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), lower, upper));
  }
}
#endif

struct ByteMapStep {
  ByteMapFn map;
  const std::uint8_t* table;
  std::int64_t count;
  Ref x, y;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(count, 1024);
    if (begin < end) map(table, c.ptr<const std::uint8_t>(x) + begin, end - begin, c.ptr<std::uint8_t>(y) + begin);
  }
};

}  // namespace

ByteMapFn byte_map(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::avx512 && __builtin_cpu_supports("avx512vbmi")) return map_halves;
#endif
  return byte_finish(isa).map;
}

void ByteMapOp::plan(PlanBuilder& b) const {
  const std::int64_t count = b.out(0).count();
  if (count == 0) return;
  const ByteMapStep step{byte_map(b.options().isa), b.keep(std::span<const std::uint8_t>(table_)), count, b.in_ref(0), b.out_ref(0)};
  b.step("bytes.map", step, {.est_ns = 50 + static_cast<double>(count) / 4});
  b.inplace(0, 0);
}

}  // namespace tenon::cpu
