// ByteConvOp, ByteMaxPoolOp: convolutions, matrix products and pools from bytes to bytes, of quantized models.
//
// Images are [N, spatial..., C] inside: a blocked layout with one block of all channels (Op::layout). Filled in compile by
// quantized.cpp, immutable afterwards.
#pragma once

#include "plugins/cpu/gemm/byte_gemm.h"
#include "plugins/cpu/ops/byte_finish.h"
#include "plugins/cpu/ops/conv_shape.h"

namespace tenon::cpu {

struct ByteConvSpec {
  bool matrix = false;             // rows of K bytes in place of windows of an image
  WindowAttributes window;
  std::int64_t channels = 0, kernel[kMaxSpatial] = {1, 1, 1};  // of all groups; kernel ends with the last dim
  std::int64_t groups = 1;         // one packed form after the other
  bool depthwise = false;          // a channel for each group: float32 [taps][channels], then int32 sums (byte_depthwise.h)
  gemm::ByteForm form;             // a piece for each tap, or for a line or all of them where channels do not fill quads
  const std::int8_t* packed = nullptr;
  ByteColumns columns{};           // memory of the program
  const std::int32_t* zeros = nullptr;  // of the weights of each column; null: all 0
  const std::int32_t* winograd = nullptr;  // of packed weights (byte_winograd.h); null where they do not suit
  bool x_signed = false;
  std::uint8_t x_zero = 0;         // of x as unsigned bytes: what padding is
  ByteTarget to;
  bool adds = false;               // input 1, of the output's shape
  ByteAddition addition{};

  std::int64_t outputs() const { return groups * form.n; }
  std::int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  // Entries of columns, with what a panel reads behind the last group.
  std::int64_t column_entries() const { return (outputs() + 31) / 16 * 16; }
  std::int64_t padded_channels() const { return (channels + 15) / 16 * 16; }
  std::uint64_t packed_bytes() const {
    return static_cast<std::uint64_t>(depthwise ? padded_channels() * (taps() + 1) * 4 : groups * form.bytes());
  }
  // The sum of an output's weights.
  std::int32_t weight_sum(std::int64_t output) const {
    if (!depthwise) return form.sums(packed + output / form.n * form.bytes())[output % form.n];
    return reinterpret_cast<const std::int32_t*>(packed)[taps() * padded_channels() + output];
  }

  // Whether pieces are lines of taps in a padded copy of the image; or all taps are gathered into one piece.
  bool lines() const { return !matrix && !depthwise && channels % 4 != 0 && window.dilations[window.spatial - 1] == 1; }
  bool gathers() const { return matrix ? form.piece % 4 != 0 : !depthwise && channels % 4 != 0 && !lines(); }
};

class ByteConvOp final : public Op {
 public:
  explicit ByteConvOp(const ByteConvSpec& spec) : spec_(spec) {}
  void plan(PlanBuilder& builder) const override;
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override;

 private:
  ByteConvSpec spec_;
};

class ByteMaxPoolOp final : public Op {
 public:
  ByteMaxPoolOp(const WindowAttributes& window, std::int64_t channels, bool is_signed)
      : window_(window), channels_(channels), flip_(is_signed ? 0x80 : 0) {}
  void plan(PlanBuilder& builder) const override;
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override;

 private:
  WindowAttributes window_;
  std::int64_t channels_;
  std::uint8_t flip_;
};

}  // namespace tenon::cpu
