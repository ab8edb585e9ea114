#include "plugins/cpu/ops/byte_windows.h"

#include <cstring>

namespace tenon::cpu {
namespace {

// A copy of images of bytes with what lies around them, channels last; sign bits turned where flip is set.
struct BytePadStep {
  const ByteWindows* windows;  // of the images as they are
  std::int64_t size[kMaxSpatial];
  bool dense;              // channels first
  std::uint8_t flip, zero;
  Ref x, to;

  void operator()(const StepContext& c) const {
    const Window* w = windows->w;
    const std::int64_t channels = windows->channels, pixels = w[0].in * w[1].in * w[2].in, row_bytes = size[2] * channels;
    const std::int64_t left = std::clamp<std::int64_t>(w[2].pad, 0, size[2]), right = std::clamp<std::int64_t>(w[2].in + w[2].pad, left, size[2]);
    const auto [begin, end] = c.slice(windows->n * size[0] * size[1]);
    for (std::int64_t r = begin; r < end; ++r) {
      std::uint8_t* row = c.ptr<std::uint8_t>(to) + r * row_bytes;
      const std::int64_t d = r / size[1] % size[0] - w[0].pad, h = r % size[1] - w[1].pad;
      if (d < 0 || d >= w[0].in || h < 0 || h >= w[1].in) {
        std::memset(row, zero, static_cast<std::size_t>(row_bytes));
        continue;
      }
      std::memset(row, zero, static_cast<std::size_t>(left * channels));
      std::memset(row + right * channels, zero, static_cast<std::size_t>((size[2] - right) * channels));
      const std::int64_t pixel = (d * w[1].in + h) * w[2].in + left - w[2].pad, count = right - left;
      const std::uint8_t* from = c.ptr<const std::uint8_t>(x) + r / (size[0] * size[1]) * pixels * channels;
      std::uint8_t* out = row + left * channels;
      if (!dense) {
        for (std::int64_t i = 0; i < count * channels; ++i) out[i] = from[pixel * channels + i] ^ flip;
      } else if (channels == 3) {  // colours
        const std::uint8_t *red = from + pixel, *green = red + pixels, *blue = green + pixels;
        for (std::int64_t i = 0; i < count; ++i, out += 3) out[0] = red[i] ^ flip, out[1] = green[i] ^ flip, out[2] = blue[i] ^ flip;
      } else {
        for (std::int64_t k = 0; k < channels; ++k)
          for (std::int64_t i = 0; i < count; ++i) out[i * channels + k] = from[k * pixels + pixel + i] ^ flip;
      }
    }
  }
};

}  // namespace

void ByteWindows::gather(const std::uint8_t* x, const Place& p, std::uint8_t zero, std::uint8_t* to) const {
  taps(x, p, [&](std::int64_t tap, const std::uint8_t* from) {
    if (from) std::memcpy(to + tap * channels, from, static_cast<std::size_t>(channels));
    else std::memset(to + tap * channels, zero, static_cast<std::size_t>(channels));
  });
}

ByteWindows byte_windows(const WindowAttributes& window, const std::int64_t* kernel, const Shape& x, const Shape& y, std::int64_t channels) {
  ByteWindows r;
  r.n = x[0], r.channels = channels;
  for (int d = 0; d < window.spatial; ++d) {
    const int at = kMaxSpatial - window.spatial + d;
    r.w[at] = window.resolve(d, x[2 + d], kernel[at]);
    require(r.w[at].out == y[2 + d], "the window and the output have different sizes");
  }
  return r;
}

Ref unsigned_bytes(PlanBuilder& b) {
  const std::int64_t n = b.in(0).count();
  const Ref from = b.in_ref(0), turned = b.temp(static_cast<std::uint64_t>(n));
  b.step("bytes.unsigned", [=](const StepContext& c) {
    const auto [begin, end] = c.slice(n, 1024);
    const auto* in = c.ptr<const std::uint8_t>(from);
    auto* out = c.ptr<std::uint8_t>(turned);
    for (std::int64_t i = begin; i < end; ++i) out[i] = in[i] ^ 0x80;
  }, {.est_ns = static_cast<double>(n) / 16}, {{from}}, {{turned}});
  return turned;
}

Ref pad_bytes(PlanBuilder& b, ByteWindows& windows, bool is_signed, std::uint8_t zero) {
  BytePadStep p{b.keep(std::span<const ByteWindows>(&windows, 1)), {}, b.in(0).block == 0, static_cast<std::uint8_t>(is_signed ? 0x80 : 0),
                zero, b.in_ref(0), {}};
  std::int64_t bytes = windows.n * windows.channels;
  for (int d = 0; d < kMaxSpatial; ++d) {
    Window& w = windows.w[d];
    p.size[d] = (w.out - 1) * w.stride + w.reach();
    w.in = p.size[d], w.pad = 0;
    bytes *= p.size[d];
  }
  p.to = b.temp(static_cast<std::uint64_t>(bytes + 4));
  b.step("bytes.pad", p, {.est_ns = static_cast<double>(bytes) / 2}, {{p.x}}, {{p.to}});
  return p.to;
}

}  // namespace tenon::cpu
