// Reorder: every pair of blocks, any gang.
#include <gtest/gtest.h>

#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {
namespace {

std::vector<float> reblocked(const std::vector<float>& x, std::int64_t n, std::int64_t channels, std::int64_t pixels, std::int64_t block) {
  if (block == 0) return x;
  std::vector<float> y(x.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < pixels; ++p)
        y[static_cast<std::size_t>(((i * channels + c / block * block) * pixels) + p * block + c % block)] =
            x[static_cast<std::size_t>((i * channels + c) * pixels + p)];
  return y;
}

// Just enough of a builder to run one op.
class OneOp final : public PlanBuilder {
 public:
  OneOp(const Shape& in, const Shape& out) : in_(in), out_(out) {}
  const Options& options() const override { return options_; }
  const Shape& in(std::uint32_t) const override { return in_; }
  const Shape& out(std::uint32_t) const override { return out_; }
  Ref in_ref(std::uint32_t) const override { return {0, nullptr}; }
  Ref out_ref(std::uint32_t) const override { return {1, nullptr}; }
  std::uint32_t out_operand(std::uint32_t) const override { return 1; }
  Ref temp(std::uint64_t) override { return {}; }
  Ref scratch(std::uint64_t) override { return {}; }
  void inplace(std::uint32_t, std::uint32_t) override {}
  void hold(std::shared_ptr<const void>) override {}

  void run(float* from, float* to, std::uint32_t workers) {
    const tenon_address addresses[] = {{from, 0, 0}, {to, 0, 0}};
    for (std::uint32_t w = 0; w < workers; ++w)
      for (auto& [fn, params] : steps_) fn(params.get(), {addresses, w, workers, nullptr, nullptr, nullptr});
  }

 protected:
  void* store(const void* data, std::size_t bytes, std::size_t) override {
    kept_ = std::make_unique<char[]>(bytes);
    std::memcpy(kept_.get(), data, bytes);
    return kept_.get();
  }
  void emit(const char*, StepFn fn, const void*, const StepOptions&, std::span<const Ref>, std::span<const Ref>) override {
    steps_.emplace_back(fn, std::move(kept_));
  }

 private:
  Options options_;
  Shape in_, out_;
  std::unique_ptr<char[]> kept_;
  std::vector<std::pair<StepFn, std::unique_ptr<char[]>>> steps_;
};

TEST(Reorder, EveryPairOfBlocks) {
  for (const auto& dims :
       std::vector<std::vector<std::int64_t>>{{2, 32, 5, 7}, {1, 16, 700}, {1, 48, 1, 1}, {1, 16, 2, 3, 4}, {0, 16, 4, 4}}) {
    const Tensor x = random_tensor(dims);
    std::int64_t pixels = 1;
    for (std::size_t d = 2; d < dims.size(); ++d) pixels *= dims[d];
    for (std::int32_t from : {0, 8, 16})
      for (std::int32_t to : {0, 8, 16}) {
        if (from == to) continue;
        for (std::uint32_t workers : {1u, 2u, 5u}) {
          std::vector<float> in = reblocked(x.as<float>(), dims[0], dims[1], pixels, from), out(in.size(), -1);
          OneOp builder({TENON_DTYPE_FLOAT, dims, nullptr, from}, {TENON_DTYPE_FLOAT, dims, nullptr, to});
          make_reorder(from, to)->plan(builder);
          builder.run(in.data(), out.data(), workers);
          EXPECT_EQ(out, reblocked(x.as<float>(), dims[0], dims[1], pixels, to)) << from << " to " << to;
        }
      }
  }
}

}  // namespace
}  // namespace tenon::cpu::test
