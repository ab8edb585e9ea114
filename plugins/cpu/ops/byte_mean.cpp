#include "plugins/cpu/ops/byte_mean.h"

#include <algorithm>

namespace tenon::cpu {
namespace {

constexpr std::int64_t few = 256;  // channels at a time

struct ByteMeanStep {
  std::int64_t n, pixels, channels;
  float scale;
  std::int32_t zero;  // of unsigned bytes
  std::uint8_t flip;
  Ref x, y;

  void operator()(const StepContext& c) const {
    const std::int64_t parts = (channels + few - 1) / few;
    const auto [begin, end] = c.slice(n * parts);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / parts, first = i % parts * few, count = std::min(few, channels - first);
      const auto* from = c.ptr<const std::uint8_t>(x) + image * pixels * channels + first;
      std::int32_t sums[few] = {};
      for (std::int64_t p = 0; p < pixels; ++p, from += channels)
        for (std::int64_t k = 0; k < count; ++k) sums[k] += from[k] ^ flip;
      float* to = c.ptr<float>(y) + image * channels + first;
      for (std::int64_t k = 0; k < count; ++k)
        to[k] = static_cast<float>(sums[k] - static_cast<std::int32_t>(pixels) * zero) * scale / static_cast<float>(pixels);
    }
  }
};

}  // namespace

std::int32_t ByteMeanOp::layout(std::span<std::int32_t> inputs, std::int32_t) {
  inputs[0] = channels_ > 1 ? static_cast<std::int32_t>(channels_) : 0;
  return 0;
}

void ByteMeanOp::plan(PlanBuilder& b) const {
  const Shape& x = b.in(0);
  if (b.out(0).count() == 0) return;
  const std::int64_t pixels = x.count() / (x[0] * channels_);
  require(x[1] == channels_ && pixels > 0 && pixels < 1 << 23, "means of " + std::to_string(pixels) + " pixels");
  b.step("bytes.mean", ByteMeanStep{x[0], pixels, channels_, x_.scale, x_.unsigned_zero(), x_.flip(), b.in_ref(0), b.out_ref(0)},
         {.est_ns = static_cast<double>(x.count()) / 8});
}

}  // namespace tenon::cpu
