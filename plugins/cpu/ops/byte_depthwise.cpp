#include "plugins/cpu/ops/byte_depthwise.h"

#include <algorithm>
#include <cstring>

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
