// com.microsoft CropAndResize and Inverse, and the list of its operators that belong to no other family.
#include "plugins/cpu/ops/microsoft.h"

#include <cmath>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {
namespace {

// Boxes [y1, x1, y2, x2] in parts of the image, each read at as many points as the crop has, corners on corners.
struct CropStep {
  Ref x, boxes, images, y;
  std::int64_t count, channels, height, width, rows, columns, image_count;
  float outside;
  bool nearest;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(count * rows);
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t n = item / rows, row = item % rows, image = c.ptr<const std::int32_t>(images)[n];
      if (image < 0 || image >= image_count)
        return c.fail(TENON_OUT_OF_RANGE,
                      "batch_indices has " + std::to_string(image) + ", with " + std::to_string(image_count) + " images");
      const float* box = c.ptr<const float>(boxes) + n * 4;
      const float at_y = point(box[0], box[2], height, rows, row);
      for (std::int64_t column = 0; column < columns; ++column) {
        const float at_x = point(box[1], box[3], width, columns, column);
        for (std::int64_t k = 0; k < channels; ++k)
          c.ptr<float>(y)[((n * channels + k) * rows + row) * columns + column] =
              read(c.ptr<const float>(x) + (image * channels + k) * height * width, at_y, at_x);
      }
    }
  }

 private:
  static float point(float from, float to, std::int64_t size, std::int64_t points, std::int64_t i) {
    const auto last = static_cast<float>(size - 1);
    if (points < 2) return 0.5f * (from + to) * last;
    return from * last + static_cast<float>(i) * ((to - from) * last / static_cast<float>(points - 1));
  }
  float read(const float* plane, float at_y, float at_x) const {
    if (!(at_y >= 0 && at_y <= static_cast<float>(height - 1) && at_x >= 0 && at_x <= static_cast<float>(width - 1))) return outside;
    if (nearest) return plane[static_cast<std::int64_t>(std::round(at_y)) * width + static_cast<std::int64_t>(std::round(at_x))];
    const auto top = static_cast<std::int64_t>(at_y), left = static_cast<std::int64_t>(at_x);
    const std::int64_t bottom = std::min(top + 1, height - 1), right = std::min(left + 1, width - 1);
    const float fy = at_y - static_cast<float>(top), fx = at_x - static_cast<float>(left);
    const float above = plane[top * width + left] + (plane[top * width + right] - plane[top * width + left]) * fx;
    const float below = plane[bottom * width + left] + (plane[bottom * width + right] - plane[bottom * width + left]) * fx;
    return above + (below - above) * fy;
  }
};

class CropOp final : public Op {
 public:
  explicit CropOp(const NodeView& node)
      : nearest_(node.string_or("mode", "bilinear") == "nearest"), outside_(node.float_or("extrapolation_value", 0)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &boxes = b.in(1), &y = b.out(0);
    if (x.rank() != 4 || boxes.rank() != 2 || boxes[1] != 4 || b.in(2).count() != boxes[0] || y.rank() != 4)
      invalid_argument("X must have shape [images, channels, height, width], rois [boxes, 4], batch_indices [boxes]");
    if (y[2] < 1 || y[3] < 1) invalid_argument("crop_size must be positive");
    if (y.count() == 0) return;
    if (x[2] < 1 || x[3] < 1) invalid_argument("the images are empty");
    const CropStep s{b.in_ref(0), b.in_ref(1), b.in_ref(2), b.out_ref(0), boxes[0], x[1], x[2], x[3], y[2], y[3], x[0], outside_, nearest_};
    b.step("crop and resize", s, {.est_ns = static_cast<double>(y.count()) * 5});
  }

 private:
  bool nearest_;
  float outside_;
};

Support supports_crop(const NodeView& node) {
  if (node.dtype(0) != TENON_DTYPE_FLOAT || node.dtype(1) != TENON_DTYPE_FLOAT) return refuse_dtype(node.dtype(0));
  if (node.dtype(2) != TENON_DTYPE_INT32) return refuse_dtype(node.dtype(2));
  const std::string_view mode = node.string_or("mode", "bilinear");
  if (mode != "bilinear" && mode != "nearest")
    return Support::no(TENON_REJECT_ATTRIBUTE, "mode \"" + std::string(mode) + "\" is not known");
  return Support::yes();
}

// Gauss and Jordan with row pivots, in double. A singular matrix gives infinities and NaN.
struct InverseStep {
  Ref x, y, scratch;
  std::uint64_t scratch_bytes;
  std::int64_t count, n;
  std::int32_t dtype;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(count);
    double* a = worker_scratch<double>(c, scratch, scratch_bytes);
    visit_float(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t m = slice.begin; m < slice.end; ++m) {
        const T* from = c.ptr<const T>(x) + m * n * n;
        for (std::int64_t i = 0; i < n; ++i)
          for (std::int64_t j = 0; j < 2 * n; ++j)
            a[i * 2 * n + j] = j < n ? static_cast<double>(from[i * n + j]) : j - n == i ? 1.0 : 0.0;
        reduce(a);
        for (std::int64_t i = 0; i < n * n; ++i) c.ptr<T>(y)[m * n * n + i] = static_cast<T>(a[i / n * 2 * n + n + i % n]);
      }
    });
  }

  void reduce(double* a) const {
    const std::int64_t width = 2 * n;
    for (std::int64_t k = 0; k < n; ++k) {
      std::int64_t pivot = k;
      for (std::int64_t r = k + 1; r < n; ++r)
        if (std::abs(a[r * width + k]) > std::abs(a[pivot * width + k])) pivot = r;
      if (pivot != k) std::swap_ranges(a + k * width, a + (k + 1) * width, a + pivot * width);
      const double p = a[k * width + k];
      for (std::int64_t j = 0; j < width; ++j) a[k * width + j] /= p;
      for (std::int64_t r = 0; r < n; ++r) {
        const double f = a[r * width + k];
        for (std::int64_t j = 0; r != k && j < width; ++j) a[r * width + j] -= f * a[k * width + j];
      }
    }
  }
};

class InverseOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    if (x.rank() < 2 || x[-1] != x[-2]) invalid_argument("Inverse needs square matrices");
    if (x.count() == 0) return;
    InverseStep s{b.in_ref(0),           b.out_ref(0), {},     static_cast<std::uint64_t>(2 * x[-1] * x[-1]) * sizeof(double),
                  x.outer(x.rank() - 2), x[-1],        x.dtype};
    s.scratch = b.scratch(s.scratch_bytes);
    b.step("inverse", s, {.est_ns = static_cast<double>(x.count() * x[-1]) * 2});
  }
};

Support supports_inverse(const NodeView& node) { return is_float(node.dtype(0)) ? Support::yes() : refuse_dtype(node.dtype(0)); }

constexpr OpRow table[] = {
    {"com.microsoft", "CropAndResize", supports_crop,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<CropOp>(node); }},
    {"com.microsoft", "Inverse", supports_inverse,
     [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<InverseOp>(); }},
};

}  // namespace

std::span<const OpRow> microsoft_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all(std::begin(table), std::end(table));
    for (const auto more : {token_rows(), hash_rows(), tokenizer_rows()})
      for (const OpRow& row : more) all.push_back(row);
    return all;
  }();
  return rows;
}

}  // namespace tenon::cpu
