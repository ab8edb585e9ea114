// Products by Strassen's sums against a reference in double, on exact-size memory: every row, edge and flag, their error, and what
// is not finite.
#include "plugins/cpu/gemm/strassen.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "plugins/cpu/gemm/sgemm.h"

namespace tenon::cpu::gemm {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

std::vector<Isa> isas() {
  std::vector<Isa> out{Isa::plain};
  if (detect_isa() >= Isa::avx2) out.push_back(Isa::avx2);
  if (detect_isa() >= Isa::avx512) out.push_back(Isa::avx512);
  return out;
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

struct Product {
  std::int64_t m, n, k, batch;
  float alpha = 1;
  std::vector<float> a, b, bias, addend;

  Product(std::int64_t m_, std::int64_t n_, std::int64_t k_, std::int64_t batch_ = 1) : m(m_), n(n_), k(k_), batch(batch_) {
    std::uint32_t state = static_cast<std::uint32_t>(m * 31 + n * 7 + k);
    const auto fill = [&](std::vector<float>& v, std::int64_t count) {
      v.resize(static_cast<std::size_t>(count));
      for (float& x : v) {
        float sum = 0;
        for (int i = 0; i < 3; ++i) state = state * 1664525u + 1013904223u, sum += static_cast<float>(state >> 8) / static_cast<float>(1 << 23) - 1;
        x = sum;
      }
    };
    fill(a, batch * m * k), fill(b, k * n), fill(bias, n), fill(addend, batch * m * n);
  }
  float& a_at(std::int64_t i, std::int64_t d) { return a[static_cast<std::size_t>(i * k + d)]; }
  float& b_at(std::int64_t d, std::int64_t j) { return b[static_cast<std::size_t>(d * n + j)]; }

  Gemm planned(const Kernels& kr) const {
    Problem p;
    p.m = m, p.n = n, p.k = k, p.alpha = alpha;
    p.a_row = k, p.b_k = n, p.c_row = n;
    p.push_batch(batch, m * k, 0, m * n);
    return plan(kr, p, true);
  }
  std::vector<float> run(const Kernels& kr, std::uint32_t workers, bool more) const {
    std::vector<float> packed(packed_floats(kr, k, n), kNan), out(static_cast<std::size_t>(batch * m * n), -77.0f);
    pack_b(kr, b.data(), n, 1, k, n, packed.data());
    const Gemm g = planned(kr);
    std::vector<int> seen(out.size());
    const Counter counter{out.data(), &seen};
    for (std::uint32_t w = 0; w < workers; ++w) {
      std::vector<float> scratch(g.scratch_bytes / 4, kNan);
      RunArgs args{a.data(), packed.data(), out.data(), more ? bias.data() : nullptr, scratch.data(), w, workers, count, &counter};
      if (more) args.addend = addend.data();
      gemm::run(g, args);
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<std::ptrdiff_t>(out.size())) << "each element is finished once";
    return out;
  }
  // The largest error, against the largest output.
  double error(const std::vector<float>& out, bool more) const {
    double worst = 0, largest = 0;
    for (std::int64_t i = 0; i < batch * m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::int64_t d = 0; d < k; ++d)
          sum += static_cast<double>(a[static_cast<std::size_t>(i * k + d)]) * static_cast<double>(b[static_cast<std::size_t>(d * n + j)]);
        sum *= static_cast<double>(alpha);
        const std::size_t at = static_cast<std::size_t>(i * n + j);
        if (more) sum += static_cast<double>(bias[static_cast<std::size_t>(j)]) + static_cast<double>(addend[at]);
        worst = std::max(worst, std::fabs(static_cast<double>(out[at]) - sum));
        largest = std::max(largest, std::fabs(sum));
      }
    return std::isfinite(worst) ? worst / largest : HUGE_VAL;
  }
};

TEST(Strassen, TakenWhereItPaysAndIsAllowed) {
  for (Isa isa : isas()) {
    const Kernels &high = kernels(isa, Precision::high), &highest = kernels(isa, Precision::highest);
    EXPECT_EQ(Product(128, 768, 768).planned(high).mode, Mode::strassen);
    EXPECT_EQ(Product(128, 768, 768).planned(highest).mode, Mode::tiles);
    EXPECT_EQ(Product(8, 768, 768).planned(high).mode, Mode::tiles) << "few rows";
    EXPECT_EQ(Product(128, 768, 64).planned(high).mode, Mode::tiles) << "little depth";
    EXPECT_EQ(Product(128, 768, 776).planned(high).mode, Mode::tiles) << "no halves";
    EXPECT_EQ(Product(128, 4 * high.columns, 768).planned(high).mode, Mode::tiles) << "few columns";
    EXPECT_EQ(Product(128, 776, 768).planned(high).mode, Mode::tiles) << "no pairs of panels";
  }
}

// Odd rows, several blocks of rows and of depth of unequal sizes, batches; the same bits from any number of workers.
TEST(Strassen, EveryElementOfEveryBlock) {
  struct Sizes {
    std::int64_t m, n, k, batch;
  };
  for (Isa isa : isas()) {
    const Kernels& kr = kernels(isa, Precision::high);
    for (Sizes s : std::initializer_list<Sizes>{{56, 192, 384, 1}, {57, 192, 416, 1}, {71, 192, 800, 2}, {333, 192, 384, 1}, {85, 1152, 384, 1}, {59, 192, 1568, 1}})
      for (bool more : {false, true}) {
        Product p(s.m, s.n, s.k, s.batch);
        p.alpha = more ? 0.5f : 1.0f;
        ASSERT_EQ(p.planned(kr).mode, Mode::strassen);
        const std::vector<float> out = p.run(kr, 1, more);
        EXPECT_LE(p.error(out, more), 2e-6) << s.m << "x" << s.n << "x" << s.k << " isa " << static_cast<int>(isa);
        for (std::uint32_t workers : {2u, 3u, 7u}) EXPECT_EQ(p.run(kr, workers, more), out) << "workers " << workers;
      }
  }
}

// A thousand times larger here than there: the error stays what `high` promises, against the largest output.
TEST(Strassen, ErrorWhereSizesDiffer) {
  for (Isa isa : isas()) {
    const Kernels& kr = kernels(isa, Precision::high);
    Product p(64, 192, 512);
    for (std::int64_t d = 0; d < p.k; ++d) p.a_at(3, d) *= 1000;     // a row
    for (std::int64_t i = 0; i < p.m; ++i) p.a_at(i, 17) *= 1000;    // a column
    for (std::int64_t j = 0; j < p.n; ++j) p.b_at(400, j) *= 1000;
    EXPECT_LE(p.error(p.run(kr, 1, false), false), 2e-5) << "isa " << static_cast<int>(isa);
  }
}

// As float32 sums have them: nothing that is not finite reaches another row or column.
TEST(Strassen, NumbersThatAreNotFinite) {
  for (Isa isa : isas()) {
    const Kernels& kr = kernels(isa, Precision::high);
    Product p(65, 192, 384);
    for (float& x : p.b) x = std::fabs(x) + 0.25f;
    const std::vector<float> before = p.run(kr, 1, true);
    p.a_at(40, 200) = kInf, p.a_at(2, 5) = kNan;
    p.b_at(7, 90) = std::numeric_limits<float>::max(), p.a_at(50, 7) = -8;
    const std::vector<float> out = p.run(kr, 1, true);
    for (std::int64_t i = 0; i < p.m; ++i)
      for (std::int64_t j = 0; j < p.n; ++j) {
        const float x = out[static_cast<std::size_t>(i * p.n + j)];
        if (i == 2) {
          ASSERT_TRUE(std::isnan(x)) << j;
        } else if (i == 40) {
          ASSERT_EQ(x, kInf) << j;
        } else if (j != 90) {
          ASSERT_NEAR(x, before[static_cast<std::size_t>(i * p.n + j)], i == 50 ? 100 : 1e-3) << i << " " << j;
        }
      }
    EXPECT_EQ(out[50 * 192 + 90], -kInf);
  }
}

}  // namespace
}  // namespace tenon::cpu::gemm
