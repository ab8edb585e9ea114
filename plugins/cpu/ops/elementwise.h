// Elementwise ops of every type: one loop per operator and element type, driven over broadcast operands.
//
// A family part (elementwise_arithmetic.cpp, ...) offers TypedRows: for a node, the loop for its types, or none. elementwise.cpp
// makes rows and ops of them; float32 work that epilogue.h knows becomes a chain (elementwise_chain.cpp) instead. Read-only
// tables; any thread.
#pragma once

#include <memory>
#include <span>

#include "plugins/cpu/epilogue.h"

namespace tenon::cpu {

// One run along the innermost dimension. Strides in elements, 0 where an operand is broadcast; in[i] is null where omitted.
struct LoopArgs {
  const void* in[3];
  std::int64_t stride[3];
  void* out;
  std::int64_t n;
  double a, b;  // parameters of the operator
};
// TENON_OK, or why the numbers were wrong (TENON_INVALID_ARGUMENT). out may be the memory of an operand of stride 1.
using Loop = std::int32_t (*)(const LoopArgs&);

// What runs a node on its types.
struct Kernel {
  Loop loop = nullptr;      // null: not these types
  double a = 0, b = 0;
  const char* failure = ""; // what is wrong where loop says so
  bool variadic = false;    // out = loop(out, in[i]) for the inputs after the second
  Loop finish = nullptr;    // variadic: out = finish(out), a: number of inputs
  double ns = 0.3;          // of one element
};

struct TypedRow {
  const char* domain;
  const char* op_type;
  std::uint32_t min_inputs, max_inputs;
  Kernel (*pick)(const NodeView& node);
};

std::span<const TypedRow> arithmetic_kernels();  // Add Sub Mul Div Mod Min Max Sum Mean PRelu
std::span<const TypedRow> power_kernels();       // Pow
std::span<const TypedRow> logic_kernels();       // And Or Xor Not, Bit*
std::span<const TypedRow> compare_kernels();     // Equal Less ... IsNaN IsInf
std::span<const TypedRow> unary_kernels();       // Abs ... Gelu, Shrink
std::span<const TypedRow> select_kernels();      // Where Clip

// An op of epilogue items with an input in front; null where the node is none.
std::unique_ptr<Op> make_chain(const NodeView& node, CompileContext& context);
// Any op of loops.
std::unique_ptr<Op> make_typed(const NodeView& node, const Kernel& kernel);
// Equal and Where of strings.
std::unique_ptr<Op> make_text_equal(const NodeView& node);
std::unique_ptr<Op> make_text_where(const NodeView& node);

std::span<const OpRow> cast_rows();  // Cast CastLike BitCast

// Operands placed along the dims of the output, dims of 1 left out, neighbours merged. Arrays live as long as the plan.
struct Placement {
  std::int32_t rank = 0;
  std::int32_t operands = 0;
  const std::int64_t* dims = nullptr;
  const std::int64_t* strides = nullptr;  // [operands][rank], elements
  std::int64_t count = 0;
};
// Throws Failure where an input does not broadcast to output 0. inputs: their numbers; omitted ones get strides 0.
Placement place_operands(PlanBuilder& builder, std::span<const std::uint32_t> inputs);

// Calls f(element offsets of the operands, first output element, length) for each run along the innermost dim in [begin, end).
template <class F>
void for_runs(const Placement& p, std::int64_t begin, std::int64_t end, F&& f) {
  constexpr int max_operands = 3, max_rank = 16;
  if (begin >= end) return;
  std::int64_t offset[max_operands] = {}, index[max_rank] = {};
  const std::int32_t last = p.rank - 1;
  std::int64_t rest = begin;
  for (std::int32_t d = last; d >= 0; rest /= p.dims[d], --d) {
    index[d] = rest % p.dims[d];
    for (std::int32_t o = 0; o < p.operands; ++o) offset[o] += index[d] * p.strides[o * p.rank + d];
  }
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t left = p.dims[last] - index[last], n = left < end - at ? left : end - at;
    f(offset, at, n);
    at += n;
    // To the start of the next row: back along this one, on along the dims before it.
    for (std::int32_t o = 0; o < p.operands; ++o) offset[o] -= index[last] * p.strides[o * p.rank + last];
    index[last] = 0;
    for (std::int32_t d = last - 1; d >= 0; --d) {
      const bool wraps = ++index[d] == p.dims[d];
      for (std::int32_t o = 0; o < p.operands; ++o) offset[o] += (wraps ? 1 - p.dims[d] : 1) * p.strides[o * p.rank + d];
      if (!wraps) break;
      index[d] = 0;
    }
  }
}

}  // namespace tenon::cpu
