// OneHot, Compress, NonZero: elements chosen by the values of others.
#include <algorithm>
#include <complex>
#include <type_traits>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/movement.h"

namespace tenon::cpu {
namespace {

// ---- OneHot -----------------------------------------------------------------------------------------------------------

// An index of any numeric type as an integer; what no int64 holds is outside every depth.
std::int64_t hot_index(const void* data, std::int32_t dtype, std::int64_t i) {
  double value;
  if (dtype == TENON_DTYPE_FLOAT) value = static_cast<const float*>(data)[i];
  else if (dtype == TENON_DTYPE_DOUBLE) value = static_cast<const double*>(data)[i];
  else if (dtype == TENON_DTYPE_UINT64 && int_at(data, dtype, i) < 0) return INT64_MIN;
  else return int_at(data, dtype, i);
  return value > -9e18 && value < 9e18 ? static_cast<std::int64_t>(value) : INT64_MIN;
}

struct OneHotStep {
  Element kind;
  std::int32_t dtype;  // of the indices
  std::int64_t outer, depth, inner;
  Ref indices, values, dst;

  // The whole output is off, then each index switches one element on. A worker owns whole outer blocks.
  void operator()(const StepContext& c) const {
    auto [begin, end] = c.slice(outer);
    if (!is_bytes(kind)) begin = 0, end = c.worker == 0 ? outer : 0;
    if (begin >= end) return;
    const Copier copier(c, kind, values, dst);
    const void* index = c.ptr<const void>(indices);
    copier.fill(begin * depth * inner, 0, (end - begin) * depth * inner);
    for (std::int64_t o = begin; o < end; ++o)
      for (std::int64_t i = 0; i < inner; ++i) {
        const std::int64_t at = resolve_axis(hot_index(index, dtype, o * inner + i), depth);
        if (at >= 0) copier.copy((o * depth + at) * inner + i, 1, 1);
      }
  }
};

class OneHotOp final : public Op {
 public:
  explicit OneHotOp(const NodeView& node) : axis_(node.int_or("axis", -1)) {}

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    const std::int64_t axis = checked_axis(axis_, y.rank());
    if (y.count() == 0) return;
    if (y.rank() != x.rank() + 1 || b.in(2).count() != 2)
      throw Failure{TENON_INVALID_ARGUMENT, "values must be two elements, off and on"};
    const OneHotStep s{element_of(y.dtype), x.dtype, y.outer(axis), y[axis], y.inner(axis), b.in_ref(0), b.in_ref(2), b.out_ref(0)};
    if (s.outer * s.inner != x.count()) throw Failure{TENON_INVALID_ARGUMENT, "the indices do not give the planned size"};
    b.step("one hot", s, copy_options(s.kind, bytes_of(s.kind, y.count())), {{s.indices, s.values}}, {{s.dst}});
  }

 private:
  std::int64_t axis_;
};

bool numeric(std::int32_t dtype) { return is_integer(dtype) || dtype == TENON_DTYPE_FLOAT || dtype == TENON_DTYPE_DOUBLE; }

Support one_hot_supports(const NodeView& node) {
  if (!numeric(node.dtype(0)))
    return Support::no(TENON_REJECT_DTYPE, "indices of type " + std::to_string(node.dtype(0)) + " are not supported");
  return any_type(node);
}

// ---- Compress -----------------------------------------------------------------------------------------------------------

StepOptions data_dependent_options(std::int64_t bytes) {
  StepOptions o;
  o.spmd = false;
  o.allocates = true;
  o.est_ns = static_cast<double>(bytes) / 4;
  return o;
}

class CompressOp final : public Op {
 public:
  explicit CompressOp(const NodeView& node)
      : flat_(node.attribute("axis") == nullptr), axis_(node.int_or("axis", 0)), half_(half_output(node, 0)) {}

  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    const std::int64_t axis = flat_ ? 0 : checked_axis(axis_, x.rank());
    const std::int64_t outer = flat_ ? 1 : x.outer(axis), size = flat_ ? x.count() : x[axis], inner = flat_ ? 1 : x.inner(axis);
    const std::int64_t given = std::min(b.in(1).count(), size);
    const std::size_t rank = flat_ ? 1 : x.dims.size();
    const std::int64_t* dims = flat_ ? nullptr : b.keep(x.dims);
    const Element kind = element_of(x.dtype);
    const Ref src = b.in_ref(0), condition = b.in_ref(1);
    const Output out = output_of(b, 0);
    b.step("compress", [=, half = half_](const StepContext& c) {
      const bool* wanted = c.ptr<const bool>(condition);
      const std::int64_t count = std::count(wanted, wanted + given, true);
      std::int64_t sizes[max_rank] = {};
      if (dims) std::copy(dims, dims + rank, sizes);
      sizes[axis] = count;
      tenon_address address;
      if (!open_output(c, out, std::span<const std::int64_t>(sizes, rank), address)) return;
      const Copier copier(c, kind, src, &address, half);
      std::int64_t to = 0;
      for (std::int64_t o = 0; o < outer; ++o)
        for (std::int64_t i = 0; i < given; ++i)
          if (wanted[i]) copier.copy(to, (o * size + i) * inner, inner), to += inner;
    }, data_dependent_options(2 * bytes_of(kind, x.count())), {{src, condition}}, {{out.ref}});
  }

  static constexpr std::size_t max_rank = 32;

 private:
  bool flat_;
  std::int64_t axis_;
  std::int32_t half_;
};

Support compress_supports(const NodeView& node) {
  if (node.dtype(1) != TENON_DTYPE_BOOL) return Support::no(TENON_REJECT_DTYPE, "condition must be bool");
  if (node.rank(0) > static_cast<std::int32_t>(CompressOp::max_rank))
    return Support::no(TENON_REJECT_RANK, "rank " + std::to_string(node.rank(0)));
  return any_type(node);
}

// ---- NonZero ------------------------------------------------------------------------------------------------------------

template <class T>
bool is_nonzero(const T& x) {
  if constexpr (std::is_same_v<T, std::string_view>) return !x.empty();
  else return x != T{};
}

// Coordinates of what is not 0, a row of them for each dim.
template <class T>
struct NonZeroStep {
  std::size_t rank;
  const std::int64_t* dims;
  std::int64_t count;
  Ref x;
  Output out;

  void operator()(const StepContext& c) const {
    std::vector<std::string_view> texts;
    const T* data;
    if constexpr (std::is_same_v<T, std::string_view>) {
      for (std::int64_t i = 0; i < count; ++i) texts.push_back(c.text(x, static_cast<std::uint64_t>(i)));
      data = texts.data();
    } else {
      data = c.ptr<const T>(x);
    }
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < count; ++i) found += is_nonzero(data[i]);
    tenon_address address;
    if (!open_output(c, out, {static_cast<std::int64_t>(rank), found}, address)) return;
    if (rank == 0 || found == 0) return;
    std::int64_t* y = data_of<std::int64_t>(address);
    const std::size_t last = rank - 1;
    const std::int64_t width = dims[last];
    std::int64_t at[CompressOp::max_rank] = {}, k = 0;
    for (std::int64_t row = 0; row < count; row += width) {
      for (std::int64_t i = 0; i < width; ++i) {
        if (!is_nonzero(data[row + i])) continue;
        for (std::size_t d = 0; d < last; ++d) y[static_cast<std::int64_t>(d) * found + k] = at[d];
        y[static_cast<std::int64_t>(last) * found + k++] = i;
      }
      for (std::size_t d = last; d-- > 0 && ++at[d] == dims[d];) at[d] = 0;
    }
  }
};

class NonZeroOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const Shape& x = b.in(0);
    if (x.dims.size() > CompressOp::max_rank) throw Failure{TENON_UNIMPLEMENTED, "NonZero of rank " + std::to_string(x.rank())};
    const auto emit = [&]<class T>(T) {
      const NonZeroStep<T> s{x.dims.size(), b.keep(x.dims), x.count(), b.in_ref(0), output_of(b, 0)};
      b.step("nonzero", s, data_dependent_options(x.count() * 8), {{s.x}}, {{s.out.ref}});
    };
    switch (x.dtype) {
      case TENON_DTYPE_FLOAT: return emit(float{});
      case TENON_DTYPE_DOUBLE: return emit(double{});
      case TENON_DTYPE_COMPLEX64: return emit(std::complex<float>{});
      case TENON_DTYPE_COMPLEX128: return emit(std::complex<double>{});
      case TENON_DTYPE_STRING: return emit(std::string_view{});
      default: break;
    }
    switch (element_of(x.dtype)) {  // whole numbers: no bit is set
      case Element::bytes1: return emit(std::uint8_t{});
      case Element::bytes2: return emit(std::uint16_t{});
      case Element::bytes4: return emit(std::uint32_t{});
      default: return emit(std::uint64_t{});
    }
  }
};

Support nonzero_supports(const NodeView& node) {
  const std::int32_t dtype = node.dtype(0);
  if (numeric(dtype) || dtype == TENON_DTYPE_BOOL || dtype == TENON_DTYPE_STRING || dtype == TENON_DTYPE_COMPLEX64 ||
      dtype == TENON_DTYPE_COMPLEX128)
    return any_type(node);
  return Support::no(TENON_REJECT_DTYPE, "element type " + std::to_string(dtype) + " is not supported");
}

constexpr OpRow rows[] = {
    {"", "OneHot", one_hot_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<OneHotOp>(node); }},
    {"", "Compress", compress_supports,
     [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<CompressOp>(node); }, true},
    {"", "NonZero", nonzero_supports, [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<NonZeroOp>(); },
     true},
};

}  // namespace

std::span<const OpRow> select_rows() { return rows; }

}  // namespace tenon::cpu
