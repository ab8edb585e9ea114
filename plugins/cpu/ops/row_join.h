// RowJoinOp: rows put together from rows of several tensors, those of tables looked up on the way.
//
// What embeddings of many features come to: Gather from each table, then Concat. Each row is written once, where it ends up.
// Immutable after compile; any thread.
#pragma once

#include <string>
#include <vector>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

// A stretch of every row of the output.
struct RowPiece {
  std::uint32_t data = 0;                  // input: [rows, ...], or a table [bound, ...] if there are indices
  std::uint32_t indices = TENON_NO_VALUE;  // input: [rows], or [rows, columns] of which one column counts
  bool picks = false;                      // one column
  std::int64_t column = 0;                 // which; negative ones count from the end
  std::string label;                       // what looks rows up, for messages
};

class RowJoinOp final : public Op {
 public:
  explicit RowJoinOp(std::vector<RowPiece> pieces) : pieces_(std::move(pieces)) {}

  void plan(PlanBuilder& builder) const override;

 private:
  std::vector<RowPiece> pieces_;
};

}  // namespace tenon::cpu
