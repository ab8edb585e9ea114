#include "plugins/opencl/codegen/resize_table.h"

namespace tenon::opencl {
namespace {

// The coordinate in the input. length is what the scale means; the result's size is that, rounded.
std::string coordinate(CoordinateMode mode) {
  switch (mode) {
    case CoordinateMode::align_corners:
      return "length == 1 ? 0 : c0 * (n - 1) / (length - 1)";
    case CoordinateMode::asymmetric:
      return "c0 / scale";
    case CoordinateMode::tf_crop_and_resize:
      return "begin * (n - 1) + (length == 1 ? (end - begin) * (n - 1) / 2 : c0 * (end - begin) * (n - 1) / (length - 1))";
    case CoordinateMode::pytorch_half_pixel:
      return "length == 1 ? half_less : (c0 + half_more) / scale - half_more";
    case CoordinateMode::half_pixel_symmetric:
      return "n / 2 * (1 - out / length) + (c0 + half_more) / scale - half_more";
    default:
      return "(c0 + half_more) / scale - half_more";
  }
}

std::string picks_right(NearestMode mode) {
  switch (mode) {
    case NearestMode::round_prefer_floor:
      return "ratio > half_more";
    case NearestMode::round_prefer_ceil:
      return "ratio >= half_more";
    case NearestMode::floor:
      return "false";
    default:
      return "true";
  }
}

}  // namespace

std::string resize_table_text(const ResizeRule& rule, const std::string& real) {
  const bool cropped = rule.coordinates == CoordinateMode::tf_crop_and_resize;
  // x lies in (base, base + 1].
  std::string p = "const " + real + " half_more = (" + real + ")1 / 2, half_less = -half_more, n = in, length = scale * n; " + real +
                  " x = " + coordinate(rule.coordinates) + "; ";
  p += std::string("const bool outside = ") + (cropped ? "!(x >= 0 && x <= n - 1)" : "false") + "; if (!(fabs(x) < (" + real + ")1e9f)) x = 0; ";
  p += "const int base = (int)ceil(x) - 1; const " + real + " ratio = x - base; ";
  if (rule.mode == ResizeMode::nearest)
    return p + "index[c0] = outside ? -1 : clamp(base + (ratio == 1 || (" + picks_right(rule.nearest) + ") ? 1 : 0), 0, in - 1);";
  const std::string kernel =
      rule.mode == ResizeMode::cubic
          ? "d <= 1 ? ((cubic_a + 2) * d - (cubic_a + 3)) * d * d + 1 : d < 2 ? ((cubic_a * d - 5 * cubic_a) * d + 8 * cubic_a) * d - 4 * cubic_a : 0"
          : "d < 1 ? 1 - d : 0";
  p += real + " sum = 0; for (int k = 0; k < taps; ++k) { const int i = base + lead + k; const " + real +
       " d = fabs((lead + k - ratio) * stretch); " + real + " w = " + kernel + "; ";
  if (rule.exclude_outside) p += "if (i < 0 || i >= in) w = 0; ";
  p += "sum += w; index[k * out + c0] = outside ? -1 : clamp(i, 0, in - 1); weight[k * out + c0] = w; } ";
  if (rule.antialias || rule.exclude_outside) p += "if (sum != 0) for (int k = 0; k < taps; ++k) weight[k * out + c0] /= sum; ";
  return p;
}

}  // namespace tenon::opencl
