// ConstantOfShape, Range, EyeLike, OneHot, Shape, Size: results made of few numbers.
#include <algorithm>
#include <cstring>

#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

class ConstantOfShapeOp final : public Op {
 public:
  explicit ConstantOfShapeOp(const Node& node) {
    const tenon_attr* a = node.attribute("value");
    if (!a || a->type != 4) return;
    const auto* value = static_cast<const tenon_const_tensor*>(a->data);
    std::memcpy(&bits_, value->data, static_cast<std::size_t>(storage_bytes(value->dtype)));
  }

  void plan(PlanBuilder& b) const override {
    const Tensor out = as_bits(b.make_out(0));
    if (out.count() == 0) return;
    Expression e;
    e.outputs = {e.literal(out.dtype, 0)};
    e.nodes[0].integer = bits_;
    launch_elementwise(b, e, {}, {out}, "fill");
  }

 private:
  std::int64_t bits_ = 0;
};

class RangeOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Tensor out = b.make_out(0);
    if (out.count() == 0) return;
    // Half types are computed as floats and rounded where they are stored.
    SpaceKernel k(b, "range", {out.count()});
    k.out("y", out), k.in("start", b.in(0)), k.in("delta", b.in(2));
    const std::string type = k.compute("y");
    k.row("const " + type + " from = " + k.load("start", "0") + ", step = " + k.load("delta", "0") + ";");
    k.each(k.store("y", k.here("y"), "from + (" + type + ")c0 * step"));
    k.launch();
  }
};

class EyeLikeOp final : public Op {
 public:
  explicit EyeLikeOp(std::int64_t k) : k_(k) {}
  void plan(PlanBuilder& b) const override {
    const Tensor y = b.make_out(0);
    SpaceKernel k(b, "eye", y.dims);
    k.out("y", y), k.scalar("long", "shift", Arg::i64(k_));
    k.each(k.store("y", k.here("y"), "(" + k.compute("y") + ")((long)c1 - c0 == shift ? 1 : 0)"));
    k.launch();
  }

 private:
  std::int64_t k_;
};

class OneHotOp final : public Op {
 public:
  explicit OneHotOp(std::int64_t axis) : axis_(axis) {}

  void plan(PlanBuilder& b) const override {
    const Tensor y = as_bits(b.make_out(0)), values = as_bits(b.in(2)), &indices = b.in(0);
    const auto axis = static_cast<std::size_t>(front_axis(axis_, y.rank()));
    SpaceKernel k(b, "one hot", y.dims);
    k.out("y", y), k.in("i", indices), k.in("values", values), k.integer("depth", y.dims[axis]);
    std::vector<std::string> from;
    for (std::size_t a = 0; a < y.dims.size(); ++a)
      if (a != axis) from.push_back(k.at(a));
    const std::string type = k.compute("values");
    k.row("const " + type + " off = " + k.load("values", k.index("values", {"0"})) + ", on = " + k.load("values", k.index("values", {"1"})) + ";");
    // A float index counts as the integer below it.
    k.each("long at = (long)" + k.load("i", k.index("i", from)) + "; at = at < 0 ? at + depth : at; " +
           k.store("y", k.here("y"), "at == " + k.at(axis) + " ? on : off"));
    k.cost(2);
    k.launch();
  }

 private:
  std::int64_t axis_;
};

// The dims of a tensor, or how many elements it has: numbers that the plan knows.
class ShapeOp final : public Op {
 public:
  ShapeOp(std::int64_t start, std::int64_t end, bool size) : start_(start), end_(end), size_(size) {}

  void plan(PlanBuilder& b) const override {
    const Tensor y = b.make_out(0);
    const Tensor& x = b.in(0);
    const auto place = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + x.rank() : i, 0, x.rank()); };
    Dims numbers(x.dims.begin() + place(start_), x.dims.begin() + std::max(place(start_), place(end_)));
    if (size_) numbers = {x.count()};
    if (numbers.empty()) return;
    SpaceKernel k(b, "shape", {});
    k.out("y", y);
    std::string text;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const std::string n = "v" + std::to_string(i);
      k.scalar("long", n, Arg::i64(numbers[i]));
      text += k.store("y", std::to_string(i), n);
    }
    k.each(text);
    k.launch();
  }

 private:
  std::int64_t start_, end_;
  bool size_;
};

Support value_type(const Node& node, const Profile&) {
  const tenon_attr* a = node.attribute("value");
  if (a && a->type == 4 && static_cast<const tenon_const_tensor*>(a->data)->dtype != node.output(0)->dtype)
    return Support::no(TENON_REJECT_DTYPE, "the value has another type than the output");
  return Support::yes();
}

std::unique_ptr<Op> make_fill(const Node& n, CompileContext&) { return std::make_unique<ConstantOfShapeOp>(n); }
std::unique_ptr<Op> make_range(const Node&, CompileContext&) { return std::make_unique<RangeOp>(); }
std::unique_ptr<Op> make_eye(const Node& n, CompileContext&) { return std::make_unique<EyeLikeOp>(n.integer("k", 0)); }
std::unique_ptr<Op> make_one_hot(const Node& n, CompileContext&) { return std::make_unique<OneHotOp>(n.integer("axis", -1)); }
std::unique_ptr<Op> make_shape(const Node& n, CompileContext&) {
  return std::make_unique<ShapeOp>(n.integer("start", 0), n.integer("end", INT64_MAX), false);
}
std::unique_ptr<Op> make_size(const Node&, CompileContext&) { return std::make_unique<ShapeOp>(0, 0, true); }

const OpRow rows[] = {
    {"", "ConstantOfShape", value_type, make_fill}, {"", "Range", nullptr, make_range}, {"", "EyeLike", nullptr, make_eye},
    {"", "OneHot", nullptr, make_one_hot},          {"", "Shape", nullptr, make_shape}, {"", "Size", nullptr, make_size},
};

}  // namespace

std::span<const OpRow> generate_rows() { return rows; }

}  // namespace tenon::opencl
