// DepthToSpace and SpaceToDepth: a transposition of six dims.
#include "plugins/cpu/ops/movement.h"
#include "plugins/cpu/ops/strided_copy.h"

namespace tenon::cpu {
namespace {

class DepthSpaceOp final : public Op {
 public:
  DepthSpaceOp(std::int64_t size, bool to_space, bool depth_first) : size_(size), to_space_(to_space), depth_first_(depth_first) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    if (x.rank() != 4 || y.rank() != 4)
      throw Failure{TENON_INVALID_ARGUMENT, "the input must have 4 dimensions, found " + std::to_string(x.rank())};
    if (y.count() == 0) return;
    // [n, c, h, w] with few large planes, and [n, c, h, size, w, size] with many small ones, in either direction.
    const Shape &deep = to_space_ ? x : y, &wide = to_space_ ? y : x;
    const std::int64_t n = wide[0], c = wide[1], h = deep[2], w = deep[3], s = size_;
    if (deep[0] != n || deep[1] != c * s * s || wide[2] != h * s || wide[3] != w * s)
      throw Failure{TENON_INVALID_ARGUMENT, "the sizes do not fit block size " + std::to_string(s)};
    // Walked as [n, c, h, i, w, j], the order of the wide side.
    const std::int64_t dims[] = {n, c, h, s, w, s};
    const std::int64_t plane = h * w, channel = depth_first_ ? plane : s * s * plane, block = depth_first_ ? c * plane : plane;
    const std::int64_t deep_strides[] = {c * s * s * plane, channel, w, s * block, 1, block};
    const PlanList<std::int64_t> wide_strides = dense_strides(dims);
    const CopyPiece piece{to_space_ ? strided_copy(b, element_of(x.dtype), dims, deep_strides, wide_strides)
                                    : strided_copy(b, element_of(x.dtype), dims, wide_strides, deep_strides),
                          b.in_ref(0), b.out_ref(0)};
    emit_copies(b, to_space_ ? "depth to space" : "space to depth", {&piece, 1});
  }

 private:
  std::int64_t size_;
  bool to_space_, depth_first_;
};

Support supports(const NodeView& node) {
  const std::int64_t size = node.int_or("blocksize", 0);
  if (size < 1 || size > 1 << 20) return Support::no(TENON_REJECT_ATTRIBUTE, "blocksize " + std::to_string(size) + " is out of range");
  const std::string_view mode = node.string_or("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") return Support::no(TENON_REJECT_ATTRIBUTE, "mode \"" + std::string(mode) + "\" is not known");
  return any_type(node);
}

std::unique_ptr<Op> make(const NodeView& node, CompileContext&) {
  return std::make_unique<DepthSpaceOp>(node.int_or("blocksize", 1), node.op_type() == "DepthToSpace",
                                        node.string_or("mode", "DCR") == "DCR");
}

constexpr OpRow rows[] = {{"", "DepthToSpace", supports, make}, {"", "SpaceToDepth", supports, make}};

}  // namespace

std::span<const OpRow> depth_space_rows() { return rows; }

}  // namespace tenon::cpu
