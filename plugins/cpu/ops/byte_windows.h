// ByteWindows: windows of a convolution or pool over images of bytes, channels last, and copies of images for them.
//
// Plain data made in plan; any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "plugins/cpu/ops/conv_shape.h"

namespace tenon::cpu {

// The last dim is number 2.
struct ByteWindows {
  Window w[kMaxSpatial];
  std::int64_t n = 1, channels = 1;

  std::int64_t pixels() const { return w[0].out * w[1].out * w[2].out; }
  bool whole(int d, std::int64_t o) const {
    const std::int64_t first = o * w[d].stride - w[d].pad;
    return first >= 0 && first + w[d].reach() <= w[d].in;
  }
  // An output pixel, and the next one.
  struct Place {
    std::int64_t image, at[kMaxSpatial];
  };
  Place place(std::int64_t row) const {
    const std::int64_t pixel = row % pixels();
    return {row / pixels(), {pixel / (w[1].out * w[2].out), pixel / w[2].out % w[1].out, pixel % w[2].out}};
  }
  void advance(Place& p) const {
    if (++p.at[2] < w[2].out) return;
    p.at[2] = 0;
    if (++p.at[1] < w[1].out) return;
    p.at[1] = 0;
    if (++p.at[0] < w[0].out) return;
    p.at[0] = 0, ++p.image;
  }
  bool whole(const Place& p) const { return whole(0, p.at[0]) && whole(1, p.at[1]) && whole(2, p.at[2]); }

  // Calls tap(number, source or null where it is padding) for each tap of an output pixel.
  template <class F>
  void taps(const std::uint8_t* x, const Place& p, F&& tap) const {
    const std::int64_t* at = p.at;
    std::int64_t number = 0;
    const std::uint8_t* start = x + p.image * w[0].in * w[1].in * w[2].in * channels;
    const auto inside = [&](int d, std::int64_t k, std::int64_t& i) {
      i = at[d] * w[d].stride - w[d].pad + k * w[d].dilation;
      return i >= 0 && i < w[d].in;
    };
    // Mostly the whole window is inside.
    if (whole(p)) {
      const auto first = [&](int d) { return at[d] * w[d].stride - w[d].pad; };
      const std::int64_t step = w[2].dilation * channels;
      for (std::int64_t kd = 0; kd < w[0].kernel; ++kd)
        for (std::int64_t kh = 0; kh < w[1].kernel; ++kh) {
          const std::uint8_t* from =
              start + (((first(0) + kd * w[0].dilation) * w[1].in + first(1) + kh * w[1].dilation) * w[2].in + first(2)) * channels;
          for (std::int64_t kw = 0; kw < w[2].kernel; ++kw, from += step) tap(number++, from);
        }
      return;
    }
    std::int64_t i[3];
    for (std::int64_t kd = 0; kd < w[0].kernel; ++kd) {
      const bool in_d = inside(0, kd, i[0]);
      for (std::int64_t kh = 0; kh < w[1].kernel; ++kh) {
        const bool in_h = inside(1, kh, i[1]) && in_d;
        for (std::int64_t kw = 0; kw < w[2].kernel; ++kw) {
          const bool in_w = inside(2, kw, i[2]) && in_h;
          tap(number++, in_w ? start + ((i[0] * w[1].in + i[1]) * w[2].in + i[2]) * channels : nullptr);
        }
      }
    }
  }

  // All taps of an output pixel one after the other.
  void gather(const std::uint8_t* x, const Place& p, std::uint8_t zero, std::uint8_t* to) const;
  // Calls line(number, source) for each line of taps of an output pixel, where all windows are inside and taps of a line lie
  // together, as pad_bytes makes them.
  template <class F>
  void lines(const std::uint8_t* x, const Place& p, F&& line) const {
    const std::int64_t row = w[2].in * channels;
    const std::uint8_t* from = x + ((p.image * w[0].in + p.at[0] * w[0].stride) * w[1].in + p.at[1] * w[1].stride) * row +
                               p.at[2] * w[2].stride * channels;
    for (std::int64_t kd = 0, number = 0; kd < w[0].kernel; ++kd)
      for (std::int64_t kh = 0; kh < w[1].kernel; ++kh) line(number++, from + (kd * w[0].dilation * w[1].in + kh * w[1].dilation) * row);
  }
  bool pointwise() const {
    return std::all_of(w, w + kMaxSpatial, [](const Window& a) { return a.kernel == 1 && a.stride == 1 && a.pad == 0 && a.in == a.out; });
  }
};

// For these sizes. kernel ends with the last dim, as all three have it.
ByteWindows byte_windows(const WindowAttributes& window, const std::int64_t* kernel, const Shape& x, const Shape& y, std::int64_t channels);

// Emits a step that copies input 0 with its sign bits turned.
Ref unsigned_bytes(PlanBuilder& builder);
// Emits a step that copies input 0, blocked or dense, with all that the windows read, sign bits turned where it is signed, and makes
// them windows over the copy. Some bytes behind it may be read: up to the end of a quad.
Ref pad_bytes(PlanBuilder& builder, ByteWindows& windows, bool is_signed, std::uint8_t zero);

}  // namespace tenon::cpu
