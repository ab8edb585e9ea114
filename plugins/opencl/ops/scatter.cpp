// ScatterElements, ScatterND, MaxUnpool, TensorScatter: a copy of the data, then updates in their order, so that repeated indices give
// the same result every time. What cannot collide runs side by side. An index that is out of range is an error where it is known while
// planning; one that the device computes is left out.
#include <algorithm>

#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

// The data's elements as the result's, to be updated in place.
Tensor start_from(PlanBuilder& b, const Tensor& data) {
  const Tensor out = b.make_out(0);
  if (data.count() > 0) b.copy(data, out);
  return out;
}

void check_known(const Tensor& indices, std::int64_t size) {
  if (!indices.known) return;
  for (std::int64_t i : known_integers(indices, "indices"))
    if (i < -size || i >= size) throw Failure{TENON_OUT_OF_RANGE, "index " + std::to_string(i) + " of an axis of " + std::to_string(size)};
}

// Statements that put the update at `from` into the element at `to`, both indices. fn: add, mul, min, max; "": replaces.
std::string update(const SpaceKernel& k, const std::string& fn, std::int32_t dtype, const std::string& to, const std::string& from, int width = 1) {
  if (fn.empty()) return k.store("y", to, k.load("u", from, width), width);
  return "const " + k.compute("y", width) + " old = " + k.load("y", to, width) + ", more = " + k.load("u", from, width) + "; " +
         k.compute("y", width) + " made; " + apply_text(fn, dtype, width, "made", "old", "more") + k.store("y", to, "made", width);
}

std::string reduction_of(const Node& node) {
  const std::string r = node.text("reduction", "none");
  return r == "none" ? "" : r;
}
// Bits are moved where nothing is computed.
Tensor seen(const Tensor& t, const std::string& fn) { return fn.empty() ? as_bits(t) : t; }

class ScatterElementsOp final : public Op {
 public:
  ScatterElementsOp(std::int64_t axis, std::string fn) : axis_(axis), fn_(std::move(fn)) {}

  void plan(PlanBuilder& b) const override {
    const Tensor y = seen(start_from(b, b.in(0)), fn_), u = seen(b.in(2), fn_), &indices = b.in(1);
    const auto axis = static_cast<std::size_t>(front_axis(axis_, y.rank()));
    check_known(indices, y.rank() == 0 ? 1 : y.dims[axis]);
    if (indices.count() == 0) return;
    // Lines along the axis: only within one can two indices be equal.
    Dims lines = indices.dims;
    const std::int64_t n = lines.empty() ? 1 : std::exchange(lines[axis], 1);
    SpaceKernel k(b, "scatter elements", lines);
    k.out("y", y), k.in("u", u), k.in("i", indices), k.integer("n", n), k.integer("size", y.rank() == 0 ? 1 : y.dims[axis]);
    std::vector<std::string> from, to;
    for (std::size_t a = 0; a < lines.size(); ++a) from.push_back(a == axis ? "j" : k.at(a)), to.push_back(a == axis ? "at" : k.at(a));
    k.each("for (int j = 0; j < n; ++j) { long at = " + k.load("i", k.index("i", from)) +
           "; at = at < 0 ? at + size : at; if (at < 0 || at >= size) continue; " +
           update(k, fn_, b.in(0).dtype, k.index("y", to), k.index("u", from)) + "}");
    k.cost(3 * static_cast<double>(n));
    k.launch();
  }

 private:
  std::int64_t axis_;
  std::string fn_;
};

class ScatterNDOp final : public Op {
 public:
  explicit ScatterNDOp(std::string fn) : fn_(std::move(fn)) {}

  void plan(PlanBuilder& b) const override {
    const Tensor out = start_from(b, b.in(0));
    const Tensor& indices = b.in(1);
    if (b.in(2).count() == 0 || out.count() == 0) return;
    const auto depth = static_cast<std::size_t>(indices.dim(-1));
    const std::int64_t tuples = product(indices.dims, 0, indices.dims.size() - 1), inner = product(out.dims, depth, out.dims.size());
    Dims folded(out.dims.begin(), out.dims.begin() + static_cast<std::ptrdiff_t>(depth));
    if (indices.known) {
      const std::vector<std::int64_t> known = known_integers(indices, "indices");
      for (std::size_t i = 0; i < known.size(); ++i)
        if (const std::int64_t size = folded[i % depth]; known[i] < -size || known[i] >= size)
          throw Failure{TENON_OUT_OF_RANGE, "index " + std::to_string(known[i]) + " of an axis of " + std::to_string(size)};
    }
    folded.push_back(inner);
    const Tensor y = seen(dense_as(out, folded), fn_), u = seen(dense_as(b.dense(b.in(2)), {tuples, inner}), fn_);
    const Tensor i = dense_as(b.dense(indices), {tuples, static_cast<std::int64_t>(depth)});
    // Every element of a slice goes through all tuples in their order.
    SpaceKernel k(b, "scatter nd", {inner});
    k.out("y", y), k.in("u", u), k.in("i", i), k.integer("tuples", tuples);
    std::string text = "for (int j = 0; j < tuples; ++j) { long at; long to = 0; bool inside = true; ";
    for (std::size_t d = 0; d < depth; ++d) {
      const std::string n = std::to_string(d);
      k.integer("size" + n, folded[d]);
      text += "at = " + k.load("i", k.index("i", {"j", n})) + "; at = at < 0 ? at + size" + n + " : at; inside = inside && at >= 0 && at < size" + n +
              "; to += at * y_s" + n + "; ";
    }
    k.width(inner > 1 ? static_cast<int>(b.profile().vector) : 1);
    k.each(
        [&](int width) { return text + "if (!inside) continue; " + update(k, fn_, b.in(0).dtype, "to + c0", "(long)j * u_s0 + c0", width) + "}"; });
    k.cost(static_cast<double>(tuples));
    k.launch();
  }

 private:
  std::string fn_;
};

// Windows that overlap name an element more than once, with the same value.
class MaxUnpoolOp final : public Op {
 public:
  explicit MaxUnpoolOp(const Node& node) : kernel_(node.integers("kernel_shape")), pads_(node.integers("pads")), strides_(node.integers("strides")) {}

  void plan(PlanBuilder& b) const override {
    const Tensor out = b.make_out(0);
    fill(b, as_bits(out), 0);
    const std::int64_t n = b.in(0).count();
    if (n == 0) return;
    // Indices count elements of the output that the pooling had as its input; output_shape may ask for a larger one.
    Dims dims = b.in(0).dims;
    const std::size_t spatial = dims.size() - 2;
    for (std::size_t s = 0; s < spatial; ++s) {
      const std::int64_t pads = pads_.empty() ? 0 : pads_[s] + pads_[s + spatial], stride = strides_.empty() ? 1 : strides_[s];
      dims[s + 2] = (dims[s + 2] - 1) * stride - pads + kernel_[s];
    }
    const Tensor y = as_bits(out), x = as_bits(dense_as(b.dense(b.in(0)), {n})), i = dense_as(b.dense(b.in(1)), {n});
    SpaceKernel k(b, "max unpool", {n});
    k.out("y", y), k.in("x", x), k.in("i", i);
    std::string text = "long t = " + k.load("i", k.here("i")) + "; bool inside = t >= 0; ";
    std::vector<std::string> to(dims.size());
    for (std::size_t a = dims.size(); a-- > 0;) {
      const std::string d = std::to_string(a);
      k.integer("m" + d, dims[a]), k.integer("size" + d, out.dims[a]);
      text += "const long k" + d + " = t % m" + d + "; t /= m" + d + "; inside = inside && k" + d + " < size" + d + "; ";
      to[a] = "k" + d;
    }
    k.each(text + "if (inside && t == 0) { " + k.store("y", k.index("y", to), k.load("x", k.here("x"))) + "}");
    k.cost(4);
    k.launch();
  }

 private:
  std::vector<std::int64_t> kernel_, pads_, strides_;
};

// Rows of new elements put into a cache at a place of each batch's own.
class TensorScatterOp final : public Op {
 public:
  TensorScatterOp(std::int64_t axis, bool circular) : axis_(axis), circular_(circular) {}

  void plan(PlanBuilder& b) const override {
    const Tensor y = as_bits(start_from(b, b.in(0))), u = as_bits(b.in(1));
    if (u.count() == 0) return;
    const auto axis = static_cast<std::size_t>(front_axis(axis_, y.rank()));
    SpaceKernel k(b, "tensor scatter", u.dims);
    k.out("y", y), k.in("u", u), k.integer("size", y.dims[axis]);
    std::string start = "0";
    if (b.in(2).present()) k.in("first", b.in(2)), start = k.load("first", k.index("first", {"c0"}));
    std::vector<std::string> to;
    for (std::size_t a = 0; a < u.dims.size(); ++a) to.push_back(a == axis ? "at" : k.at(a));
    k.each("long at = " + start + " + " + k.at(axis) + "; " + (circular_ ? "at %= size; " : "") + "if (at >= 0 && at < size) { " +
           k.store("y", k.index("y", to), k.load("u", k.here("u"))) + "}");
    k.cost(3);
    k.launch();
  }

 private:
  std::int64_t axis_;
  bool circular_;
};

Support reductions(const Node& node, const Profile&) {
  const std::string fn = reduction_of(node);
  if (fn.empty()) return Support::yes();
  if (fn != "add" && fn != "mul" && fn != "min" && fn != "max") return Support::no(TENON_REJECT_ATTRIBUTE, "reduction \"" + fn + "\" is not known");
  if (node.input(0)->dtype == TENON_DTYPE_BOOL) return Support::no(TENON_REJECT_DTYPE, "no reduction of bool");
  return Support::yes();
}

std::unique_ptr<Op> make_elements(const Node& n, CompileContext&) {
  return std::make_unique<ScatterElementsOp>(n.integer("axis", 0), reduction_of(n));
}
std::unique_ptr<Op> make_nd(const Node& n, CompileContext&) { return std::make_unique<ScatterNDOp>(reduction_of(n)); }
std::unique_ptr<Op> make_unpool(const Node& n, CompileContext&) { return std::make_unique<MaxUnpoolOp>(n); }
std::unique_ptr<Op> make_tensor(const Node& n, CompileContext&) {
  return std::make_unique<TensorScatterOp>(n.integer("axis", -2), n.text("mode", "linear") == "circular");
}

const OpRow rows[] = {
    {"", "ScatterElements", reductions, make_elements},
    {"", "Scatter", reductions, make_elements},
    {"", "ScatterND", reductions, make_nd},
    {"", "MaxUnpool", nullptr, make_unpool},
    {"", "TensorScatter", nullptr, make_tensor},
};

}  // namespace

std::span<const OpRow> scatter_rows() { return rows; }

}  // namespace tenon::opencl
