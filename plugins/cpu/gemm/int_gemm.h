// int_gemm: products of 8-bit integer matrices with 32-bit sums, exact for every zero point.
//
// Operands become int16 with their zero points taken off when they are packed, and pairs along K are multiplied and added in
// one instruction. Packed forms: A rows of k_pairs int16 pairs; B panels of `columns` columns, pairs of one column together.
// Free functions on plain memory; any thread.
#pragma once

#include <cstdint>

#include "plugins/cpu/isa.h"

namespace tenon::cpu::gemm {

struct IntKernels {
  std::int64_t columns;  // of a panel
  std::int64_t rows;     // of a tile
  // C[i * c_row + j] for i < rows, j < columns (of the panel): a [rows][pairs][2], b [pairs][columns][2].
  void (*tile)(const std::int16_t* a, std::int64_t a_row, const std::int16_t* b, std::int64_t pairs, std::int64_t rows, std::int32_t* c,
               std::int64_t c_row);
};
const IntKernels& int_kernels(Isa isa);

constexpr std::int64_t int_pairs(std::int64_t k) { return (k + 1) / 2; }
// int16 numbers of a packed B.
std::int64_t packed_b_count(const IntKernels& kernels, std::int64_t k, std::int64_t n);
// Panels [first, last) of B[k, n] with B(k, j) = b[k * b_k + j * b_n]; is_signed: int8, else uint8. zero: one, or one a column.
void pack_b(const IntKernels& kernels, const void* b, bool is_signed, std::int64_t b_k, std::int64_t b_n, std::int64_t k, std::int64_t n,
            const std::int32_t* zero, bool zero_per_column, std::int64_t first, std::int64_t last, std::int16_t* to);
// count rows of A(i, k) = a[i * a_row + k] into [count][pairs][2].
void pack_a(const void* a, bool is_signed, std::int64_t a_row, std::int64_t a_k, std::int64_t k, std::int64_t count, const std::int32_t* zero,
            bool zero_per_row, std::int16_t* to);
// C = A B for the rows that pack_a made, panels [first, last); c holds n columns a row.
void multiply(const IntKernels& kernels, const std::int16_t* a, std::int64_t rows, const std::int16_t* b, std::int64_t k, std::int64_t n,
              std::int64_t first, std::int64_t last, std::int32_t* c, std::int64_t c_row);

}  // namespace tenon::cpu::gemm
