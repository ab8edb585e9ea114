#include "plugins/opencl/ops/gemm_batch.h"

namespace tenon::opencl {

BatchDims joined(const BatchDims& dims) {
  BatchDims out;
  for (const BatchDim& d : dims) {
    if (d.size == 1) continue;
    if (!out.empty() && out.back().strides[0] == d.size * d.strides[0] && out.back().strides[1] == d.size * d.strides[1]) {
      out.back().size *= d.size;
      out.back().strides = d.strides;
    } else {
      out.push_back(d);
    }
  }
  return out;
}

BatchDims four_dims(const BatchDims& dims, const char* what) {
  BatchDims out = joined(dims);
  if (out.size() > 4) throw Failure{TENON_UNSUPPORTED_SHAPE, std::string(what) + " has more than four batch dims that cannot be joined"};
  while (out.size() < 4) out.insert(out.begin(), {1, {0, 0}});
  return out;
}

Dims batch_strides(const Tensor& t, const Dims& batch) {
  Tensor leading_part = t;
  leading_part.dims.resize(t.dims.size() - 2);
  leading_part.strides.resize(t.dims.size() - 2);
  return broadcast(leading_part, batch).strides;
}

void add_batch_args(std::vector<Arg>& args, const Tensor& t, const char* what) {
  BatchDims dims;
  for (std::size_t i = 0; i + 2 < t.dims.size(); ++i) dims.push_back({t.dims[i], {t.strides[i], t.strides[i]}});
  dims = four_dims(dims, what);
  for (std::size_t i = 1; i < 4; ++i) args.push_back(Arg::i32(dims[i].size));
  for (const BatchDim& d : dims) args.push_back(Arg::i32(d.strides[0]));
}

}  // namespace tenon::opencl
