// StridedCopy: dst[d0 * a + d1 * b + ...] = src[d0 * x + d1 * y + ...] over a box of indices.
//
// Transpose, Slice, Expand, Tile, Concat, Split and DepthToSpace are all this. Built while planning (or inside a step, where
// only the run knows the offsets), run by every worker on its share. Plain data; any thread.
#pragma once

#include <span>

#include "plugins/cpu/ops/elements.h"

namespace tenon::cpu {

struct StridedCopy {
  static constexpr int max_rank = 12;  // after merging neighbours

  Element kind = Element::bytes1;
  bool tiles = false;   // dims tile_row and rank - 1 are transposed in tiles that fit the cache
  std::int32_t rank = 0;
  std::int32_t tile_row = 0;
  std::int64_t dims[max_rank] = {}, src[max_rank] = {}, dst[max_rank] = {};  // strides in elements of kind
  std::int64_t src_at = 0, dst_at = 0;

  std::int64_t count() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[i];
    return n;
  }
};

// Merges neighbouring dims, widens elements where runs allow it. False: more than max_rank dims are left. plain: no tiles.
bool make_strided_copy(Element kind, std::span<const std::int64_t> dims, std::span<const std::int64_t> src,
                       std::span<const std::int64_t> dst, std::int64_t src_at, std::int64_t dst_at, bool plain, StridedCopy& out);

// This worker's share; packed and string elements are copied by worker 0 alone.
void run_strided_copy(const StridedCopy& copy, const StepContext& context, Ref src, Ref dst);

// One piece of a step.
struct CopyPiece {
  StridedCopy copy;
  Ref src, dst;
};
// Emits one step that runs all pieces, which must not overlap in what they write.
void emit_copies(PlanBuilder& builder, const char* name, std::span<const CopyPiece> pieces);
// As make_strided_copy, for plan: throws Failure.
StridedCopy strided_copy(const PlanBuilder& builder, Element kind, std::span<const std::int64_t> dims, std::span<const std::int64_t> src,
                         std::span<const std::int64_t> dst, std::int64_t src_at = 0, std::int64_t dst_at = 0);

}  // namespace tenon::cpu
