// What the files of data movement share: small integers that are known while planning, axes, tensors as raw bits, fills.
// Free functions; any thread.
#pragma once

#include <initializer_list>

#include "plugins/opencl/ops/movement_space.h"

namespace tenon::opencl {

std::span<const OpRow> concat_rows();    // Concat, Tile, DepthToSpace, SpaceToDepth, ReverseSequence, Trilu, Dropout
std::span<const OpRow> pad_rows();       // Pad, CenterCropPad
std::span<const OpRow> gather_rows();    // Gather, GatherElements, GatherND
std::span<const OpRow> scatter_rows();   // ScatterElements, ScatterND, MaxUnpool, TensorScatter
std::span<const OpRow> window_rows();    // Col2Im
std::span<const OpRow> cast_rows();      // BitCast
std::span<const OpRow> generate_rows();  // ConstantOfShape, Range, EyeLike, OneHot, Shape, Size

// Elements of a small integer tensor; empty where it is omitted. Throws UNSUPPORTED_SHAPE where they are not known.
std::vector<std::int64_t> known_integers(const Tensor& t, const char* what);
// Elements of a small floating tensor, likewise.
std::vector<double> known_numbers(const Tensor& t, const char* what);
// A refusal unless all of these inputs (of those present) are known while planning.
Support known_inputs(const Node& node, std::initializer_list<std::size_t> inputs);

// An axis counted from the front. Throws INVALID_ARGUMENT outside the rank; a scalar has axes 0 and -1.
std::int64_t front_axis(std::int64_t axis, std::int64_t rank);
// The product of dims [begin, end).
std::int64_t product(const Dims& dims, std::size_t begin, std::size_t end);
// The tensor as unsigned integers of the same size.
Tensor as_bits(const Tensor& t);
// The layout of a result that should lie as t does.
Layout layout_wanted(const Tensor& t);
// A dense tensor under other dims.
Tensor dense_as(const Tensor& t, const Dims& dims);
// Every element of out becomes value.
void fill(PlanBuilder& builder, const Tensor& out, double value);
// int or long: text of the type of an index tensor's elements.
inline bool is_index_type(std::int32_t dtype) { return dtype == TENON_DTYPE_INT32 || dtype == TENON_DTYPE_INT64; }

}  // namespace tenon::opencl
