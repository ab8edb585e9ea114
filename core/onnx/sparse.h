// Sparse tensors of a model file: dense from here on, as every kernel wants them.
//
// Pure functions; any thread.
#pragma once

#include "core/onnx/proto.h"

namespace tenon {

// Zeros with the listed elements at their places. Errors: INVALID_ARGUMENT (indices that are no int64 of shape [n] or
// [n, rank], text), OUT_OF_RANGE (an index outside the shape), RESOURCE_EXHAUSTED (the dense size is over limits.memory).
Result<ConstantPtr> dense_from_sparse(const onnx::SparseTensorProto& proto, Payloads& payloads);

}  // namespace tenon
