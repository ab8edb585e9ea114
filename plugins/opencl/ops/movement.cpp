#include "plugins/opencl/ops/movement.h"

#include "plugins/opencl/elementwise_op.h"
#include "plugins/opencl/families.h"

namespace tenon::opencl {
namespace {

void must_be_known(const Tensor& t, const char* what) {
  if (!t.known && t.count() > 0) throw Failure{TENON_UNSUPPORTED_SHAPE, std::string(what) + " must be known before the run"};
}

}  // namespace

std::vector<std::int64_t> known_integers(const Tensor& t, const char* what) {
  if (!t.present()) return {};
  must_be_known(t, what);
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < t.count(); ++i)
    out.push_back(t.dtype == TENON_DTYPE_INT32 ? static_cast<const std::int32_t*>(t.known)[i] : static_cast<const std::int64_t*>(t.known)[i]);
  return out;
}

std::vector<double> known_numbers(const Tensor& t, const char* what) {
  if (!t.present()) return {};
  must_be_known(t, what);
  if (t.dtype != TENON_DTYPE_FLOAT && t.dtype != TENON_DTYPE_DOUBLE)
    throw Failure{TENON_UNSUPPORTED_SHAPE, std::string(what) + " of type " + dtype_text(t.dtype)};
  std::vector<double> out;
  for (std::int64_t i = 0; i < t.count(); ++i)
    out.push_back(t.dtype == TENON_DTYPE_FLOAT ? static_cast<const float*>(t.known)[i] : static_cast<const double*>(t.known)[i]);
  return out;
}

Support known_inputs(const Node& node, std::initializer_list<std::size_t> inputs) {
  for (std::size_t i : inputs)
    if (node.input(i) && !known_before_run(node, i))
      return Support::no(TENON_REJECT_NEEDS_CONSTANT, "input " + std::to_string(i) + " is computed during the run");
  return Support::yes();
}

std::int64_t front_axis(std::int64_t axis, std::int64_t rank) {
  const std::int64_t n = rank == 0 ? 1 : rank;
  if (axis < -n || axis >= n) throw Failure{TENON_INVALID_ARGUMENT, "axis " + std::to_string(axis) + " of a tensor of rank " + std::to_string(rank)};
  return axis < 0 ? axis + n : axis;
}

std::int64_t product(const Dims& dims, std::size_t begin, std::size_t end) {
  std::int64_t n = 1;
  for (std::size_t i = begin; i < end; ++i) n *= dims[i];
  return n;
}

Tensor as_bits(const Tensor& t) {
  Tensor out = t;
  switch (storage_bytes(t.dtype)) {
    case 1:
      out.dtype = TENON_DTYPE_UINT8;
      break;
    case 2:
      out.dtype = TENON_DTYPE_UINT16;
      break;
    case 4:
      out.dtype = TENON_DTYPE_UINT32;
      break;
    default:
      out.dtype = TENON_DTYPE_UINT64;
      break;
  }
  out.known = nullptr;
  return out;
}

Layout layout_wanted(const Tensor& t) {
  return t.rank() >= 3 && is_laid_out(t, Layout::channels_last) && !is_dense(t) ? Layout::channels_last : Layout::dense;
}

Tensor dense_as(const Tensor& t, const Dims& dims) {
  Tensor out;
  if (!reshaped(t, dims, out)) throw Failure{TENON_INTERNAL, "a tensor that was to be dense is not"};
  return out;
}

std::span<const OpRow> movement_rows() {
  static const std::vector<OpRow> rows = [] {
    std::vector<OpRow> all;
    for (const auto family : {concat_rows, pad_rows, gather_rows, scatter_rows, generate_rows, window_rows, cast_rows})
      for (const OpRow& row : family()) all.push_back(row);
    return all;
  }();
  return rows;
}

void fill(PlanBuilder& builder, const Tensor& out, double value) {
  Expression e;
  e.outputs = {e.literal(out.dtype, value)};
  launch_elementwise(builder, e, {}, {out}, "fill");
}

}  // namespace tenon::opencl
