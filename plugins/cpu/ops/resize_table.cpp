#include "plugins/cpu/ops/resize_table.h"

#include <algorithm>
#include <cmath>

namespace tenon::cpu {
namespace {

double coordinate(CoordinateMode mode, double x, double in, std::int64_t out, double scale, double begin, double end) {
  const double width = scale * in;  // the length that the scale means; out is rounded
  switch (mode) {
    case CoordinateMode::align_corners: return width == 1 ? 0 : x * (in - 1) / (width - 1);
    case CoordinateMode::asymmetric: return x / scale;
    case CoordinateMode::tf_crop_and_resize:
      return begin * (in - 1) + (width == 1 ? (end - begin) * (in - 1) / 2 : x * (end - begin) * (in - 1) / (width - 1));
    case CoordinateMode::pytorch_half_pixel: return width == 1 ? -0.5 : (x + 0.5) / scale - 0.5;
    case CoordinateMode::half_pixel: return (x + 0.5) / scale - 0.5;
    default: return in / 2 * (1 - static_cast<double>(out) / width) + (x + 0.5) / scale - 0.5;
  }
}

double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

bool picks_right(NearestMode mode, double ratio) {
  switch (mode) {
    case NearestMode::round_prefer_floor: return ratio > 0.5;
    case NearestMode::round_prefer_ceil: return ratio >= 0.5;
    case NearestMode::floor: return false;
    default: return true;
  }
}

}  // namespace

ResizeTable make_resize_table(const ResizeRule& rule, std::int64_t in, std::int64_t out, double scale, double begin, double end) {
  ResizeTable t;
  t.in = in, t.out = out;
  const bool cropped = rule.coordinates == CoordinateMode::tf_crop_and_resize;
  t.identity = in == out && std::abs(scale - 1) <= 1e-9 && (!cropped || (begin == 0 && end == 1));
  if (t.identity) return t;
  // Shrinking with antialias stretches the kernel over the elements that are merged.
  const double stretch = rule.antialias ? std::min(scale, 1.0) : 1.0, radius = rule.mode == ResizeMode::cubic ? 2 : 1;
  const double reach = std::floor(-radius / stretch) + 1;
  if (!(reach >= -static_cast<double>(1 << 24)))
    throw Failure{TENON_INVALID_ARGUMENT, "scale " + std::to_string(scale) + " is out of range"};
  const auto first = static_cast<std::int64_t>(reach);
  t.taps = rule.mode == ResizeMode::nearest ? 1 : 2 - 2 * first;
  if (out > 0 && t.taps > (std::int64_t{1} << 24) / out) throw Failure{TENON_RESOURCE_EXHAUSTED, "the kernel is too large"};
  t.index.reserve(static_cast<std::size_t>(out * t.taps));
  std::vector<double> weights(static_cast<std::size_t>(t.taps));
  for (std::int64_t o = 0; o < out; ++o) {
    double x = coordinate(rule.coordinates, static_cast<double>(o), static_cast<double>(in), out, scale, begin, end);
    const bool outside = cropped && !(x >= 0 && x <= static_cast<double>(in - 1));
    if (!(std::abs(x) < 1e15)) x = 0;
    // The coordinate lies in (base, base + 1].
    const auto base = static_cast<std::int64_t>(std::ceil(x)) - 1;
    const double ratio = x - static_cast<double>(base);
    const auto clamped = [&](std::int64_t i) { return outside ? -1 : std::clamp<std::int64_t>(i, 0, in - 1); };
    t.outside = t.outside || outside;
    if (rule.mode == ResizeMode::nearest) {
      t.index.push_back(clamped(base + (ratio == 1 || picks_right(rule.nearest, ratio))));
      continue;
    }
    double sum = 0;
    for (std::int64_t k = 0; k < t.taps; ++k) {
      const std::int64_t i = base + first + k;
      const double at = (static_cast<double>(first + k) - ratio) * stretch;
      double w = rule.mode == ResizeMode::cubic ? cubic(at, rule.cubic_a) : std::max(0.0, 1 - std::abs(at));
      if (rule.exclude_outside && (i < 0 || i >= in)) w = 0;
      weights[static_cast<std::size_t>(k)] = w;
      sum += w;
      t.index.push_back(clamped(i));
    }
    const double norm = (rule.antialias || rule.exclude_outside) && sum != 0 ? sum : 1;
    for (double w : weights) t.weight.push_back(w / norm);
  }
  return t;
}

}  // namespace tenon::cpu
