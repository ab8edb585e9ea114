// Pad in all its modes and CenterCropPad: every index of the result has an index of the input, or the constant.
#include <algorithm>

#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

enum class Mode { constant, reflect, edge, wrap };

// Elements that lie inside the input: one copy of a window. before: what stands in front, negative where cropped.
void copy_inside(PlanBuilder& b, const Tensor& x, const Tensor& out, const Dims& before) {
  Tensor from = x, to = out;
  for (std::size_t a = 0; a < x.dims.size(); ++a) {
    const std::int64_t first = std::max<std::int64_t>(before[a], 0), last = std::min(out.dims[a], before[a] + x.dims[a]),
                       n = std::max<std::int64_t>(last - first, 0);
    from = sliced(from, static_cast<std::int64_t>(a), first - before[a], n, 1);
    to = sliced(to, static_cast<std::int64_t>(a), first, n, 1);
  }
  if (to.count() > 0) b.copy(from, to);
}

void plan_constant(PlanBuilder& b, const Dims& before, const Tensor& value) {
  const Tensor& x = b.in(0);
  const Tensor out = b.make_out(0, layout_wanted(x));
  bool covered = true;
  for (std::size_t a = 0; a < x.dims.size(); ++a) covered &= before[a] <= 0 && before[a] + x.dims[a] >= out.dims[a];
  if (!covered) {
    if (value.present() && value.count() > 0) b.copy(broadcast(dense_as(b.dense(value), {}), out.dims), out);
    else fill(b, as_bits(out), 0);
  }
  copy_inside(b, x, out, before);
}

// The text of the input's index along one axis for index `c` of the result.
std::string source(Mode mode, const std::string& c, const std::string& before, const std::string& size) {
  const std::string i = "(" + c + " - " + before + ")";
  if (mode == Mode::edge) return "clamp(" + i + ", 0, " + size + " - 1)";
  if (mode == Mode::wrap) return "((" + i + " % " + size + " + " + size + ") % " + size + ")";
  return "tn_reflect(" + i + ", " + size + ")";
}

constexpr const char* reflect_helper =
    "inline int tn_reflect(int i, int n) { if (n == 1) return 0; const int period = 2 * (n - 1), m = (i % period + period) % period; return m < n ? "
    "m : period - m; }";

// The result's borders as copies of its own elements, axis after axis: for large tensors, where no border is wider than what it repeats.
bool plan_borders(PlanBuilder& b, Mode mode, const Dims& before) {
  const Tensor& x = b.in(0);
  const Dims& dims = b.out_shape(0).dims;
  if (b.out_shape(0).count() < 32768) return false;
  for (std::size_t a = 0; a < dims.size(); ++a) {
    const std::int64_t size = x.dims[a], after = dims[a] - size - before[a],
                       widest = mode == Mode::reflect ? size - 1
                                : mode == Mode::wrap  ? size
                                                      : INT64_MAX;
    if (before[a] < 0 || after < 0 || before[a] > widest || after > widest) return false;
  }
  const Tensor out = b.make_out(0, layout_wanted(x));
  copy_inside(b, x, out, before);
  Tensor done = out;  // complete along the axes behind
  for (std::size_t d = 0; d < dims.size(); ++d) done = sliced(done, static_cast<std::int64_t>(d), before[d], x.dims[d], 1);
  for (std::size_t d = dims.size(); d-- > 0;) {
    const auto axis = static_cast<std::int64_t>(d);
    const std::int64_t size = x.dims[d], first = before[d], after = dims[d] - size - first;
    Tensor whole = done;
    whole.dims[d] = dims[d], whole.offset -= first * out.strides[d];
    // count indices of the result from `to` on show those from `from` on, `step` apart.
    const auto repeat = [&](std::int64_t to, std::int64_t from, std::int64_t count, std::int64_t step) {
      if (count > 0) b.copy(sliced(whole, axis, from, count, step), sliced(whole, axis, to, count, 1));
    };
    if (mode == Mode::edge) repeat(0, first, first, 0), repeat(first + size, first + size - 1, after, 0);
    if (mode == Mode::wrap) repeat(0, size, first, 1), repeat(first + size, first, after, 1);
    if (mode == Mode::reflect) repeat(0, 2 * first, first, -1), repeat(first + size, first + size - 2, after, -1);
    done = whole;
  }
  return true;
}

void plan_repeating(PlanBuilder& b, Mode mode, const Dims& before) {
  const Tensor x = as_bits(b.in(0)), y = as_bits(b.make_out(0, layout_wanted(b.in(0))));
  if (y.count() == 0) return;
  if (x.count() == 0) throw Failure{TENON_INVALID_ARGUMENT, "there is nothing to repeat"};
  SpaceKernel k(b, "pad", y.dims);
  k.out("y", y), k.in("x", x);
  if (mode == Mode::reflect) k.helper(reflect_helper);
  std::vector<std::string> from;
  for (std::size_t a = 0; a < y.dims.size(); ++a) {
    const std::string n = std::to_string(a);
    k.integer("before" + n, before[a]), k.integer("size" + n, x.dims[a]);
    from.push_back(before[a] == 0 && x.dims[a] == y.dims[a] ? k.at(a) : source(mode, k.at(a), "before" + n, "size" + n));
  }
  k.each(k.store("y", k.here("y"), k.load("x", k.index("x", from))));
  k.cost(4);
  k.launch();
}

class PadOp final : public Op {
 public:
  explicit PadOp(Mode mode) : mode_(mode) {}

  void plan(PlanBuilder& b) const override {
    const Tensor& x = b.in(0);
    const std::vector<std::int64_t> pads = known_integers(b.in(1), "pads");
    std::vector<std::int64_t> axes = known_integers(b.in(3), "axes");
    if (!b.in(3).present())
      for (std::int64_t a = 0; a < x.rank(); ++a) axes.push_back(a);
    if (pads.size() != 2 * axes.size())
      throw Failure{TENON_INVALID_ARGUMENT, std::to_string(2 * axes.size()) + " pads are needed, found " + std::to_string(pads.size())};
    Dims before(x.dims.size(), 0);
    for (std::size_t i = 0; i < axes.size(); ++i) before[static_cast<std::size_t>(front_axis(axes[i], x.rank()))] = pads[i];
    if (b.out_shape(0).count() == 0) return void(b.make_out(0));
    if (mode_ == Mode::constant) plan_constant(b, before, b.in(2));
    else if (b.in(0).count() == 0 || !plan_borders(b, mode_, before)) plan_repeating(b, mode_, before);
  }

 private:
  Mode mode_;
};

class CenterCropPadOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Dims &from = b.in(0).dims, &to = b.out_shape(0).dims;
    Dims before(from.size());
    for (std::size_t a = 0; a < from.size(); ++a) {
      const std::int64_t more = to[a] - from[a];
      before[a] = more >= 0 ? more / 2 : -(-more / 2);
    }
    plan_constant(b, before, {});
  }
};

bool mode_of(const Node& node, Mode& mode) {
  const std::string text = node.text("mode", "constant");
  mode = text == "reflect" ? Mode::reflect : text == "edge" ? Mode::edge : text == "wrap" ? Mode::wrap : Mode::constant;
  return mode != Mode::constant || text == "constant";
}

Support supports(const Node& node, const Profile&) {
  Mode mode;
  if (!mode_of(node, mode)) return Support::no(TENON_REJECT_ATTRIBUTE, "mode \"" + node.text("mode", "") + "\" is not known");
  return known_inputs(node, {1, 3});
}

std::unique_ptr<Op> make_pad(const Node& node, CompileContext&) {
  Mode mode;
  mode_of(node, mode);
  return std::make_unique<PadOp>(mode);
}
std::unique_ptr<Op> make_crop(const Node&, CompileContext&) { return std::make_unique<CenterCropPadOp>(); }

const OpRow rows[] = {{"", "Pad", supports, make_pad}, {"", "CenterCropPad", nullptr, make_crop}};

}  // namespace

std::span<const OpRow> pad_rows() { return rows; }

}  // namespace tenon::opencl
