#include "plugins/cpu/epilogue.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "plugins/cpu/simd_math.h"

namespace tenon::cpu {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

// Numbers of all sizes, both signs, and the special ones.
std::vector<float> numbers(float low, float high) {
  std::vector<float> x = {0,       -0.0f,           1,       -1,       0.5f, -0.5f, inf, -inf, nan,   1e-45f,
                          -1e-45f, 1.17549435e-38f, 3.4e38f, -3.4e38f, 88,   -88,   104, -104, 1e10f, -1e10f};
  std::uint32_t seed = 7;
  for (int i = 0; i < 20000; ++i) {
    seed = seed * 1664525u + 1013904223u;
    x.push_back(low + (high - low) * static_cast<float>(seed >> 8) / static_cast<float>(1 << 24));
  }
  return x;
}

struct Parameters {
  Unary f;
  float a = 0, b = 0;
  double tolerance = 2.5e-7;
  float low = -20, high = 20;
};

// Against plain code: relative, or a hundredth of that absolutely (what is left of a difference of numbers near 1).
TEST(MathKernels, UnaryAgreesWithPlainCode) {
  const Parameters all[] = {
      {Unary::relu},
      {Unary::clip, -2, 3},
      {Unary::leaky_relu, 0.1f},
      {Unary::elu, 1.5f},
      {Unary::selu, 1.67f, 1.05f},
      {Unary::celu, 2},
      {Unary::sigmoid, 0, 0, 3e-7},
      {Unary::tanh, 0, 0, 5e-7},
      {Unary::swish, 1, 0, 3e-7},
      {Unary::swish, 1.702f, 0, 2e-6},
      {Unary::hard_sigmoid, 0.2f, 0.5f},
      {Unary::hard_swish},
      {Unary::mish, 0, 0, 1e-6},
      {Unary::gelu_erf, 0, 0, 8e-7, -2, 20},
      {Unary::gelu_erf, 0, 0, 1e-5, -6, 20},
      {Unary::gelu_tanh, 0, 0, 3e-6, -6, 20},
      {Unary::softplus, 0, 0, 5e-7},
      {Unary::softsign},
      {Unary::thresholded_relu, 1},
      {Unary::erf, 0, 0, 6e-7},
      {Unary::exp, 0, 0, 2.5e-7, -87, 88},
      {Unary::log, 0, 0, 2.5e-7, 1e-10f, 100},
      {Unary::sqrt},
      {Unary::reciprocal},
      {Unary::square},
      {Unary::abs},
      {Unary::neg},
      {Unary::floor},
      {Unary::ceil},
      {Unary::round},
      {Unary::sign},
      {Unary::sin, 0, 0, 4e-7, -3, 3},
      {Unary::cos, 0, 0, 4e-7, -1.5f, 1.5f},
      {Unary::affine, 2.5f, 1.5f},
      {Unary::affine, 2.5f, 0},
      {Unary::affine, 1, 3},
  };
  for (const Isa isa : {Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    for (const Parameters& p : all) {
      const auto x = numbers(p.low, p.high);
      for (const std::size_t n : {x.size(), x.size() - 1, std::size_t{3}}) {
        std::vector<float> y(n + 1, 42);
        math_kernels(isa).run(p.f, x.data(), y.data(), static_cast<std::int64_t>(n), p.a, p.b);
        EXPECT_EQ(y[n], 42);
        for (std::size_t i = 0; i < n; ++i) {
          const float want = apply_unary(p.f, p.a, p.b, x[i]), got = y[i];
          if (want == got || (want != want && got != got)) continue;
          const bool gelu_tail =
              (p.f == Unary::gelu_erf || p.f == Unary::gelu_tanh || p.f == Unary::mish || p.f == Unary::swish) && x[i] < -6;
          const bool cancels = p.f == Unary::affine || p.f == Unary::hard_sigmoid || p.f == Unary::hard_swish;
          const double least = gelu_tail ? 1e-8 : cancels ? 1e-6 : 3e-45;
          ASSERT_LE(std::abs(static_cast<double>(got) - want), p.tolerance * std::abs(static_cast<double>(want)) + least)
              << "isa " << static_cast<int>(isa) << ", function " << static_cast<int>(p.f) << ", x = " << x[i] << ": " << got
              << ", expected " << want;
        }
      }
    }
  }
}

// Deep models amplify the errors of many activations: what counts is the usual error, not only the worst.
TEST(MathKernels, SigmoidAgainstDouble) {
  for (const Isa isa : {Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    std::vector<float> x = numbers(-80, 20), y(x.size());
    math_kernels(isa).run(Unary::sigmoid, x.data(), y.data(), static_cast<std::int64_t>(x.size()));
    double squares = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = 1 / (1 + std::exp(-static_cast<double>(x[i]))), error = (y[i] - want) / want;
      if (!std::isfinite(x[i]) || x[i] < -80 || x[i] > 20) continue;  // special numbers: UnaryAgreesWithPlainCode
      ASSERT_LE(std::abs(error), 2e-7) << "isa " << static_cast<int>(isa) << ", x = " << x[i];
      squares += error * error;
    }
    EXPECT_LE(std::sqrt(squares / static_cast<double>(x.size())), 5e-8) << "isa " << static_cast<int>(isa);
  }
}

TEST(MathKernels, SinAndCosOfLargeNumbers) {
  const std::vector<float> x = {100, -1000, 8000, 8192, 8193, 1e6f, -1e8f, 1e30f, 0.1f};
  for (const Isa isa : {Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    std::vector<float> s(x.size()), c(x.size());
    math_kernels(isa).run(Unary::sin, x.data(), s.data(), static_cast<std::int64_t>(x.size()));
    math_kernels(isa).run(Unary::cos, x.data(), c.data(), static_cast<std::int64_t>(x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(s[i], std::sin(static_cast<double>(x[i])), 2e-7) << x[i];
      EXPECT_NEAR(c[i], std::cos(static_cast<double>(x[i])), 2e-7) << x[i];
    }
  }
}

TEST(MathKernels, BinaryAgreesWithPlainCode) {
  const auto x = numbers(-5, 5);
  std::vector<float> y(x.rbegin(), x.rend());
  y[0] = nan, y[1] = inf, y[2] = 0, y[3] = -3, y[4] = 2;
  for (const Isa isa : {Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    for (std::size_t f = 0; f < binary_kinds; ++f) {
      const auto op = static_cast<Binary>(f);
      const auto check = [&](float got, float a, float b) {
        const float want = apply_binary(op, a, b);
        if (want == got || (want != want && got != got)) return true;
        return std::abs(static_cast<double>(got) - want) <= 2.5e-7 * std::abs(static_cast<double>(want)) + 3e-45;
      };
      std::vector<float> out(x.size());
      const auto n = static_cast<std::int64_t>(x.size());
      math_kernels(isa).run(op, x.data(), y.data(), out.data(), n);
      for (std::size_t i = 0; i < x.size(); ++i)
        ASSERT_TRUE(check(out[i], x[i], y[i])) << f << ": " << x[i] << ", " << y[i] << " -> " << out[i];
      for (const float b : {2.0f, 3.0f, -1.0f, 0.7f, 1.0f, 4.0f}) {
        math_kernels(isa).run(op, x.data(), b, out.data(), n);
        for (std::size_t i = 0; i < x.size(); ++i) {
          // (x x) x and x^3 differ where squares are denormal.
          if (op == Binary::pow && std::abs(x[i]) < 1e-30f) continue;
          ASSERT_TRUE(check(out[i], x[i], b)) << f << ": " << x[i] << ", " << b << " -> " << out[i];
        }
      }
    }
  }
}

TEST(MathKernels, PlainTableIsTheOracle) {
  const float x[] = {-1, 2};
  float y[2];
  math_kernels(Isa::plain).run(Unary::exp, x, y, 2);
  EXPECT_EQ(y[1], std::exp(2.0f));
  math_kernels(Isa::plain).run(Binary::rsub, x, 5.0f, y, 2);
  EXPECT_EQ(y[0], 6);
}

// ---- plans by hand ----------------------------------------------------------------------------------------------------

TEST(ApplyEpilogue, BroadcastsOverAnyRange) {
  // x [4, 6, 5] + last [5] * column [6, 1] - whole [4, 6, 5], clipped
  constexpr std::int64_t n = 4 * 6 * 5;
  std::vector<float> last(5), column(6), whole(n), x(n);
  for (std::size_t i = 0; i < last.size(); ++i) last[i] = static_cast<float>(i) * 0.5f;
  for (std::size_t i = 0; i < column.size(); ++i) column[i] = static_cast<float>(i) - 2.5f;
  for (std::size_t i = 0; i < whole.size(); ++i) whole[i] = static_cast<float>(i) * 0.01f, x[i] = static_cast<float>(i % 13) - 6;
  PlannedItem items[4];
  items[0].item = {.binary = true, .op = Binary::add};
  items[0].y.constant = last.data(), items[0].broadcast = Broadcast::last, items[0].strides[2] = 1;
  items[1].item = {.binary = true, .op = Binary::mul};
  items[1].y.constant = column.data(), items[1].broadcast = Broadcast::strided, items[1].strides[1] = 1;
  items[2].item = {.binary = true, .op = Binary::sub};
  items[2].y.constant = whole.data(), items[2].broadcast = Broadcast::full;
  items[3].item = {.unary = Unary::clip, .a = -3, .b = 4};
  for (const Isa isa : {Isa::plain, detect_isa()}) {
    const EpiloguePlan plan{items, 4, 3, {4, 6, 5}, &math_kernels(isa)};
    for (const std::int64_t offset : {0, 3, 5, 17, 60, 119}) {
      for (const std::int64_t length : {std::int64_t{1}, std::int64_t{4}, std::int64_t{33}, n}) {
        if (offset + length > n) continue;
        std::vector<float> tile(x.begin() + offset, x.begin() + offset + length);
        apply_epilogue(plan, StepContext{}, tile.data(), offset, length);
        for (std::int64_t i = 0; i < length; ++i) {
          const auto at = static_cast<std::size_t>(offset + i);
          const float v = (x[at] + last[at % 5]) * column[at / 5 % 6] - whole[at];
          ASSERT_NEAR(tile[static_cast<std::size_t>(i)], std::min(std::max(v, -3.0f), 4.0f), 1e-5);
        }
      }
    }
  }
}

TEST(ApplyEpilogue, RepeatedRows) {
  // x [3, 40, row] * channels [3, 1, row]: what a blocked image and a factor of each channel are.
  for (const std::int64_t row : {1, 5, 8, 16, 31}) {
    const std::int64_t n = 3 * 40 * row;
    std::vector<float> channels(static_cast<std::size_t>(3 * row)), x(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < channels.size(); ++i) channels[i] = static_cast<float>(i) * 0.25f - 3;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) - 8;
    PlannedItem item;
    item.item = {.binary = true, .op = Binary::mul};
    item.y.constant = channels.data(), item.broadcast = Broadcast::strided, item.strides[0] = row, item.strides[2] = 1;
    for (const Isa isa : {Isa::plain, detect_isa()}) {
      const EpiloguePlan plan{&item, 1, 3, {3, 40, row}, &math_kernels(isa)};
      for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{3}, 39 * row + row / 2, 80 * row}) {
        for (const std::int64_t length : {std::int64_t{1}, std::int64_t{7}, 30 * row, n}) {
          const std::int64_t some = std::min(length, n - offset);
          std::vector<float> tile(x.begin() + offset, x.begin() + offset + some);
          apply_epilogue(plan, StepContext{}, tile.data(), offset, some);
          for (std::int64_t i = 0; i < some; ++i) {
            const std::int64_t at = offset + i;
            const float want = x[static_cast<std::size_t>(at)] * channels[static_cast<std::size_t>(at / (40 * row) * row + at % row)];
            ASSERT_EQ(tile[static_cast<std::size_t>(i)], want) << "row " << row << " offset " << offset << " element " << i;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace tenon::cpu
