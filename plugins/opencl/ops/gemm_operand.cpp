#include "plugins/opencl/ops/gemm_operand.h"

#include <numeric>

#include "plugins/opencl/codegen/gemm_choice.h"
#include "plugins/opencl/codegen/gemm_pack.h"

namespace tenon::opencl {
namespace {

std::int64_t matrices_of(const Dims& dims) { return std::accumulate(dims.begin(), dims.end() - 2, std::int64_t{1}, std::multiplies<>()); }

}  // namespace

Tensor transposed(const Tensor& t) {
  std::vector<std::int64_t> order(t.dims.size());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  return permuted(t, order);
}

Tensor as_matrix(Tensor t, bool row) {
  if (t.rank() != 1) return t;
  t.dims.insert(row ? t.dims.begin() : t.dims.end(), 1);
  t.strides.insert(row ? t.strides.begin() : t.strides.end(), row ? t.dims[1] : 1);
  return t;
}

PackedB pack_constant_b(const Node& node, std::size_t input, bool transposed, CompileContext& context) {
  const tenon_value* v = node.input(input);
  if (!is_constant(v) || v->rank < 2) return {};
  PackedB packed;
  packed.dtype = v->dtype;
  packed.dims.assign(v->dims, v->dims + v->rank);
  if (transposed) std::swap(packed.dims[packed.dims.size() - 1], packed.dims[packed.dims.size() - 2]);
  const std::int64_t k = packed.dims[packed.dims.size() - 2], n = packed.dims.back(), bytes = storage_bytes(v->dtype);
  const std::int64_t matrices = matrices_of(packed.dims);
  // A batch of few dims can be joined with any A's.
  if (matrices * k * n == 0 || (n <= narrow_columns && bytes > 1) || packed.dims.size() > 6) return {};
  const Compute compute = bytes == 1 ? Compute::f32 : compute_of(v->dtype);
  packed.columns = panel_columns(context.profile(), compute, n);
  const std::int64_t one = packed_panel_bytes(k, n, packed.columns, bytes);
  std::string id = "gemm_b/" + std::to_string(bytes) + "/" + std::to_string(packed.columns) + (transposed ? "/t" : "/n");
  for (std::int64_t d : packed.dims) id += "/" + std::to_string(d);
  const std::array<std::size_t, 1> inputs{input};
  packed.weight = context.packed(node, inputs, id, static_cast<std::uint64_t>(one * matrices), [&](std::span<const tenon_const_tensor> from, void* to) {
    const std::int64_t k_stride = transposed ? 1 : n, n_stride = transposed ? k : 1;
    for (std::int64_t i = 0; i < matrices; ++i)
      pack_panels(static_cast<const char*>(from[0].data) + i * k * n * bytes, k_stride, n_stride, k, n, packed.columns, bytes, static_cast<char*>(to) + i * one);
  });
  return packed;
}

}  // namespace tenon::opencl
