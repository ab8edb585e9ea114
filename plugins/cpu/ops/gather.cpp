// Gather, GatherElements, GatherND: runs of the input at places that another input names.
#include <algorithm>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/gather_half.h"
#include "plugins/cpu/ops/gather_walk.h"
#include "plugins/cpu/ops/indices.h"
#include "plugins/cpu/ops/movement.h"
#include "plugins/cpu/ops/strided_copy.h"

namespace tenon::cpu {
namespace {

// ---- Gather -----------------------------------------------------------------------------------------------------------

struct GatherStep {
  Element kind;
  std::int64_t outer, bound, count, inner;  // data [outer, bound, inner], indices [count]
  Indices indices;
  Ref src, dst;

  template <class T>
  void elements(const StepContext& c, std::int64_t begin, std::int64_t end) const {
    const T* s = c.ptr<const T>(src);
    T* d = c.ptr<T>(dst);
    const IndexList list(c, indices);
    std::int64_t o = begin / count, k = begin % count;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t at = list.resolve(k, bound);
      if (at < 0) return list.fail(c, "Gather", k, bound);
      d[i] = s[o * bound + at];
      if (++k == count) k = 0, ++o;
    }
  }

  void operator()(const StepContext& c) const {
    const std::int64_t rows = outer * count;
    if (is_bytes(kind) && inner == 1) {
      const StepContext::Slice part = c.slice(rows, 256);
      return with_bytes(kind, [&](auto zero) { elements<decltype(zero)>(c, part.begin, part.end); });
    }
    // Rows are divided where there are few: an item is a part of a row.
    std::int64_t parts = 1;
    if (rows < c.workers) parts = std::clamp<std::int64_t>(inner / 4096, 1, c.workers);
    auto [begin, end] = c.slice(rows * parts);
    if (!is_bytes(kind)) begin = 0, end = c.worker == 0 ? rows * parts : 0;
    const Copier copier(c, kind, src, dst);
    const IndexList list(c, indices);
    if (parts == 1) {
      const GatherWalk walk{bound, count, is_bytes(kind) ? c.ptr<const char>(src) : nullptr, bytes_of(kind, inner)};
      return walk.run(c, list, begin, end, [&](std::int64_t to, std::int64_t from) { copier.copy(to * inner, from * inner, inner); });
    }
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / parts, part = i % parts, k = row % count, at = list.resolve(k, bound);
      if (at < 0) return list.fail(c, "Gather", k, bound);
      const std::int64_t from = inner * part / parts, to = inner * (part + 1) / parts;
      copier.copy(row * inner + from, (row / count * bound + at) * inner + from, to - from);
    }
  }
};

// Single elements of many rows at places that the plan knows: offsets into a row are read once and for all.
struct GatherKnownStep {
  Element kind;
  std::int64_t outer, bound, count;
  const std::int32_t* at;
  Ref src, dst;

  void operator()(const StepContext& c) const {
    const StepContext::Slice part = c.slice(outer);
    with_bytes(kind, [&](auto zero) {
      using T = decltype(zero);
      const T* s = c.ptr<const T>(src) + part.begin * bound;
      T* d = c.ptr<T>(dst) + part.begin * count;
      for (std::int64_t o = part.begin; o < part.end; ++o, s += bound, d += count) {
        std::int64_t k = 0;
        for (; k + 4 <= count; k += 4) {
          const T a = s[at[k]], b = s[at[k + 1]], e = s[at[k + 2]], f = s[at[k + 3]];
          d[k] = a, d[k + 1] = b, d[k + 2] = e, d[k + 3] = f;
        }
        for (; k < count; ++k) d[k] = s[at[k]];
      }
    });
  }
};

// The same where neighbours are gathered side by side (a triangle of a matrix): whole runs are copied.
struct GatherRunsStep {
  struct Run {
    std::int64_t from, to, bytes;
    bool padded;  // copied in whole chunks: what is too much stays in the row, and the next run writes over it
  };
  static constexpr std::int64_t chunk = 16, most_chunks = 32;

  const Run* runs;
  std::size_t count;
  std::int64_t outer, src_row, dst_row;  // bytes
  Ref src, dst;

  void operator()(const StepContext& c) const {
    const StepContext::Slice part = c.slice(outer);
    const char* s = c.ptr<const char>(src) + part.begin * src_row;
    char* d = c.ptr<char>(dst) + part.begin * dst_row;
    for (std::int64_t o = part.begin; o < part.end; ++o, s += src_row, d += dst_row) {
      for (std::size_t i = 0; i < count; ++i) {
        const Run& r = runs[i];
        if (r.padded)
          for (std::int64_t at = 0; at < r.bytes; at += chunk) std::memcpy(d + r.to + at, s + r.from + at, chunk);
        else std::memcpy(d + r.to, s + r.from, static_cast<std::size_t>(r.bytes));
      }
    }
  }
};

class GatherOp final : public Op {
 public:
  GatherOp(const NodeView& node, CompileContext& context) : axis_(node.int_or("axis", 0)), table_(HalfTable::of(node, 0, context)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    const std::int64_t axis = checked_axis(axis_, x.rank());
    if (y.count() == 0) return;
    if (table_.data) {
      const HalfGather g{x.outer(axis), x[axis], b.in(1).count(), x.inner(axis), indices_of(b, 1), b.out_ref(0)};
      check_size(g.outer * g.count * g.inner, y);
      return emit_half_gather(b, table_, g);
    }
    GatherStep s{element_of(x.dtype), x.outer(axis), x[axis], b.in(1).count(), x.inner(axis), indices_of(b, 1), b.in_ref(0), b.out_ref(0)};
    check_size(s.outer * s.count * s.inner, y);
    const auto known = s.count == 1 ? known_ints(b, 1) : std::nullopt;
    if (known) {
      // One index that is known: a slice.
      const std::int64_t at = resolve_axis((*known)[0], s.bound);
      if (at < 0) throw Failure{TENON_OUT_OF_RANGE, index_text("Gather", (*known)[0], 0, s.bound)};
      const std::int64_t dims[] = {s.outer, s.inner}, src[] = {s.bound * s.inner, 1}, dst[] = {s.inner, 1};
      const CopyPiece piece{strided_copy(b, s.kind, dims, src, dst, at * s.inner), s.src, s.dst};
      return emit_copies(b, "gather", {&piece, 1});
    }
    // Rows of 2, 4, 8 or 16 bytes are elements of that size.
    const std::int64_t bytes = element_bytes(s.kind) * s.inner;
    if (s.inner > 1 && (bytes == 2 || bytes == 4 || bytes == 8 || bytes == 16)) {
      s.kind = bytes == 2 ? Element::bytes2 : bytes == 4 ? Element::bytes4 : bytes == 8 ? Element::bytes8 : Element::bytes16;
      s.inner = 1;
    }
    if (s.inner == 1 && s.outer >= 8 && is_bytes(s.kind) && s.bound < (1 << 30)) {
      if (const auto all = known_ints(b, 1)) return plan_known(b, s, *all);
    }
    b.step("gather", s, copy_options(s.kind, 2 * bytes_of(s.kind, s.outer * s.count * s.inner)), {{s.src, s.indices.ref}}, {{s.dst}});
  }

 private:
  static void check_size(std::int64_t count, const Shape& y) {
    if (count != y.count()) throw Failure{TENON_INVALID_ARGUMENT, "data and indices do not give the planned size"};
  }
  static void plan_known(PlanBuilder& b, const GatherStep& s, std::span<const std::int64_t> indices) {
    PlanList<std::int32_t> at;
    at.reserve(indices.size());
    for (std::size_t k = 0; k < indices.size(); ++k) {
      const std::int64_t i = resolve_axis(indices[k], s.bound);
      if (i < 0) throw Failure{TENON_OUT_OF_RANGE, index_text("Gather", indices[k], static_cast<std::int64_t>(k), s.bound)};
      at.push_back(static_cast<std::int32_t>(i));
    }
    const StepOptions options = copy_options(s.kind, 2 * bytes_of(s.kind, s.outer * s.count));
    if (const auto runs = runs_of(at, s); !runs.empty()) {
      const GatherRunsStep step{b.keep<GatherRunsStep::Run>(runs), runs.size(), s.outer, bytes_of(s.kind, s.bound), bytes_of(s.kind, s.count), s.src, s.dst};
      return b.step("gather", step, options, {{s.src}}, {{s.dst}});
    }
    const GatherKnownStep known{s.kind, s.outer, s.bound, s.count, b.keep<std::int32_t>(at), s.src, s.dst};
    b.step("gather", known, options, {{s.src}}, {{s.dst}});
  }
  // Empty where they are too short to be worth it.
  static PlanList<GatherRunsStep::Run> runs_of(const PlanList<std::int32_t>& at, const GatherStep& s) {
    const std::int64_t bytes = element_bytes(s.kind), src_row = s.bound * bytes, dst_row = s.count * bytes;
    PlanList<GatherRunsStep::Run> runs;
    for (std::size_t k = 0; k < at.size(); ++k) {
      if (k > 0 && at[k] == at[k - 1] + 1) runs.back().bytes += bytes;
      else runs.push_back({at[k] * bytes, static_cast<std::int64_t>(k) * bytes, bytes, false});
    }
    if (dst_row < GatherRunsStep::chunk * static_cast<std::int64_t>(runs.size())) return {};
    for (GatherRunsStep::Run& r : runs) {
      const std::int64_t chunks = (r.bytes + GatherRunsStep::chunk - 1) / GatherRunsStep::chunk, padded = chunks * GatherRunsStep::chunk;
      r.padded = chunks <= GatherRunsStep::most_chunks && r.from + padded <= src_row && r.to + padded <= dst_row;
    }
    return runs;
  }

  std::int64_t axis_;
  HalfTable table_;
};

// ---- GatherElements ---------------------------------------------------------------------------------------------------

struct GatherElementsStep {
  static constexpr int max_rank = 16;
  Element kind;
  std::int32_t rank, axis;
  std::int64_t bound, dims[max_rank], strides[max_rank];  // dims of the indices, strides of the data
  Indices indices;
  Ref src, dst;

  void operator()(const StepContext& c) const {
    const std::int64_t n = dims[rank - 1];
    std::int64_t rows = 1;
    for (int k = 0; k < rank - 1; ++k) rows *= dims[k];
    auto [begin, end] = c.slice(rows * n, 256);
    if (!is_bytes(kind)) begin = 0, end = c.worker == 0 ? rows * n : 0;
    const IndexList list(c, indices);
    const Copier copier(c, kind, src, dst);
    const std::int64_t step = strides[axis], along = axis == rank - 1 ? 0 : 1;
    while (begin < end) {
      std::int64_t rest = begin / n, base = 0;
      for (int k = rank - 1; k-- > 0; rest /= dims[k])
        if (k != axis) base += rest % dims[k] * strides[k];
      const std::int64_t first = begin % n, last = std::min(n, first + end - begin);
      for (std::int64_t j = first; j < last; ++j, ++begin) {
        const std::int64_t at = list.resolve(begin, bound);
        if (at < 0) return list.fail(c, "GatherElements", begin, bound);
        copier.copy(begin, base + j * along + at * step, 1);
      }
    }
  }
};

class GatherElementsOp final : public Op {
 public:
  explicit GatherElementsOp(const NodeView& node) : axis_(node.int_or("axis", 0)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &i = b.in(1), &y = b.out(0);
    const std::int64_t axis = checked_axis(axis_, x.rank());
    if (y.count() == 0) return;
    if (i.rank() != x.rank() || i.count() != y.count())
      throw Failure{TENON_INVALID_ARGUMENT, "data and indices differ in rank"};
    if (x.rank() > GatherElementsStep::max_rank) throw Failure{TENON_UNIMPLEMENTED, "GatherElements of rank " + std::to_string(x.rank())};
    GatherElementsStep s{};
    s.kind = element_of(x.dtype);
    s.rank = static_cast<std::int32_t>(x.rank()), s.axis = static_cast<std::int32_t>(axis);
    s.bound = x[axis];
    const PlanList<std::int64_t> strides = dense_strides(x.dims);
    for (std::int64_t d = 0; d < x.rank(); ++d) {
      if (d != axis && i[d] > x[d]) throw Failure{TENON_INVALID_ARGUMENT, "the indices are larger than the data"};
      s.dims[d] = i[d], s.strides[d] = strides[static_cast<std::size_t>(d)];
    }
    s.indices = indices_of(b, 1);
    s.src = b.in_ref(0), s.dst = b.out_ref(0);
    StepOptions options = copy_options(s.kind, 2 * bytes_of(s.kind, y.count()));
    options.est_ns += static_cast<double>(y.count());
    b.step("gather elements", s, options, {{s.src, s.indices.ref}}, {{s.dst}});
  }

 private:
  std::int64_t axis_;
};

// ---- GatherND -----------------------------------------------------------------------------------------------------------

struct GatherNdStep {
  Element kind;
  std::int64_t batch, per_batch, inner;  // indices [batch, per_batch, space.depth]
  IndexSpace space;
  Indices indices;
  Ref src, dst;

  void operator()(const StepContext& c) const {
    const std::int64_t rows = batch * per_batch;
    std::int64_t parts = 1;
    if (rows < c.workers) parts = std::clamp<std::int64_t>(inner / 4096, 1, c.workers);
    auto [begin, end] = c.slice(rows * parts);
    if (!is_bytes(kind)) begin = 0, end = c.worker == 0 ? rows * parts : 0;
    const IndexList list(c, indices);
    const Copier copier(c, kind, src, dst);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / parts, part = i % parts, at = space.locate(c, list, row, "GatherND");
      if (at < 0) return;
      const std::int64_t from = inner * part / parts, to = inner * (part + 1) / parts;
      copier.copy(row * inner + from, (row / per_batch * space.size + at) * inner + from, to - from);
    }
  }
};

class GatherNdOp final : public Op {
 public:
  explicit GatherNdOp(const NodeView& node) : batch_dims_(node.int_or("batch_dims", 0)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &i = b.in(1), &y = b.out(0);
    if (i.rank() < 1 || batch_dims_ >= i.rank() || batch_dims_ >= x.rank())
      throw Failure{TENON_INVALID_ARGUMENT, "batch_dims is too large"};
    if (y.count() == 0) return;
    GatherNdStep s{};
    s.kind = element_of(x.dtype);
    s.space = index_space("GatherND", x, batch_dims_, i[-1]);
    s.batch = 1;
    for (std::int64_t d = 0; d < batch_dims_; ++d) {
      if (x[d] != i[d]) throw Failure{TENON_INVALID_ARGUMENT, "data and indices differ in a batch dimension"};
      s.batch *= x[d];
    }
    s.inner = x.inner(batch_dims_ + i[-1] - 1);
    s.per_batch = y.count() / (s.batch * s.inner);
    if (s.batch * s.per_batch * i[-1] != i.count()) throw Failure{TENON_INVALID_ARGUMENT, "indices do not give the planned size"};
    s.indices = indices_of(b, 1);
    s.src = b.in_ref(0), s.dst = b.out_ref(0);
    StepOptions options = copy_options(s.kind, 2 * bytes_of(s.kind, y.count()));
    options.est_ns += static_cast<double>(s.batch * s.per_batch) * 3;
    b.step("gather nd", s, options, {{s.src, s.indices.ref}}, {{s.dst}});
  }

 private:
  std::int64_t batch_dims_;
};

Support supports(const NodeView& node) {
  if (Support s = index_type(node, 1); s.reason) return s;
  if (node.int_or("batch_dims", 0) < 0) return Support::no(TENON_REJECT_ATTRIBUTE, "batch_dims is negative");
  return any_type(node);
}

std::unique_ptr<Op> make_gather(const NodeView& node, CompileContext& context) { return std::make_unique<GatherOp>(node, context); }
template <class T>
std::unique_ptr<Op> make(const NodeView& node, CompileContext&) {
  return std::make_unique<T>(node);
}

constexpr OpRow rows[] = {
    {"", "Gather", supports, make_gather},
    {"", "GatherElements", supports, make<GatherElementsOp>},
    {"", "GatherND", supports, make<GatherNdOp>},
};

std::span<const OpRow> plain_gather_rows() { return rows; }

}  // namespace

std::span<const OpRow> gather_rows() {
  static const std::vector<OpRow> all = join_rows({plain_gather_rows, scatter_rows, select_rows, unique_rows, nms_rows});
  return all;
}

}  // namespace tenon::cpu
