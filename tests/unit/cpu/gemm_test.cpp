// The product kernels against a reference in double, on exact-size memory.
#include "plugins/cpu/gemm/sgemm.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace tenon::cpu::gemm {
namespace {

std::vector<Isa> isas() {
  std::vector<Isa> out{Isa::plain};
  const Isa best = detect_isa();
  if (best >= Isa::avx2) out.push_back(Isa::avx2);
  if (best >= Isa::avx512) out.push_back(Isa::avx512);
  return out;
}

struct Random {
  std::uint32_t state = 1;
  float next() {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) / static_cast<float>(1 << 23) - 1.0f;
  }
  std::vector<float> vector(std::int64_t n) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = next();
    return v;
  }
  std::int64_t below(std::int64_t n) {
    state = state * 1664525u + 1013904223u;
    return static_cast<std::int64_t>(state >> 8) % n;
  }
};

struct Case {
  std::int64_t m, n, k;
  bool a_turned = false, b_turned = false, c_turned = false, packed = false, bias = false, addend = false;
  float alpha = 1;
  std::uint32_t workers = 1;
  std::int64_t batch = 1;
  bool shared_b = false;
};

std::string name(const Case& c) {
  return std::to_string(c.batch) + "x" + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) +
         (c.a_turned ? " At" : "") + (c.b_turned ? " Bt" : "") + (c.packed ? " packed" : "") + (c.bias ? " bias" : "") + (c.addend ? " addend" : "") +
         (c.shared_b ? " shared" : "") + " w" + std::to_string(c.workers);
}

// Finished pieces are counted, so that every element is finished exactly once.
struct Counter {
  const float* c;
  std::vector<int>* seen;
};
void count(const void* p, float* x, std::int64_t n) {
  const Counter& counter = *static_cast<const Counter*>(p);
  for (std::int64_t i = 0; i < n; ++i) ++(*counter.seen)[static_cast<std::size_t>(x - counter.c + i)];
}

std::vector<float> check(Isa isa, const Case& c) {
  const Kernels& kr = kernels(isa);
  Random r;
  const auto a = r.vector(c.batch * c.m * c.k), b = r.vector((c.shared_b ? 1 : c.batch) * c.k * c.n), bias = r.vector(c.n), addend = r.vector(c.batch * c.m * c.n);
  std::vector<float> out(static_cast<std::size_t>(c.batch * c.m * c.n), -77.0f);
  Problem p;
  p.m = c.m, p.n = c.n, p.k = c.k, p.alpha = c.alpha;
  p.a_row = c.a_turned ? 1 : c.k, p.a_k = c.a_turned ? c.m : 1;
  p.b_k = c.b_turned ? 1 : c.n, p.b_column = c.b_turned ? c.k : 1;
  p.c_row = c.n;
  const std::int64_t batch_b = c.shared_b ? 0 : c.packed ? 1 : c.k * c.n;
  p.push_batch(c.batch, c.m * c.k, batch_b, c.m * c.n);
  std::vector<float> packed;
  if (c.packed) {
    const auto floats = packed_floats(kr, c.k, c.n);
    packed.resize(floats * static_cast<std::size_t>(c.shared_b ? 1 : c.batch));
    for (std::int64_t i = 0; i < (c.shared_b ? 1 : c.batch); ++i)
      pack_b(kr, b.data() + i * c.k * c.n, p.b_k, p.b_column, c.k, c.n, packed.data() + static_cast<std::size_t>(i) * floats);
  }
  const Gemm g = plan(kr, p, c.packed);
  std::vector<int> seen(out.size());
  const Counter counter{out.data(), &seen};
  for (std::uint32_t w = 0; w < c.workers; ++w) {
    std::vector<float> scratch(g.scratch_bytes / 4);
    RunArgs args{
        a.data(), c.packed ? packed.data() : b.data(), out.data(), c.bias ? bias.data() : nullptr, scratch.data(), w, c.workers, count,
        &counter};
    if (c.addend && takes_addend(g)) args.addend = addend.data();
    run(g, args);
  }
  // The same case for other instruction sets and workers has the same reference.
  struct Number {
    double sum, size;
  };
  static std::map<std::string, std::vector<Number>> references;
  Case key = c;
  key.workers = 0, key.packed = false, key.addend = c.addend && takes_addend(g);
  auto& reference = references[name(key) + std::to_string(c.alpha)];
  if (reference.empty())
    for (std::int64_t i = 0; i < c.batch; ++i)
      for (std::int64_t m = 0; m < c.m; ++m)
        for (std::int64_t n = 0; n < c.n; ++n) {
          Number x{0, 0};
          for (std::int64_t k = 0; k < c.k; ++k) {
            const double term =
                static_cast<double>(a[static_cast<std::size_t>(i * c.m * c.k + m * p.a_row + k * p.a_k)]) *
                static_cast<double>(b[static_cast<std::size_t>((c.shared_b ? 0 : i) * c.k * c.n + k * p.b_k + n * p.b_column)]);
            x.sum += term, x.size += std::fabs(term);
          }
          x.sum = x.sum * static_cast<double>(c.alpha) + (c.bias ? static_cast<double>(bias[static_cast<std::size_t>(n)]) : 0);
          if (key.addend) x.sum += static_cast<double>(addend[reference.size()]);
          reference.push_back(x);
        }
  for (std::size_t i = 0; i < out.size(); ++i)
    if (seen[i] != 1 || !(std::fabs(static_cast<double>(out[i]) - reference[i].sum) <= 1e-6 * (reference[i].size + 1))) {
      ADD_FAILURE() << name(c) << " isa " << static_cast<int>(isa) << " at " << i << ": " << out[i] << " not " << reference[i].sum
                    << ", finished " << seen[i] << " times";
      break;
    }
  return out;
}

TEST(Gemm, EverySmallSize) {
  for (Isa isa : isas()) {
    Random r;
    for (std::int64_t m = 1; m <= 70; m += m < 18 ? 1 : 7)
      for (std::int64_t n = 1; n <= 70; n += n < 36 ? 1 : 5)
        for (std::int64_t k : {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 33, 70}) {
          Case c{m, n, k};
          c.a_turned = r.below(2), c.b_turned = r.below(2), c.packed = r.below(2), c.bias = r.below(2), c.addend = r.below(2);
          c.alpha = r.below(3) ? 1.0f : 0.5f;
          c.workers = static_cast<std::uint32_t>(1 + r.below(3));
          check(isa, c);
          if (HasFailure()) return;
        }
  }
}

TEST(Gemm, BlocksOfDepthRowsAndColumns) {
  for (Isa isa : isas())
    for (std::uint32_t workers : {1u, 2u, 3u, 5u})
      for (bool packed : {false, true})
        for (auto [m, n, k] : std::initializer_list<std::array<std::int64_t, 3>>{
                 {197, 70, 1000}, {3, 530, 5000}, {400, 33, 770}, {20, 600, 390}, {1, 100, 9000}}) {
          Case c{m, n, k};
          c.packed = packed, c.workers = workers, c.bias = true, c.b_turned = workers == 3, c.a_turned = workers == 5;
          check(isa, c);
          if (HasFailure()) return;
        }
}

TEST(Gemm, Batches) {
  for (Isa isa : isas())
    for (std::uint32_t workers : {1u, 2u, 3u, 5u})
      for (bool packed : {false, true})
        for (bool shared : {false, true})
          for (bool turned : {false, true})
            for (auto [m, n, k] :
                 std::initializer_list<std::array<std::int64_t, 3>>{{1, 65, 64}, {17, 40, 9}, {5, 3, 20}, {2, 2, 2}, {30, 64, 31}}) {
              Case c{m, n, k};
              c.batch = 7, c.packed = packed && wants_packing(n), c.workers = workers, c.shared_b = shared, c.b_turned = turned,
              c.bias = turned;
              check(isa, c);
              if (HasFailure()) return;
            }
}

TEST(Gemm, SameBitsForAnyNumberOfWorkers) {
  for (Isa isa : isas())
    for (auto [m, n, k] : std::initializer_list<std::array<std::int64_t, 3>>{{1, 500, 700}, {2, 129, 64}, {64, 100, 900}, {128, 2, 300}}) {
      for (bool packed : {false, true}) {
        Case c{m, n, k};
        c.packed = packed && wants_packing(n), c.b_turned = true;
        const auto one = check(isa, c);
        for (std::uint32_t workers : {2u, 3u, 8u}) {
          c.workers = workers;
          EXPECT_EQ(one, check(isa, c)) << name(c);
        }
      }
    }
}

TEST(Gemm, NothingToDo) {
  for (Isa isa : isas()) {
    check(isa, {0, 5, 3});
    check(isa, {5, 0, 3});
    Case c{5, 7, 0};
    c.bias = true, c.workers = 2;
    check(isa, c);
    c.packed = true;
    check(isa, c);
    c = {4, 8, 3};
    c.batch = 0;
    check(isa, c);
  }
}

}  // namespace
}  // namespace tenon::cpu::gemm
