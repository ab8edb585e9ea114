// Random tensors, and the comparison of two results. Functions without state; any thread.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <tenon/tenon.hpp>

namespace tenon::kit {

using Random = std::mt19937_64;

// Element types that cases sweep over.
std::span<const std::int32_t> swept_dtypes();
bool is_float(std::int32_t dtype);

// A dense tensor with elements between lo and hi, within what the type can be: eighths for floats and complex numbers, which
// float16 and its like hold exactly and smaller floats take to the nearest; whole numbers for integers; 0 and 1 for bool;
// words, some of them empty, long or not ASCII, for strings.
Value random_tensor(Random& random, std::int32_t dtype, const Dims& dims, double lo = -4, double hi = 4);
// Puts NaN, infinities, -0 and the largest numbers into some places of a float tensor; leaves others alone.
void sprinkle_specials(Random& random, const Value& tensor);
// These very numbers; as text for strings.
Value tensor_of(std::int32_t dtype, const Dims& dims, const std::vector<double>& elements);
// REQUIRES elements of type double.
std::vector<double> numbers_of(const Value& tensor);

// How far a result may be from the oracle's, as a share of the larger of the expected element and the largest element that is
// expected; 0 for everything that is no float. See README.md.
double tolerance_of(std::int32_t dtype);
// "" when they agree, else what differs and where. whole_steps: how far integers may differ (rounding of quantized results).
std::string difference(const Value& got, const Value& expected, double tolerance_factor = 1, double whole_steps = 0);
// "" when kind, element type and dims are equal.
std::string same_type(const Value& got, const Value& expected);
// "" when types, dims and bytes are equal; of strings, when the texts are.
std::string bitwise_difference(const Value& got, const Value& expected);

}  // namespace tenon::kit
