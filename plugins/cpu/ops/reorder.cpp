// Reorder: a value from one block of channels to another, put between ops that like different ones.
#include <algorithm>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/byte_finish.h"
#include "plugins/cpu/ops/conv_layout.h"

namespace tenon::cpu {
namespace {

struct ReorderStep {
  std::int64_t n, channels, group;  // group: channels that move together
  ImageLayout from, to;
  Ref src, dst;

  static constexpr std::int64_t kPixels = 512;  // of one piece of work: 32 KiB at 16 channels

  void operator()(const StepContext& context) const {
    const std::int64_t pixels = from.pixels, pieces = (pixels + kPixels - 1) / kPixels, groups = channels / group;
    const auto slice = context.slice(n * groups * pieces);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t image = i / pieces / groups * channels * pixels, channel = i / pieces % groups * group;
      const std::int64_t pixel = i % pieces * kPixels, count = std::min(kPixels, pixels - pixel);
      const float* in = context.ptr<const float>(src) + image;
      float* out = context.ptr<float>(dst) + image;
      if (to.block != 0) gather_pixels(in, from, channel, group, pixel, 1, count, out + to.at(channel, pixel), to.block);
      else scatter_pixels(in + from.at(channel, pixel), from.block, count, out, to, channel, group, pixel, 1);
    }
  }
};

class Reorder final : public Op {
 public:
  Reorder(std::int32_t from, std::int32_t to) : from_(from), to_(to) {}

  void plan(PlanBuilder& builder) const override {
    const Shape& x = builder.in(0);
    if (x.count() == 0) return;
    std::int64_t pixels = 1;
    for (std::int64_t d = 2; d < x.rank(); ++d) pixels *= x[d];
    // The smaller block, so that a piece is in one block of the source and one of the destination.
    const std::int64_t group = from_ == 0 ? to_ : to_ == 0 ? from_ : std::min(from_, to_);
    if (x.dtype == TENON_DTYPE_INT8 || x.dtype == TENON_DTYPE_UINT8) return plan_bytes(builder, x, pixels);
    if (x.rank() < 3 || group <= 0 || x[1] % group != 0) throw Failure{TENON_INTERNAL, "reorder: the channels do not fill blocks"};
    // 8 to 16: rows of 8 into every other half of a block, which gather would write side by side.
    if (from_ != 0 && to_ != 0) return plan_blocks(builder, x, pixels);
    builder.step("reorder", ReorderStep{x[0], x[1], group, {from_, pixels}, {to_, pixels}, builder.in_ref(0), builder.out_ref(0)});
  }

 private:
  // Bytes have one block of all channels: images are transposed, in squares that stay in the cache.
  struct BytesStep {
    const ByteFinish* finish;
    std::int64_t n, rows, columns;  // of the source
    Ref src, dst;

    static constexpr std::int64_t kSide = 64;

    void operator()(const StepContext& context) const {
      const std::int64_t bands = (columns + kSide - 1) / kSide;
      const auto slice = context.slice(n * bands);
      for (std::int64_t i = slice.begin; i < slice.end; ++i) {
        const std::int64_t image = i / bands * rows * columns, first = i % bands * kSide, last = std::min(first + kSide, columns);
        const auto* in = context.ptr<const std::uint8_t>(src) + image;
        auto* out = context.ptr<std::uint8_t>(dst) + image;
        if (rows == 3) {  // colours
          for (std::int64_t c = first; c < last; ++c)
            for (std::int64_t r = 0; r < 3; ++r) out[c * 3 + r] = in[r * columns + c];
          continue;
        }
        for (std::int64_t row = 0; row < rows; row += kSide)
          finish->transpose(in + row * columns + first, columns, std::min(kSide, rows - row), last - first, out + first * rows + row, rows);
      }
    }
  };
  void plan_bytes(PlanBuilder& builder, const Shape& x, std::int64_t pixels) const {
    const std::int64_t channels = x[1];
    if ((from_ != 0 && to_ != 0) || from_ + to_ != channels) throw Failure{TENON_INTERNAL, "reorder: bytes have one block of all channels"};
    const BytesStep step = from_ == 0 ? BytesStep{&byte_finish(builder.options().isa), x[0], channels, pixels, builder.in_ref(0), builder.out_ref(0)}
                                      : BytesStep{&byte_finish(builder.options().isa), x[0], pixels, channels, builder.in_ref(0), builder.out_ref(0)};
    builder.step("reorder", step, {.est_ns = static_cast<double>(x.count()) / 8});
  }

  struct BlocksStep {
    std::int64_t n, channels, group;
    ImageLayout from, to;
    Ref src, dst;

    void operator()(const StepContext& context) const {
      const auto slice = context.slice(n * (channels / group));
      for (std::int64_t i = slice.begin; i < slice.end; ++i) {
        const std::int64_t image = i / (channels / group) * channels * from.pixels, channel = i % (channels / group) * group;
        copy_pixels(context.ptr<const float>(src) + image + from.at(channel, 0), from.block, from.pixels, group,
                    context.ptr<float>(dst) + image + to.at(channel, 0), to.block);
      }
    }
  };
  void plan_blocks(PlanBuilder& builder, const Shape& x, std::int64_t pixels) const {
    builder.step("reorder",
                 BlocksStep{x[0], x[1], std::min(from_, to_), {from_, pixels}, {to_, pixels}, builder.in_ref(0), builder.out_ref(0)});
  }

  std::int32_t from_, to_;
};

}  // namespace

std::unique_ptr<Op> make_reorder(std::int32_t from_block, std::int32_t to_block) { return std::make_unique<Reorder>(from_block, to_block); }

}  // namespace tenon::cpu
