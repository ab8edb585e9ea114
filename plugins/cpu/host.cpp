#include "plugins/cpu/host.h"

namespace tenon::cpu {
namespace {

[[noreturn]] void too_large() { throw Failure{TENON_UNSUPPORTED_SHAPE, "a value is larger than memory can be"}; }

std::uint64_t element_bits(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_STRING: return 0;
    case TENON_DTYPE_UINT2: case TENON_DTYPE_INT2: return 2;
    case TENON_DTYPE_UINT4: case TENON_DTYPE_INT4: case TENON_DTYPE_FLOAT4E2M1: return 4;
    case TENON_DTYPE_UINT16: case TENON_DTYPE_INT16: case TENON_DTYPE_FLOAT16: case TENON_DTYPE_BFLOAT16: return 16;
    case TENON_DTYPE_FLOAT: case TENON_DTYPE_INT32: case TENON_DTYPE_UINT32: return 32;
    case TENON_DTYPE_INT64: case TENON_DTYPE_UINT64: case TENON_DTYPE_DOUBLE: case TENON_DTYPE_COMPLEX64: return 64;
    case TENON_DTYPE_COMPLEX128: return 128;
    default: return 8;
  }
}

}  // namespace

std::uint64_t tensor_bytes(std::int32_t dtype, std::int64_t count) {
  std::uint64_t bits = 0;
  if (count < 0 || __builtin_mul_overflow(static_cast<std::uint64_t>(count), element_bits(dtype), &bits)) too_large();
  return bits / 8 + (bits % 8 != 0);
}

std::int64_t element_count(std::span<const std::int64_t> dims) {
  std::int64_t n = 1;
  for (std::int64_t d : dims) {
    if (d < 0) return -1;
    if (__builtin_mul_overflow(n, d, &n)) too_large();
  }
  return n;
}

}  // namespace tenon::cpu
