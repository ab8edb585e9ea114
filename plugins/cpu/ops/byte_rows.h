// ByteRows: where the rows of a product of bytes are: windows of an image, rows of a matrix, or copies of either.
//
// Plain data made in plan; any thread.
#pragma once

#include "plugins/cpu/ops/byte_conv.h"
#include "plugins/cpu/ops/byte_windows.h"

namespace tenon::cpu {

struct ByteRows {
  gemm::ByteForm form;
  bool matrix, gathers, lines;
  std::uint8_t zero;  // what is around an image
  const ByteWindows* windows;
  const std::uint8_t* padding;  // a pixel of it
  std::int64_t m;               // rows
  Ref x;

  std::int64_t row_bytes() const { return form.quads() * 4; }
  // What find copies `count` rows to.
  std::int64_t gathered_bytes(std::int64_t count) const { return gathers ? count * row_bytes() : 0; }
  // Piece s of row r of `count` rows behind `row` is at pieces[s * count + r], all groups' channels. What fills it up may be anything.
  void find(const std::uint8_t* in, std::int64_t row, std::int64_t count, const std::uint8_t** pieces, std::uint8_t* gathered) const;
};

// For the sizes of input 0 and output 0; emits the steps that copy what has to be copied whole.
ByteRows plan_byte_rows(PlanBuilder& builder, const ByteConvSpec& spec);

}  // namespace tenon::cpu
