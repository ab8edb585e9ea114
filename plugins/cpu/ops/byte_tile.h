// byte_tile: tiles of byte products whose sums become bytes of a quantized tensor without leaving their registers.
//
// What byte_gemm's tile and byte_finish do one after the other, with the same results. Free functions on plain memory; any thread.
#pragma once

#include "plugins/cpu/gemm/byte_gemm.h"
#include "plugins/cpu/ops/byte_finish.h"

namespace tenon::cpu {

// One tile: at most ByteKernels::panels panels and gemm::byte_rows rows, as gemm::ByteKernels::tile takes them.
struct ByteTileWork {
  const std::uint8_t* const* a;
  std::int64_t offset, segments, quads;
  const std::int8_t* w;
  std::int64_t panel_bytes, rows, panels;
  std::int64_t n;               // columns to store
  ByteColumns columns;          // of the first column
  const ByteTarget* to;
  const ByteAddition* addition; // null: none
  const std::uint8_t* other;    // as out, of the tensor that is added
  std::uint8_t* out;
  std::int64_t out_row;
};

using ByteTileFn = void (*)(const ByteTileWork& work);
// Null where sums go through memory.
ByteTileFn byte_tile(Isa isa);
// For sums that are in memory, with or without ByteColumns::add among them: any number of rows, nothing is multiplied.
using ByteSumsFn = void (*)(const ByteTileWork& work, const std::int32_t* sums, std::int64_t sums_row, bool added);
// Null where byte_finish is as good.
ByteSumsFn byte_sums(Isa isa);
// The one for AVX2 (byte_tile_avx2.cpp).
void byte_sums_avx2(const ByteTileWork& work, const std::int32_t* sums, std::int64_t sums_row, bool added);

}  // namespace tenon::cpu
