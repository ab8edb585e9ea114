// ConvFusion: what convolutions absorb, and how it is split between the tiles (residual, clamp) and passes over stored rows.
//
// Filled in compile by one op; immutable afterwards.
#pragma once

#include <vector>

#include "plugins/cpu/epilogue.h"

namespace tenon::cpu {

struct FusionPlan {
  Ref residual;                      // to add first; then clamp to [low, high]; then rest
  std::uint32_t residual_input = 0;
  float low, high;
  EpiloguePlan all, rest;            // all of it in one; what is left after residual and clamp

  // The reads of a step that takes weights from elsewhere than input 1: all the op's inputs and those weights.
  std::vector<Ref> reads(const PlanBuilder& builder, Ref weights) const;
  std::uint32_t input_count = 0;
};

class ConvFusion {
 public:
  bool add(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context);
  bool empty() const { return epilogue_.empty(); }
  // Functions of one number only: no operand.
  bool unary() const;
  // For Op::layout: operands of the output's shape take its block. Returns block.
  std::int32_t want_blocks(std::span<std::int32_t> inputs, std::int32_t block) const;
  FusionPlan plan(PlanBuilder& builder) const;

 private:
  Epilogue epilogue_;
  std::vector<std::uint32_t> full_;  // inputs with the shape of the output
  std::uint32_t input_count_ = 3;
};

// The block of a value with that many channels (-1: not fixed) on a machine that likes machine_block; 0: dense.
std::int32_t block_for_channels(std::int64_t channels, std::int32_t machine_block);

// Emits the step that applies an epilogue to all of output 0.
void emit_epilogue(PlanBuilder& builder, const EpiloguePlan& epilogue);

}  // namespace tenon::cpu
