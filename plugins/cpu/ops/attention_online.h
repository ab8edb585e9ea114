// attention_online: attention of many queries with a running softmax: scores of a block of keys live in the first-level cache
// between the two products, and nothing of the size queries × keys is ever written.
//
// Plain data and free functions; any thread. Results do not depend on the number of workers.
#pragma once

#include "plugins/cpu/gemm/kernels.h"
#include "plugins/cpu/ops/attention.h"

namespace tenon::cpu {

// Whether the running softmax does what is asked, and pays.
bool online_takes(const AttentionShape& shape, const AttentionRefs& refs);
void plan_online(PlanBuilder& builder, const AttentionShape& shape, const AttentionRefs& refs, Isa isa, std::span<const Ref> reads,
                 std::span<const Ref> writes);

// ---- kernels ------------------------------------------------------------------------------------------------------------

// Scores x[0, n) become `fill` where the byte chosen[j * step], as a bool, is not `keeps`.
void fill_hidden(float* x, std::int64_t n, const std::uint8_t* chosen, std::int64_t step, bool keeps, float fill);

// One row of a block of scores, and what the row has gathered from earlier blocks. Scores are logarithms to base 2, or
// natural ones: a mask of the least float must not become minus infinity.
struct OnlineRow {
  float* x;                     // scores; become exponentials, 0 outside [begin, end)
  std::int64_t n, begin, end;
  bool natural;
  const float* mask;            // added to [begin, end), starts there; null: no mask
  float* gathered;              // sum of exponentials × values so far, `width` floats, a multiple of 16
  std::int64_t width;
  float* state;                 // greatest score, sum of exponentials
};
void online_rows(const OnlineRow* rows, std::int64_t count);  // at most gemm::kMaxRows
// x *= factor
void online_scale(float* x, std::int64_t n, float factor);
// y = gathered / sum
void online_finish(const float* gathered, std::int64_t n, float sum, float* y);

}  // namespace tenon::cpu
