// ScatterElements, ScatterND, TensorScatter: a copy of the data with updates put in.
//
// Updates that meet at one place are applied in the order of the indices, for any number of workers: each worker owns a part
// of the output, not of the updates.
#include <algorithm>
#include <complex>
#include <numeric>
#include <utility>

#include "plugins/cpu/ops/indices.h"
#include "plugins/cpu/ops/movement.h"
#include "plugins/cpu/ops/scatter_rows.h"

namespace tenon::cpu {
namespace {

enum class Reduction : std::uint8_t { none, add, mul, min, max };

std::optional<Reduction> reduction_of(const NodeView& node) {
  const std::string_view name = node.string_or("reduction", "none");
  if (name == "none") return Reduction::none;
  if (name == "add") return Reduction::add;
  if (name == "mul") return Reduction::mul;
  if (name == "min") return Reduction::min;
  if (name == "max") return Reduction::max;
  return std::nullopt;
}

// d[i] = reduce(d[i], u[i]).
using CombineFn = void (*)(void* d, const void* u, std::int64_t n);

template <class T, Reduction r>
T combined(T a, T b) {
  if constexpr (r == Reduction::none) return b;
  else if constexpr (std::is_same_v<T, bool>) return r == Reduction::add || r == Reduction::max ? a || b : a && b;
  else if constexpr (r == Reduction::add) {
    if constexpr (std::is_integral_v<T>) return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    else return a + b;
  } else if constexpr (r == Reduction::mul) {
    if constexpr (std::is_integral_v<T>) return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    else return a * b;
  } else {
    if (b != b) return b;  // NaN wins
    if constexpr (r == Reduction::min) return b < a ? b : a;
    else return b > a ? b : a;
  }
}

template <class T, Reduction r>
void combine(void* d, const void* u, std::int64_t n) {
  T* to = static_cast<T*>(d);
  const T* from = static_cast<const T*>(u);
  for (std::int64_t i = 0; i < n; ++i) to[i] = combined<T, r>(to[i], from[i]);
}

template <class T>
CombineFn of_type(Reduction r) {
  switch (r) {
    case Reduction::add: return combine<T, Reduction::add>;
    case Reduction::mul: return combine<T, Reduction::mul>;
    default: break;
  }
  if constexpr (requires(T a) { a < a; }) return r == Reduction::min ? combine<T, Reduction::min> : combine<T, Reduction::max>;
  else return nullptr;
}

// Null where the type cannot be reduced so.
CombineFn find_combine(std::int32_t dtype, Reduction r) {
  if (r == Reduction::none) {
    switch (element_of(dtype)) {
      case Element::bytes1: return combine<std::uint8_t, Reduction::none>;
      case Element::bytes2: return combine<std::uint16_t, Reduction::none>;
      case Element::bytes4: return combine<std::uint32_t, Reduction::none>;
      case Element::bytes8: return combine<std::uint64_t, Reduction::none>;
      case Element::bytes16: return combine<Bytes16, Reduction::none>;
      default: return nullptr;
    }
  }
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return of_type<float>(r);
    case TENON_DTYPE_DOUBLE: return of_type<double>(r);
    case TENON_DTYPE_INT8: return of_type<std::int8_t>(r);
    case TENON_DTYPE_UINT8: return of_type<std::uint8_t>(r);
    case TENON_DTYPE_INT16: return of_type<std::int16_t>(r);
    case TENON_DTYPE_UINT16: return of_type<std::uint16_t>(r);
    case TENON_DTYPE_INT32: return of_type<std::int32_t>(r);
    case TENON_DTYPE_UINT32: return of_type<std::uint32_t>(r);
    case TENON_DTYPE_INT64: return of_type<std::int64_t>(r);
    case TENON_DTYPE_UINT64: return of_type<std::uint64_t>(r);
    case TENON_DTYPE_BOOL: return of_type<bool>(r);
    case TENON_DTYPE_COMPLEX64: return of_type<std::complex<float>>(r);
    case TENON_DTYPE_COMPLEX128: return of_type<std::complex<double>>(r);
    default: return nullptr;
  }
}

// First step of all: the output begins as the data, unless they are one memory.
void emit_data_copy(PlanBuilder& b, Element kind) {
  const Ref src = b.in_ref(0), dst = b.out_ref(0);
  const std::int64_t count = b.in(0).count();
  if (kind != Element::text) b.inplace(0, 0);
  b.step("copy data", [=](const StepContext& c) {
    if (kind == Element::text) return Copier(c, kind, src, dst).copy(0, 0, count);
    const auto [begin, end] = c.slice(bytes_of(kind, count), 4096);
    const char* s = c.ptr<const char>(src);
    char* d = c.ptr<char>(dst);
    if (s != d && begin < end) std::memcpy(d + begin, s + begin, static_cast<std::size_t>(end - begin));
  }, copy_options(kind, 2 * bytes_of(kind, count)), {{src}}, {{dst}});
}

// One update or a run of them; d and u count elements.
struct Writer {
  CombineFn combine;  // null: packed or string elements, copied
  std::int64_t bytes;
  const char* updates = nullptr;
  char* out = nullptr;
  Copier copier;

  Writer(const StepContext& c, Element kind, CombineFn fn, Ref src, Ref dst)
      : combine(fn), bytes(element_bytes(kind)), copier(c, kind, src, dst) {
    if (kind != Element::text) updates = c.ptr<const char>(src), out = c.ptr<char>(dst);
  }
  void write(std::int64_t d, std::int64_t u, std::int64_t n) const {
    if (combine) combine(out + d * bytes, updates + u * bytes, n);
    else copier.copy(d, u, n);
  }
};

// ---- ScatterElements --------------------------------------------------------------------------------------------------

struct ScatterElementsStep {
  static constexpr int max_rank = 16;
  Element kind;
  CombineFn combine;
  std::int32_t rank, axis;
  std::int64_t bound, dims[max_rank], strides[max_rank];  // dims of the indices, strides of the output
  Indices indices;
  Ref updates, dst;

  // A worker owns lines along the axis: lines never meet.
  void operator()(const StepContext& c) const {
    std::int64_t outer = 1, inner = 1;
    for (int k = 0; k < axis; ++k) outer *= dims[k];
    for (int k = axis + 1; k < rank; ++k) inner *= dims[k];
    auto [begin, end] = c.slice(outer * inner);
    if (!is_bytes(kind)) begin = 0, end = c.worker == 0 ? outer * inner : 0;
    const IndexList list(c, indices);
    const Writer writer(c, kind, combine, updates, dst);
    const std::int64_t n = dims[axis];
    for (std::int64_t line = begin; line < end; ++line) {
      std::int64_t rest = line, base = 0;
      for (int k = rank; k-- > 0;)
        if (k != axis) base += rest % dims[k] * strides[k], rest /= dims[k];
      const std::int64_t first = line / inner * n * inner + line % inner;
      for (std::int64_t k = 0; k < n; ++k) {
        const std::int64_t i = first + k * inner, at = list.resolve(i, bound);
        if (at < 0) return list.fail(c, "ScatterElements", i, bound);
        writer.write(base + at * strides[axis], i, 1);
      }
    }
  }
};

class ScatterElementsOp final : public Op {
 public:
  explicit ScatterElementsOp(const NodeView& node) : axis_(node.int_or("axis", 0)), reduction_(*reduction_of(node)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &i = b.in(1);
    const std::int64_t axis = checked_axis(axis_, x.rank());
    if (x.count() == 0 && i.count() == 0) return;
    if (i.rank() != x.rank() || b.in(2).count() != i.count())
      throw Failure{TENON_INVALID_ARGUMENT, "indices and updates must have one shape, of the rank of data"};
    if (x.rank() > ScatterElementsStep::max_rank) throw Failure{TENON_UNIMPLEMENTED, "ScatterElements of rank " + std::to_string(x.rank())};
    ScatterElementsStep s{};
    s.kind = element_of(x.dtype);
    s.combine = find_combine(x.dtype, reduction_);
    s.rank = static_cast<std::int32_t>(x.rank()), s.axis = static_cast<std::int32_t>(axis), s.bound = x[axis];
    const PlanList<std::int64_t> strides = dense_strides(x.dims);
    for (std::int64_t d = 0; d < x.rank(); ++d) {
      if (d != axis && i[d] > x[d]) throw Failure{TENON_INVALID_ARGUMENT, "the indices are larger than the data"};
      s.dims[d] = i[d], s.strides[d] = strides[static_cast<std::size_t>(d)];
    }
    s.indices = indices_of(b, 1);
    s.updates = b.in_ref(2), s.dst = b.out_ref(0);
    emit_data_copy(b, s.kind);
    if (i.count() == 0) return;
    StepOptions options = copy_options(s.kind, 2 * bytes_of(s.kind, i.count()));
    options.est_ns += static_cast<double>(i.count()) * 3;
    b.step("scatter elements", s, options, {{s.indices.ref, s.updates, s.dst}}, {{s.dst}});
  }

 private:
  std::int64_t axis_;
  Reduction reduction_;
};

// ---- ScatterND --------------------------------------------------------------------------------------------------------

// A worker's part of a scatter of rows: columns [from, to) of targets [low, high). Long rows: it owns columns. Short ones: a range
// of targets.
struct RowShare {
  std::int64_t from, to, low, high;

  RowShare(const StepContext& c, std::int64_t inner, std::int64_t targets, bool columns, std::int64_t grain)
      : from(0), to(inner), low(0), high(targets) {
    const auto [begin, end] = columns ? c.slice(inner, grain) : c.slice(targets);
    if (columns) from = begin, to = end;
    else low = begin, high = end;
  }
  bool empty() const { return from >= to || low >= high; }
};

struct ScatterNdStep {
  Element kind;
  CombineFn combine;
  std::int64_t rows, inner;
  IndexSpace space;
  Indices indices;
  Ref updates, dst;

  // Elements that are no whole bytes are one worker's (copy_options).
  void operator()(const StepContext& c) const {
    const std::int64_t bytes = std::max<std::int64_t>(1, element_bytes(kind));
    const RowShare part(c, inner, space.size, is_bytes(kind) && inner * bytes >= 64 * c.workers, std::max<std::int64_t>(1, 64 / bytes));
    const auto [from, to, low, high] = part;
    if (part.empty() && (space.size > 0 || c.worker != 0)) return;  // without a target every index is wrong: worker 0 says so
    const IndexList list(c, indices);
    const Writer writer(c, kind, combine, updates, dst);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t at = space.locate(c, list, row, "ScatterND");
      if (at < 0) return;
      if (at >= low && at < high) writer.write(at * inner + from, row * inner + from, to - from);
    }
  }
};

// Sums of float rows; the updates may be rows of another matrix, which other indices name and nobody gathers.
struct ScatterSumStep {
  static constexpr std::int64_t chunk = 256;  // rows whose numbers are looked up at once
  std::int64_t rows, inner;
  IndexSpace space, source_space;
  Indices indices, source;  // source: not present where row r is update r
  Ref updates, dst;
  const char* source_name;
  Ref lists;                // of this worker, where the rows of a target are added together: their ends, rows' targets, updates in order
  std::uint64_t list_bytes;

  // Several rows for a target: numbers that are put in order are fewer bytes than a target that is read and written each time.
  bool worth_lists() const {
    constexpr std::int64_t most = std::int64_t{1} << 30;
    return inner >= 4 && rows >= 2 * space.size && rows < most && (!source.ref.present() || source_space.size < most);
  }

  void operator()(const StepContext& c) const {
    constexpr std::int64_t line = 16;
    const RowShare part(c, inner, space.size, inner >= line * c.workers, line);
    const auto [from, to, low, high] = part;
    if (part.empty() && (space.size > 0 || c.worker != 0)) return;  // without a target every index is wrong: worker 0 says so
    if (lists.present()) return add_lists(c, part);
    const IndexList targets(c, indices);
    std::int64_t target[chunk], update[chunk];
    for (std::int64_t row = 0; row < rows; row += chunk) {
      std::int64_t count = std::min(chunk, rows - row);
      if (!space.locate(c, targets, row, count, "ScatterND", target)) return;
      if (!source.ref.present()) std::iota(update, update + count, row);
      else if (!source_space.locate(c, IndexList(c, source), row, count, source_name, update)) return;
      if (low > 0 || high < space.size) {
        std::int64_t kept = 0;
        for (std::int64_t i = 0; i < count; ++i) {
          target[kept] = target[i], update[kept] = update[i];
          kept += target[i] >= low && target[i] < high ? 1 : 0;
        }
        count = kept;
      }
      add_rows(c.ptr<float>(dst), c.ptr<const float>(updates), inner, {target, update, count}, from, to);
    }
  }

 private:
  // A counting sort by target; rows of one target stay in order.
  void add_lists(const StepContext& c, const RowShare& part) const {
    const std::int64_t count = part.high - part.low;
    auto* const ends = worker_scratch<std::int32_t>(c, lists, list_bytes);
    std::int32_t *const target_of = ends + space.size, *const from = target_of + rows;
    std::fill_n(ends, count, 0);
    std::int64_t found[chunk];
    for (std::int64_t row = 0; row < rows; row += chunk) {
      const std::int64_t some = std::min(chunk, rows - row);
      if (!space.locate(c, IndexList(c, indices), row, some, "ScatterND", found)) return;
      for (std::int64_t i = 0; i < some; ++i) {
        const std::int64_t t = found[i] - part.low;
        const bool ours = t >= 0 && t < count;
        target_of[row + i] = ours ? static_cast<std::int32_t>(t) : -1;
        if (ours) ++ends[t];
      }
    }
    std::int32_t at = 0;
    for (std::int64_t t = 0; t < count; ++t) at += std::exchange(ends[t], at);  // where each list begins, and ends when it is full
    for (std::int64_t row = 0; row < rows; row += chunk) {
      const std::int64_t some = std::min(chunk, rows - row);
      if (!source.ref.present()) std::iota(found, found + some, row);
      else if (!source_space.locate(c, IndexList(c, source), row, some, source_name, found)) return;
      for (std::int64_t i = 0; i < some; ++i)
        if (const std::int32_t t = target_of[row + i]; t >= 0) from[ends[t]++] = static_cast<std::int32_t>(found[i]);
    }
    add_row_lists(c.ptr<float>(dst) + part.low * inner, c.ptr<const float>(updates), inner, {ends, from, count}, part.from, part.to);
  }
};

class ScatterNdOp final : public Op {
 public:
  ScatterNdOp(const NodeView& node, const CompileContext& context)
      : reduction_(*reduction_of(node)), data_rank_(node.rank(0)), index_rank_(node.rank(1)),
        sums_(reduction_ == Reduction::add && node.dtype(0) == TENON_DTYPE_FLOAT && !context.options().plain) {}

  // The gathering of whole rows that are added once each: they need not stand in memory.
  bool pull(const NodeView& producer, std::uint32_t slot, std::uint32_t first_input, CompileContext&) override {
    if (slot != 2 || !sums_ || source_input_ != 0) return false;
    const bool nd = producer.op_type() == "GatherND" && producer.int_or("batch_dims", 0) == 0;
    if (!nd && !(producer.op_type() == "Gather" && producer.int_or("axis", 0) == 0)) return false;
    const std::int32_t rank = producer.output(0).rank, data = producer.rank(0), index = producer.rank(1);
    if (data_rank_ < 0 || index_rank_ < 1 || rank < 0 || data < 1 || index < (nd ? 1 : 0)) return false;
    // Dims of a row: what the indices leave of the updates on both sides.
    const std::int32_t added = rank - (index_rank_ - 1), gathered = nd ? rank - (index - 1) : data - 1;
    if (added != gathered || rank - added != index_rank_ - 1) return false;
    source_input_ = first_input, nd_ = nd;
    return true;
  }

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &i = b.in(1);
    if (i.rank() < 1) throw Failure{TENON_INVALID_ARGUMENT, "indices must have a dimension"};
    ScatterNdStep s{};
    s.kind = element_of(x.dtype);
    s.combine = find_combine(x.dtype, reduction_);
    s.space = index_space("ScatterND", x, 0, i[-1]);
    s.rows = i.outer(i.rank() - 1);
    s.inner = x.inner(i[-1] - 1);
    if (sums_) return plan_sum(b, s);
    if (b.in(2).count() != s.rows * s.inner)
      throw Failure{TENON_INVALID_ARGUMENT, "updates do not have the size that data and indices ask for"};
    s.indices = indices_of(b, 1);
    s.updates = b.in_ref(2), s.dst = b.out_ref(0);
    if (x.count() > 0) emit_data_copy(b, s.kind);
    if (s.rows == 0 || s.inner == 0) return;
    StepOptions options = copy_options(s.kind, 3 * bytes_of(s.kind, s.rows * s.inner));
    options.est_ns += static_cast<double>(s.rows) * 3;
    b.step("scatter nd", s, options, {{s.indices.ref, s.updates, s.dst}}, {{s.dst}});
  }

 private:
  void plan_sum(PlanBuilder& b, const ScatterNdStep& found) const {
    ScatterSumStep s{};
    s.rows = found.rows, s.inner = found.inner, s.space = found.space, s.indices = indices_of(b, 1);
    s.updates = b.in_ref(2), s.dst = b.out_ref(0);
    bool fits = b.in(2).count() == s.rows * s.inner;
    if (source_input_) {
      const Shape &from = b.in(2), &index = b.in(source_input_);
      const std::int64_t depth = nd_ ? index[-1] : 1;
      s.source_name = nd_ ? "GatherND" : "Gather";
      s.source_space = index_space(s.source_name, from, 0, depth);
      s.source = indices_of(b, source_input_);
      fits = from.inner(depth - 1) == s.inner && (nd_ ? index.outer(index.rank() - 1) : index.count()) == s.rows;
    }
    if (!fits) throw Failure{TENON_INVALID_ARGUMENT, "updates do not have the size that data and indices ask for"};
    if (b.in(0).count() > 0) emit_data_copy(b, Element::bytes4);
    if (s.rows == 0 || s.inner == 0) return;
    std::vector<Ref> reads{s.indices.ref, s.updates, s.dst};
    if (source_input_) reads.push_back(s.source.ref);
    if (s.worth_lists()) {
      s.list_bytes = static_cast<std::uint64_t>(s.space.size + 2 * s.rows) * sizeof(std::int32_t);
      reads.push_back(s.lists = b.scratch(s.list_bytes));
    }
    const double ns = static_cast<double>(s.rows) * (3 + static_cast<double>(s.inner) / 8);
    b.step(source_input_ ? "gather and add" : "scatter add", s, {.est_ns = ns}, reads, {{s.dst}});
  }

  Reduction reduction_;
  std::int32_t data_rank_, index_rank_;
  bool sums_;
  bool nd_ = false;                 // what was pulled: GatherND or Gather
  std::uint32_t source_input_ = 0;  // its indices; 0: nothing was
};

// ---- TensorScatter ------------------------------------------------------------------------------------------------------

struct TensorScatterStep {
  Element kind;
  bool circular, has_indices;
  std::int64_t batch, middle, size, length, inner;  // cache [batch, middle, size, inner], update [batch, middle, length, inner]
  Indices indices;
  Ref src, updates, dst;

  void operator()(const StepContext& c) const {
    auto [begin, end] = c.slice(batch * middle);
    if (!is_bytes(kind)) begin = 0, end = c.worker == 0 ? batch * middle : 0;
    const Copier data(c, kind, src, dst), fresh(c, kind, updates, dst);
    const bool moved = kind == Element::text || c.ptr<const char>(src) != c.ptr<char>(dst);
    for (std::int64_t row = begin; row < end; ++row) {
      std::int64_t at = 0;
      if (has_indices) {
        const std::int64_t k = row / middle;
        at = IndexList(c, indices)[k];
        if (at < 0 || (circular ? at >= size : length > size || at > size - length))
          return c.fail(TENON_OUT_OF_RANGE, "write index " + std::to_string(at) + " of batch " + std::to_string(k) +
                                                " does not fit a cache of " + std::to_string(size));
      }
      if (moved) data.copy(row * size * inner, row * size * inner, size * inner);
      const std::int64_t first = std::min(length, size - at);
      fresh.copy((row * size + at) * inner, row * length * inner, first * inner);
      if (first < length) fresh.copy(row * size * inner, (row * length + first) * inner, (length - first) * inner);
    }
  }
};

class TensorScatterOp final : public Op {
 public:
  explicit TensorScatterOp(const NodeView& node)
      : axis_(node.int_or("axis", -2)), circular_(node.string_or("mode", "linear") == "circular") {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &u = b.in(1);
    const std::int64_t axis = checked_axis(axis_, x.rank());
    if (x.count() == 0) return;
    bool fits = axis > 0 && u.rank() == x.rank();
    for (std::int64_t d = 0; fits && d < x.rank(); ++d) fits = d == axis ? u[d] <= x[d] : u[d] == x[d];
    if (!fits) throw Failure{TENON_INVALID_ARGUMENT, "the update does not fit the cache"};
    TensorScatterStep s{};
    s.kind = element_of(x.dtype);
    s.circular = circular_, s.has_indices = b.in(2).dtype != TENON_DTYPE_UNDEFINED;
    s.batch = x[0], s.middle = x.outer(axis) / x[0], s.size = x[axis], s.length = u[axis], s.inner = x.inner(axis);
    if (s.has_indices && b.in(2).count() != s.batch)
      throw Failure{TENON_INVALID_ARGUMENT, "one write index for each batch is needed"};
    s.src = b.in_ref(0), s.updates = b.in_ref(1), s.dst = b.out_ref(0);
    if (s.kind != Element::text) b.inplace(0, 0);
    std::vector<Ref> reads{s.src, s.updates};
    if (s.has_indices) s.indices = indices_of(b, 2), reads.push_back(s.indices.ref);
    b.step("tensor scatter", s, copy_options(s.kind, 2 * bytes_of(s.kind, x.count())), reads, {{s.dst}});
  }

 private:
  std::int64_t axis_;
  bool circular_;
};

// ---- rows -------------------------------------------------------------------------------------------------------------

Support scatter_supports(const NodeView& node) {
  const auto reduction = reduction_of(node);
  if (!reduction)
    return Support::no(TENON_REJECT_ATTRIBUTE, "reduction \"" + std::string(node.string_or("reduction", "")) + "\" is not known");
  if (Support s = index_type(node, 1); s.reason) return s;
  if (Support s = any_type(node); s.reason) return s;
  if (node.dtype(2) != node.dtype(0)) return Support::no(TENON_REJECT_DTYPE, "updates have another type than data");
  if (*reduction != Reduction::none && !find_combine(node.dtype(0), *reduction))
    return Support::no(TENON_REJECT_DTYPE, "elements of type " + std::to_string(node.dtype(0)) + " cannot be reduced so");
  return Support::yes();
}

Support tensor_scatter_supports(const NodeView& node) {
  const std::string_view mode = node.string_or("mode", "linear");
  if (mode != "linear" && mode != "circular") return Support::no(TENON_REJECT_ATTRIBUTE, "mode \"" + std::string(mode) + "\" is not known");
  if (Support s = index_type(node, 2); s.reason) return s;
  if (node.dtype(1) != node.dtype(0)) return Support::no(TENON_REJECT_DTYPE, "the update has another type than the cache");
  return any_type(node);
}

template <class T>
std::unique_ptr<Op> make(const NodeView& node, CompileContext&) {
  return std::make_unique<T>(node);
}

std::unique_ptr<Op> make_nd(const NodeView& node, CompileContext& context) { return std::make_unique<ScatterNdOp>(node, context); }

constexpr OpRow rows[] = {
    {"", "ScatterElements", scatter_supports, make<ScatterElementsOp>},
    {"", "Scatter", scatter_supports, make<ScatterElementsOp>},
    {"", "ScatterND", scatter_supports, make_nd},
    {"", "TensorScatter", tensor_scatter_supports, make<TensorScatterOp>},
};

}  // namespace

std::span<const OpRow> scatter_rows() { return rows; }

}  // namespace tenon::cpu
