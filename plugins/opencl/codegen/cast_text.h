// Conversions from floating types to integers that have a result for every input: towards zero; what does not fit 32 bits (for int32 and
// narrower types) or 64 bits (for the others) becomes the lowest number of that width.
// Pure functions.
#pragma once

#include <string>

#include "plugins/opencl/codegen/types.h"

namespace tenon::opencl {

// The function's name; to is i32, i64 or u64. from: f32 or f64.
std::string to_integer_call(Compute from, Compute to, int width);
// Its definition; that for u64 calls the one for i64.
std::string to_integer_helper(Compute from, Compute to, int width);

}  // namespace tenon::opencl
