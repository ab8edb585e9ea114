// Products of numbers split into bfloat16 parts, on vectors and on (emulated) tiles, against a reference in double.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "plugins/cpu/amx/tiles.h"
#include "plugins/cpu/families.h"
#include "plugins/cpu/gemm/sgemm.h"
#include "tests/unit/cpu/amx_emulator.h"
#include "tests/unit/cpu/program_harness.h"

namespace tenon::cpu::gemm {
namespace {

struct Random {
  std::uint32_t state = 1;
  std::uint32_t bits() { return state = state * 1664525u + 1013904223u, state >> 8; }
  float next() { return static_cast<float>(bits()) / static_cast<float>(1 << 23) - 1.0f; }
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(bits()) % n; }
  // About normal, or of any size from 2^-range to 2^range.
  float value(int range) {
    if (range == 0) return (next() + next() + next()) / 1.7f;
    return std::ldexp(next(), static_cast<int>(below(2 * range + 1)) - range);
  }
};

struct Form {
  Isa isa;
  Precision precision;
  double error;  // of a sum, relative to the sum of the terms' sizes
};
// The vector kernels are AVX512_BF16's, whatever multiplies.
std::vector<Form> forms() {
  if (detect_isa() < Isa::avx512_bf16) return {};
  return {{Isa::avx512_bf16, Precision::medium, 4.2e-3},
          {Isa::amx, Precision::medium, 4.2e-3},
          {Isa::amx, Precision::high, 3e-5},
          {Isa::amx, Precision::highest, 3e-7}};
}
#define NEED_BF16() \
  if (forms().empty()) GTEST_SKIP() << "no AVX512_BF16"

struct Case {
  std::int64_t m, n, k;
  bool packed = true, a_turned = false, b_turned = false, bias = false;
  float alpha = 1;
  std::int64_t batch = 1;
  bool shared_b = false;
  int range = 0;
};

std::string name(const Form& f, const Case& c) {
  return std::to_string(c.batch) + "x" + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) + (c.packed ? " packed" : "") +
         (c.a_turned ? " At" : "") + (c.b_turned ? " Bt" : "") + (c.bias ? " bias" : "") + " isa " + std::to_string(static_cast<int>(f.isa)) +
         " precision " + std::to_string(static_cast<int>(f.precision));
}

// Elements finished are counted: each exactly once.
struct Counter {
  const float* c;
  std::vector<int>* seen;
};
void count(const void* p, float* x, std::int64_t n) {
  const Counter& counter = *static_cast<const Counter*>(p);
  for (std::int64_t i = 0; i < n; ++i) ++(*counter.seen)[static_cast<std::size_t>(x - counter.c + i)];
}

// One product and its operands.
struct Product {
  Case c;
  std::vector<float> a, b, bias;
  Problem p;

  explicit Product(const Case& of) : c(of) {
    Random r{static_cast<std::uint32_t>(of.m * 31 + of.n * 7 + of.k)};
    a.resize(static_cast<std::size_t>(c.batch * c.m * c.k));
    b.resize(static_cast<std::size_t>((c.shared_b ? 1 : c.batch) * c.k * c.n));
    for (float& x : a) x = r.value(c.range);
    for (float& x : b) x = r.value(c.range);
    for (std::int64_t i = 0; c.bias && i < c.n; ++i) bias.push_back(r.next());
    p.m = c.m, p.n = c.n, p.k = c.k, p.alpha = c.alpha;
    p.a_row = c.a_turned ? 1 : c.k, p.a_k = c.a_turned ? c.m : 1;
    p.b_k = c.b_turned ? 1 : c.n, p.b_column = c.b_turned ? c.k : 1;
    p.c_row = c.n;
    p.push_batch(c.batch, c.m * c.k, c.shared_b ? 0 : c.packed ? 1 : c.k * c.n, c.m * c.n);
  }
  float& a_at(std::int64_t i, std::int64_t k, std::int64_t batch = 0) {
    return a[static_cast<std::size_t>(batch * c.m * c.k + i * p.a_row + k * p.a_k)];
  }
  float& b_at(std::int64_t k, std::int64_t j, std::int64_t batch = 0) {
    return b[static_cast<std::size_t>((c.shared_b ? 0 : batch) * c.k * c.n + k * p.b_k + j * p.b_column)];
  }

  std::vector<float> run(const Kernels& kr, std::uint32_t workers) const {
    std::vector<float> packed, out(static_cast<std::size_t>(c.batch * c.m * c.n), -77.0f);
    const std::size_t floats = packed_floats(kr, c.k, c.n);
    for (std::int64_t i = 0; c.packed && i < (c.shared_b ? 1 : c.batch); ++i) {
      packed.resize(floats * static_cast<std::size_t>(i + 1), std::numeric_limits<float>::quiet_NaN());
      pack_b(kr, b.data() + i * c.k * c.n, p.b_k, p.b_column, c.k, c.n, packed.data() + static_cast<std::size_t>(i) * floats);
    }
    const Gemm g = plan(kr, p, c.packed);
    EXPECT_EQ(g.mode, Mode::split);
    std::vector<int> seen(out.size());
    const Counter counter{out.data(), &seen};
    for (std::uint32_t w = 0; w < workers; ++w) {
      std::vector<float> scratch(g.scratch_bytes / 4, std::numeric_limits<float>::quiet_NaN());
      gemm::run(g, {a.data(), c.packed ? packed.data() : b.data(), out.data(), bias.empty() ? nullptr : bias.data(), scratch.data(), w, workers,
                    count, &counter});
    }
    for (int n : seen)
      if (n != 1) {
        ADD_FAILURE() << "an element was finished " << n << " times";
        break;
      }
    return out;
  }

  // The largest error of out, and that of a plain float32 sum, relative to the sum of the terms' sizes or to the largest output.
  struct Errors {
    double of_terms = 0, of_largest = 0;
    double squares = 0, float_squares = 0;  // sums of squared errors
  };
  Errors errors(const std::vector<float>& out) {
    Errors e;
    double largest = 0;
    for (std::int64_t n = 0; n < c.batch; ++n)
      for (std::int64_t i = 0; i < c.m; ++i)
        for (std::int64_t j = 0; j < c.n; ++j) {
          double sum = 0, size = 0;
          float plain = 0;
          for (std::int64_t k = 0; k < c.k; ++k) {
            const double term = static_cast<double>(a_at(i, k, n)) * static_cast<double>(b_at(k, j, n));
            sum += term, size += std::fabs(term);
            plain += a_at(i, k, n) * b_at(k, j, n);
          }
          const double add = bias.empty() ? 0 : static_cast<double>(bias[static_cast<std::size_t>(j)]);
          sum = sum * static_cast<double>(c.alpha) + add;
          size = size * std::fabs(static_cast<double>(c.alpha)) + std::fabs(add);
          const double wrong = std::fabs(static_cast<double>(out[static_cast<std::size_t>((n * c.m + i) * c.n + j)]) - sum);
          e.of_terms = std::max(e.of_terms, std::isfinite(wrong) ? wrong / (size + 1e-30) : HUGE_VAL);
          e.of_largest = std::max(e.of_largest, wrong);
          const double float_wrong = static_cast<double>(plain * c.alpha) + add - sum;
          e.squares += wrong * wrong, e.float_squares += float_wrong * float_wrong;
          largest = std::max(largest, std::fabs(sum));
        }
    e.of_largest /= largest;
    return e;
  }
};

void check(const Form& f, const Case& c, std::initializer_list<std::uint32_t> workers = {1}) {
  Product product(c);
  const Kernels& kr = kernels(f.isa, f.precision);
  const std::vector<float> out = product.run(kr, 1);
  EXPECT_LE(product.errors(out).of_terms, f.error) << name(f, c);
  for (std::uint32_t w : workers) EXPECT_EQ(product.run(kr, w), out) << name(f, c) << ", workers " << w;
}

TEST(SplitGemm, EverySmallSize) {
  NEED_BF16();
  const test::AmxEmulator emulator;
  for (const Form& f : forms()) {
    Random r;
    for (std::int64_t m : {1, 2, 3, 4, 5, 7, 9, 13, 14, 15, 16, 17, 29, 32, 33, 47, 49, 65})
      for (std::int64_t n : {16, 17, 31, 32, 33, 48, 65}) {
        Case c{m, n, std::array<std::int64_t, 6>{32, 33, 47, 64, 65, 100}[static_cast<std::size_t>(r.below(6))]};
        c.a_turned = r.below(3) == 0, c.b_turned = r.below(2), c.bias = r.below(2);
        c.alpha = r.below(3) ? 1.0f : 0.5f;
        check(f, c);
        if (HasFailure()) return;
      }
  }
}

TEST(SplitGemm, BothOperandsMadeInTheRun) {
  NEED_BF16();
  const test::AmxEmulator emulator;
  for (const Form& f : forms()) {
    for (bool b_turned : {false, true})
      for (auto [m, n, k] : std::initializer_list<std::array<std::int64_t, 3>>{{48, 32, 32}, {50, 49, 70}, {97, 33, 64}}) {
        Case c{m, n, k};
        c.packed = false, c.b_turned = b_turned, c.batch = 2, c.alpha = 0.125f;
        check(f, c, {2, 3});
        c.shared_b = true, c.a_turned = true;
        check(f, c, {2});
      }
  }
}

// Blocks of depth, of rows and of columns end where steps and groups do, and anywhere.
TEST(SplitGemm, Blocks) {
  NEED_BF16();
  const test::AmxEmulator emulator;
  for (const Form& f : forms())
    for (auto [m, n, k] : std::initializer_list<std::array<std::int64_t, 3>>{{35, 33, 1650}, {3, 17, 4200}, {1, 40, 4300}, {300, 16, 840}}) {
      Case c{m, n, k};
      c.bias = true;
      check(f, c, {2, 3, 5});
      if (HasFailure()) return;
    }
}

TEST(SplitGemm, BatchesOfPackedMatrices) {
  NEED_BF16();
  const test::AmxEmulator emulator;
  for (const Form& f : forms())
    for (bool shared : {false, true})
      for (std::int64_t m : {1, 2, 20}) {
        Case c{m, 40, 70};
        c.batch = 3, c.shared_b = shared;
        check(f, c, {2, 4});
      }
}

// What the levels promise: relative to the largest output, on usual numbers and on numbers of all sizes.
TEST(SplitGemm, ErrorsOfTheLevels) {
  NEED_BF16();
  const test::AmxEmulator emulator;
  for (int range : {0, 4, 20})
    for (std::int64_t m : {2, 40})
      for (std::int64_t k : {64, 300}) {
        Case c{m, 64, k};
        c.range = range;
        Product product(c);
        const auto errors = [&](Precision precision) { return product.errors(product.run(kernels(Isa::amx, precision), 1)); };
        const auto highest = errors(Precision::highest), high = errors(Precision::high), medium = errors(Precision::medium);
        EXPECT_LE(std::sqrt(highest.squares), 1.25 * std::sqrt(highest.float_squares)) << range << " " << m << " " << k;
        EXPECT_LE(highest.of_largest, 6e-7) << range << " " << m << " " << k;
        EXPECT_LE(high.of_largest, 2e-5) << range << " " << m << " " << k;
        EXPECT_LE(medium.of_largest, 1e-2) << range << " " << m << " " << k;
      }
}

// All bits of a float32 are in its parts: products with one are exact.
TEST(SplitGemm, ThreePartsKeepEveryBit) {
  NEED_BF16();
  const test::AmxEmulator emulator;
  for (std::int64_t m : {2, 5}) {
    Product product({m, 32, 32});
    for (std::int64_t k = 0; k < 32; ++k)
      for (std::int64_t j = 0; j < 32; ++j) product.b_at(k, j) = k == j ? 1 : 0;
    Random r;
    for (float& x : product.a) x = std::ldexp(1 + std::fabs(r.next()), static_cast<int>(r.below(150)) - 75);
    const std::vector<float> out = product.run(kernels(Isa::amx, Precision::highest), 1);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < 32; ++j) ASSERT_EQ(out[static_cast<std::size_t>(i * 32 + j)], product.a_at(i, j));
  }
}

// What bfloat16 cannot say gives what float32 gives: infinities, no numbers (of any bits), the largest numbers.
TEST(SplitGemm, NumbersThatAreNotFinite) {
  NEED_BF16();
  const test::AmxEmulator emulator;
  constexpr float inf = std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::max();
  const std::uint32_t all_ones = 0x7fffffff;
  float nan;
  std::memcpy(&nan, &all_ones, sizeof nan);
  for (const Form& f : forms())
    for (bool packed : {true, false})
      for (std::int64_t m : {1, 2, 6, 50}) {
        Case c{m, 40, 70};
        c.packed = packed, c.bias = true, c.alpha = 0.5f;
        if (!packed && m < 50) continue;
        Product product(c);
        for (float& x : product.b) x = std::fabs(x) + 0.25f;
        product.b_at(3, 7) = 1.0f;  // has one part only: infinity times the others must not count
        const std::int64_t last = m - 1;
        product.a_at(last, 3) = inf;
        std::vector<float> out = product.run(kernels(f.isa, f.precision), 1);
        for (std::int64_t j = 0; j < 40; ++j) ASSERT_EQ(out[static_cast<std::size_t>(last * 40 + j)], inf) << name(f, c) << " at " << j;
        for (std::int64_t i = 0; i < last * 40; ++i) ASSERT_TRUE(std::isfinite(out[static_cast<std::size_t>(i)])) << name(f, c);

        product.a_at(last, 3) = nan;
        out = product.run(kernels(f.isa, f.precision), 1);
        for (std::int64_t j = 0; j < 40; ++j) ASSERT_TRUE(std::isnan(out[static_cast<std::size_t>(last * 40 + j)])) << name(f, c);

        product.a_at(last, 3) = 0;
        product.b_at(3, 7) = -inf;  // 0 * inf is no number, in this column alone
        out = product.run(kernels(f.isa, f.precision), 1);
        for (std::int64_t j = 0; j < 40; ++j) ASSERT_EQ(std::isnan(out[static_cast<std::size_t>(last * 40 + j)]), j == 7) << name(f, c);
        product.a_at(last, 3) = 1;
        out = product.run(kernels(f.isa, f.precision), 1);
        ASSERT_EQ(out[static_cast<std::size_t>(last * 40 + 7)], -inf) << name(f, c);

        // Rounds up to infinity as bfloat16; half of it is a float32.
        product.b_at(3, 7) = 1;
        for (std::int64_t k = 0; k < 70; ++k) product.a_at(last, k) = 0;
        product.a_at(last, 3) = most;
        out = product.run(kernels(f.isa, f.precision), 1);
        ASSERT_NEAR(static_cast<double>(out[static_cast<std::size_t>(last * 40 + 7)]), 0.5 * static_cast<double>(most), 1e-2 * static_cast<double>(most))
            << name(f, c);
        product.a_at(last, 3) = 0.5f;
        product.b_at(3, 7) = -most;
        out = product.run(kernels(f.isa, f.precision), 1);
        ASSERT_NEAR(static_cast<double>(out[static_cast<std::size_t>(last * 40 + 7)]), -0.25 * static_cast<double>(most), 1e-2 * static_cast<double>(most))
            << name(f, c);
      }
}

// Parts below 2^-126 are zero: so the error is never more than they are.
TEST(SplitGemm, TinyNumbers) {
  NEED_BF16();
  const test::AmxEmulator emulator;
  for (const Form& f : forms())
    for (std::int64_t m : {2, 6}) {
      Product product({m, 16, 32});
      for (float& x : product.a) x = 1e-39f;
      for (float& x : product.b) x = 1;
      for (float x : product.run(kernels(f.isa, f.precision), 1)) ASSERT_NEAR(static_cast<double>(x), 0, 32 * 0x1p-126);
      for (float& x : product.a) x = 0x1.234568p-110f;
      for (float x : product.run(kernels(f.isa, f.precision), 1))
        ASSERT_NEAR(static_cast<double>(x), 32 * 0x1.234568p-110, 32 * 0x1p-110 * f.error + 96 * 0x1p-126);
    }
}

// Small models at every level, through fusion and planning: their products are split, and their error is the level's.
void check_model(test::OpTest& t, const std::string& output) {
  const test::AmxEmulator emulator;
  const auto want = test::run_program(t, {output}, {.plain = true});
  ASSERT_EQ(want.error, "");
  const std::vector<float> exact = want[output].as<float>();
  double largest = 0;
  for (float x : exact) largest = std::max(largest, std::fabs(static_cast<double>(x)));
  for (const Form& f : forms()) {
    const std::int64_t before = test::AmxEmulator::executed();
    std::vector<float> first;
    for (std::uint32_t workers : {1u, 2u, 3u}) {
      const auto got = test::run_program(t, {output}, {.isa = f.isa, .workers = workers, .precision = f.precision});
      ASSERT_EQ(got.error, "");
      const std::vector<float> y = got[output].as<float>();
      if (workers == 1) first = y;
      EXPECT_EQ(y, first);
      double wrong = 0;
      for (std::size_t i = 0; i < y.size(); ++i) wrong = std::max(wrong, std::fabs(static_cast<double>(y[i]) - static_cast<double>(exact[i])));
      const double allowed = f.precision == Precision::medium ? 1e-2 : f.precision == Precision::high ? 2e-5 : 1e-6;
      EXPECT_LE(wrong / largest, allowed) << static_cast<int>(f.precision);
      EXPECT_EQ(wrong / largest > 1e-4, f.precision == Precision::medium);
    }
    EXPECT_EQ(test::AmxEmulator::executed() > before, f.isa == Isa::amx && !amx::available());
  }
}

TEST(SplitGemm, WholeModels) {
  NEED_BF16();
  test::OpTest t({matmul_rows, norm_rows, elementwise_rows});
  t.input("x", test::random_tensor({1, 20, 64}, 3));
  t.constant("w1", test::random_tensor({64, 96}, 4));
  t.constant("b1", test::random_tensor({96}, 5));
  t.constant("w2", test::random_tensor({96, 33}, 6));
  for (const char* v : {"h", "hb", "r"}) t.value(v, TENON_DTYPE_FLOAT, {1, 20, 96});
  t.value("y", TENON_DTYPE_FLOAT, {1, 20, 33});
  t.node("MatMul", {"x", "w1"}, {"h"});
  t.node("Add", {"h", "b1"}, {"hb"});
  t.node("Relu", {"hb"}, {"r"});
  t.node("MatMul", {"r", "w2"}, {"y"});
  check_model(t, "y");
}

TEST(SplitGemm, ProductsInsideOfOtherOperators) {
  NEED_BF16();
  {
    test::OpTest t({recurrent_rows});
    t.input("x", test::random_tensor({10, 2, 40}, 3));
    t.constant("w", test::random_tensor({1, 4 * 12, 40}, 4));
    t.constant("r", test::random_tensor({1, 4 * 12, 12}, 5));
    t.value("y", TENON_DTYPE_FLOAT, {10, 1, 2, 12});
    t.node("LSTM", {"x", "w", "r"}, {"y"}, {{"hidden_size", 12}});
    check_model(t, "y");
  }
  {
    test::OpTest t({attention_rows});
    for (const char* v : {"q", "k", "v"}) t.input(v, test::random_tensor({1, 2, 50, 36}, static_cast<std::uint32_t>(v[0])));
    t.value("y", TENON_DTYPE_FLOAT, {1, 2, 50, 36});
    t.node("Attention", {"q", "k", "v"}, {"y"});
    check_model(t, "y");
  }
  {
    test::OpTest t({matmul_rows});
    t.input("a", test::random_tensor({40, 20}, 3));
    t.constant("b", test::random_tensor({48, 40}, 4));
    t.constant("c", test::random_tensor({48}, 5));
    t.value("y", TENON_DTYPE_FLOAT, {20, 48});
    t.node("Gemm", {"a", "b", "c"}, {"y"}, {{"transA", 1}, {"transB", 1}, {"alpha", 0.5}, {"beta", 2.0}});
    check_model(t, "y");
  }
}

}  // namespace
}  // namespace tenon::cpu::gemm
