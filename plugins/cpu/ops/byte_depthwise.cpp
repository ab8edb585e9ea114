#include "plugins/cpu/ops/byte_depthwise.h"

#include <algorithm>
#include <cstring>

#include "plugins/cpu/ops/byte_depthwise_line.h"
#include "plugins/cpu/ops/byte_windows.h"

namespace tenon::cpu {
namespace {

struct ByteDepthwiseStep {
  const ByteFinish* finish;
  const ByteWindows* windows;
  const float* weights;
  std::int64_t weights_row, taps;
  ByteColumns columns;
  ByteTarget to;
  ByteAddition addition;
  bool adds;
  const std::uint8_t* padding;  // a pixel of zero points
  Ref x, other, y, scratch;

  std::uint64_t scratch_bytes() const {
    return static_cast<std::uint64_t>(weights_row * 4) + static_cast<std::uint64_t>(taps) * sizeof(const std::uint8_t*);
  }

  void operator()(const StepContext& c) const {
    auto* sums = worker_scratch<std::int32_t>(c, scratch, scratch_bytes());
    auto** pieces = reinterpret_cast<const std::uint8_t**>(sums + weights_row);
    const auto* in = c.ptr<const std::uint8_t>(x);
    const std::int64_t channels = windows->channels;
    const auto [begin, end] = c.slice(windows->n * windows->pixels(), 4);
    ByteWindows::Place place = windows->place(begin);
    for (std::int64_t row = begin; row < end; ++row, windows->advance(place)) {
      windows->taps(in, place, [&](std::int64_t tap, const std::uint8_t* from) { pieces[tap] = from ? from : padding; });
      finish->depthwise(pieces, taps, weights, weights_row, channels, sums);
      const ByteTile tile{sums, channels, 1, channels, c.ptr<std::uint8_t>(y) + row * channels, channels};
      if (adds) finish->add(tile, columns, to, addition, c.ptr<const std::uint8_t>(other) + row * channels);
      else finish->quantize(tile, columns, to);
    }
  }
};

// Rows of outputs for 16 channels at a time.
struct ByteDepthwiseLines {
  ByteDepthwiseLineFn fn;
  const ByteWindows* windows;
  const std::int8_t* weights;
  ByteColumns columns;
  ByteTarget to;
  ByteAddition addition;
  bool adds;
  const std::uint8_t* padding;
  std::uint8_t zero;
  Ref x, other, y, scratch;

  std::int64_t blocks() const { return (windows->channels + depthwise_lanes - 1) / depthwise_lanes; }
  std::int64_t block_weights() const { return (windows->w[1].kernel + 3) / 4 * windows->w[2].kernel * depthwise_lanes * 4; }
  std::uint64_t scratch_bytes() const {
    return static_cast<std::uint64_t>(depthwise_line_bytes(windows->w[1].kernel, windows->w[2]) + windows->w[1].kernel * 16);
  }

  void operator()(const StepContext& c) const {
    const Window &h = windows->w[1], &w = windows->w[2];
    auto* line = worker_scratch<std::uint8_t>(c, scratch, scratch_bytes());
    auto** rows = reinterpret_cast<const std::uint8_t**>(line + depthwise_line_bytes(h.kernel, w));
    auto* steps = reinterpret_cast<std::int64_t*>(rows + h.kernel);
    const std::int64_t channels = windows->channels;
    const auto [begin, end] = c.slice(windows->n * h.out * blocks());
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / blocks(), channel = i % blocks() * depthwise_lanes;
      const std::uint8_t* in = c.ptr<const std::uint8_t>(x) + row / h.out * h.in * w.in * channels;
      for (std::int64_t k = 0; k < h.kernel; ++k) {
        const std::int64_t at = row % h.out * h.stride - h.pad + k * h.dilation;
        const bool inside = at >= 0 && at < h.in;
        rows[k] = (inside ? in + at * w.in * channels : padding) + channel, steps[k] = inside ? channels : 0;
      }
      const std::int64_t to_at = row * w.out * channels + channel;
      fn({rows, steps, h.kernel, w, zero, weights + i % blocks() * block_weights(), std::min(depthwise_lanes, channels - channel),
          {columns.add + channel, columns.factor + channel, columns.shift ? columns.shift + channel : nullptr}, &to, adds ? &addition : nullptr,
          adds ? c.ptr<const std::uint8_t>(other) + to_at : nullptr, c.ptr<std::uint8_t>(y) + to_at, channels, line});
    }
  }
};

// [block of channels][four rows][column][channel][row] from the float32 numbers; empty where one is no int8.
std::vector<std::int8_t> line_weights(const ByteConvSpec& spec, const ByteWindows& windows) {
  const std::int64_t height = windows.w[1].kernel, width = windows.w[2].kernel, quads = (height + 3) / 4, row = spec.padded_channels();
  const auto* numbers = reinterpret_cast<const float*>(spec.packed);
  std::vector<std::int8_t> out(static_cast<std::size_t>(row * quads * width * 4));
  for (std::int64_t c = 0; c < spec.channels; ++c)
    for (std::int64_t k = 0; k < height * width; ++k) {
      const float w = numbers[k * row + c];
      if (w < -128 || w > 127) return {};
      const std::int64_t quad = (c / depthwise_lanes * quads + k / width / 4) * width + k % width;
      out[static_cast<std::size_t>((quad * depthwise_lanes + c % depthwise_lanes) * 4 + k / width % 4)] = static_cast<std::int8_t>(w);
    }
  return out;
}

// False where the machine, the windows or the weights are none for it.
bool emit_lines(PlanBuilder& b, const ByteConvSpec& spec, const ByteWindows& windows, std::span<const std::uint8_t> padding) {
  const ByteDepthwiseLineFn fn = byte_depthwise_line(b.options().isa);
  if (!fn || windows.w[0].kernel != 1 || windows.w[0].in != 1 || windows.w[0].out != 1 || windows.w[2].pad < 0) return false;
  const std::vector<std::int8_t> weights = line_weights(spec, windows);
  if (weights.empty()) return false;
  ByteDepthwiseLines s{};
  s.fn = fn;
  s.windows = b.keep(std::span<const ByteWindows>(&windows, 1));
  s.weights = b.keep(std::span<const std::int8_t>(weights));
  s.columns = spec.columns, s.to = spec.to, s.addition = spec.addition, s.adds = spec.adds, s.zero = spec.x_zero;
  s.padding = b.keep(padding);
  s.x = spec.x_signed ? unsigned_bytes(b) : b.in_ref(0), s.y = b.out_ref(0);
  if (s.adds) s.other = b.in_ref(1);
  s.scratch = b.scratch(s.scratch_bytes());
  std::vector<Ref> reads{s.x};
  if (s.adds) reads.push_back(s.other);
  b.step("bytes.depthwise", s, {.est_ns = static_cast<double>(b.out(0).count() * (spec.taps() + 8)) / 100}, reads, {{s.y}});
  return true;
}

}  // namespace

void pack_byte_depthwise(const ByteConvSpec& spec, const void* weights, bool flip, void* to) {
  const std::int64_t row = spec.padded_channels(), taps = spec.taps();
  auto* numbers = static_cast<float*>(to);
  auto* sums = reinterpret_cast<std::int32_t*>(numbers + taps * row);
  std::memset(to, 0, static_cast<std::size_t>(spec.packed_bytes()));
  for (std::int64_t c = 0; c < spec.channels; ++c)
    for (std::int64_t t = 0; t < taps; ++t) {
      const std::int32_t w = static_cast<std::int8_t>(static_cast<const std::uint8_t*>(weights)[c * taps + t] ^ (flip ? 0x80 : 0)) -
                             (spec.zeros ? spec.zeros[c] : 0);
      numbers[t * row + c] = static_cast<float>(w);
      sums[c] += w;
    }
}

void emit_byte_depthwise(PlanBuilder& b, const ByteConvSpec& spec) {
  const Shape &x = b.in(0), &y = b.out(0);
  require(x[1] == spec.channels, "X has " + std::to_string(x[1]) + " channels, W has " + std::to_string(spec.channels));
  const ByteWindows windows = byte_windows(spec.window, spec.kernel, x, y, spec.channels);
  const std::vector<std::uint8_t> padding(static_cast<std::size_t>(spec.padded_channels()), spec.x_zero);
  if (emit_lines(b, spec, windows, padding)) return;
  ByteDepthwiseStep s{};
  s.finish = &byte_finish(b.options().isa);
  s.windows = b.keep(std::span<const ByteWindows>(&windows, 1));
  s.weights = reinterpret_cast<const float*>(spec.packed), s.weights_row = spec.padded_channels(), s.taps = spec.taps();
  s.columns = spec.columns, s.to = spec.to, s.addition = spec.addition, s.adds = spec.adds;
  s.padding = b.keep(std::span<const std::uint8_t>(padding));
  s.x = spec.x_signed ? unsigned_bytes(b) : b.in_ref(0), s.y = b.out_ref(0);
  if (s.adds) s.other = b.in_ref(1);
  s.scratch = b.scratch(s.scratch_bytes());
  std::vector<Ref> reads{s.x};
  if (s.adds) reads.push_back(s.other);
  b.step("bytes.depthwise", s, {.est_ns = static_cast<double>(y.count() * (s.taps + 4)) / 30}, reads, {{s.y}});
}

}  // namespace tenon::cpu
