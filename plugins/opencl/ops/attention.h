// Attention as operators plan it: operands as views [batch, heads, rows, size], and the launches that make of them.
// Used while a plan is made, by one unit.
#pragma once

#include <span>

#include "plugins/opencl/op.h"

namespace tenon::opencl {

struct Attention {
  static constexpr std::int64_t open = 1 << 29;  // of a window
  Tensor q, k, v;      // heads of q are a multiple of those of k and v
  Tensor mask;         // broadcasts to [batch, heads, queries, some keys]: bool, or what is added; keys behind it do not count
  Tensor lengths;      // int32, one for each batch: keys that there are; omitted: all
  Tensor firsts;       // int32, one for each batch: the place of the first query among the keys; omitted: past
  Tensor sinks;        // float32, one for each head
  std::int64_t past = 0, left = open, right = open;  // keys that a query sees before and behind its place; causal: right = 0
  double scale = 1, softcap = 0;
};

// y: a view [batch, heads, queries, size of v] of the result. Throws Failure: INVALID_ARGUMENT where sizes do not fit together.
void plan_attention(PlanBuilder& builder, Attention a, const Tensor& y);

// t [batch, rows, heads * size] as [batch, heads, rows, size]; t of rank 4 as it is. Throws Failure: INVALID_ARGUMENT.
Tensor by_heads(PlanBuilder& builder, const Tensor& t, std::int64_t heads);
// Where past and fresh rows stand behind each other, [batch, heads, rows, size]: output i, or a temp where nobody wants it.
Tensor appended(PlanBuilder& builder, const Tensor& past, const Tensor& fresh, std::size_t output);
// Numbers of any integer type as int32, with `plus` added.
Tensor as_int32(PlanBuilder& builder, const Tensor& t, std::int64_t plus = 0);

std::span<const OpRow> plain_attention_rows();  // ONNX's
std::span<const OpRow> multi_head_rows();       // com.microsoft's
std::span<const OpRow> group_query_rows();
std::span<const OpRow> rotary_rows();

}  // namespace tenon::opencl
