// Resize: what each axis becomes, a table for each that changes, then one kernel (resize_kernel.cpp).
#include <algorithm>
#include <cmath>

#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/resize_kernel.h"

namespace tenon::opencl {
namespace {

class ResizeOp final : public Op {
 public:
  ResizeOp(const Node& node, const ResizeRule& rule)
      : rule_(rule),
        cubic_a_(node.number("cubic_coeff_a", -0.75f)),
        extrapolation_(node.number("extrapolation_value", 0)),
        axes_(node.integers("axes")),
        some_axes_(node.attribute("axes") != nullptr),
        policy_(node.text("keep_aspect_ratio_policy", "stretch")) {}

  void plan(PlanBuilder& b) const override {
    const Tensor& x = b.in(0);
    const Tensor y = b.make_out(0, layout_wanted(x));
    if (y.count() == 0) return;
    if (x.count() == 0) throw Failure{TENON_INVALID_ARGUMENT, "the input is empty, the output is not"};
    std::vector<AxisChange> changes = read(b, x, y);
    if (std::all_of(changes.begin(), changes.end(), [](const AxisChange& c) { return c.same; })) return b.copy(x, y);
    const bool wide = blended_in(x.dtype) == TENON_DTYPE_DOUBLE;
    for (AxisChange& c : changes)
      if (!c.same) make_table(b, c, wide);
    launch_resize(b, rule_, changes, x, y, wide ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT, extrapolation_);
  }

 private:
  // The type in which elements are blended.
  static std::int32_t blended_in(std::int32_t dtype) {
    return is_floating(dtype)          ? (dtype == TENON_DTYPE_DOUBLE ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT)
           : storage_bytes(dtype) == 1 ? TENON_DTYPE_FLOAT
                                       : TENON_DTYPE_DOUBLE;
  }

  std::vector<AxisChange> read(PlanBuilder& b, const Tensor& x, const Tensor& y) const {
    std::vector<AxisChange> changes(x.dims.size());
    std::vector<std::size_t> axes;
    for (std::size_t a = 0; a < (some_axes_ ? axes_.size() : x.dims.size()); ++a)
      axes.push_back(some_axes_ ? static_cast<std::size_t>(front_axis(axes_[a], x.rank())) : a);
    const auto given = [&](std::size_t i) { return b.in(i).present() && b.in(i).count() > 0; };
    const auto fits = [&](std::size_t i, std::size_t count) {
      if (b.in(i).count() != static_cast<std::int64_t>(count))
        throw Failure{TENON_INVALID_ARGUMENT,
                      "input " + std::to_string(i) + " has " + std::to_string(b.in(i).count()) + " elements, expected " + std::to_string(count)};
    };
    for (std::size_t a = 0; a < changes.size(); ++a) {
      changes[a].in = x.dims[a], changes[a].out = y.dims[a];
      changes[a].scale = static_cast<double>(y.dims[a]) / static_cast<double>(x.dims[a]);
    }
    if (given(2)) {
      fits(2, axes.size());
      const std::vector<double> scales = known_numbers(b.in(2), "scales");
      for (std::size_t i = 0; i < axes.size(); ++i) changes[axes[i]].scale = scales[i];
    } else if (given(3) && policy_ != "stretch") {
      fits(3, axes.size());
      const std::vector<std::int64_t> sizes = known_integers(b.in(3), "sizes");
      double common = policy_ == "not_larger" ? INFINITY : 0;
      for (std::size_t i = 0; i < axes.size(); ++i) {
        const double s = static_cast<double>(sizes[i]) / static_cast<double>(x.dims[axes[i]]);
        common = policy_ == "not_larger" ? std::min(common, s) : std::max(common, s);
      }
      for (std::size_t a : axes) changes[a].scale = common;
    }
    const bool cropped = rule_.coordinates == CoordinateMode::tf_crop_and_resize;
    if (cropped && given(1)) {
      fits(1, 2 * axes.size());
      const std::vector<double> roi = known_numbers(b.in(1), "roi");
      for (std::size_t i = 0; i < axes.size(); ++i) changes[axes[i]].begin = roi[i], changes[axes[i]].end = roi[axes.size() + i];
    }
    for (AxisChange& c : changes) {
      if (!(c.scale > 0)) throw Failure{TENON_INVALID_ARGUMENT, "a scale is not positive"};
      c.same = c.in == c.out && std::abs(c.scale - 1) <= 1e-9 && (!cropped || (c.begin == 0 && c.end == 1));
      if (c.same) continue;
      // Shrinking with antialias stretches the kernel over the elements that are merged.
      c.stretch = rule_.antialias ? std::min(c.scale, 1.0) : 1;
      c.lead = static_cast<std::int64_t>(std::floor(-(rule_.mode == ResizeMode::cubic ? 2 : 1) / c.stretch)) + 1;
      c.taps = rule_.mode == ResizeMode::nearest ? 1 : 2 - 2 * c.lead;
      if (c.taps > (std::int64_t{1} << 24) / std::max<std::int64_t>(c.out, 1)) throw Failure{TENON_RESOURCE_EXHAUSTED, "the kernel is too large"};
    }
    return changes;
  }

  void make_table(PlanBuilder& b, AxisChange& c, bool wide) const {
    const bool fp64 = b.profile().fp64;
    const std::string real = fp64 ? "double" : "float";
    const auto number = [&](double v) { return fp64 ? Arg::f64(v) : Arg::f32(static_cast<float>(v)); };
    c.index = b.temp(TENON_DTYPE_INT32, {c.out * c.taps}, Layout::dense);
    SpaceKernel k(b, "resize table", {c.out});
    k.out("index", c.index);
    if (rule_.mode != ResizeMode::nearest) {
      c.weight = b.temp(wide ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT, {c.out * c.taps}, Layout::dense);
      k.out("weight", c.weight);
    }
    k.integer("in", c.in), k.integer("out", c.out), k.integer("taps", c.taps), k.integer("lead", c.lead);
    k.scalar(real, "scale", number(c.scale)), k.scalar(real, "begin", number(c.begin)), k.scalar(real, "end", number(c.end));
    k.scalar(real, "stretch", number(c.stretch)), k.scalar(real, "cubic_a", number(cubic_a_));
    k.each(resize_table_text(rule_, real));
    k.cost(8 * static_cast<double>(c.taps));
    k.launch();
  }

  ResizeRule rule_;
  float cubic_a_, extrapolation_;
  std::vector<std::int64_t> axes_;
  bool some_axes_;
  std::string policy_;
};

// The rule that a node's attributes spell; a refusal where they spell none.
Support read_rule(const Node& node, ResizeRule& rule) {
  const auto pick = [&](const char* name, const char* fallback, auto& out, std::initializer_list<const char*> names) {
    const std::string given = node.text(name, fallback);
    int i = 0;
    for (const char* n : names) {
      if (given == n) {
        out = static_cast<std::remove_reference_t<decltype(out)>>(i);
        return Support::yes();
      }
      ++i;
    }
    return Support::no(TENON_REJECT_ATTRIBUTE, std::string(name) + " \"" + given + "\" is not known");
  };
  std::uint8_t policy = 0;
  for (const Support& s : {pick("mode", "nearest", rule.mode, {"nearest", "linear", "cubic"}),
                           pick("nearest_mode", "round_prefer_floor", rule.nearest, {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}),
                           pick("coordinate_transformation_mode", "half_pixel", rule.coordinates,
                                {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"}),
                           pick("keep_aspect_ratio_policy", "stretch", policy, {"stretch", "not_larger", "not_smaller"})})
    if (s.reason != 0) return s;
  rule.antialias = node.integer("antialias", 0) != 0 && rule.mode != ResizeMode::nearest;
  rule.exclude_outside = node.integer("exclude_outside", 0) != 0;
  return Support::yes();
}

Support supports(const Node& node, const Profile& profile) {
  ResizeRule rule;
  if (Support s = read_rule(node, rule); s.reason != 0) return s;
  const std::int32_t dtype = node.input(0)->dtype;
  if (rule.mode != ResizeMode::nearest && (dtype == TENON_DTYPE_BOOL || (!is_floating(dtype) && !profile.fp64)))
    return Support::no(TENON_REJECT_DTYPE, "elements of type " + dtype_text(dtype) + " are not blended");
  return known_inputs(node, {1, 2, 3});
}

std::unique_ptr<Op> make(const Node& node, CompileContext&) {
  ResizeRule rule;
  read_rule(node, rule);
  return std::make_unique<ResizeOp>(node, rule);
}

const OpRow rows[] = {{"", "Resize", supports, make}};

}  // namespace

std::span<const OpRow> resize_rows() { return rows; }

}  // namespace tenon::opencl
