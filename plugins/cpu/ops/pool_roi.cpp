// RoiAlign and MaxRoiPool: pools over regions of an image that the data names.
#include <algorithm>
#include <cmath>
#include <limits>

#include "plugins/cpu/ops/conv_shape.h"
#include "plugins/cpu/ops/pool_family.h"

namespace tenon::cpu {
namespace {

// Larger is no region of an image; keeps the products below finite.
constexpr double kMaxCoordinate = 1e9;

template <class T>
struct RoiAlignStep {
  std::int64_t images, channels, height, width, rois, out_h, out_w, sampling;
  float scale;
  bool half_pixel, max;
  Ref x, boxes, batch, y;

  void operator()(const StepContext& context) const {
    const T* box = context.ptr<const T>(boxes);
    const auto* image = context.ptr<const std::int64_t>(batch);
    const auto slice = context.slice(rois * channels);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const std::int64_t r = i / channels, n = image[r];
      if (n < 0 || n >= images)
        return context.fail(TENON_OUT_OF_RANGE, "batch index " + std::to_string(n) + " of " + std::to_string(images) + " images");
      region(box + 4 * r, context.ptr<const T>(x) + (n * channels + i % channels) * height * width, context.ptr<T>(y) + i * out_h * out_w);
    }
  }

  void region(const T* box, const T* plane, T* out) const {
    double edge[4];
    for (int k = 0; k < 4; ++k) {
      edge[k] = static_cast<double>(box[k]) * static_cast<double>(scale) - (half_pixel ? 0.5 : 0.0);
      if (!(std::abs(edge[k]) < kMaxCoordinate)) {
        std::fill_n(out, out_h * out_w, std::numeric_limits<T>::quiet_NaN());
        return;
      }
    }
    double roi_w = edge[2] - edge[0], roi_h = edge[3] - edge[1];
    if (!half_pixel) roi_w = std::max(roi_w, 1.0), roi_h = std::max(roi_h, 1.0);
    const double bin_h = roi_h / static_cast<double>(out_h), bin_w = roi_w / static_cast<double>(out_w);
    const std::int64_t grid_h = sampling > 0 ? sampling : std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(bin_h)));
    const std::int64_t grid_w = sampling > 0 ? sampling : std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(bin_w)));
    for (std::int64_t ph = 0; ph < out_h; ++ph)
      for (std::int64_t pw = 0; pw < out_w; ++pw) {
        const Points rows(edge[1] + static_cast<double>(ph) * bin_h, bin_h, grid_h, height);
        const Points columns(edge[0] + static_cast<double>(pw) * bin_w, bin_w, grid_w, width);
        double sum = 0, best = -std::numeric_limits<double>::infinity();
        for (std::int64_t iy = rows.begin; iy < rows.end; ++iy)
          for (std::int64_t ix = columns.begin; ix < columns.end; ++ix) {
            double part[4];
            corners(plane, rows.at(iy), columns.at(ix), part);
            sum += part[0] + part[1] + part[2] + part[3];
            for (double p : part) best = std::max(best, p);
          }
        const std::int64_t used = (rows.end - rows.begin) * (columns.end - columns.begin);
        const double count = std::max(static_cast<double>(grid_h) * static_cast<double>(grid_w), 1.0);
        if (static_cast<double>(used) < count) best = std::max(best, 0.0);
        *out++ = static_cast<T>(max ? best : sum / count);
      }
  }

  // The points of a bin along one dim; those in [begin, end) may be inside, the others are surely outside.
  struct Points {
    Points(double from, double bin, std::int64_t count, std::int64_t size)
        : start(from), step(count > 0 ? bin / static_cast<double>(count) : 0), end(count) {
      if (step <= 0) return;
      const double low = std::floor((-1.0 - start) / step) - 1, high = std::ceil((static_cast<double>(size) - start) / step) + 1;
      begin = static_cast<std::int64_t>(std::clamp(low, 0.0, static_cast<double>(count)));
      end = std::max(begin, static_cast<std::int64_t>(std::clamp(high, 0.0, static_cast<double>(count))));
    }
    double at(std::int64_t i) const { return start + (static_cast<double>(i) + 0.5) * step; }

    double start, step;
    std::int64_t begin = 0, end;
  };

  // The four neighbours of a point, weighted; zeros outside.
  void corners(const T* plane, double y0, double x0, double* part) const {
    part[0] = part[1] = part[2] = part[3] = 0;
    if (height == 0 || width == 0 || y0 < -1.0 || y0 > static_cast<double>(height) || x0 < -1.0 || x0 > static_cast<double>(width)) return;
    const auto place = [](double at, std::int64_t size, std::int64_t& low, std::int64_t& high, double& rest) {
      at = std::max(at, 0.0);
      low = static_cast<std::int64_t>(at);
      high = low + 1;
      if (low >= size - 1) high = low = size - 1, at = static_cast<double>(low);
      rest = at - static_cast<double>(low);
    };
    std::int64_t yl, yh, xl, xh;
    double ly, lx;
    place(y0, height, yl, yh, ly);
    place(x0, width, xl, xh, lx);
    part[0] = (1 - ly) * (1 - lx) * static_cast<double>(plane[yl * width + xl]);
    part[1] = (1 - ly) * lx * static_cast<double>(plane[yl * width + xh]);
    part[2] = ly * (1 - lx) * static_cast<double>(plane[yh * width + xl]);
    part[3] = ly * lx * static_cast<double>(plane[yh * width + xh]);
  }
};

template <class T>
struct MaxRoiStep {
  std::int64_t images, channels, height, width, rois, out_h, out_w;
  float scale;
  Ref x, boxes, y;

  void operator()(const StepContext& context) const {
    const T* box = context.ptr<const T>(boxes);
    const auto slice = context.slice(rois * channels);
    for (std::int64_t i = slice.begin; i < slice.end; ++i) {
      const T* b = box + i / channels * 5;
      const auto n = static_cast<double>(b[0]);
      if (!(n >= 0 && n < static_cast<double>(images)))
        return context.fail(TENON_OUT_OF_RANGE, "a batch index is not below " + std::to_string(images));
      const T* plane = context.ptr<const T>(x) + (static_cast<std::int64_t>(n) * channels + i % channels) * height * width;
      region(b + 1, plane, context.ptr<T>(y) + i * out_h * out_w);
    }
  }

  void region(const T* box, const T* plane, T* out) const {
    std::int64_t edge[4];
    for (int k = 0; k < 4; ++k) {
      const double at = std::round(static_cast<double>(box[k]) * static_cast<double>(scale));
      edge[k] = at != at ? 0 : static_cast<std::int64_t>(std::clamp(at, -kMaxCoordinate, kMaxCoordinate));
    }
    const std::int64_t w = std::max<std::int64_t>(edge[2] - edge[0] + 1, 1), h = std::max<std::int64_t>(edge[3] - edge[1] + 1, 1);
    const double bin_h = static_cast<double>(h) / static_cast<double>(out_h), bin_w = static_cast<double>(w) / static_cast<double>(out_w);
    const auto bound = [](double at, std::int64_t start, std::int64_t size) {
      return std::clamp<std::int64_t>(static_cast<std::int64_t>(at) + start, 0, size);
    };
    for (std::int64_t ph = 0; ph < out_h; ++ph)
      for (std::int64_t pw = 0; pw < out_w; ++pw) {
        const std::int64_t h0 = bound(std::floor(static_cast<double>(ph) * bin_h), edge[1], height),
                           h1 = bound(std::ceil(static_cast<double>(ph + 1) * bin_h), edge[1], height);
        const std::int64_t w0 = bound(std::floor(static_cast<double>(pw) * bin_w), edge[0], width),
                           w1 = bound(std::ceil(static_cast<double>(pw + 1) * bin_w), edge[0], width);
        T best = h0 < h1 && w0 < w1 ? -std::numeric_limits<T>::infinity() : T(0);
        for (std::int64_t r = h0; r < h1; ++r)
          for (std::int64_t c = w0; c < w1; ++c) best = std::max(best, plane[r * width + c]);
        *out++ = best;
      }
  }
};

class RoiAlign final : public Op {
 public:
  RoiAlign(const NodeView& node, CompileContext&)
      : sampling_(std::max<std::int64_t>(0, node.int_or("sampling_ratio", 0))),
        scale_(node.float_or("spatial_scale", 1)),
        half_pixel_(node.string_or("coordinate_transformation_mode", "half_pixel") == "half_pixel"),
        max_(node.string_or("mode", "avg") == "max") {}

  void plan(PlanBuilder& builder) const override {
    if (builder.in(0).dtype == TENON_DTYPE_DOUBLE) emit<double>(builder);
    else emit<float>(builder);
  }

 private:
  template <class T>
  void emit(PlanBuilder& builder) const {
    const Shape &x = builder.in(0), &rois = builder.in(1), &y = builder.out(0);
    require(x.rank() == 4 && rois.rank() == 2 && rois[1] == 4 && y.rank() == 4 && y[0] == rois[0] && y[1] == x[1] &&
                builder.in(2).count() == rois[0],
            "an image, four edges and a batch index of each region are expected");
    if (y.count() == 0) return;
    const double points = sampling_ > 0 ? static_cast<double>(sampling_ * sampling_) : 4;
    builder.step("roi_align",
                 RoiAlignStep<T>{x[0], x[1], x[2], x[3], y[0], y[2], y[3], sampling_, scale_, half_pixel_, max_, builder.in_ref(0),
                                 builder.in_ref(1), builder.in_ref(2), builder.out_ref(0)},
                 {.est_ns = static_cast<double>(y.count()) * points * 8});
  }
  std::int64_t sampling_;
  float scale_;
  bool half_pixel_, max_;
};

class MaxRoiPool final : public Op {
 public:
  MaxRoiPool(const NodeView& node, CompileContext&) : scale_(node.float_or("spatial_scale", 1)) {}
  void plan(PlanBuilder& builder) const override {
    if (builder.in(0).dtype == TENON_DTYPE_DOUBLE) emit<double>(builder);
    else emit<float>(builder);
  }

 private:
  template <class T>
  void emit(PlanBuilder& builder) const {
    const Shape &x = builder.in(0), &rois = builder.in(1), &y = builder.out(0);
    require(x.rank() == 4 && rois.rank() == 2 && rois[1] == 5 && y.rank() == 4 && y[0] == rois[0] && y[1] == x[1],
            "an image and five numbers of each region are expected");
    if (y.count() == 0) return;
    builder.step("max_roi_pool",
                 MaxRoiStep<T>{x[0], x[1], x[2], x[3], y[0], y[2], y[3], scale_, builder.in_ref(0), builder.in_ref(1), builder.out_ref(0)},
                 {.est_ns = static_cast<double>(y.count()) * 20});
  }
  float scale_;
};

Support supports_roi(const NodeView& node) {
  const bool align = node.op_type() == "RoiAlign";
  for (std::uint32_t i = 0; i < (align ? 3u : 2u); ++i)
    if (!node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "an input is missing");
  if ((node.dtype(0) != TENON_DTYPE_FLOAT && node.dtype(0) != TENON_DTYPE_DOUBLE) || node.dtype(1) != node.dtype(0))
    return Support::no(TENON_REJECT_DTYPE, "float types only, the same for image and regions");
  if (align && node.dtype(2) != TENON_DTYPE_INT64) return Support::no(TENON_REJECT_DTYPE, "batch indices are int64");
  if (node.rank(0) != 4) return Support::no(TENON_REJECT_RANK, "images of rank 4 are expected");
  if (align && node.int_or("sampling_ratio", 0) > 1024) return Support::no(TENON_REJECT_ATTRIBUTE, "sampling_ratio is out of range");
  return Support::yes();
}

template <class T>
std::unique_ptr<Op> make(const NodeView& node, CompileContext& context) {
  return std::make_unique<T>(node, context);
}

}  // namespace

std::span<const OpRow> roi_pool_rows() {
  static const OpRow rows[] = {{"", "RoiAlign", supports_roi, make<RoiAlign>}, {"", "MaxRoiPool", supports_roi, make<MaxRoiPool>}};
  return rows;
}

}  // namespace tenon::cpu
