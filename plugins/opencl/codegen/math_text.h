// The functions of float32 that kernels call instead of the language's: the same text for scalars and vectors, without branches,
// since drivers for processors call a library once for each element. Errors stay below 3 units in the last place.
// Pure functions.
#pragma once

#include <string>

namespace tenon::opencl {

// "tn_exp16" is exp on float16. REQUIRES has_math(name).
std::string math_call(const std::string& name, int width);
// Definitions that math_call(name, width) needs, in order, one text each; what stands twice is dropped by the program.
std::string math_helper(const std::string& name, int width);
bool has_math(const std::string& name);  // exp, log, tanh, erf, sigmoid

}  // namespace tenon::opencl
