// Slice: a strided copy whose offsets are known while planning, or read by the step where only the run knows them.
#include <algorithm>

#include "plugins/cpu/ops/movement.h"
#include "plugins/cpu/ops/strided_copy.h"

namespace tenon::cpu {
namespace {

// starts, ends, axes, steps: elements of int32 or int64; null where omitted.
struct SliceLists {
  const void *starts = nullptr, *ends = nullptr, *axes = nullptr, *steps = nullptr;
  std::int32_t dtypes[4] = {};
  std::int64_t count = 0;
};

constexpr int max_rank = 32;

// Where the output starts in the input and how it strides over it; a text says what is wrong. out: the planned dims.
const char* resolve(const SliceLists& lists, std::span<const std::int64_t> dims, std::span<const std::int64_t> out, std::int64_t& at,
                    std::int64_t* strides) {
  const std::int64_t rank = static_cast<std::int64_t>(dims.size());
  std::int64_t sizes[max_rank], n = 1;
  for (std::int64_t i = rank; i-- > 0; n *= dims[static_cast<std::size_t>(i)]) strides[i] = n, sizes[i] = dims[static_cast<std::size_t>(i)];
  at = 0;
  bool seen[max_rank] = {};
  for (std::int64_t k = 0; k < lists.count; ++k) {
    const std::int64_t axis = resolve_axis(lists.axes ? int_at(lists.axes, lists.dtypes[2], k) : k, rank);
    if (axis < 0) return "an axis is outside the rank of the input";
    if (seen[axis]) return "an axis is named twice";
    seen[axis] = true;
    const std::int64_t d = sizes[axis], step = lists.steps ? int_at(lists.steps, lists.dtypes[3], k) : 1;
    if (step == 0) return "a step is 0";
    std::int64_t start = int_at(lists.starts, lists.dtypes[0], k), end = int_at(lists.ends, lists.dtypes[1], k);
    if (start < 0) start += d;
    if (end < 0) end += d;
    std::int64_t count = 0;
    if (step > 0) {
      start = std::clamp<std::int64_t>(start, 0, d), end = std::clamp<std::int64_t>(end, 0, d);
      if (end > start) count = 1 + (end - start - 1) / step;
    } else if (d > 0) {
      start = std::clamp<std::int64_t>(start, 0, d - 1), end = std::clamp<std::int64_t>(end, -1, d - 1);
      const auto magnitude = std::uint64_t{0} - static_cast<std::uint64_t>(step);
      if (start > end) count = 1 + static_cast<std::int64_t>(static_cast<std::uint64_t>(start - end - 1) / magnitude);
    }
    sizes[axis] = count;
    if (count > 0) at += start * strides[axis];
    if (count > 1) strides[axis] *= step;
  }
  for (std::int64_t i = 0; i < rank; ++i)
    if (sizes[i] != out[static_cast<std::size_t>(i)]) return "the bounds do not give the planned size";
  return nullptr;
}

struct SliceStep {
  Element kind;
  bool plain;
  std::int64_t rank;
  const std::int64_t *dims, *out, *out_strides;
  SliceLists lists;
  Ref refs[4];
  Ref src, dst;

  void operator()(const StepContext& c) const {
    SliceLists now = lists;
    const void** data[] = {&now.starts, &now.ends, &now.axes, &now.steps};
    for (int i = 0; i < 4; ++i)
      if (refs[i].present()) *data[i] = c.ptr<const void>(refs[i]);
    std::int64_t at = 0, strides[max_rank];
    const std::size_t n = static_cast<std::size_t>(rank);
    if (const char* wrong = resolve(now, {dims, n}, {out, n}, at, strides)) return c.fail(TENON_INVALID_ARGUMENT, wrong);
    StridedCopy copy;
    if (!make_strided_copy(kind, {out, n}, {strides, n}, {out_strides, n}, at, 0, plain, copy))
      return c.fail(TENON_UNIMPLEMENTED, "too many independent dimensions");
    run_strided_copy(copy, c, src, dst);
  }
};

class SliceOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    if (x.rank() > max_rank || y.rank() != x.rank()) throw Failure{TENON_UNIMPLEMENTED, "Slice of rank " + std::to_string(x.rank())};
    if (y.count() == 0) return;
    SliceLists lists;
    lists.count = b.in(1).count();
    const void** data[] = {&lists.starts, &lists.ends, &lists.axes, &lists.steps};
    bool known = true;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const Shape& list = b.in(i + 1);
      if (list.dtype == TENON_DTYPE_UNDEFINED) continue;
      if (list.count() != lists.count) throw Failure{TENON_INVALID_ARGUMENT, "starts, ends, axes and steps differ in length"};
      lists.dtypes[i] = list.dtype;
      *data[i] = known_data(b, i + 1);
      known = known && (*data[i] || lists.count == 0);
    }
    const PlanList<std::int64_t> out_strides = dense_strides(y.dims);
    const Element kind = element_of(x.dtype);
    if (known) {
      std::int64_t at = 0, strides[max_rank];
      if (const char* wrong = resolve(lists, x.dims, y.dims, at, strides)) throw Failure{TENON_INVALID_ARGUMENT, wrong};
      const CopyPiece piece{strided_copy(b, kind, y.dims, {strides, x.dims.size()}, out_strides, at), b.in_ref(0), b.out_ref(0)};
      return emit_copies(b, "slice", {&piece, 1});
    }
    SliceStep step{kind, b.options().plain, x.rank(), b.keep(x.dims), b.keep(y.dims), b.keep(std::span<const std::int64_t>(out_strides)),
                   lists, {}, b.in_ref(0), b.out_ref(0)};
    std::vector<Ref> reads{step.src};
    for (std::uint32_t i = 0; i < 4; ++i)
      if (b.in(i + 1).dtype != TENON_DTYPE_UNDEFINED) step.refs[i] = b.in_ref(i + 1), reads.push_back(step.refs[i]);
    b.step("slice", step, copy_options(kind, 2 * bytes_of(kind, y.count())), reads, {{step.dst}});
  }
};

Support supports(const NodeView& node) {
  for (std::uint32_t i = 1; i < node.input_count(); ++i)
    if (Support s = index_type(node, i); s.reason) return s;
  return any_type(node);
}

constexpr OpRow rows[] = {
    {"", "Slice", supports, [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<SliceOp>(); }},
};

}  // namespace

std::span<const OpRow> slice_rows() { return rows; }

}  // namespace tenon::cpu
