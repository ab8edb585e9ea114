// ReverseSequence and Trilu: rows that are copied whole, reordered or cut at a column.
#include <algorithm>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

struct ReverseSequenceStep {
  Element kind;
  bool batch_first;
  std::int64_t outer, middle, inner;  // [outer, middle, inner]: batch and time, in the order that batch_first says
  Ref src, lengths, dst;

  void operator()(const StepContext& c) const {
    auto [begin, end] = c.slice(outer * middle);
    if (!is_bytes(kind)) begin = 0, end = c.worker == 0 ? outer * middle : 0;
    const Copier copier(c, kind, src, dst);
    const std::int64_t* length = c.ptr<const std::int64_t>(lengths);
    const std::int64_t times = batch_first ? middle : outer;
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t batch = batch_first ? row / middle : row % middle, time = batch_first ? row % middle : row / middle;
      const std::int64_t n = length[batch];
      if (n < 0 || n > times)
        return c.fail(TENON_OUT_OF_RANGE, "length " + std::to_string(n) + " of sequence " + std::to_string(batch) +
                                              " is outside [0, " + std::to_string(times) + "]");
      const std::int64_t from = time < n ? n - 1 - time : time;
      copier.copy(row * inner, (batch_first ? batch * middle + from : from * middle + batch) * inner, inner);
    }
  }
};

class ReverseSequenceOp final : public Op {
 public:
  explicit ReverseSequenceOp(const NodeView& node) : batch_first_(node.int_or("batch_axis", 1) == 0) {}

  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    if (x.rank() < 2) throw Failure{TENON_INVALID_ARGUMENT, "the input must have at least 2 dimensions"};
    if (b.in(1).count() != x[batch_first_ ? 0 : 1])
      throw Failure{TENON_INVALID_ARGUMENT, "one length for each sequence is needed"};
    if (x.count() == 0) return;
    const ReverseSequenceStep s{element_of(x.dtype), batch_first_, x[0], x[1], x.inner(1), b.in_ref(0), b.in_ref(1), b.out_ref(0)};
    b.step("reverse sequence", s, copy_options(s.kind, 2 * bytes_of(s.kind, x.count())), {{s.src, s.lengths}}, {{s.dst}});
  }

 private:
  bool batch_first_;
};

Support reverse_supports(const NodeView& node) {
  const std::int64_t batch = node.int_or("batch_axis", 1), time = node.int_or("time_axis", 0);
  if (!((batch == 0 && time == 1) || (batch == 1 && time == 0)))
    return Support::no(TENON_REJECT_ATTRIBUTE,
                       "batch_axis and time_axis must be 0 and 1, found " + std::to_string(batch) + " and " + std::to_string(time));
  if (node.dtype(1) != TENON_DTYPE_INT64) return Support::no(TENON_REJECT_DTYPE, "sequence_lens must be int64");
  return any_type(node);
}

struct TriluStep {
  Element kind;
  bool upper;
  std::int64_t matrices, rows, columns;
  Ref src, diagonal, dst;

  void operator()(const StepContext& c) const {
    auto [begin, end] = c.slice(matrices * rows);
    if (!is_bytes(kind)) begin = 0, end = c.worker == 0 ? matrices * rows : 0;
    const Copier copier(c, kind, src, dst);
    const std::int64_t k = diagonal.present() ? std::clamp(c.ptr<const std::int64_t>(diagonal)[0], -rows, columns) : 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t at = i * columns, row = i % rows;
      // [low, high) is kept.
      const std::int64_t low = upper ? std::clamp<std::int64_t>(row + k, 0, columns) : 0;
      const std::int64_t high = upper ? columns : std::clamp<std::int64_t>(row + k + 1, 0, columns);
      copier.zero(at, low);
      copier.copy(at + low, at + low, high - low);
      copier.zero(at + high, columns - high);
    }
  }
};

class TriluOp final : public Op {
 public:
  explicit TriluOp(const NodeView& node) : upper_(node.int_or("upper", 1) != 0) {}

  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    if (x.rank() < 2) throw Failure{TENON_INVALID_ARGUMENT, "the input must have at least 2 dimensions"};
    if (x.count() == 0) return;
    TriluStep s{element_of(x.dtype), upper_, x.outer(x.rank() - 2), x[-2], x[-1], b.in_ref(0), {}, b.out_ref(0)};
    std::vector<Ref> reads{s.src};
    if (b.in(1).dtype != TENON_DTYPE_UNDEFINED && b.in(1).count() > 0) s.diagonal = b.in_ref(1), reads.push_back(s.diagonal);
    b.step("trilu", s, copy_options(s.kind, 2 * bytes_of(s.kind, x.count())), reads, {{s.dst}});
  }

 private:
  bool upper_;
};

Support trilu_supports(const NodeView& node) {
  if (node.has_input(1) && node.dtype(1) != TENON_DTYPE_INT64) return Support::no(TENON_REJECT_DTYPE, "k must be int64");
  return any_type(node);
}

constexpr OpRow rows[] = {
    {"", "ReverseSequence", reverse_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<ReverseSequenceOp>(node); }},
    {"", "Trilu", trilu_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<TriluOp>(node); }},
};

}  // namespace

std::span<const OpRow> sequence_tensor_rows() { return rows; }

}  // namespace tenon::cpu
