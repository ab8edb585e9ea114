// Resize: a table for each axis that changes, then one kernel that copies (nearest) or blends (linear, cubic) what the tables name.
//
// The kernel walks the result in the order of its memory: with channels last, vectors of channels share their weights.
#include <algorithm>
#include <cmath>

#include "plugins/opencl/codegen/resize_table.h"
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

// How one axis changes.
struct AxisChange {
  std::int64_t in = 1, out = 1, taps = 1, lead = 0;
  double scale = 1, begin = 0, end = 1, stretch = 1;
  bool same = true;
  Tensor index, weight;
};

class ResizeOp final : public Op {
 public:
  ResizeOp(const Node& node, const ResizeRule& rule)
      : rule_(rule), cubic_a_(node.number("cubic_coeff_a", -0.75f)), extrapolation_(node.number("extrapolation_value", 0)), axes_(node.integers("axes")),
        some_axes_(node.attribute("axes") != nullptr), policy_(node.text("keep_aspect_ratio_policy", "stretch")) {}

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
    emit(b, changes, x, y, wide);
  }

 private:
  // The type in which elements are blended.
  static std::int32_t blended_in(std::int32_t dtype) {
    return is_floating(dtype) ? (dtype == TENON_DTYPE_DOUBLE ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT) : storage_bytes(dtype) == 1 ? TENON_DTYPE_FLOAT : TENON_DTYPE_DOUBLE;
  }

  std::vector<AxisChange> read(PlanBuilder& b, const Tensor& x, const Tensor& y) const {
    std::vector<AxisChange> changes(x.dims.size());
    std::vector<std::size_t> axes;
    for (std::size_t a = 0; a < (some_axes_ ? axes_.size() : x.dims.size()); ++a)
      axes.push_back(some_axes_ ? static_cast<std::size_t>(front_axis(axes_[a], x.rank())) : a);
    const auto given = [&](std::size_t i) { return b.in(i).present() && b.in(i).count() > 0; };
    const auto fits = [&](std::size_t i, std::size_t count) {
      if (b.in(i).count() != static_cast<std::int64_t>(count))
        throw Failure{TENON_INVALID_ARGUMENT, "input " + std::to_string(i) + " has " + std::to_string(b.in(i).count()) + " elements, expected " + std::to_string(count)};
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

  void emit(PlanBuilder& b, const std::vector<AxisChange>& changes, const Tensor& x, const Tensor& y, bool wide) const {
    const bool nearest = rule_.mode == ResizeMode::nearest, cropped = rule_.coordinates == CoordinateMode::tf_crop_and_resize;
    // Axes in the order of the result's memory.
    std::vector<std::int64_t> order(y.dims.size());
    for (std::size_t a = 0; a < order.size(); ++a) order[a] = static_cast<std::int64_t>(a);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t p, std::int64_t q) { return y.strides[static_cast<std::size_t>(p)] > y.strides[static_cast<std::size_t>(q)]; });
    const Tensor from = permuted(nearest && !cropped ? as_bits(x) : x, order), to = permuted(nearest && !cropped ? as_bits(y) : y, order);
    const std::size_t rank = order.size(), last = rank - 1;
    const auto change = [&](std::size_t a) -> const AxisChange& { return changes[static_cast<std::size_t>(order[a])]; };
    SpaceKernel k(b, "resize", to.dims);
    k.out("y", to), k.in("x", from);
    double taps = 1;
    for (std::size_t a = 0; a < rank; ++a) {
      if (change(a).same) continue;
      const std::string n = std::to_string(a);
      k.in("index" + n, change(a).index);
      if (!nearest) k.in("weight" + n, change(a).weight);
      k.integer("taps" + n, change(a).taps), k.integer("size" + n, change(a).out);
      taps *= static_cast<double>(change(a).taps);
    }
    const std::string value = "extrapolation";
    k.scalar("float", value, Arg::f32(extrapolation_));
    const int full = static_cast<int>(wide ? std::max(b.profile().vector / 2, 1u) : b.profile().vector);
    const bool vectors = change(last).same && from.strides[last] == 1 && to.strides[last] == 1 && from.dims[last] > 1;
    // Vectors of elements from anywhere; where the constant may stand among them, one at a time.
    const bool gathers = !change(last).same && to.strides[last] == 1 && !cropped && change(last).taps <= 4;
    k.width(vectors ? full : gathers ? std::min(full, 8) : 1);
    const std::int32_t real = wide ? TENON_DTYPE_DOUBLE : TENON_DTYPE_FLOAT;
    if (nearest && cropped) k.helpers(cast_helpers(TENON_DTYPE_FLOAT, y.dtype, {1}));
    if (nearest) copied(k, change, rank, cropped, y.dtype);
    else blended(k, change, rank, cropped, x.dtype, y.dtype, real);
    k.cost(nearest ? 2 : taps);
    k.launch();
  }

  using Change = std::function<const AxisChange&(std::size_t)>;

  // Indices of the axes that change; those of all but the last one stand in the row.
  static std::string indices(const Change& change, std::size_t from, std::size_t to, const SpaceKernel& k) {
    std::string p;
    for (std::size_t a = from; a < to; ++a)
      if (const std::string n = std::to_string(a); !change(a).same) p += "const int i" + n + " = index" + n + "[" + k.at(a) + "]; ";
    return p;
  }

  void copied(SpaceKernel& k, const Change& change, std::size_t rank, bool cropped, std::int32_t dtype) const {
    std::string outside = "false";
    std::vector<std::string> from;
    for (std::size_t a = 0; a < rank; ++a) {
      from.push_back(change(a).same ? k.at(a) : "i" + std::to_string(a));
      if (!change(a).same) outside += " || i" + std::to_string(a) + " < 0";
    }
    const std::vector<std::string> outer(from.begin(), from.end() - 1);
    k.row(indices(change, 0, rank - 1, k) + "const long from = " + (outer.empty() ? "0" : k.index("x", outer)) + ";");
    k.each([&k, change, rank, cropped, dtype, outside, last = from.back()](int width) {
      if (width > 1 && !change(rank - 1).same) {
        const std::string n = std::to_string(rank - 1);
        std::string values;
        for (int l = 0; l < width; ++l) values += (l ? ", " : "") + k.load("x", "from + (long)index" + n + "[" + k.at(rank - 1) + " + " + std::to_string(l) + "] * x_s" + n);
        return k.store("y", k.here("y"), "(" + k.compute("y", width) + ")(" + values + ")", width);
      }
      const std::string p = indices(change, rank - 1, rank, k), store = k.store("y", k.here("y"), k.load("x", "from + (long)" + last + " * x_s" + std::to_string(rank - 1), width), width);
      if (!cropped) return p + store;
      const std::string type = k.compute("y", width);
      return p + "if (" + outside + ") { " + type + " made; " + cast_text(TENON_DTYPE_FLOAT, dtype, 1, "made", "extrapolation") + k.store("y", k.here("y"), "made", width) + "} else { " + store + "}";
    });
  }

  // The taps of all axes but the last are put together once a row: offsets and weights.
  void blended(SpaceKernel& k, const Change& change, std::size_t rank, bool cropped, std::int32_t from_type, std::int32_t to_type, std::int32_t real) const {
    const std::size_t last = rank - 1;
    const std::string one = compute_name(compute_of(real));
    std::int64_t most = 1;
    std::string row, same = "0", outside = "false";
    for (std::size_t a = 0; a < last; ++a) {
      if (change(a).same) same += " + (long)" + k.at(a) + " * x_s" + std::to_string(a);
      else most *= change(a).taps;
    }
    if (most > 256) throw Failure{TENON_UNSUPPORTED_SHAPE, "a result element is made of too many input elements"};
    row = "long off[" + std::to_string(most) + "]; " + one + " wt[" + std::to_string(most) + "]; int count = 1; off[0] = " + same + "; wt[0] = 1; ";
    for (std::size_t a = 0; a < last; ++a) {
      if (change(a).same) continue;
      const std::string n = std::to_string(a), at = "[k * size" + n + " + " + k.at(a) + "]";
      row += "for (int i = count; i-- > 0;) for (int k = taps" + n + "; k-- > 0;) { off[i * taps" + n + " + k] = off[i] + (long)index" + n + at + " * x_s" + n + "; wt[i * taps" + n + " + k] = wt[i] * weight" + n + at +
             "; } count *= taps" + n + "; ";
      outside += " || index" + n + "[" + k.at(a) + "] < 0";
    }
    const AxisChange& inner = change(last);
    const std::string n = std::to_string(last), c = k.at(last);
    if (cropped && !inner.same) outside += " || index" + n + "[" + c + "] < 0";
    k.row(row);
    const bool along = !inner.same;
    const std::int64_t taps = inner.taps;
    k.each([this, &k, n, c, along, taps, cropped, outside, from_type, to_type, real, most](int width) {
      const std::string type = compute_name(compute_of(real), width), result = k.compute("y", width);
      const auto load = [&](const std::string& at) {
        const std::string v = k.load("x", at, width);
        return compute_of(from_type) == compute_of(real) ? v : "convert_" + type + "(" + v + ")";
      };
      std::string p = type + " sum = 0; ", count = most > 16 ? "count" : std::to_string(most), line;
      if (along && taps <= 4) {
        // Neighbours in the result have weights that are neighbours, and elements wherever the indices say.
        for (std::int64_t t = 0; t < taps; ++t) {
          const std::string d = std::to_string(t), at = d + " * size" + n + " + " + c;
          p += "const " + type + " w" + d + " = " + load_text(real, width, "weight" + n, at) + "; ";
          for (int l = 0; l < width; ++l) p += "const long o" + d + "_" + std::to_string(l) + " = (long)index" + n + "[" + at + " + " + std::to_string(l) + "] * x_s" + n + "; ";
          std::string values;
          for (int l = 0; l < width; ++l) {
            const std::string v = k.load("x", "off[p] + o" + d + "_" + std::to_string(l));
            values += (l ? ", " : "") + (compute_of(from_type) == compute_of(real) ? v : "convert_" + compute_name(compute_of(real)) + "(" + v + ")");
          }
          line += (t ? " + " : "") + ("w" + d + " * (" + type + ")(" + values + ")");
        }
        p += "for (int p = 0; p < " + count + "; ++p) sum += wt[p] * (" + line + "); ";
      } else if (along) {
        p += "for (int p = 0; p < " + count + "; ++p) { " + type + " line = 0; for (int k = 0; k < taps" + n + "; ++k) line += weight" + n + "[k * size" + n + " + " + c + "] * " +
             load("off[p] + (long)index" + n + "[k * size" + n + " + " + c + "] * x_s" + n) + "; sum += wt[p] * line; } ";
      } else {
        p += "for (int p = 0; p < " + count + "; ++p) sum += wt[p] * " + load("off[p] + (long)" + c + " * x_s" + n) + "; ";
      }
      // Integers are rounded to the nearest even and held inside their type.
      const auto made = [&](const std::string& v) { return is_floating(to_type) ? v : "convert_" + result + "_sat(rint(" + held(to_type, type, v) + "))"; };
      p += "{ const " + result + " made = " + made("sum") + "; " + k.store("y", k.here("y"), "made", width) + "} ";
      if (!cropped) return p;
      return "if (" + outside + ") { const " + result + " made = " + made("(" + type + ")extrapolation") + "; " + k.store("y", k.here("y"), "made", width) + "} else { " + p + "}";
    });
  }

  // A value held inside the range of a small integer type.
  static std::string held(std::int32_t dtype, const std::string& type, const std::string& value) {
    switch (dtype) {
      case TENON_DTYPE_UINT8: return "clamp(" + value + ", (" + type + ")0, (" + type + ")255)";
      case TENON_DTYPE_INT8: return "clamp(" + value + ", (" + type + ")-128, (" + type + ")127)";
      case TENON_DTYPE_UINT16: return "clamp(" + value + ", (" + type + ")0, (" + type + ")65535)";
      case TENON_DTYPE_INT16: return "clamp(" + value + ", (" + type + ")-32768, (" + type + ")32767)";
      default: return value;
    }
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
  if (rule.mode != ResizeMode::nearest && (dtype == TENON_DTYPE_BOOL || (!is_floating(dtype) && !profile.fp64))) return Support::no(TENON_REJECT_DTYPE, "elements of type " + dtype_text(dtype) + " are not blended");
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
