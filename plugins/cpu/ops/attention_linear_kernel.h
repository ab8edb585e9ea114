// LinearToken: one token's change of some columns of a state, and the answers, vectorised for the instruction set in use.
//
// Any thread, as long as the columns of a state differ.
#pragma once

#include <cstdint>

namespace tenon::cpu {

struct LinearToken {
  float* state;               // [key_depth, columns], rows `stride` apart
  std::int64_t stride, key_depth, columns;
  const float* key;
  const float* decay;         // a factor for each row; null: none
  const float* value;         // [columns]
  bool delta;                 // what the state holds for the key is taken from the value first
  float rate;                 // of the change
  const float* queries;       // [answers, key_depth]
  std::int64_t answers;
  float* out;                 // [answers, columns], rows `out_stride` apart
  std::int64_t out_stride;
};

void linear_token(const LinearToken& token);

}  // namespace tenon::cpu
