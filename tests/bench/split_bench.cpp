// Float32 products by precision: GF/s of one thread and the error of each, beside plain float32.
//
//   split_bench [M N K]
//
// Shows what the processor has: tiles do all three levels, AVX512_BF16 alone `medium`. Each number is the fastest of many runs;
// errors are the largest, against a double sum, relative to the largest output. "made": B is made in the run as well.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "plugins/cpu/gemm/sgemm.h"

namespace {

using tenon::cpu::Isa;
using tenon::cpu::Precision;
namespace gemm = tenon::cpu::gemm;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <class F>
double fastest(const F& f) {
  double best = 1e9;
  const double until = now() + 0.2;
  for (int rounds = 0; rounds < 5 || now() < until; ++rounds) {
    const double t0 = now();
    f();
    best = std::min(best, now() - t0);
  }
  return best;
}

struct Aligned {
  float* p;
  explicit Aligned(std::size_t n) : p(static_cast<float*>(std::aligned_alloc(64, (n * 4 + 127) / 64 * 64))) {
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < n; ++i) {
      state = state * 1664525u + 1013904223u;
      p[i] = static_cast<float>(state >> 8) / static_cast<float>(1 << 23) - 1.0f;
    }
  }
  Aligned(const Aligned&) = delete;
  ~Aligned() { std::free(p); }
};

struct Sizes {
  std::int64_t m, n, k;
};

void measure(const char* name, const gemm::Kernels& kr, Sizes s, bool packed) {
  const auto z = [](std::int64_t x) { return static_cast<std::size_t>(x); };
  Aligned a(z(s.m * s.k)), b(z(s.k * s.n)), c(z(s.m * s.n)), form(z(static_cast<std::int64_t>(gemm::packed_floats(kr, s.k, s.n))));
  gemm::Problem p;
  p.m = s.m, p.n = s.n, p.k = s.k, p.a_row = s.k, p.b_k = s.n, p.c_row = s.n;
  if (packed) gemm::pack_b(kr, b.p, s.n, 1, s.k, s.n, form.p);
  const gemm::Gemm g = gemm::plan(kr, p, packed);
  Aligned scratch(z(static_cast<std::int64_t>(g.scratch_bytes / 4 + 16)));
  const gemm::RunArgs args{a.p, packed ? form.p : b.p, c.p, nullptr, scratch.p};
  const double t = fastest([&] { gemm::run(g, args); });
  double wrong = 0, largest = 0;
  for (std::int64_t i = 0; i < s.m; i += std::max<std::int64_t>(1, s.m / 8))
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < s.k; ++k) sum += static_cast<double>(a.p[i * s.k + k]) * static_cast<double>(b.p[k * s.n + j]);
      wrong = std::max(wrong, std::fabs(sum - static_cast<double>(c.p[i * s.n + j])));
      largest = std::max(largest, std::fabs(sum));
    }
  std::printf("  %s%s %8.1f us %7.1f GF/s %.1e", name, packed ? "" : " made", t * 1e6, 2e-9 * static_cast<double>(s.m * s.n * s.k) / t, wrong / largest);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Sizes> shapes{{128, 128, 64},  {197, 197, 64},  {197, 64, 197},  {48, 48, 64},  {64, 512, 64},
                            {128, 768, 768}, {128, 3072, 768}, {128, 768, 3072}, {384, 768, 768}, {197, 3072, 768}, {800, 512, 128},
                            {3136, 64, 64},  {32, 512, 512},   {8, 768, 768},    {4, 768, 768},   {2, 768, 768},   {1, 768, 768},
                            {1, 3072, 768},  {1, 50257, 768}};
  if (argc > 3) shapes = {{std::atol(argv[1]), std::atol(argv[2]), std::atol(argv[3])}};
  const Isa isa = tenon::cpu::detect_isa();
  for (const Sizes& s : shapes) {
    std::printf("%5ld x %5ld x %5ld", static_cast<long>(s.m), static_cast<long>(s.n), static_cast<long>(s.k));
    measure("float32", gemm::kernels(isa), s, true);
    const bool many = s.m >= 48;
    if (many) measure("float32", gemm::kernels(isa), s, false);
    const struct {
      const char* name;
      Precision precision;
    } levels[] = {{"medium", Precision::medium}, {"high", Precision::high}, {"highest", Precision::highest}};
    for (const auto& level : levels) {
      const gemm::Kernels& kr = gemm::kernels(isa, level.precision);
      if (!kr.split) continue;
      measure(level.name, kr, s, true);
      if (many) measure(level.name, kr, s, false);
    }
    std::printf("\n");
  }
}
