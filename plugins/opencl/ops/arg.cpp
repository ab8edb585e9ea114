// ArgMax, ArgMin, Hardmax: where the largest or smallest element of a line is. A NaN goes before every number.
#include <algorithm>

#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

struct ArgRule {
  bool largest = true, last = false;
};

// Statements that take element v with index i (vectors of one width) into best and at.
std::string take(const ArgRule& rule, bool floats, int width, const std::string& v, const std::string& i) {
  std::string better = v + (rule.largest ? " >" : " <") + (rule.last ? "= " : " ") + "best";
  if (floats) better = "(" + better + ") | (" + v + " != " + v + (rule.last ? ")" : " & best == best)");
  if (width == 1) return "if (" + better + ") { best = " + v + "; at = " + i + "; } ";
  return "{ const IMASK m = " + better + "; best = select(best, " + v + ", m); at = select(at, " + i + ", m); } ";
}

// y: int64, the dims of x with size 1 along axis, any strides.
void plan_arg(PlanBuilder& b, const ArgRule& rule, const Tensor& x, std::size_t axis, const Tensor& y) {
  if (y.count() == 0) return;
  const std::int64_t n = x.dims[axis];
  if (n == 0) throw Failure{TENON_INVALID_ARGUMENT, "the largest or smallest of no elements"};
  const Compute c = compute_of(x.dtype);
  const bool wide = storage_bytes(x.dtype) == 8, floats = is_floating(x.dtype);
  const int full = static_cast<int>(wide ? std::max(b.profile().vector / 2, 1u) : b.profile().vector);
  // The innermost kept axis last in the space.
  std::vector<std::size_t> order;
  for (std::size_t a = 0; a < x.dims.size(); ++a)
    if (a != axis) order.push_back(a);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t p, std::size_t q) { return x.strides[p] > x.strides[q]; });
  Tensor from = x, to = y;
  from.dims.clear(), from.strides.clear(), to.dims.clear(), to.strides.clear();
  for (std::size_t a : order) {
    from.dims.push_back(x.dims[a]), from.strides.push_back(x.strides[a]);
    to.dims.push_back(x.dims[a]), to.strides.push_back(y.strides[a]);
  }
  const bool across = !order.empty() && from.strides.back() == 1 && full > 1, along = !across && x.strides[axis] == 1 && full > 1 && n >= 2 * full;
  SpaceKernel k(b, rule.largest ? "argmax" : "argmin", from.dims);
  k.out("y", to), k.in("x", from), k.integer("n", n), k.integer("step", x.strides[axis]);
  k.width(across ? full : 1);
  const std::string index_type = wide ? "long" : "int";
  k.each([&](int width) {
    const auto vector = [&](const std::string& t, int w) { return t + (w == 1 ? "" : std::to_string(w)); };
    const int w = along ? full : width;
    std::string p = "const long base = " + k.here("x") + "; ";
    const std::string type = compute_name(c, w), itype = vector(index_type, w);
    std::string text = take(rule, floats, w, "v", "(" + itype + ")j");
    if (!along) {
      p += type + " best = " + k.load("x", "base", w) + "; " + itype + " at = 0; for (int j = 1; j < n; ++j) { const " + type +
           " v = " + k.load("x", "base + (long)j * step", w) + "; " + text + "} ";
    } else {
      // Each lane has a best of its own, then the lanes are compared.
      p += "int found; { " + type + " best = " + k.load("x", "base", w) + "; " + itype + " at = 0; int j = " + std::to_string(w) + "; for (; j + " +
           std::to_string(w) + " <= n; j += " + std::to_string(w) + ") { const " + type + " v = " + k.load("x", "base + j", w) + "; " + text + "} ";
      p += compute_name(c) + " bests[" + std::to_string(w) + "]; " + index_type + " ats[" + std::to_string(w) + "]; vstore" + std::to_string(w) +
           "(best, 0, bests); vstore" + std::to_string(w) + "(at, 0, ats); ";
      p += "const int rest = j; " + compute_name(c) + " one = bests[0]; found = (int)ats[0]; for (int l = 1; l < " + std::to_string(w) +
           "; ++l) { const " + compute_name(c) + " v = bests[l]; const int i = (int)ats[l] + l; const bool same = v == one" +
           (floats ? " || (v != v && one != one)" : "") + "; " + "if (same ? i " + (rule.last ? ">" : "<") + " found : (v " +
           (rule.largest ? ">" : "<") + " one" + (floats ? " && one == one) || (v != v" : "") + ")) { one = v; found = i; } } ";
      std::string tail = take(rule, floats, 1, "v", "i");
      p += "{ " + compute_name(c) + " best = one; int at = found; for (int i = rest; i < n; ++i) { const " + compute_name(c) +
           " v = " + k.load("x", "base + i") + "; " + tail + "} found = at; } } ";
      p += k.store("y", k.here("y"), "(long)found");
      return p;
    }
    for (std::size_t m; (m = p.find("IMASK")) != std::string::npos;) p.replace(m, 5, itype);
    const std::string made = width == 1 ? "(long)at" : "convert_long" + std::to_string(width) + "(at)";
    if (width == 1 || to.strides.back() == 1) return p + k.store("y", k.here("y"), made, width);
    return p + "const long" + std::to_string(width) + " made = " + made + "; " +
           scatter_text(TENON_DTYPE_INT64, width, "y", k.here("y"), "y_s" + std::to_string(to.dims.size() - 1), "made");
  });
  if (along) {
    // The mask's type of the vector loop.
    k.helper("#define IMASK " + index_type + std::to_string(full));
  }
  k.cost(static_cast<double>(n) / (along ? full : 1));
  k.launch();
}

// x with at least one axis.
Tensor ranked(Tensor t) {
  if (t.dims.empty()) t.dims = {1}, t.strides = {1};
  return t;
}

class ArgOp final : public Op {
 public:
  ArgOp(std::int64_t axis, ArgRule rule) : axis_(axis), rule_(rule) {}

  void plan(PlanBuilder& b) const override {
    const Tensor x = ranked(b.in(0));
    const auto axis = static_cast<std::size_t>(front_axis(axis_, x.rank()));
    Dims dims = x.dims;
    dims[axis] = 1;
    plan_arg(b, rule_, x, axis, dense_as(b.make_out(0), dims));
  }

 private:
  std::int64_t axis_;
  ArgRule rule_;
};

class HardmaxOp final : public Op {
 public:
  explicit HardmaxOp(std::int64_t axis) : axis_(axis) {}

  void plan(PlanBuilder& b) const override {
    const Tensor x = ranked(b.in(0)), y = dense_as(b.make_out(0), x.dims);
    if (y.count() == 0) return;
    const auto axis = static_cast<std::size_t>(front_axis(axis_, x.rank()));
    Dims dims = x.dims;
    dims[axis] = 1;
    const Tensor best = b.temp(TENON_DTYPE_INT64, dims, Layout::dense);
    plan_arg(b, {}, x, axis, best);
    SpaceKernel k(b, "hardmax", y.dims);
    k.out("y", y), k.in("best", best);
    std::vector<std::string> from;
    for (std::size_t a = 0; a < dims.size(); ++a) from.push_back(a == axis ? "0" : k.at(a));
    k.each(k.store("y", k.here("y"), "(" + k.compute("y") + ")(best[" + k.index("best", from) + "] == " + k.at(axis) + " ? 1 : 0)"));
    k.launch();
  }

 private:
  std::int64_t axis_;
};

template <bool largest>
std::unique_ptr<Op> make_arg(const Node& n, CompileContext&) {
  return std::make_unique<ArgOp>(n.integer("axis", 0), ArgRule{largest, n.integer("select_last_index", 0) != 0});
}
std::unique_ptr<Op> make_hardmax(const Node& n, CompileContext&) { return std::make_unique<HardmaxOp>(n.integer("axis", -1)); }

double flops(const Node& node) { return opt_count(*node.input(0)); }

const OpRow rows[] = {
    {"", "ArgMax", nullptr, make_arg<true>, flops}, {"", "ArgMin", nullptr, make_arg<false>, flops}, {"", "Hardmax", nullptr, make_hardmax, flops}};

}  // namespace

std::span<const OpRow> arg_rows() { return rows; }

}  // namespace tenon::opencl
