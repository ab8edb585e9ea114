// Concat and Split: one strided copy for each piece, in one step.
//
// Blocked values stay blocked where every piece has whole blocks; a piece in the other layout is converted on the way.
#include <algorithm>

#include "plugins/cpu/ops/movement.h"
#include "plugins/cpu/ops/strided_copy.h"

namespace tenon::cpu {
namespace {

// Dims [N, C / block, spatial..., block], and the strides of the same elements in memory that may be dense.
PlanList<std::int64_t> blocked_dims(const Shape& shape, std::int32_t block) {
  PlanList<std::int64_t> dims(shape.dims.begin(), shape.dims.end());
  if (block) dims[1] /= block, dims.push_back(block);
  return dims;
}
PlanList<std::int64_t> blocked_strides(const Shape& shape, std::int32_t block) {
  PlanList<std::int64_t> strides = dense_strides(memory_dims(shape));
  if (block && !shape.block) {
    const std::int64_t channel = strides[1];
    strides[1] *= block;
    strides.push_back(channel);
  }
  return strides;
}

// Channels of a value that may be blocked; 0 for others.
std::int64_t channels(const tenon_value& v) {
  return compute_dtype(v.dtype) == TENON_DTYPE_FLOAT && v.rank >= 3 && v.rank <= 5 && v.dims[1] > 0 ? v.dims[1] : 0;
}

// The piece of `whole` that starts at `at` along axis, copied from or to `part`.
CopyPiece piece(const PlanBuilder& b, const Shape& whole, const Shape& part, std::int64_t axis, std::int64_t at, Ref whole_ref,
                Ref part_ref, bool into_whole) {
  const std::int32_t block = std::max(whole.block, part.block);
  if (block && axis == 1 && at % block) throw Failure{TENON_INTERNAL, "a piece does not start at a block"};
  const PlanList<std::int64_t> outer = blocked_strides(whole, block), inner = blocked_strides(part, block),
                                  dims = blocked_dims(part, block);
  const std::int64_t offset = (block && axis == 1 ? at / block : at) * outer[static_cast<std::size_t>(axis)];
  const Element kind = element_of(part.dtype);
  if (into_whole) return {strided_copy(b, kind, dims, inner, outer, 0, offset), part_ref, whole_ref};
  return {strided_copy(b, kind, dims, outer, inner, offset, 0), whole_ref, part_ref};
}

class ConcatOp final : public Op {
 public:
  explicit ConcatOp(const NodeView& node) : inputs_(node.input_count()), axis_(node.int_or("axis", 0)) {
    for (std::uint32_t i = 0; i < inputs_; ++i) channels_.push_back(node.has_input(i) ? channels(node.input(i)) : 0);
    const std::int32_t rank = node.has_input(0) ? node.rank(0) : -1;
    axis_known_ = rank >= 0 && resolve_axis(axis_, rank) >= 0;
    if (axis_known_) axis_ = resolve_axis(axis_, rank);
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    const bool some = std::any_of(inputs.begin(), inputs.end(), [](std::int32_t block) { return block != 0; });
    if (!some || machine_block == 0 || !axis_known_) {
      std::fill(inputs.begin(), inputs.end(), 0);
      return 0;
    }
    bool whole = true;
    for (std::int64_t c : channels_) whole = whole && c > 0 && c % machine_block == 0;
    // Blocked pieces at odd channels cannot be copied block by block: then they come dense.
    if (!whole) std::fill(inputs.begin(), inputs.end(), 0);
    return whole ? machine_block : 0;
  }

  void plan(PlanBuilder& b) const override {
    const Shape& y = b.out(0);
    const std::int64_t axis = checked_axis(axis_, y.rank());
    PlanList<CopyPiece> pieces;
    std::int64_t at = 0;
    for (std::uint32_t i = 0; i < inputs_; ++i) {
      const Shape& x = b.in(i);
      if (x.count() == 0 && x.rank() != y.rank()) continue;
      bool same = x.rank() == y.rank();
      for (std::int64_t d = 0; same && d < y.rank(); ++d) same = d == axis ? x[d] <= y[d] - at : x[d] == y[d];
      if (!same) throw Failure{TENON_INVALID_ARGUMENT, "the sizes of input " + std::to_string(i) + " do not fit the output"};
      pieces.push_back(piece(b, y, x, axis, at, b.out_ref(0), b.in_ref(i), true));
      at += x[axis];
    }
    if (y.count() && at != y[axis]) throw Failure{TENON_INVALID_ARGUMENT, "the inputs do not fill the output"};
    emit_copies(b, "concat", pieces);
  }

 private:
  std::uint32_t inputs_;
  std::int64_t axis_;
  bool axis_known_ = false;
  std::vector<std::int64_t> channels_;
};

class SplitOp final : public Op {
 public:
  explicit SplitOp(const NodeView& node) : outputs_(node.output_count()), axis_(node.int_or("axis", 0)) {
    const std::int32_t rank = node.rank(0);
    axis_known_ = rank >= 0 && resolve_axis(axis_, rank) >= 0;
    if (axis_known_) axis_ = resolve_axis(axis_, rank);
    for (std::uint32_t i = 0; i < outputs_; ++i) channels_.push_back(node.has_output(i) ? channels(node.output(i)) : 0);
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    bool whole = inputs[0] != 0 && machine_block != 0 && axis_known_;
    for (std::int64_t c : channels_) whole = whole && c > 0 && c % machine_block == 0;
    inputs[0] = whole ? machine_block : 0;
    if (inputs.size() > 1) inputs[1] = 0;
    return inputs[0];
  }
  bool blocks_all_outputs() const override { return true; }

  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    const std::int64_t axis = checked_axis(axis_, x.rank());
    PlanList<CopyPiece> pieces;
    std::int64_t at = 0;
    for (std::uint32_t i = 0; i < outputs_; ++i) {
      const Shape& y = b.out(i);
      const std::int64_t size = b.out_ref(i).present() ? y[axis] : skipped(b, i, x[axis]);
      if (size > x[axis] - at) throw Failure{TENON_INVALID_ARGUMENT, "the pieces are larger than the input"};
      if (b.out_ref(i).present()) pieces.push_back(piece(b, x, y, axis, at, b.in_ref(0), b.out_ref(i), false));
      at += size;
    }
    emit_copies(b, "split", pieces);
  }

 private:
  // The size of a piece that nobody reads.
  std::int64_t skipped(const PlanBuilder& b, std::uint32_t i, std::int64_t total) const {
    if (const auto sizes = known_ints(b, 1)) return i < sizes->size() && (*sizes)[i] >= 0 ? (*sizes)[i] : 0;
    if (b.out(i).rank() > 0) return b.out(i)[checked_axis(axis_, b.in(0).rank())];
    const std::int64_t each = (total + outputs_ - 1) / outputs_;
    return std::min(each, std::max<std::int64_t>(total - each * i, 0));
  }

  std::uint32_t outputs_;
  std::int64_t axis_;
  bool axis_known_ = false;
  std::vector<std::int64_t> channels_;
};

Support concat_supports(const NodeView& node) {
  for (std::uint32_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i)) return Support::no(TENON_REJECT_OTHER, "an input is omitted");
    if (node.dtype(i) != node.dtype(0)) return Support::no(TENON_REJECT_DTYPE, "the inputs differ in type");
  }
  return any_type(node);
}

constexpr OpRow rows[] = {
    {"", "Concat", concat_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<ConcatOp>(node); }},
    {"", "Split", any_type, [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<SplitOp>(node); }},
};

}  // namespace

std::span<const OpRow> concat_split_rows() { return rows; }

}  // namespace tenon::cpu
