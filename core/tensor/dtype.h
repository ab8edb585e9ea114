// Element types: the ONNX numbers, their names and sizes.
// Plain data; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/checked.h"

namespace tenon {

using DType = std::int32_t;  // TENON_DTYPE_*: ONNX TensorProto.DataType

// Bits of one element; 0 for STRING and unknown numbers.
int dtype_bits(DType dtype);
// "float32", "int64", ..., numpy's names where numpy has the type; "undefined" for others.
std::string_view dtype_name(DType dtype);
// The ONNX spelling inside "tensor(...)": "float", "int64", "float16", ...
std::string_view dtype_onnx_name(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);
// Bytes of count elements, packed types rounded up.
Checked dtype_bytes(DType dtype, Checked count);

}  // namespace tenon
