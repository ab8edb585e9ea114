// RotaryEmbedding's kernel as a step of other operators: pairs of elements of each head turned by an angle that depends on the position.
// Used while a plan is made, by one unit.
#pragma once

#include "plugins/opencl/op.h"

namespace tenon::opencl {

struct Rotary {
  Tensor x, y;         // views [batch, heads, rows, size]
  Tensor cos, sin;     // [positions, pairs], or [batch, rows, pairs] where there are no positions
  Tensor positions;    // int64 [batch, rows], or one for the first row; omitted: see firsts and the tables
  Tensor firsts;       // int32, one for each batch: the position of the first row; omitted: none
  std::int64_t pairs = 0;
  bool interleaved = false;
};

// A position outside the tables takes their nearest row.
void plan_rotary(PlanBuilder& builder, const Rotary& r);

}  // namespace tenon::opencl
