// elements: what the elements of a tensor are worth, read without the library that is tested.
// Pure functions; any thread.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>

namespace tenon::kit {

// Integers and bool, also packed ones: equal or not, no tolerance.
bool is_exact(std::int32_t dtype);

// Element `index` of dense, row-major, for types below a byte packed memory. Integers beyond 2^53 lose digits.
// Errors: throws std::runtime_error for types without numbers.
std::complex<double> element(std::int32_t dtype, const void* data, std::size_t index);

// Its bits, zero-extended; of types up to 64 bits.
std::uint64_t element_bits(std::int32_t dtype, const void* data, std::size_t index);

}  // namespace tenon::kit
