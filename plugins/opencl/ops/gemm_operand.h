// The operands of products: constants packed in compile, and how tensors are read as matrices.
//
// Plain data and pure functions; one thread.
#pragma once

#include "plugins/opencl/op.h"

namespace tenon::opencl {

// C with at most this many columns is computed as dot products, rows and columns swapped; such a B is not packed.
inline constexpr std::int64_t narrow_columns = 4;

// A constant B in panels, made in compile.
struct PackedB {
  Weight weight;
  int columns = 0;  // of a panel
  Dims dims;        // [batch..., K, N]
  std::int32_t dtype = 0;
};
// node's constant input i as B, its last two axes read the other way round where `transposed`. Not present where packing gains nothing or
// cannot be done: the input is then read as it is.
PackedB pack_constant_b(const Node& node, std::size_t input, bool transposed, CompileContext& context);

// Axes [.., first, second, ..] swapped: a matrix read the other way round.
Tensor transposed(const Tensor& t);
// A vector as a matrix with one row, or one column; else t itself.
Tensor as_matrix(Tensor t, bool row);

}  // namespace tenon::opencl
