#include "core/onnx/sparse.h"

#include <cstring>

#include "core/graph/elements.h"
#include "core/tensor/datum.h"

namespace tenon {

Result<ConstantPtr> dense_from_sparse(const onnx::SparseTensorProto& proto, Payloads& payloads) {
  const std::string where = "sparse tensor \"" + proto.values().name() + "\"";
  TENON_ASSIGN(const ConstantPtr values, constant_from_proto(proto.values(), payloads));
  TENON_ASSIGN(const ConstantPtr indices, constant_from_proto(proto.indices(), payloads));
  if (proto.dims_size() > payloads.max_rank)
    return error(TENON_RESOURCE_EXHAUSTED, "{}: rank {} is over limits.rank = {}", where, proto.dims_size(), payloads.max_rank);
  const Dims dims(proto.dims().begin(), proto.dims().end());
  const auto rank = static_cast<std::int64_t>(dims.size());
  TENON_ASSIGN(const std::int64_t count, element_count(dims).get(where));
  TENON_ASSIGN(const std::int64_t bytes, dtype_bytes(values->dtype, count).get(where));
  if (static_cast<std::uint64_t>(bytes) > payloads.max_bytes)
    return error(TENON_RESOURCE_EXHAUSTED, "{}: {} bytes as a dense tensor are over limits.memory = {}", where, bytes, payloads.max_bytes);
  if (values->dtype == TENON_DTYPE_STRING || values->dims.size() != 1) return invalid("{}: its values must be numbers of rank 1", where);
  const std::int64_t n = values->dims[0];
  const bool linear = indices->dims == Dims{n}, tuples = indices->dims == Dims{n, rank};
  if (indices->dtype != TENON_DTYPE_INT64 || !(linear || tuples))
    return invalid("{}: its indices must be int64 of shape [{}] or [{},{}], found {} of {}", where, n, n, rank, dtype_name(indices->dtype),
                   dims_text(indices->dims));
  std::byte* data = nullptr;
  TENON_ASSIGN(auto dense, make_constant(values->dtype, dims, &data));
  if (dense->bytes) std::memset(data, 0, dense->bytes);
  Datum to, from;
  to.dtype = from.dtype = values->dtype;
  to.data = data;
  from.data = const_cast<std::byte*>(values->data);  // read only
  const auto index = [&](std::int64_t i) { return load_bits<std::int64_t>(indices->data, static_cast<std::size_t>(i)); };
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t at = 0;
    if (tuples && !linear) {
      for (std::int64_t d = 0; d < rank; ++d) {
        const std::int64_t one = index(i * rank + d), size = dims[static_cast<std::size_t>(d)];
        if (one < 0 || one >= size) return error(TENON_OUT_OF_RANGE, "{}: index {} of element {} is outside dimension {} of size {}", where, one, i, d, size);
        at = at * size + one;
      }
    } else {
      at = index(i);
    }
    if (at < 0 || at >= count) return error(TENON_OUT_OF_RANGE, "{}: index {} of element {} is outside its {} elements", where, at, i, count);
    copy_elements(to, static_cast<std::size_t>(at), from, static_cast<std::size_t>(i), 1);
  }
  return ConstantPtr(dense);
}

}  // namespace tenon
