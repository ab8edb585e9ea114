// CumSum and CumProd: a line is walked by one item, vectors run across lines that are neighbours in memory.
#include "plugins/opencl/families.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

class CumulativeOp final : public Op {
 public:
  CumulativeOp(bool product, const Node& node)
      : product_(product), exclusive_(node.integer("exclusive", 0) != 0), reverse_(node.integer("reverse", 0) != 0) {}

  void plan(PlanBuilder& b) const override {
    const Tensor& x = b.in(0);
    if (!b.in(1).known) return plan_any_axis(b);
    const std::vector<std::int64_t> given = known_integers(b.in(1), "the axis");
    if (given.size() != 1) throw Failure{TENON_INVALID_ARGUMENT, "the axis must be one number"};
    const std::int64_t axis = front_axis(given[0], x.rank());
    const Tensor y = b.make_out(0);
    if (y.count() == 0) return;
    const std::int64_t outer = product(y.dims, 0, static_cast<std::size_t>(axis)), n = x.rank() == 0 ? 1 : x.dim(axis), inner = y.count() / outer / n;
    const Tensor from = dense_as(b.dense(x), {outer, n, inner}), to = dense_as(y, {outer, n, inner});
    SpaceKernel k(b, product_ ? "cumulative product" : "cumulative sum", {outer, inner});
    k.out("y", to), k.in("x", from), k.integer("n", n);
    const int width = static_cast<int>(storage_bytes(x.dtype) == 8 ? std::max(b.profile().vector / 2, 1u) : b.profile().vector);
    k.width(inner > 1 ? width : 1);
    k.each([&](int w) {
      const std::string at = reverse_ ? "n - 1 - j" : "j", fold = apply_text(product_ ? "mul" : "add", x.dtype, w, "next", "acc", "v");
      const std::string store = k.store("y", k.index("y", {"c0", at, "c1"}), exclusive_ ? "acc" : "next", w);
      return k.compute("x", w) + " acc = " + (product_ ? "1" : "0") + "; for (int j = 0; j < n; ++j) { const " + k.compute("x", w) +
             " v = " + k.load("x", k.index("x", {"c0", at, "c1"}), w) + "; " + k.compute("x", w) + " next; " + fold + " " + store + "acc = next; }";
    });
    k.cost(2 * static_cast<double>(n));
    k.launch();
  }

 private:
  // The axis is an element that the device reads: whoever stands first in a line walks it.
  void plan_any_axis(PlanBuilder& b) const {
    const Tensor x = b.dense(b.in(0)), y = b.make_out(0);
    const std::int64_t count = y.count();
    SpaceKernel k(b, "cumulative", {count});
    k.out("y", dense_as(y, {count})), k.in("x", dense_as(x, {count})), k.in("axis", b.in(1));
    std::string row = "long a = " + k.load("axis", "0") + "; a = a < 0 ? a + " + std::to_string(y.rank()) + " : a; int n = 1, step = 1; ";
    for (std::size_t d = 0; d < y.dims.size(); ++d) {
      const std::string size = "d" + std::to_string(d);
      k.integer(size, y.dims[d]);
      row += "if (a == " + std::to_string(d) + ") n = " + size + "; else if (a < " + std::to_string(d) + ") step *= " + size + "; ";
    }
    k.row(row);
    const std::string type = k.compute("x"), at = std::string("c0 + (long)(") + (reverse_ ? "n - 1 - j" : "j") + ") * step";
    k.each("if (c0 / step % n != 0) continue; " + type + " acc = " + (product_ ? "1" : "0") + "; for (int j = 0; j < n; ++j) { const " + type +
           " v = " + k.load("x", at) + "; " + type + " next; " + apply_text(product_ ? "mul" : "add", x.dtype, 1, "next", "acc", "v") +
           k.store("y", at, exclusive_ ? "acc" : "next") + "acc = next; }");
    k.cost(4);
    k.launch();
  }

  bool product_, exclusive_, reverse_;
};

template <bool product>
std::unique_ptr<Op> make(const Node& node, CompileContext&) {
  return std::make_unique<CumulativeOp>(product, node);
}

const OpRow rows[] = {{"", "CumSum", nullptr, make<false>}, {"", "CumProd", nullptr, make<true>}};

}  // namespace

std::span<const OpRow> scan_rows() { return rows; }

}  // namespace tenon::opencl
