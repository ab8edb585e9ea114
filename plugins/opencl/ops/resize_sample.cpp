// GridSample and AffineGrid. The taps of a grid point, offsets and weights, are found once and serve all channels.
#include <cmath>

#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

struct SampleRule {
  int taps = 2;         // of one axis: 1 nearest, 2 linear, 4 cubic
  std::string padding;  // zeros, border, reflection
  bool corners = false;
};

// A function that mirrors x at low and high until it lies between them.
std::string mirror_helper(const std::string& real) {
  return "inline " + real + " tn_mirror_" + real + "(" + real + " x, " + real + " low, " + real + " high) { const " + real +
         " range = high - low; if (!(range > 0)) return low; const " + real +
         " away = x < low ? low - x : x > high ? x - high : 0; if (away == 0) return x; const " + real +
         " turns = floor(away / range), rest = away - turns * range; return (x < low) == (fmod(turns, (" + real +
         ")2) == 0) ? low + rest : high - rest; }";
}

// Statements for one axis: its coordinate stands in x, its size in n; they leave m neighbours in idx and wgt.
std::string neighbours(const SampleRule& rule, const std::string& real) {
  const std::string low = rule.corners ? "0" : "-(" + real + ")1 / 2", high = rule.corners ? "n - (" + real + ")1" : "n - (" + real + ")1 / 2";
  std::string p = "x = " + std::string(rule.corners ? "(x + 1) / 2 * (n - (" + real + ")1)" : "((x + 1) * n - 1) / 2") +
                  "; x = x != x ? -1e9f : clamp(x, (" + real + ")-1e9f, (" + real + ")1e9f); ";
  if (rule.taps == 1) p += "x = rint(x); ";
  p += "const " + real + " low = " + low + ", high = " + high + "; ";
  if (rule.padding == "border") p += "if (x < low || x > high) x = clamp(x, (" + real + ")0, n - (" + real + ")1); ";
  if (rule.padding == "reflection") p += "if (x < low || x > high) x = tn_mirror_" + real + "(x, low, high); ";
  p += "const int left = (int)floor(x)" + std::string(rule.taps == 4 ? " - 1" : "") + "; const " + real + " t = x - floor(x), u = 1 - t; ";
  const std::string a = "(" + real + ")-0.75f";
  if (rule.taps == 1) p += "const " + real + " w[1] = {1}; ";
  if (rule.taps == 2) p += "const " + real + " w[2] = {u, t}; ";
  if (rule.taps == 4)
    p += "const " + real + " a = " + a +
         ", w[4] = {((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a, ((a + 2) * t - (a + 3)) * t * t + 1, ((a + 2) * u - (a + 3)) * u * "
         "u + 1, "
         "((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a}; ";
  p += "for (int k = 0; k < " + std::to_string(rule.taps) + "; ++k) { int i = left + k; if (i < 0 || i >= n) { ";
  if (rule.padding == "zeros") p += "continue; ";
  else if (rule.padding == "border") p += "i = i < 0 ? 0 : n - 1; ";
  else p += "i = clamp((int)tn_mirror_" + real + "((" + real + ")i, low, high), 0, n - 1); ";
  return p + "} idx[m] = i; wgt[m++] = w[k]; } ";
}

class GridSampleOp final : public Op {
 public:
  explicit GridSampleOp(SampleRule rule) : rule_(std::move(rule)) {}

  void plan(PlanBuilder& b) const override {
    const Tensor &x = b.in(0), &grid = b.in(1);
    const std::size_t spatial = x.dims.size() - 2;
    if (x.dims.size() < 3 || spatial > 3 || grid.rank() != x.rank()) throw Failure{TENON_UNSUPPORTED_SHAPE, "one to three spatial axes are expected"};
    const Tensor y = b.make_out(0, layout_wanted(x));
    const std::string real = x.dtype == TENON_DTYPE_DOUBLE || grid.dtype == TENON_DTYPE_DOUBLE ? "double" : "float";
    // [N, spatial..., C]
    std::vector<std::int64_t> order{0};
    for (std::size_t d = 0; d < spatial; ++d) order.push_back(static_cast<std::int64_t>(d) + 2);
    order.push_back(1);
    const Tensor to = permuted(y, order), from = permuted(x, order);
    SpaceKernel k(b, "grid sample", to.dims);
    k.out("y", to), k.in("x", from), k.in("grid", grid);
    int most = 1;
    for (std::size_t d = 0; d < spatial; ++d) k.integer("in" + std::to_string(d), x.dims[d + 2]), most *= rule_.taps;
    k.helper(mirror_helper(real));
    std::vector<std::string> point{"c0"};
    for (std::size_t d = 0; d < spatial; ++d) point.push_back(k.at(d + 1));
    std::string row =
        "long off[" + std::to_string(most) + "]; " + real + " wt[" + std::to_string(most) + "]; int count = 1; off[0] = (long)c0 * x_s0; wt[0] = 1; ";
    for (std::size_t d = 0; d < spatial; ++d) {
      std::vector<std::string> at = point;
      at.push_back(std::to_string(spatial - 1 - d));
      row += "{ const int n = in" + std::to_string(d) + "; " + real + " x = " + k.load("grid", k.index("grid", at)) + "; int m = 0, idx[4]; " + real +
             " wgt[4]; " + neighbours(rule_, real) +
             "for (int i = count; i-- > 0;) for (int k = m; k-- > 0;) { off[i * m + k] = off[i] + (long)idx[k] * x_s" + std::to_string(d + 1) +
             "; wt[i * m + k] = wt[i] * wgt[k]; } count *= m; } ";
    }
    k.row(row);
    const bool vectors = from.strides.back() == 1 && to.strides.back() == 1 && real == "float";
    k.width(vectors ? static_cast<int>(b.profile().vector) : 1);
    const std::string channel = k.at(spatial + 1), channels = "x_s" + std::to_string(spatial + 1);
    k.each([&](int width) {
      const std::string type = real + (width == 1 ? "" : std::to_string(width));
      return type + " sum = 0; for (int i = 0; i < count; ++i) sum += wt[i] * " + k.load("x", "off[i] + (long)" + channel + " * " + channels, width) +
             "; " + k.store("y", k.here("y"), "sum", width);
    });
    k.cost(most);
    k.launch();
  }

 private:
  SampleRule rule_;
};

class AffineGridOp final : public Op {
 public:
  explicit AffineGridOp(bool corners) : corners_(corners) {}

  void plan(PlanBuilder& b) const override {
    const Tensor y = b.make_out(0), &theta = b.in(0);
    const std::size_t dims = y.dims.size() - 2;
    if (dims != 2 && dims != 3) throw Failure{TENON_INVALID_ARGUMENT, "a size of four or five numbers is expected"};
    SpaceKernel k(b, "affine grid", y.dims);
    k.out("y", y), k.in("theta", theta);
    const std::string type = k.compute("y"), j = k.at(dims + 1);
    std::string text = type + " sum = " + k.load("theta", k.index("theta", {"c0", j, std::to_string(dims)})) + "; ";
    for (std::size_t d = 0; d < dims; ++d) {
      // Coordinates from the fastest axis on.
      const std::string n = "n_" + std::to_string(d), c = k.at(dims - d);
      k.integer(n, y.dims[dims - d]);
      const std::string at = corners_ ? "(" + n + " == 1 ? 0 : -1 + 2 * (" + type + ")" + c + " / (" + n + " - 1))"
                                      : "((2 * (" + type + ")" + c + " + 1) / " + n + " - 1)";
      text += "sum += " + at + " * " + k.load("theta", k.index("theta", {"c0", j, std::to_string(d)})) + "; ";
    }
    k.each(text + k.store("y", k.here("y"), "sum"));
    k.cost(4);
    k.launch();
  }

 private:
  bool corners_;
};

bool read_rule(const Node& node, SampleRule& rule) {
  const std::string mode = node.text("mode", "linear");
  rule.padding = node.text("padding_mode", "zeros");
  rule.corners = node.integer("align_corners", 0) != 0;
  rule.taps = mode == "nearest" ? 1 : mode == "linear" || mode == "bilinear" ? 2 : mode == "cubic" || mode == "bicubic" ? 4 : 0;
  return rule.taps != 0 && (rule.padding == "zeros" || rule.padding == "border" || rule.padding == "reflection");
}

Support supports_sample(const Node& node, const Profile&) {
  SampleRule rule;
  if (!read_rule(node, rule)) return Support::no(TENON_REJECT_ATTRIBUTE, "this mode is not known");
  if (!is_floating(node.input(0)->dtype)) return Support::no(TENON_REJECT_DTYPE, "only floating types are blended");
  return Support::yes();
}
Support floating(const Node& node, const Profile&) {
  return is_floating(node.input(0)->dtype) ? known_inputs(node, {1}) : Support::no(TENON_REJECT_DTYPE, "only floating types");
}

std::unique_ptr<Op> make_sample(const Node& node, CompileContext&) {
  SampleRule rule;
  read_rule(node, rule);
  return std::make_unique<GridSampleOp>(std::move(rule));
}
std::unique_ptr<Op> make_affine(const Node& node, CompileContext&) { return std::make_unique<AffineGridOp>(node.integer("align_corners", 0) != 0); }

const OpRow rows[] = {{"", "GridSample", supports_sample, make_sample}, {"", "AffineGrid", floating, make_affine}};

}  // namespace

std::span<const OpRow> sample_rows() { return rows; }

}  // namespace tenon::opencl
