// Concat, Tile, DepthToSpace, SpaceToDepth, ReverseSequence, Trilu, Dropout: elements in other places.
#include <algorithm>

#include "plugins/opencl/ops/movement.h"

namespace tenon::opencl {
namespace {

class ConcatOp final : public Op {
 public:
  explicit ConcatOp(std::int64_t axis) : axis_(axis) {}

  void plan(PlanBuilder& b) const override {
    const std::int64_t axis = front_axis(axis_, b.out_shape(0).rank());
    Layout layout = Layout::channels_last;
    for (std::size_t i = 0; i < b.inputs(); ++i)
      if (b.in(i).present() && b.in(i).count() > 0 && layout_wanted(b.in(i)) == Layout::dense) layout = Layout::dense;
    const Tensor out = b.make_out(0, layout);
    std::int64_t at = 0;
    for (std::size_t i = 0; i < b.inputs(); ++i) {
      const Tensor& x = b.in(i);
      if (!x.present()) continue;
      const std::int64_t size = x.dim(axis);
      if (x.count() > 0) b.copy(x, sliced(out, axis, at, size, 1));
      at += size;
    }
  }

 private:
  std::int64_t axis_;
};

class TileOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Tensor& x = b.in(0);
    const Tensor out = b.make_out(0);
    if (out.count() == 0) return;
    // Each axis as [repeats, size]: the repeats all show the same elements.
    Tensor from = x;
    from.dims.clear(), from.strides.clear(), from.known = nullptr;
    for (std::size_t a = 0; a < x.dims.size(); ++a) {
      from.dims.push_back(out.dims[a] / x.dims[a]), from.strides.push_back(0);
      from.dims.push_back(x.dims[a]), from.strides.push_back(x.strides[a]);
    }
    b.copy(from, dense_as(out, from.dims));
  }
};

class DepthOp final : public Op {
 public:
  DepthOp(std::int64_t block, bool to_space, bool depth_first) : block_(block), to_space_(to_space), depth_first_(depth_first) {}

  void plan(PlanBuilder& b) const override {
    const Tensor& x = b.in(0);
    if (x.rank() != 4) throw Failure{TENON_INVALID_ARGUMENT, "four axes are needed, found " + std::to_string(x.rank())};
    const Tensor out = b.make_out(0);
    if (out.count() == 0) return;
    const std::int64_t n = x.dims[0], s = block_;
    if (to_space_) {
      const std::int64_t c = x.dims[1] / (s * s), h = x.dims[2], w = x.dims[3];
      // [n, c, h, s, w, s] of the result.
      Tensor from;
      if (depth_first_) from = permuted(dense_as(b.dense(x), {n, c, s, s, h, w}), {0, 1, 4, 2, 5, 3});
      else from = permuted(dense_as(b.dense(x), {n, s, s, c, h, w}), {0, 3, 4, 1, 5, 2});
      b.copy(from, dense_as(out, from.dims));
      return;
    }
    const std::int64_t c = x.dims[1], h = x.dims[2] / s, w = x.dims[3] / s;
    const std::vector<std::int64_t> order = depth_first_ ? std::vector<std::int64_t>{0, 1, 3, 5, 2, 4} : std::vector<std::int64_t>{0, 3, 5, 1, 2, 4};
    const Tensor from = permuted(dense_as(b.dense(x), {n, c, h, s, w, s}), order);
    b.copy(from, dense_as(out, from.dims));
  }

 private:
  std::int64_t block_;
  bool to_space_, depth_first_;
};

class ReverseSequenceOp final : public Op {
 public:
  ReverseSequenceOp(std::int64_t batch, std::int64_t time) : batch_(batch), time_(time) {}

  void plan(PlanBuilder& b) const override {
    const Tensor x = as_bits(b.in(0)), y = as_bits(b.make_out(0));
    const auto batch = static_cast<std::size_t>(front_axis(batch_, x.rank())), time = static_cast<std::size_t>(front_axis(time_, x.rank()));
    SpaceKernel k(b, "reverse sequence", y.dims);
    k.out("y", y), k.in("x", x), k.in("lengths", b.in(1));
    std::vector<std::string> from;
    for (std::size_t a = 0; a < y.dims.size(); ++a) from.push_back(a == time ? "from" : k.at(a));
    k.each([&](int) {
      return "const int n = (int)" + k.load("lengths", k.index("lengths", {k.at(batch)})) + ", from = " + k.at(time) + " < n ? n - 1 - " +
             k.at(time) + " : " + k.at(time) + "; " + k.store("y", k.here("y"), k.load("x", k.index("x", from)));
    });
    k.cost(3);
    k.launch();
  }

 private:
  std::int64_t batch_, time_;
};

class TriluOp final : public Op {
 public:
  explicit TriluOp(bool upper) : upper_(upper) {}

  void plan(PlanBuilder& b) const override {
    const Tensor x = as_bits(b.in(0)), y = as_bits(b.make_out(0));
    if (x.rank() < 2) throw Failure{TENON_INVALID_ARGUMENT, "two axes are needed"};
    SpaceKernel k(b, "trilu", y.dims);
    k.out("y", y), k.in("x", x);
    const std::string row = k.at(y.dims.size() - 2), column = k.at(y.dims.size() - 1);
    std::string diagonal = "0";
    if (b.in(1).present()) k.in("diagonal", b.in(1)), diagonal = "diagonal[0]";
    k.row("const long shift = " + diagonal + ";");
    k.each("const bool keep = (long)" + column + " - " + row + (upper_ ? " >= " : " <= ") + "shift; " +
           k.store("y", k.here("y"), "keep ? " + k.load("x", k.here("x")) + " : (" + k.compute("x") + ")0"));
    k.launch();
  }

 private:
  bool upper_;
};

// In inference the input as it is, and a mask that lets everything through.
class DropoutOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    if (const Tensor& training = b.in(2); training.present()) {
      if (!training.known) throw Failure{TENON_UNSUPPORTED_SHAPE, "training_mode must be known before the run"};
      if (*static_cast<const unsigned char*>(training.known)) throw Failure{TENON_UNSUPPORTED_SHAPE, "no training here"};
    }
    b.alias_out(0, b.in(0));
    if (b.outputs() > 1 && b.out_shape(1).present()) fill(b, b.make_out(1), 1);
  }
};

Support known_training(const Node& node, const Profile&) {
  if (node.input(2) && !is_constant(node.input(2))) return Support::no(TENON_REJECT_NEEDS_CONSTANT, "training_mode must be constant");
  return Support::yes();
}

std::unique_ptr<Op> make_concat(const Node& n, CompileContext&) { return std::make_unique<ConcatOp>(n.integer("axis", 0)); }
std::unique_ptr<Op> make_tile(const Node&, CompileContext&) { return std::make_unique<TileOp>(); }
std::unique_ptr<Op> make_depth_to_space(const Node& n, CompileContext&) {
  return std::make_unique<DepthOp>(n.integer("blocksize", 1), true, n.text("mode", "DCR") == "CRD");
}
std::unique_ptr<Op> make_space_to_depth(const Node& n, CompileContext&) { return std::make_unique<DepthOp>(n.integer("blocksize", 1), false, n.text("mode", "DCR") == "CRD"); }
std::unique_ptr<Op> make_reverse_sequence(const Node& n, CompileContext&) {
  return std::make_unique<ReverseSequenceOp>(n.integer("batch_axis", 1), n.integer("time_axis", 0));
}
std::unique_ptr<Op> make_trilu(const Node& n, CompileContext&) { return std::make_unique<TriluOp>(n.integer("upper", 1) != 0); }
std::unique_ptr<Op> make_dropout(const Node&, CompileContext&) { return std::make_unique<DropoutOp>(); }

const OpRow rows[] = {
    {"", "Concat", nullptr, make_concat},
    {"", "Tile", nullptr, make_tile},
    {"", "DepthToSpace", nullptr, make_depth_to_space},
    {"", "SpaceToDepth", nullptr, make_space_to_depth},
    {"", "ReverseSequence", nullptr, make_reverse_sequence},
    {"", "Trilu", nullptr, make_trilu},
    {"", "Dropout", known_training, make_dropout},
};

}  // namespace

std::span<const OpRow> concat_rows() { return rows; }

}  // namespace tenon::opencl
