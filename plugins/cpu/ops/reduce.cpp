#include "plugins/cpu/ops/reduce.h"

#include <algorithm>
#include <cmath>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/reduce_family.h"
#include "plugins/cpu/ops/reduce_loops.h"
#include "plugins/cpu/ops/reduce_types.h"

namespace tenon::cpu {

std::int64_t ReduceShape::units() const {
  std::int64_t n = 1;
  for (const ReduceLoop& l : kept) n *= l.size;
  return n;
}

std::int64_t ReduceShape::folded() const {
  std::int64_t n = 1;
  for (const ReduceLoop& l : reduced) n *= l.size;
  return n;
}

ReduceShape make_reduce_shape(std::span<const std::int64_t> dims, const std::vector<bool>& axes) {
  struct Group {
    std::int64_t size, stride;
    bool reduced;
  };
  std::vector<Group> groups;  // innermost first
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    if (dims[i] != 1) {
      if (!groups.empty() && groups.back().reduced == axes[i]) groups.back().size *= dims[i];
      else groups.push_back({dims[i], stride, axes[i]});
    }
    stride *= dims[i];
  }
  ReduceShape shape;
  std::size_t first = 0;
  if (!groups.empty() && !groups[0].reduced) shape.cols = groups[first++].size;
  for (std::size_t i = groups.size(); i-- > first;) {
    (groups[i].reduced ? shape.reduced : shape.kept).push_back({groups[i].size, groups[i].stride});
  }
  if (shape.reduced.empty()) shape.reduced.push_back({1, shape.cols});
  return shape;
}

namespace {

// How partial results of a fold are put together.
Fold merge_of(Fold fold) { return fold == Fold::max || fold == Fold::min || fold == Fold::prod ? fold : Fold::sum; }

void finish_row(ReduceKind kind, std::int64_t folded, const float* shift, float* y, std::int64_t n) {
  switch (kind) {
    case ReduceKind::mean: {
      const float count = static_cast<float>(folded);
      for (std::int64_t i = 0; i < n; ++i) y[i] /= count;
      break;
    }
    case ReduceKind::l2:
      for (std::int64_t i = 0; i < n; ++i) y[i] = std::sqrt(y[i]);
      break;
    case ReduceKind::log_sum:
      for (std::int64_t i = 0; i < n; ++i) y[i] = std::log(y[i]);
      break;
    case ReduceKind::log_sum_exp:
      for (std::int64_t i = 0; i < n; ++i) y[i] = shift[i] + std::log(y[i]);
      break;
    default: break;
  }
}

// float32: folds its share of each unit, a row of cols results.
struct FoldStep {
  Ref x, y, shift;
  ReduceLoops loops;
  Fold fold;
  ReduceKind kind;
  bool finish, finite;  // finite: results that are no finite number become 0 (shifts of log_sum_exp)
  std::int64_t splits, col_block;

  void operator()(const StepContext& c) const {
    const std::int64_t col_blocks = (loops.cols + col_block - 1) / col_block;
    const auto slice = c.slice(loops.units * splits * col_blocks);
    if (slice.begin >= slice.end) return;
    const float* in = c.ptr<const float>(x);
    float* out = c.ptr<float>(y);
    const float* shifts = shift.present() ? c.ptr<const float>(shift) : nullptr;
    for (std::int64_t item = slice.begin; item < slice.end; ++item) {
      const std::int64_t block = item % col_blocks, part = item / col_blocks % splits, unit = item / col_blocks / splits;
      const std::int64_t col = block * col_block, n = std::min(col_block, loops.cols - col);
      const float* base = in + loops.unit_offset(unit) + col;
      float* acc = out + (unit * splits + part) * loops.cols + col;
      const float* s = shifts ? shifts + unit * loops.cols + col : nullptr;
      const std::int64_t outer = loops.reduced[0].size;
      const std::int64_t begin = outer * part / splits, end = outer * (part + 1) / splits;
      std::fill(acc, acc + n, fold_start(fold));
      loops.each(begin, end, [&](std::int64_t offset, std::int64_t size, std::int64_t stride) {
        if (stride == 1 && n == 1) merge_one(*acc, fold_run(fold, base + offset, size, s ? *s : 0.0f));
        else fold_rows(fold, base + offset, size, stride, n, s, acc);
      });
      if (finish) finish_row(kind, loops.folded, s, acc, n);
      if (finite) {
        for (std::int64_t i = 0; i < n; ++i) acc[i] = std::isfinite(acc[i]) ? acc[i] : 0.0f;
      }
    }
  }

  void merge_one(float& acc, float v) const {
    switch (fold) {
      case Fold::prod: acc *= v; break;
      case Fold::max: acc = v != v || v > acc ? v : acc; break;
      case Fold::min: acc = v != v || v < acc ? v : acc; break;
      default: acc += v; break;
    }
  }
};

// Puts the parts of every unit together.
struct MergeStep {
  Ref parts, y, shift;
  Fold merge;
  ReduceKind kind;
  bool finite;
  std::int64_t units, splits, cols, folded;

  void operator()(const StepContext& c) const {
    const auto slice = c.slice(units);
    for (std::int64_t unit = slice.begin; unit < slice.end; ++unit) {
      float* acc = c.ptr<float>(y) + unit * cols;
      std::fill(acc, acc + cols, fold_start(merge));
      fold_rows(merge, c.ptr<const float>(parts) + unit * splits * cols, splits, cols, cols, nullptr, acc);
      finish_row(kind, folded, shift.present() ? c.ptr<const float>(shift) + unit * cols : nullptr, acc, cols);
      if (finite) {
        for (std::int64_t i = 0; i < cols; ++i) acc[i] = std::isfinite(acc[i]) ? acc[i] : 0.0f;
      }
    }
  }
};

}  // namespace

void plan_reduce(PlanBuilder& builder, ReduceKind kind, std::int32_t dtype, const ReduceShape& shape, Ref x, Ref y) {
  if (shape.kept.size() >= max_reduce_loops || shape.reduced.size() >= max_reduce_loops) {
    throw Failure{TENON_UNIMPLEMENTED, "a reduction with more than 15 separate groups of axes"};
  }
  ReduceLoops loops;
  loops.kept = builder.keep<ReduceLoop>(shape.kept);
  loops.reduced = builder.keep<ReduceLoop>(shape.reduced);
  loops.kept_count = static_cast<std::int32_t>(shape.kept.size());
  loops.reduced_count = static_cast<std::int32_t>(shape.reduced.size());
  loops.units = shape.units();
  loops.folded = shape.folded();
  loops.cols = shape.cols;
  const std::int64_t results = loops.units * loops.cols;
  if (results == 0) return;
  const double elements = static_cast<double>(results) * static_cast<double>(std::max<std::int64_t>(loops.folded, 1));

  if (dtype != TENON_DTYPE_FLOAT || builder.options().plain) {
    plan_reduce_plain(builder, kind, dtype, loops, x, y);
    return;
  }

  // Cut by size alone: at least 32 Ki elements a part, 32 parts at most.
  const std::int64_t col_block = loops.cols > 512 ? 256 : loops.cols;
  const std::int64_t items = loops.units * ((loops.cols + col_block - 1) / col_block);
  std::int64_t splits = 1;
  if (items < 16) splits = std::clamp<std::int64_t>(static_cast<std::int64_t>(elements / 32768.0), 1, 32);
  splits = std::max<std::int64_t>(1, std::min(splits, loops.reduced[0].size));
  const auto fold = [&](ReduceKind k, Fold f, Ref to, Ref shift, bool finite) {
    const double ns = elements * (f == Fold::sum_exp ? 0.3 : 0.08);
    Ref parts = to;
    if (splits > 1) parts = builder.temp(static_cast<std::uint64_t>(results * splits) * sizeof(float));
    std::vector<Ref> reads{x};
    if (shift.present()) reads.push_back(shift);
    const Ref part_writes[] = {parts};
    builder.step("reduce", FoldStep{x, parts, shift, loops, f, k, splits == 1, finite && splits == 1, splits, col_block}, {.est_ns = ns},
                 reads, part_writes);
    if (splits == 1) return;
    reads[0] = parts;
    const Ref writes[] = {to};
    builder.step("reduce merge", MergeStep{parts, to, shift, merge_of(f), k, finite, loops.units, splits, loops.cols, loops.folded},
                 {.est_ns = static_cast<double>(results * splits) * 0.2}, reads, writes);
  };
  Ref shift;
  if (kind == ReduceKind::log_sum_exp) {
    shift = builder.temp(static_cast<std::uint64_t>(results) * sizeof(float));
    fold(ReduceKind::max, Fold::max, shift, {}, true);
  }
  fold(kind, fold_of(kind), y, shift, false);
}

// ---- the operators -------------------------------------------------------------------------------------------------------

namespace {

class ReduceOp final : public Op {
 public:
  ReduceOp(ReduceKind kind, const NodeView& node, CompileContext& context)
      : kind_(kind), keepdims_(node.int_or("keepdims", 1) != 0), noop_(node.int_or("noop_with_empty_axes", 0) != 0),
        float32_(node.dtype(0) == TENON_DTYPE_FLOAT), plain_(context.options().plain) {
    if (node.is_constant(1)) {
      const tenon_const_tensor axes = context.constant(node, 1);
      axes_.emplace();
      for (std::uint64_t i = 0; i < (axes.rank == 0 ? 1 : static_cast<std::uint64_t>(axes.dims[0])); ++i) {
        axes_->push_back(integer_at(axes.data, axes.dtype, static_cast<std::int64_t>(i)));
      }
    } else if (!node.has_input(1)) {
      axes_.emplace();
    }
    rank_ = node.rank(0);
  }

  void plan(PlanBuilder& builder) const override {
    const Shape& in = builder.in(0);
    std::vector<std::int64_t> axes;
    if (axes_) {
      axes = *axes_;
    } else if (auto known = known_integers(builder.in(1))) {
      axes = *known;
    } else {
      throw Failure{TENON_UNIMPLEMENTED, "the axes of a reduction must be known before the run"};
    }
    std::vector<bool> goes = mark(axes, in.rank());
    ReduceShape shape;
    if (in.block) {
      // [N * C / block, spatial, block]
      std::int64_t spatial = 1;
      for (std::int64_t i = 2; i < in.rank(); ++i) spatial *= in[i];
      const std::int64_t dims[] = {in[0] * in[1] / in.block, spatial, in.block};
      shape = make_reduce_shape(dims, {false, true, false});
    } else {
      shape = make_reduce_shape(in.dims, goes);
    }
    plan_reduce(builder, kind_, in.dtype, shape, builder.in_ref(0), builder.out_ref(0));
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    std::int32_t block = inputs[0];
    for (std::int32_t& b : inputs) b = 0;
    if (machine_block == 0 || block == 0 || !float32_ || plain_ || !axes_ || rank_ < 3) return 0;
    const std::vector<bool> goes = mark(*axes_, rank_);
    for (std::int64_t i = 0; i < rank_; ++i) {
      if (goes[static_cast<std::size_t>(i)] != (i >= 2)) return 0;
    }
    inputs[0] = block;
    return keepdims_ ? block : 0;  // [N, C, 1, 1] has the same bytes either way
  }

 private:
  std::vector<bool> mark(const std::vector<std::int64_t>& axes, std::int64_t rank) const {
    std::vector<bool> goes(static_cast<std::size_t>(rank), axes.empty() && !noop_);
    for (std::int64_t a : axes) goes[static_cast<std::size_t>(normal_axis(a, rank))] = true;
    return goes;
  }

  ReduceKind kind_;
  bool keepdims_, noop_, float32_, plain_;
  std::optional<std::vector<std::int64_t>> axes_;  // empty optional: an input of the run
  std::int32_t rank_;
};

template <ReduceKind Kind>
std::unique_ptr<Op> make(const NodeView& node, CompileContext& context) {
  return std::make_unique<ReduceOp>(Kind, node, context);
}

Support supports_arithmetic(const NodeView& node) { return is_wide(node.dtype(0)) ? Support::yes() : refuse_dtype(node.dtype(0)); }

Support supports_order(const NodeView& node) {
  const std::int32_t dtype = node.dtype(0);
  return is_number(dtype) || dtype == TENON_DTYPE_BOOL ? Support::yes() : refuse_dtype(dtype);
}

}  // namespace

std::span<const OpRow> reduce_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all = {
        {"", "ReduceSum", supports_arithmetic, make<ReduceKind::sum>},
        {"", "ReduceMean", supports_arithmetic, make<ReduceKind::mean>},
        {"", "ReduceMax", supports_order, make<ReduceKind::max>},
        {"", "ReduceMin", supports_order, make<ReduceKind::min>},
        {"", "ReduceProd", supports_arithmetic, make<ReduceKind::prod>},
        {"", "ReduceL1", supports_arithmetic, make<ReduceKind::l1>},
        {"", "ReduceL2", supports_arithmetic, make<ReduceKind::l2>},
        {"", "ReduceLogSum", supports_arithmetic, make<ReduceKind::log_sum>},
        {"", "ReduceLogSumExp", supports_arithmetic, make<ReduceKind::log_sum_exp>},
        {"", "ReduceSumSquare", supports_arithmetic, make<ReduceKind::sum_square>},
    };
    for (FamilyRows part : {arg_reduce_rows, cumulative_rows, topk_rows, misc_math_rows}) {
      for (const OpRow& row : part()) all.push_back(row);
    }
    return all;
  }();
  return rows;
}

}  // namespace tenon::cpu
