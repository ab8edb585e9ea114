// MathKernels: every Unary and Binary of epilogue.h over arrays of float32, one table for each instruction set.
//
// x and out may be the same memory; otherwise they do not overlap. Read-only tables; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "plugins/cpu/epilogue.h"

namespace tenon::cpu {

inline constexpr std::size_t unary_kinds = static_cast<std::size_t>(Unary::affine) + 1;
inline constexpr std::size_t binary_kinds = static_cast<std::size_t>(Binary::prelu) + 1;

struct MathKernels {
  void (*unary[unary_kinds])(const float* x, float* out, std::int64_t n, float a, float b);
  void (*binary[binary_kinds])(const float* x, const float* y, float* out, std::int64_t n);
  void (*scalar[binary_kinds])(const float* x, float y, float* out, std::int64_t n);

  void run(Unary f, const float* x, float* out, std::int64_t n, float a = 0, float b = 0) const {
    unary[static_cast<std::size_t>(f)](x, out, n, a, b);
  }
  void run(Binary f, const float* x, const float* y, float* out, std::int64_t n) const {
    binary[static_cast<std::size_t>(f)](x, y, out, n);
  }
  void run(Binary f, const float* x, float y, float* out, std::int64_t n) const { scalar[static_cast<std::size_t>(f)](x, y, out, n); }
};

// Isa::plain: loops over apply_unary and apply_binary, the oracle. Relative error of the others: 3e-7 at most, but 6e-7 for erf,
// tanh and gelu, which grows to 1e-5 in gelu's negative tail (x = -6); sin and cos are within 1e-7 absolutely.
const MathKernels& math_kernels(Isa isa);

}  // namespace tenon::cpu
