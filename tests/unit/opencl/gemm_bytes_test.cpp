// Generated products of bytes and of weights of few bits against plain loops.
#include <gmock/gmock.h>

#include "plugins/opencl/codegen/gemm_nbits.h"
#include "tests/unit/opencl/gemm_call.h"

namespace tenon::opencl {
namespace {

class OpenclQuantizedGemm : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!device()) GTEST_SKIP() << no_device();
  }

  // Products of bytes: A's differences from zero points for each row, B's zero points for each column.
  template <class A, class B>
  void bytes(const Profile& profile, std::int64_t m, std::int64_t n, std::int64_t k) {
    SCOPED_TRACE(::testing::Message() << m << " x " << n << " x " << k);
    constexpr int a_least = std::numeric_limits<A>::min(), a_most = std::numeric_limits<A>::max(), b_least = std::numeric_limits<B>::min(), b_most = std::numeric_limits<B>::max();
    const std::vector<A> a = numbers<A>(static_cast<std::size_t>(m * k), a_least, a_most), a_zero = numbers<A>(static_cast<std::size_t>(m), a_least, a_most);
    const std::vector<B> b = numbers<B>(static_cast<std::size_t>(k * n), b_least, b_most), b_zero = numbers<B>(static_cast<std::size_t>(n), b_least, b_most);
    GemmConfig config = choose_gemm(profile, Compute::f32, panel_columns(profile, Compute::f32, n), m, k);
    config.b = dtype_of<B>();
    config.bytes = true;
    std::vector<B> packed(static_cast<std::size_t>(packed_panel_bytes(k, n, config.columns, 1)));
    pack_panels(b.data(), n, 1, k, n, config.columns, 1, packed.data());
    const MemHandle from = upload(a), zeros = upload(a_zero), b_memory = upload(packed), b_zeros = upload(b_zero);
    const auto floats = static_cast<std::uint64_t>(m * k) * 4, ints = static_cast<std::uint64_t>(m * n) * 4;
    const MemHandle a_memory = device()->allocate(floats), sums = device()->allocate(static_cast<std::uint64_t>(m) * 4), c_memory = device()->allocate(ints);
    PackConfig pack;
    pack.from = dtype_of<A>();
    pack.zeros = true;
    pack.group = profile.cpu ? 1 : 64;
    Call rows(pack_rows_kernel(pack));
    rows.buffer(from), rows.buffer(a_memory);
    for (std::int64_t x : {m, k, k, std::int64_t{1}, std::int64_t{1}, std::int64_t{1}, std::int64_t{1}, std::int64_t{0}, std::int64_t{0}, std::int64_t{0}, std::int64_t{0}}) rows.number(x);
    rows.buffer(zeros), rows.number(0), rows.number(1), rows.buffer(sums);
    rows.run({static_cast<std::size_t>(m * pack.group), 1, 1}, {static_cast<std::size_t>(pack.group), 1, 1});

    GemmProblem p;
    p.m = m, p.n = n, p.k = k, p.a_row = k, p.b_k = config.columns, p.b_panel = k * config.columns;
    Call call(gemm_kernel(config, Store(Compute::i32)));
    call.buffer(a_memory), call.buffer(b_memory);
    const GemmRange range = gemm_range(config, p, profile.compute_units);
    call.sizes(config, p, range);
    call.buffer(sums), call.buffer(b_zeros), call.number(1), call.buffer(c_memory, false), call.number(m * n), call.number(n);
    call.run(range.global, range.local);
    const std::vector<std::int32_t> c = download<std::int32_t>(c_memory, static_cast<std::size_t>(m * n));
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t j = 0; j < n; ++j) {
        std::int32_t sum = 0;
        for (std::int64_t l = 0; l < k; ++l)
          sum += (a[static_cast<std::size_t>(r * k + l)] - a_zero[static_cast<std::size_t>(r)]) * (b[static_cast<std::size_t>(l * n + j)] - b_zero[static_cast<std::size_t>(j)]);
        ASSERT_EQ(c[static_cast<std::size_t>(r * n + j)], sum) << "at [" << r << ", " << j << "]";
      }
  }

  // A times weights of `bits` bits; scales are powers of two, so that sums are exact.
  void few_bits(const Profile& profile, std::int64_t m, std::int64_t n, std::int64_t k, int bits, std::int64_t block) {
    SCOPED_TRACE(::testing::Message() << m << " x " << n << " x " << k << ", " << bits << " bits, blocks of " << block);
    QuantizedB q{k, n, block, bits, profile.cpu ? static_cast<int>(profile.vector) * 4 : 64};
    const auto z = [](std::int64_t x) { return static_cast<std::size_t>(x); };
    const std::vector<float> a = numbers<float>(z(m * k), -4, 4);
    const std::vector<std::uint8_t> weights = numbers<std::uint8_t>(z(n * q.blocks() * block * bits / 8), 0, 255), zeros = numbers<std::uint8_t>(z(n * ((q.blocks() * bits + 7) / 8)), 0, 255);
    std::vector<float> scales(z(n * q.blocks())), packed_scales(z(q.scale_floats()));
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = i % 3 == 0 ? 0.5f : 0.25f;
    std::vector<std::uint8_t> packed(z(q.weight_bytes()));
    pack_quantized_weights(q, weights.data(), packed.data());
    pack_quantized_scales(q, scales.data(), zeros.data(), nullptr, packed_scales.data());

    GemmConfig config = choose_gemm(profile, Compute::f32, q.columns, m, k);
    config.b = TENON_DTYPE_UINT8;
    config.bits = bits;
    GemmProblem p;
    p.m = m, p.n = n, p.k = k, p.a_row = k, p.b_panel = q.panel_bytes();
    const GemmRange range = gemm_range(config, p, profile.compute_units);
    const MemHandle a_memory = upload(a), b_memory = upload(packed), scale_memory = upload(packed_scales), c_memory = device()->allocate(static_cast<std::uint64_t>(m * n) * 4);
    Call call(gemm_kernel(config, Store(Compute::f32)));
    call.buffer(a_memory), call.buffer(b_memory);
    call.sizes(config, p, range);
    call.buffer(scale_memory), call.number(block), call.buffer(c_memory, false), call.number(m * n), call.number(n);
    call.run(range.global, range.local);
    const std::vector<float> c = download<float>(c_memory, z(m * n));
    const auto part = [&](const std::uint8_t* bytes, std::int64_t i) { return bytes[i * bits / 8] >> (i * bits % 8) & ((1 << bits) - 1); };
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t j = 0; j < n; ++j) {
        float sum = 0;
        for (std::int64_t l = 0; l < k; ++l) {
          const std::int64_t b = l / block;
          const int difference = part(weights.data() + j * q.blocks() * block * bits / 8, l) - part(zeros.data() + j * ((q.blocks() * bits + 7) / 8), b);
          sum += a[z(r * k + l)] * static_cast<float>(difference) * scales[z(j * q.blocks() + b)];
        }
        ASSERT_EQ(c[z(r * n + j)], sum) << "at [" << r << ", " << j << "]";
      }
  }
};

TEST_F(OpenclQuantizedGemm, BytesAreExact) {
  bytes<std::uint8_t, std::int8_t>(cpu_profile(16), 7, 70, 700);
  bytes<std::int8_t, std::uint8_t>(cpu_profile(16), 1, 20, 33);
  bytes<std::uint8_t, std::uint8_t>(gpu_profile(true), 20, 70, 600);
  bytes<std::uint8_t, std::int8_t>(gpu_profile(false), 3, 70, 200);
}

TEST_F(OpenclQuantizedGemm, WeightsOfFewBits) {
  few_bits(cpu_profile(16), 7, 70, 64, 4, 32);
  few_bits(cpu_profile(16), 1, 130, 80, 2, 16);
  few_bits(cpu_profile(8), 3, 70, 50, 8, 16);
  few_bits(gpu_profile(false), 13, 70, 64, 4, 32);
  few_bits(gpu_profile(false), 13, 70, 40, 2, 16);
}

}  // namespace
}  // namespace tenon::opencl
