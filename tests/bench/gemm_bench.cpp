// Float32 products of the CPU provider against oneDNN's sgemm, on the shapes of the zoo's models, in GF/s of one thread.
//
//   gemm_bench [avx2|avx512|plain] [M N K [batch]]
//
// Each number is the fastest of many runs: other work on the machine disturbs the slow ones only. The first line is the
// multiply-add peak, measured in this process.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <dnnl.h>

#include "plugins/cpu/gemm/sgemm.h"

namespace {

using tenon::cpu::Isa;
namespace gemm = tenon::cpu::gemm;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <class F>
double fastest(double flops, const F& f) {
  double best = 1e9;
  const double inner = std::max(1.0, 2e6 / flops);
  const double until = now() + 0.25;
  int rounds = 0;
  while (now() < until || rounds < 5) {
    const double t0 = now();
    for (int i = 0; i < static_cast<int>(inner); ++i) f();
    best = std::min(best, (now() - t0) / static_cast<int>(inner));
    ++rounds;
  }
  return best;
}

struct Aligned {
  float* p;
  explicit Aligned(std::size_t n) : p(static_cast<float*>(std::aligned_alloc(64, (n * 4 + 127) / 64 * 64))) {
    for (std::size_t i = 0; i < n; ++i) p[i] = static_cast<float>(static_cast<int>(i * 2654435761u >> 24) - 128) / 128;
  }
  Aligned(const Aligned&) = delete;
  ~Aligned() { std::free(p); }
};

// The tile kernel on operands that stay in L1: what the instruction set can do.
double peak(const gemm::Kernels& kr) {
  const std::int64_t k = 128;
  Aligned a(static_cast<std::size_t>(kr.rows * k)), b(static_cast<std::size_t>(kr.columns * k)),
      c(static_cast<std::size_t>(kr.rows * kr.columns));
  gemm::TileArgs t{a.p, 1, kr.rows, b.p, kr.columns, k, c.p, kr.columns, c.p, nullptr, 1, false, false, nullptr, 0};
  const double flops = 2.0 * static_cast<double>(kr.rows * kr.columns * k);
  return flops / fastest(flops, [&] { kr.tiles[0][kr.rows - 1](t); }) * 1e-9;
}

enum class Kind { weights, scores /* A [m, k] · transposed B [n, k] */, values /* A · B, both made in the run */ };

void measure(const gemm::Kernels& kr, double top, Kind kind, std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k) {
  const auto z = [](std::int64_t x) { return static_cast<std::size_t>(x); };
  Aligned a(z(batch * m * k)), b(z(batch * k * n)), c(z(batch * m * n)), bias(z(n));
  gemm::Problem p;
  p.m = m, p.n = n, p.k = k, p.a_row = k, p.c_row = n;
  p.b_k = kind == Kind::scores ? 1 : n;
  p.b_column = kind == Kind::scores ? k : 1;
  p.push_batch(batch, m * k, n * k, m * n);
  const bool packed = kind == Kind::weights && gemm::wants_packing(n);
  Aligned packed_b(z(static_cast<std::int64_t>(gemm::packed_floats(kr, k, n))));
  if (packed) gemm::pack_b(kr, b.p, n, 1, k, n, packed_b.p);
  const gemm::Gemm g = gemm::plan(kr, p, packed);
  Aligned scratch(z(static_cast<std::int64_t>(g.scratch_bytes / 4 + 16)));
  gemm::RunArgs args{a.p, packed ? packed_b.p : b.p, c.p, kind == Kind::weights ? bias.p : nullptr, scratch.p};
  const double flops = 2.0 * static_cast<double>(batch * m * n * k);
  const double ours = fastest(flops, [&] { gemm::run(g, args); });
  const double theirs = fastest(flops, [&] {
    for (std::int64_t i = 0; i < batch; ++i)
      dnnl_sgemm('N', kind == Kind::scores ? 'T' : 'N', m, n, k, 1, a.p + i * m * k, k, b.p + i * n * k, kind == Kind::scores ? k : n, 0,
                 c.p + i * m * n, n);
  });
  const char* names[] = {"weights", "scores", "values"};
  std::printf("%-8s %3ld x %5ld x %5ld x %5ld  ours %9.2f us %7.1f GF/s %3.0f %%   dnnl %9.2f us %7.1f GF/s\n",
              names[static_cast<int>(kind)], static_cast<long>(batch), static_cast<long>(m), static_cast<long>(n), static_cast<long>(k),
              ours * 1e6, flops / ours * 1e-9, 100 * flops / ours * 1e-9 / top, theirs * 1e6, flops / theirs * 1e-9);
  std::fflush(stdout);
}

// Few rows times weights of few bits: GB/s of what is read.
void measure_quantized(Isa isa, std::int32_t bits, bool zeros, std::int64_t m, std::int64_t n, std::int64_t k) {
  const gemm::QuantizedKernels& kernels = gemm::quantized_kernels(isa);
  gemm::Quantized q;
  q.bits = bits, q.k = k, q.n = n, q.blocks = (k + 31) / 32, q.lanes = kernels.lanes;
  const auto z = [](std::uint64_t x) { return static_cast<std::size_t>(x); };
  Aligned weights(z(q.weight_bytes() / 4)), scales(z(q.scale_bytes() / 4)), a(z(static_cast<std::uint64_t>(m * k))),
      sums(z(static_cast<std::uint64_t>(m * q.blocks)));
  q.weights = reinterpret_cast<const std::uint32_t*>(weights.p);
  q.scales = scales.p;
  if (zeros) q.zeros = scales.p;
  float out[8 * 16];
  const double flops = 2.0 * static_cast<double>(m * n * k);
  const double t = fastest(flops, [&] {
    for (std::int64_t p = 0; p < q.panels(); ++p) kernels.rows(q, p, a.p, k, m, sums.p, out);
  });
  std::printf("%d bits%s %3ld x %5ld x %5ld  %9.2f us %7.1f GF/s %6.2f GB/s\n", bits, zeros ? " zeros" : "", static_cast<long>(m),
              static_cast<long>(n), static_cast<long>(k), t * 1e6, flops / t * 1e-9,
              static_cast<double>(q.weight_bytes() + q.scale_bytes()) / t * 1e-9);
}

}  // namespace

int main(int argc, char** argv) {
  Isa isa = Isa::avx512;
  int next = 1;
  if (argc > next && !std::isdigit(static_cast<unsigned char>(argv[next][0]))) {
    const std::string name = argv[next++];
    isa = name == "plain" ? Isa::plain : name == "avx2" ? Isa::avx2 : Isa::avx512;
  }
  const gemm::Kernels& kr = gemm::kernels(isa, tenon::cpu::Precision::high);
  const double top = peak(kr);
  std::printf("peak %.1f GF/s\n", top);
  if (argc - next == 1) {
    for (std::int32_t bits : {2, 4, 8})
      for (std::int64_t m : {1, 2, 4, 8}) measure_quantized(isa, bits, false, m, 1024, 1024);
    measure_quantized(isa, 4, true, 1, 1024, 1024);
    measure_quantized(isa, 4, false, 1, 16384, 4096);
    return 0;
  }
  if (argc - next >= 3) {
    const long m = std::atol(argv[next]), n = std::atol(argv[next + 1]), k = std::atol(argv[next + 2]);
    const long batch = argc - next > 3 ? std::atol(argv[next + 3]) : 1;
    measure(kr, top, batch > 1 ? Kind::values : Kind::weights, batch, m, n, k);
    if (batch > 1) measure(kr, top, Kind::scores, batch, m, n, k);
    return 0;
  }
  struct Sizes {
    long m, n, k;
  };
  for (auto [m, n, k] : std::initializer_list<Sizes>{
           {128, 768, 768},  {128, 3072, 768}, {128, 768, 3072},  {128, 384, 384},   {128, 1536, 384}, {128, 384, 1536},
           {197, 3072, 768}, {197, 768, 3072}, {1500, 1536, 384}, {1500, 384, 1536}, {50, 768, 768},   {32, 512, 512},
           {16, 768, 768},   {8, 768, 768},    {4, 768, 768},     {2, 768, 768},     {1, 768, 768},    {1, 3072, 768},
           {1, 50257, 768},  {128, 2, 768},    {1, 1000, 2048},   {128, 64, 13}})
    measure(kr, top, Kind::weights, 1, m, n, k);
  for (auto [batch, s, d] : std::initializer_list<Sizes>{{12, 128, 64}, {12, 197, 64}, {6, 1500, 64}, {12, 128, 32}, {12, 32, 64}}) {
    measure(kr, top, Kind::scores, batch, s, s, d);
    measure(kr, top, Kind::values, batch, s, d, s);
  }
  for (std::int32_t bits : {2, 4, 8})
    for (std::int64_t m : {1, 2, 4, 8}) measure_quantized(isa, bits, false, m, 1024, 1024);
  measure_quantized(isa, 4, true, 1, 1024, 1024);
  measure_quantized(isa, 4, false, 1, 16384, 4096);
  measure(kr, top, Kind::scores, 12, 1, 129, 64);
  measure(kr, top, Kind::values, 12, 1, 64, 129);
  measure(kr, top, Kind::values, 1, 512, 512, 512);
}
