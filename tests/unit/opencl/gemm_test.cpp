// Generated products against plain loops: every skeleton, layout of B and tail, types other than float32. GPU profiles run on whatever device there is, at small sizes.
#include <gmock/gmock.h>

#include "tests/unit/opencl/gemm_call.h"

namespace tenon::opencl {
namespace {

enum class Form { packed, row_major, packed_in_run, dots };

class OpenclGemm : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!device()) GTEST_SKIP() << no_device();
  }

  // C = A B for a batch of [2, 3] where B has [1, 3], or for single matrices; A is read transposed where a_turned.
  template <class T>
  void product(const Profile& profile, std::int64_t m, std::int64_t n, std::int64_t k, Form form, bool batched = false, bool a_turned = false) {
    SCOPED_TRACE(::testing::Message() << m << " x " << n << " x " << k << ", form " << static_cast<int>(form) << (batched ? ", batched" : "") << (a_turned ? ", A transposed" : ""));
    const Compute compute = compute_of(dtype_of<T>());
    const std::int64_t outer = batched ? 2 : 1, inner = batched ? 3 : 1;
    const std::vector<T> a = numbers<T>(static_cast<std::size_t>(outer * inner * m * k), 0, 7), b = numbers<T>(static_cast<std::size_t>(inner * k * n), 0, 7);
    const bool b_turned = form == Form::packed_in_run || form == Form::dots;

    GemmConfig config = form == Form::dots ? choose_dots(profile, compute, m) : choose_gemm(profile, compute, panel_columns(profile, compute, n), m, k);
    config.a = config.b = dtype_of<T>();
    config.batched = batched;
    GemmProblem p;
    p.m = m, p.n = n, p.k = k;
    p.a_row = a_turned ? 1 : k, p.a_k = a_turned ? m : 1;
    p.batch = {1, 1, outer, inner};
    p.a_batch = {0, 0, inner * m * k, m * k};
    const std::int64_t one = packed_panel_bytes(k, n, config.columns, sizeof(T)) / static_cast<std::int64_t>(sizeof(T));
    p.b_batch = {0, 0, 0, form == Form::packed || form == Form::packed_in_run ? one : k * n};
    MemHandle b_memory;
    switch (form) {
      case Form::row_major: b_memory = upload(b), p.b_k = n, p.b_panel = config.columns; break;
      case Form::dots: b_memory = upload(b), p.b_k = 1, p.b_panel = config.columns * k; break;
      case Form::packed: {
        std::vector<T> packed(static_cast<std::size_t>(one * inner), T(99));
        for (std::int64_t i = 0; i < inner; ++i) pack_panels(b.data() + i * k * n, n, 1, k, n, config.columns, sizeof(T), packed.data() + i * one);
        b_memory = upload(packed);
        break;
      }
      case Form::packed_in_run: {
        const MemHandle from = upload(b);
        b_memory = device()->allocate(static_cast<std::uint64_t>(one * inner) * sizeof(T));
        PackConfig pack;
        pack.from = pack.to = dtype_of<T>();
        pack.columns = config.columns;
        pack.group = profile.cpu ? 1 : 64;
        Call call(pack_panels_kernel(pack));
        call.buffer(from), call.buffer(b_memory);
        for (std::int64_t x : {k, n, std::int64_t{1}, k, std::int64_t{1}, std::int64_t{1}, inner, std::int64_t{0}, std::int64_t{0}, std::int64_t{0}, k * n}) call.number(x);
        const std::int64_t items = profile.cpu ? (k + kPackDepth - 1) / kPackDepth : (k * config.columns + 63) / 64 * 64;
        call.run({static_cast<std::size_t>(items), static_cast<std::size_t>((n + config.columns - 1) / config.columns), static_cast<std::size_t>(inner)},
                 {static_cast<std::size_t>(pack.group), 1, 1});
        check(device()->api->clFinish(device()->own_queue()), "packing");
        break;
      }
    }
    if (form == Form::packed || form == Form::packed_in_run) p.b_k = config.columns, p.b_panel = k * config.columns;

    const MemHandle a_memory = upload(a), c_memory = device()->allocate(static_cast<std::uint64_t>(outer * inner * m * n) * sizeof(T));
    Call call(gemm_kernel(config, Store(compute)));
    call.buffer(a_memory), call.buffer(b_memory);
    const GemmRange range = gemm_range(config, p, profile.compute_units);
    call.sizes(config, p, range);
    call.buffer(c_memory, false), call.number(m * n), call.number(n);
    call.run(range.global, range.local);

    const std::vector<T> c = download<T>(c_memory, static_cast<std::size_t>(outer * inner * m * n));
    for (std::int64_t i = 0; i < outer * inner; ++i)
      for (std::int64_t r = 0; r < m; ++r)
        for (std::int64_t j = 0; j < n; ++j) {
          T sum{};
          for (std::int64_t l = 0; l < k; ++l)
            sum = static_cast<T>(sum + a[static_cast<std::size_t>(i * m * k + (a_turned ? l * m + r : r * k + l))] *
                                           b[static_cast<std::size_t>(i % inner * k * n + (b_turned ? j * k + l : l * n + j))]);
          ASSERT_EQ(c[static_cast<std::size_t>((i * m + r) * n + j)], sum) << "at [" << i << ", " << r << ", " << j << "]";
        }
  }
};

TEST_F(OpenclGemm, TilesInRegisters) {
  for (std::uint32_t vector : {16u, 8u})
    for (bool batched : {false, true}) {
      product<float>(cpu_profile(vector), 13, 100, 40, Form::packed, batched, batched);
      product<float>(cpu_profile(vector), 13, 100, 40, Form::row_major, batched);
      product<float>(cpu_profile(vector), 13, 100, 70, Form::packed_in_run, batched, !batched);
    }
  product<float>(cpu_profile(16), 61, 47, 70, Form::packed);  // a narrower panel
  product<float>(cpu_profile(16), 7, 5, 1, Form::packed);
}

TEST_F(OpenclGemm, FewRows) {
  product<float>(cpu_profile(16), 1, 130, 300, Form::packed);
  product<float>(cpu_profile(16), 3, 130, 33, Form::row_major);
  product<float>(cpu_profile(16), 1, 37, 100, Form::dots);
  product<float>(cpu_profile(16), 3, 37, 100, Form::dots, true);
  product<float>(gpu_profile(false), 1, 130, 300, Form::packed);
  product<float>(gpu_profile(true), 3, 70, 200, Form::row_major, true);
  product<float>(gpu_profile(false), 3, 70, 37, Form::dots);
}

TEST_F(OpenclGemm, GroupsOfItems) {
  product<float>(gpu_profile(false), 13, 100, 40, Form::packed, true);
  product<float>(gpu_profile(false), 13, 100, 40, Form::row_major, false, true);
  product<float>(gpu_profile(false), 13, 100, 40, Form::packed_in_run);
}

TEST_F(OpenclGemm, TilesInLocalMemory) {
  product<float>(gpu_profile(true), 70, 100, 40, Form::packed, true);
  product<float>(gpu_profile(true), 70, 30, 37, Form::row_major, false, true);
  product<float>(gpu_profile(true), 128, 128, 128, Form::packed_in_run);
}

TEST_F(OpenclGemm, OtherTypes) {
  if (device()->profile.fp64) product<double>(cpu_profile(16), 13, 40, 21, Form::packed);
  product<std::int32_t>(cpu_profile(16), 13, 40, 21, Form::row_major);
  product<std::uint64_t>(cpu_profile(16), 5, 20, 21, Form::packed, true);
}

}  // namespace
}  // namespace tenon::opencl
