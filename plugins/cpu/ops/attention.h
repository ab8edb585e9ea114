// Attention: sizes, strides and masks of scaled dot product attention, shared by the fast and the plain step.
//
// Plain data, made in plan; any thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

// Strides of [batch, head, row, element] in elements. Only the running softmax reads operands whose elements are not contiguous.
struct HeadStrides {
  std::int64_t batch = 0, head = 0, row = 0, element = 1;
};

// What a query that may look at nothing gets: a softmax of minus infinity alone is NaN. zero_for_nan: zeros wherever that is NaN.
enum class Nothing : std::uint8_t { zero, nan, zero_for_nan };

// What the fourth output shows. visible: as biased, with 0 instead of minus infinity for keys out of sight.
enum class ScoreOutput : std::uint8_t { raw, capped, biased, probabilities, visible };

struct AttentionShape {
  std::int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, past = 0, depth = 0, value_depth = 0;
  HeadStrides q, k, v, y;
  double scale = 1, softcap = 0;
  bool causal = false, has_past = false;
  std::int64_t left = -1, right = -1;  // window; -1: open
  ScoreOutput score_output = ScoreOutput::raw;
  std::int64_t scored = -1;  // keys that the fourth output has room for; -1: all
  Nothing nothing = Nothing::zero;
  bool sink = false;  // the softmax has one more element that adds nothing: of refs.sinks, else 0

  // Blocks of keys that blocks of queries look at: refs.blocks is [layouts, most, most], one layout after another for the heads.
  std::int64_t block_size = 0, block_layouts = 0, block_most = 0;

  // The mask: strides of batch, head and query (0 where broadcast); keys from mask_keys on are masked.
  std::int32_t mask_dtype = 0;
  std::int64_t mask_strides[3] = {}, mask_keys = 0;

  // refs.chosen, bytes: strides of batch, head, query and key. A score becomes `fill` where the byte, as a bool, is not `keeps`.
  std::int64_t chosen_strides[4] = {};
  bool keeps = true;
  float fill = 0;

  std::int64_t group() const { return heads / kv_heads; }
  std::int64_t shown() const { return scored < 0 ? keys : scored; }
  std::int64_t chosen_row(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return b * chosen_strides[0] + h * chosen_strides[1] + i * chosen_strides[2];
  }
  std::int64_t mask_row(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return b * mask_strides[0] + h * mask_strides[1] + i * mask_strides[2];
  }
};

struct AttentionRefs {
  Ref q, k, v, mask, lengths;  // lengths: int64, keys of each batch that are no padding
  Ref firsts;                  // int64: where the first query of each batch stands among the keys; else as lengths or past say
  Ref sinks;                   // float32, one of each head
  Ref blocks;                  // uint8
  Ref chosen;                  // bool: scores that are kept; only float32 steps know it
  Ref y, scores;
};

// Keys [begin, end) that a query may look at, the mask apart.
struct KeyRange {
  std::int64_t begin, end;
};

inline KeyRange key_range(const AttentionShape& s, const AttentionRefs& refs, const StepContext& c, std::int64_t b, std::int64_t i) {
  KeyRange range{0, s.keys};
  std::int64_t offset = s.past;
  if (refs.lengths.present()) {
    const std::int64_t length = c.ptr<const std::int64_t>(refs.lengths)[b];
    range.end = std::clamp<std::int64_t>(length, 0, s.keys);
    if (!s.has_past) offset = range.end - s.queries;
  }
  if (refs.firsts.present()) offset = c.ptr<const std::int64_t>(refs.firsts)[b];
  if (s.causal) range.end = std::min(range.end, i + offset + 1);
  if (s.right >= 0) range.end = std::min(range.end, i + offset + std::min(s.right, s.keys) + 1);
  if (s.left >= 0) range.begin = std::max(range.begin, i + offset - s.left);
  if (refs.mask.present()) range.end = std::min(range.end, s.mask_keys);
  range.end = std::max<std::int64_t>(range.end, 0);
  range.begin = std::min(range.begin, range.end);
  return range;
}

// Ends the run where later steps would trust what this one has not made.
[[noreturn]] inline void stop(const StepContext& c, const std::string& text) {
  throw Failure{TENON_OUT_OF_RANGE, c.label ? c.label + (": " + text) : text};
}

// The row of refs.blocks for a query at position `at`.
inline const std::uint8_t* block_row(const AttentionShape& s, const AttentionRefs& refs, const StepContext& c, std::int64_t h,
                                     std::int64_t at) {
  const std::int64_t row = std::clamp<std::int64_t>(at / s.block_size, 0, s.block_most - 1);
  return c.ptr<const std::uint8_t>(refs.blocks) + (h % s.block_layouts * s.block_most + row) * s.block_most;
}
inline bool block_allows(const AttentionShape& s, const std::uint8_t* row, std::int64_t key) {
  return key / s.block_size < s.block_most && row[key / s.block_size] != 0;
}

// Emits the step: fast for float32, unless the options ask for the plain one.
void plan_attention(PlanBuilder& builder, const AttentionShape& shape, const AttentionRefs& refs, std::int32_t dtype, Isa isa,
                    std::span<const Ref> reads, std::span<const Ref> writes);

// Scalar loops for float32 and double: the oracle.
void plan_attention_plain(PlanBuilder& builder, const AttentionShape& shape, const AttentionRefs& refs, std::int32_t dtype,
                          std::span<const Ref> reads, std::span<const Ref> writes);

// com.microsoft's forms, which prepare operands and then plan the same step.
std::span<const OpRow> multi_head_rows();   // attention_multi_head.cpp
std::span<const OpRow> group_query_rows();  // attention_group_query.cpp
std::span<const OpRow> sparse_rows();       // attention_sparse.cpp
// Those that keep a state, and those that look up pages.
std::span<const OpRow> linear_attention_rows();  // attention_linear.cpp
std::span<const OpRow> causal_conv_rows();       // attention_conv.cpp
std::span<const OpRow> paged_rows();             // attention_paged.cpp

// x[i] = cap * tanh(x[i] / cap).
void softcap_run(float* x, std::int64_t n, float cap);

}  // namespace tenon::cpu
