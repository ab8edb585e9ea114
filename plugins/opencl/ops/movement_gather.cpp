// Gather, GatherElements, GatherND. An index that is out of range is an error where it is known while planning; one that the device
// computes is taken as the nearest that there is.
#include <algorithm>

#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

// Statements that declare `name` as the index read by `load`, counted from the front and inside [0, size).
std::string index_text(const std::string& name, const std::string& load, const std::string& size) {
  return "long " + name + " = " + load + "; " + name + " = clamp(" + name + " < 0 ? " + name + " + " + size + " : " + name + ", (long)0, (long)" +
         size + " - 1); ";
}

void check_known(const Tensor& indices, std::int64_t size) {
  if (!indices.known) return;
  for (std::int64_t i : known_integers(indices, "indices"))
    if (i < -size || i >= size) throw Failure{TENON_OUT_OF_RANGE, "index " + std::to_string(i) + " of an axis of " + std::to_string(size)};
}

void nothing_to_read(const Tensor& x, const Tensor& y) {
  if (x.count() == 0 && y.count() > 0) throw Failure{TENON_OUT_OF_RANGE, "elements of an empty tensor are asked for"};
}

class GatherOp final : public Op {
 public:
  explicit GatherOp(std::int64_t axis) : axis_(axis) {}

  void plan(PlanBuilder& b) const override {
    const Tensor& data = b.in(0);
    const Tensor& indices = b.in(1);
    const auto axis = static_cast<std::size_t>(front_axis(axis_, data.rank()));
    const std::int64_t size = data.dims[axis];
    check_known(indices, size);
    if (indices.known && indices.count() == 1) {
      // One known index: a window of the data.
      std::int64_t i = known_integers(indices, "indices")[0];
      Tensor view = sliced(data, static_cast<std::int64_t>(axis), i < 0 ? i + size : i, 1, 1);
      Tensor out = view;
      out.dims.erase(out.dims.begin() + static_cast<std::ptrdiff_t>(axis)),
          out.strides.erase(out.strides.begin() + static_cast<std::ptrdiff_t>(axis));
      out.dims.insert(out.dims.begin() + static_cast<std::ptrdiff_t>(axis), indices.dims.size(), 1);
      out.strides.insert(out.strides.begin() + static_cast<std::ptrdiff_t>(axis), indices.dims.size(), 1);
      return b.alias_out(0, out);
    }
    const Tensor out = b.make_out(0);
    nothing_to_read(data, out);
    const std::int64_t outer = product(data.dims, 0, axis), inner = product(data.dims, axis + 1, data.dims.size()), n = indices.count();
    const Tensor x = as_bits(dense_as(b.dense(data), {outer, size, inner})), y = as_bits(dense_as(out, {outer, n, inner})),
                 i = dense_as(b.dense(indices), {n});
    if (inner == 1) {
      SpaceKernel k(b, "gather", {outer, n});
      k.out("y", y), k.in("x", x), k.in("i", i), k.integer("size", size);
      k.each(index_text("at", k.load("i", k.at(1)), "size") +
             k.store("y", k.index("y", {"c0", "c1", "0"}), k.load("x", k.index("x", {"c0", "at", "0"}))));
      k.cost(2);
      return k.launch();
    }
    SpaceKernel k(b, "gather", y.dims);
    k.out("y", y), k.in("x", x), k.in("i", i), k.integer("size", size);
    k.row(index_text("at", k.load("i", "c1"), "size") + "const long from = " + k.index("x", {"c0", "at"}) + ", to = " + k.index("y", {"c0", "c1"}) +
          ";");
    k.width(static_cast<int>(b.profile().vector));
    k.each([&](int width) { return k.store("y", "to + c2", k.load("x", "from + c2", width), width); });
    k.launch();
  }

 private:
  std::int64_t axis_;
};

class GatherElementsOp final : public Op {
 public:
  explicit GatherElementsOp(std::int64_t axis) : axis_(axis) {}

  void plan(PlanBuilder& b) const override {
    const Tensor x = as_bits(b.in(0)), y = as_bits(b.make_out(0));
    const auto axis = static_cast<std::size_t>(front_axis(axis_, x.rank()));
    if (y.count() == 0) return;
    nothing_to_read(x, y);
    check_known(b.in(1), x.dims[axis]);
    SpaceKernel k(b, "gather elements", y.dims);
    k.out("y", y), k.in("x", x), k.in("i", b.in(1)), k.integer("size", x.dims[axis]);
    std::vector<std::string> from;
    for (std::size_t a = 0; a < y.dims.size(); ++a) from.push_back(a == axis ? "at" : k.at(a));
    k.each(index_text("at", k.load("i", k.here("i")), "size") + k.store("y", k.here("y"), k.load("x", k.index("x", from))));
    k.cost(3);
    k.launch();
  }

 private:
  std::int64_t axis_;
};

class GatherNDOp final : public Op {
 public:
  explicit GatherNDOp(std::int64_t batch) : batch_(static_cast<std::size_t>(batch)) {}

  void plan(PlanBuilder& b) const override {
    const Tensor &data = b.in(0), &indices = b.in(1);
    const Tensor out = b.make_out(0);
    if (out.count() == 0) return;
    nothing_to_read(data, out);
    const auto depth = static_cast<std::size_t>(indices.dim(-1));
    const std::int64_t batches = product(data.dims, 0, batch_), tuples = depth == 0 ? product(indices.dims, batch_, indices.dims.size() - 1)
                                                                                    : indices.count() / batches / static_cast<std::int64_t>(depth);
    const std::int64_t inner = product(data.dims, batch_ + depth, data.dims.size());
    Dims folded{batches};
    for (std::size_t d = 0; d < depth; ++d) folded.push_back(data.dims[batch_ + d]);
    folded.push_back(inner);
    const Tensor x = as_bits(dense_as(b.dense(data), folded)), y = as_bits(dense_as(out, {batches, tuples, inner}));
    const Tensor i = dense_as(b.dense(indices), {batches, tuples, static_cast<std::int64_t>(depth)});
    SpaceKernel k(b, "gather nd", y.dims);
    k.out("y", y), k.in("x", x), k.in("i", i);
    std::string row;
    std::vector<std::string> from{"c0"};
    for (std::size_t d = 0; d < depth; ++d) {
      const std::string n = std::to_string(d);
      k.integer("size" + n, folded[d + 1]);
      row += index_text("at" + n, k.load("i", k.index("i", {"c0", "c1", n})), "size" + n);
      from.push_back("at" + n);
    }
    k.row(row + "const long from = " + k.index("x", from) + ", to = " + k.index("y", {"c0", "c1"}) + ";");
    k.width(inner > 1 ? static_cast<int>(b.profile().vector) : 1);
    k.each([&](int width) { return k.store("y", "to + c2", k.load("x", "from + c2", width), width); });
    k.cost(inner > 1 ? 1 : 4);
    k.launch();
  }

 private:
  std::size_t batch_;
};

std::unique_ptr<Op> make_gather(const Node& n, CompileContext&) { return std::make_unique<GatherOp>(n.integer("axis", 0)); }
std::unique_ptr<Op> make_elements(const Node& n, CompileContext&) { return std::make_unique<GatherElementsOp>(n.integer("axis", 0)); }
std::unique_ptr<Op> make_nd(const Node& n, CompileContext&) { return std::make_unique<GatherNDOp>(n.integer("batch_dims", 0)); }

const OpRow rows[] = {{"", "Gather", nullptr, make_gather}, {"", "GatherElements", nullptr, make_elements}, {"", "GatherND", nullptr, make_nd}};

}  // namespace

std::span<const OpRow> gather_rows() { return rows; }

}  // namespace tenon::opencl
