#include "plugins/opencl/codegen/types.h"

#include <tenon/types.h>

namespace tenon::opencl {
namespace {

std::string number(int n) { return std::to_string(n); }
std::string suffix(int width) { return width == 1 ? "" : number(width); }

// One stored element as its compute type.
std::string load_one(std::int32_t dtype, const std::string& pointer, const std::string& index) {
  const std::string at = pointer + "[" + index + "]";
  switch (dtype) {
    case TENON_DTYPE_FLOAT16: return "vload_half(" + index + ", (__global const half*)" + pointer + ")";
    case TENON_DTYPE_BFLOAT16: return "as_float((uint)" + at + " << 16)";
    default: return "(" + compute_name(compute_of(dtype)) + ")" + at;
  }
}

// value of the compute type as the storage type; not for float16.
std::string narrowed(std::int32_t dtype, int width, const std::string& value) {
  const std::string w = suffix(width);
  switch (dtype) {
    case TENON_DTYPE_BFLOAT16:
      // To nearest even; a NaN stays one.
      return "convert_ushort" + w + "(select((as_uint" + w + "(" + value + ") + 0x7fffu + ((as_uint" + w + "(" + value + ") >> 16) & 1u)) >> 16, as_uint" + w + "(" + value + ") >> 16 | 0x40u, " +
             (width == 1 ? "(uint)isnan(" + value + ")" : "as_uint" + w + "(isnan(" + value + "))") + "))";
    default:
      if (storage_name(dtype) == compute_name(compute_of(dtype))) return value;
      return "convert_" + storage_name(dtype) + w + "(" + value + ")";
  }
}

}  // namespace

bool has_storage(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: case TENON_DTYPE_UINT8: case TENON_DTYPE_INT8: case TENON_DTYPE_UINT16: case TENON_DTYPE_INT16:
    case TENON_DTYPE_INT32: case TENON_DTYPE_INT64: case TENON_DTYPE_BOOL: case TENON_DTYPE_FLOAT16: case TENON_DTYPE_DOUBLE:
    case TENON_DTYPE_UINT32: case TENON_DTYPE_UINT64: case TENON_DTYPE_BFLOAT16: return true;
    default: return false;
  }
}

Compute compute_of(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_DOUBLE: return Compute::f64;
    case TENON_DTYPE_INT8: case TENON_DTYPE_INT16: case TENON_DTYPE_INT32: case TENON_DTYPE_BOOL: return Compute::i32;
    case TENON_DTYPE_UINT8: case TENON_DTYPE_UINT16: case TENON_DTYPE_UINT32: return Compute::u32;
    case TENON_DTYPE_INT64: return Compute::i64;
    case TENON_DTYPE_UINT64: return Compute::u64;
    default: return Compute::f32;
  }
}

std::int64_t storage_bytes(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_UINT8: case TENON_DTYPE_INT8: case TENON_DTYPE_BOOL: return 1;
    case TENON_DTYPE_UINT16: case TENON_DTYPE_INT16: case TENON_DTYPE_FLOAT16: case TENON_DTYPE_BFLOAT16: return 2;
    case TENON_DTYPE_INT64: case TENON_DTYPE_UINT64: case TENON_DTYPE_DOUBLE: return 8;
    default: return 4;
  }
}

bool is_floating(std::int32_t dtype) {
  return dtype == TENON_DTYPE_FLOAT || dtype == TENON_DTYPE_DOUBLE || dtype == TENON_DTYPE_FLOAT16 || dtype == TENON_DTYPE_BFLOAT16;
}
bool is_signed_integer(std::int32_t dtype) {
  return dtype == TENON_DTYPE_INT8 || dtype == TENON_DTYPE_INT16 || dtype == TENON_DTYPE_INT32 || dtype == TENON_DTYPE_INT64;
}
bool is_unsigned_integer(std::int32_t dtype) {
  return dtype == TENON_DTYPE_UINT8 || dtype == TENON_DTYPE_UINT16 || dtype == TENON_DTYPE_UINT32 || dtype == TENON_DTYPE_UINT64;
}

std::string dtype_text(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return "float32";
    case TENON_DTYPE_UINT8: return "uint8";
    case TENON_DTYPE_INT8: return "int8";
    case TENON_DTYPE_UINT16: return "uint16";
    case TENON_DTYPE_INT16: return "int16";
    case TENON_DTYPE_INT32: return "int32";
    case TENON_DTYPE_INT64: return "int64";
    case TENON_DTYPE_STRING: return "string";
    case TENON_DTYPE_BOOL: return "bool";
    case TENON_DTYPE_FLOAT16: return "float16";
    case TENON_DTYPE_DOUBLE: return "float64";
    case TENON_DTYPE_UINT32: return "uint32";
    case TENON_DTYPE_UINT64: return "uint64";
    case TENON_DTYPE_COMPLEX64: return "complex64";
    case TENON_DTYPE_COMPLEX128: return "complex128";
    case TENON_DTYPE_BFLOAT16: return "bfloat16";
    default: return "type " + std::to_string(dtype);
  }
}

std::string storage_name(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_UINT8: case TENON_DTYPE_BOOL: return "uchar";
    case TENON_DTYPE_INT8: return "char";
    case TENON_DTYPE_UINT16: case TENON_DTYPE_FLOAT16: case TENON_DTYPE_BFLOAT16: return "ushort";
    case TENON_DTYPE_INT16: return "short";
    case TENON_DTYPE_INT32: return "int";
    case TENON_DTYPE_UINT32: return "uint";
    case TENON_DTYPE_INT64: return "long";
    case TENON_DTYPE_UINT64: return "ulong";
    case TENON_DTYPE_DOUBLE: return "double";
    default: return "float";
  }
}

std::string compute_name(Compute c, int width) {
  const char* names[] = {"float", "double", "int", "uint", "long", "ulong"};
  return names[static_cast<int>(c)] + suffix(width);
}

std::string load_text(std::int32_t dtype, int width, const std::string& pointer, const std::string& index) {
  if (width == 1) return load_one(dtype, pointer, index);
  const std::string w = suffix(width), vector = "vload" + w + "(0, " + pointer + " + (" + index + "))";
  if (dtype == TENON_DTYPE_FLOAT16) return "vload_half" + w + "(0, (__global const half*)" + pointer + " + (" + index + "))";
  if (dtype == TENON_DTYPE_BFLOAT16) return "as_float" + w + "(convert_uint" + w + "(" + vector + ") << 16)";
  if (storage_name(dtype) == compute_name(compute_of(dtype))) return vector;
  return "convert_" + compute_name(compute_of(dtype), width) + "(" + vector + ")";
}

std::string gather_text(std::int32_t dtype, int width, const std::string& pointer, const std::string& index, const std::string& stride) {
  if (width == 1) return load_one(dtype, pointer, index);
  std::string out = "(" + compute_name(compute_of(dtype), width) + ")(";
  for (int i = 0; i < width; ++i) out += (i ? ", " : "") + load_one(dtype, pointer, "(" + index + ") + " + number(i) + " * (" + stride + ")");
  return out + ")";
}

std::string store_text(std::int32_t dtype, int width, const std::string& pointer, const std::string& index, const std::string& value) {
  if (dtype == TENON_DTYPE_FLOAT16)
    return width == 1 ? "vstore_half_rte(" + value + ", " + index + ", (__global half*)" + pointer + ");"
                      : "vstore_half" + suffix(width) + "_rte(" + value + ", 0, (__global half*)" + pointer + " + (" + index + "));";
  if (width == 1) return pointer + "[" + index + "] = " + narrowed(dtype, 1, value) + ";";
  return "vstore" + suffix(width) + "(" + narrowed(dtype, width, value) + ", 0, " + pointer + " + (" + index + "));";
}

std::string scatter_text(std::int32_t dtype, int width, const std::string& pointer, const std::string& index, const std::string& stride, const std::string& value) {
  if (width == 1) return store_text(dtype, 1, pointer, index, value);
  static const char* digits = "0123456789abcdef";
  std::string out;
  for (int i = 0; i < width; ++i)
    out += store_text(dtype, 1, pointer, "(" + index + ") + " + number(i) + " * (" + stride + ")", value + ".s" + digits[i]) + " ";
  return out;
}

}  // namespace tenon::opencl
