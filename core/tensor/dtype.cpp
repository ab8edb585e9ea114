#include "core/tensor/dtype.h"

#include <array>

namespace tenon {
namespace {

struct Row {
  std::string_view name, onnx_name;
  int bits;
};
constexpr std::array<Row, 29> rows = {{
    {"undefined", "undefined", 0}, {"float32", "float", 32}, {"uint8", "uint8", 8}, {"int8", "int8", 8},
    {"uint16", "uint16", 16}, {"int16", "int16", 16}, {"int32", "int32", 32}, {"int64", "int64", 64},
    {"string", "string", 0}, {"bool", "bool", 8}, {"float16", "float16", 16}, {"float64", "double", 64},
    {"uint32", "uint32", 32}, {"uint64", "uint64", 64}, {"complex64", "complex64", 64},
    {"complex128", "complex128", 128}, {"bfloat16", "bfloat16", 16}, {"float8_e4m3fn", "float8e4m3fn", 8},
    {"float8_e4m3fnuz", "float8e4m3fnuz", 8}, {"float8_e5m2", "float8e5m2", 8},
    {"float8_e5m2fnuz", "float8e5m2fnuz", 8}, {"uint4", "uint4", 4}, {"int4", "int4", 4},
    {"float4_e2m1fn", "float4e2m1", 4}, {"float8_e8m0fnu", "float8e8m0", 8}, {"uint2", "uint2", 2}, {"int2", "int2", 2},
    {"float6_e2m3fn", "float6e2m3", 8}, {"float6_e3m2fn", "float6e3m2", 8},
}};

const Row& row(DType dtype) {
  return dtype >= 0 && dtype < static_cast<DType>(rows.size()) ? rows[static_cast<std::size_t>(dtype)] : rows[0];
}

}  // namespace

int dtype_bits(DType dtype) { return row(dtype).bits; }
std::string_view dtype_name(DType dtype) { return row(dtype).name; }
std::string_view dtype_onnx_name(DType dtype) { return row(dtype).onnx_name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (std::size_t i = 1; i < rows.size(); ++i)
    if (rows[i].name == name || rows[i].onnx_name == name) return static_cast<DType>(i);
  return std::nullopt;
}

Checked dtype_bytes(DType dtype, Checked count) {
  const int bits = dtype_bits(dtype);
  if (bits >= 8) return count * Checked(bits / 8);
  Checked total = count * Checked(bits) + Checked(7);
  return total.valid() ? Checked(total.value() / 8) : total;
}

}  // namespace tenon
