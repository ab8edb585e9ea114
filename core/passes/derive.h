// derive: new constants from old ones, computed at load: other dims, other order, other float type.
// Pure functions; any thread.
#pragma once

#include "core/graph/constant.h"

namespace tenon {

inline constexpr std::uint64_t derived_bytes = 64u << 20;  // larger results are a provider's work

// As make_constant, but the elements are not cleared: the caller writes all of them. No strings.
Result<std::shared_ptr<Constant>> unwritten_constant(DType dtype, Dims dims, std::byte** out_data);
// Gives the pages of a mapped constant back: what was made of it is read from now on.
void forget_source(const Constant& c);
// The same bytes under other dims of the same count: nothing is copied, the place in the file stays known.
ConstantPtr with_dims(const ConstantPtr& c, Dims dims);
// null for types of less than a byte, strings, axes that are no permutation, bytes that a recipe makes, and results above derived_bytes.
Result<ConstantPtr> transposed(const Constant& c, const std::vector<std::int64_t>& axes);
// Between float32, float16 and bfloat16; null for other types, bytes that a recipe makes, and results above derived_bytes.
Result<ConstantPtr> converted(const Constant& c, DType to);

}  // namespace tenon
