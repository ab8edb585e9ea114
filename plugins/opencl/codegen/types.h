// Element types as OpenCL C knows them: how each is stored, and in what it is computed.
//
// Storage types are ONNX's. Inside a kernel a value has its compute type: float for float32 and everything smaller that floats, double,
// int for signed integers up to 32 bits and bool (0 or 1), uint, long, ulong; each alone or as a vector. Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace tenon::opencl {

enum class Compute : std::uint8_t { f32, f64, i32, u32, i64, u64 };

// False for types that kernels do not know (strings, complex, packed).
bool has_storage(std::int32_t dtype);
Compute compute_of(std::int32_t dtype);            // REQUIRES has_storage
std::int64_t storage_bytes(std::int32_t dtype);    // of one element; REQUIRES has_storage
bool is_floating(std::int32_t dtype);
bool is_signed_integer(std::int32_t dtype);
bool is_unsigned_integer(std::int32_t dtype);      // bool is none
std::string dtype_text(std::int32_t dtype);        // "float16", for messages

std::string storage_name(std::int32_t dtype);      // "ushort": what a pointer to it points at
std::string compute_name(Compute c, int width = 1);  // "float16" is float × 16

// An expression of the compute type: width elements from index on. pointer has type `__global const <storage>*`.
std::string load_text(std::int32_t dtype, int width, const std::string& pointer, const std::string& index);
// The same where neighbours are stride apart.
std::string gather_text(std::int32_t dtype, int width, const std::string& pointer, const std::string& index, const std::string& stride);
// A statement that stores value, narrowed as a wrapping integer or rounded to nearest even.
std::string store_text(std::int32_t dtype, int width, const std::string& pointer, const std::string& index, const std::string& value);
std::string scatter_text(std::int32_t dtype, int width, const std::string& pointer, const std::string& index, const std::string& stride, const std::string& value);

}  // namespace tenon::opencl
