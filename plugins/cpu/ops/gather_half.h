// HalfTable: a constant of float16 or bfloat16 that rows are gathered from, such as an embedding. It stays as it is, and rows are
// widened to float32 as they are read: a float32 copy of all of it would take two times its memory for a few rows of each run.
// Plain data; any thread.
#pragma once

#include "plugins/cpu/ops/indices.h"

namespace tenon::cpu {

struct HalfTable {
  const std::uint16_t* data = nullptr;  // null: the input is none, or too small to be worth it
  std::int32_t dtype = 0;

  // Of input i of this node, which then reads the constant itself.
  static HalfTable of(const NodeView& node, std::uint32_t i, CompileContext& context);
};

// One step: dst [outer, count, inner] float32 is table [outer, bound, inner] at the indices [count].
struct HalfGather {
  std::int64_t outer, bound, count, inner;
  Indices indices;
  Ref dst;
};
void emit_half_gather(PlanBuilder& builder, const HalfTable& table, const HalfGather& gather);

}  // namespace tenon::cpu
