// Epilogue: elementwise work that a producer (Conv, MatMul, norms, elementwise chains) does on a tile it has just computed.
//
// Collected in compile from absorbed nodes; planned per shape into an EpiloguePlan, plain data that a step's functor
// carries; applied to float32 rows while they are in cache. Owned by the op that absorbs; immutable after compile.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

// Functions of one float32; a and b are their parameters.
enum class Unary : std::uint8_t {
  relu, clip /* [a, b] */, leaky_relu /* a */, elu /* a */, selu /* alpha a, gamma b */, celu /* a */, sigmoid, tanh,
  swish /* x * sigmoid(a x) */, hard_sigmoid /* a x + b in [0, 1] */, hard_swish, mish, gelu_erf, gelu_tanh, softplus,
  softsign, thresholded_relu /* a */, erf, exp, log, sqrt, reciprocal, square, abs, neg, floor, ceil, round, sign,
  sin, cos, affine /* a x + b */,
};
// Functions of the tile x and another operand y.
enum class Binary : std::uint8_t {
  add, sub /* x - y */, rsub /* y - x */, mul, div /* x / y */, rdiv /* y / x */, max, min, pow /* x^y */, rpow /* y^x */, prelu,
};

struct EpilogueItem {
  bool binary = false;
  Unary unary = Unary::relu;
  Binary op = Binary::add;
  float a = 0, b = 0;
  std::uint32_t input = 0;  // binary: the op's input that is y; TENON_NO_VALUE: y is the number a
};

// Where y of a binary item stands relative to the output, decided per shape.
enum class Broadcast : std::uint8_t { scalar, last /* [D_last] */, full, strided };

// One item as a step sees it. y is addressed by output index: offset = sum(index[d] * stride[d]) (strides 0 where broadcast).
struct PlannedItem {
  EpilogueItem item;
  Ref y;
  Broadcast broadcast = Broadcast::scalar;
  std::int64_t strides[8] = {};  // in elements, one per output dim; only for strided
};

struct MathKernels;  // simd_math.h

// Trivially copyable; the arrays are kept by the plan.
struct EpiloguePlan {
  const PlannedItem* items = nullptr;
  std::int32_t count = 0;
  std::int32_t rank = 0;
  std::int64_t dims[8] = {};  // of the output, dense; neighbours that no operand tells apart are merged
  const MathKernels* kernels = nullptr;
};

class Epilogue {
 public:
  // Adds the work of `next` (which reads the tile at its input `slot`); its other inputs will be this op's inputs from
  // first_input on. False when next is no float32 elementwise op that broadcasts into the tile's shape: the output of next
  // must have the shape of its input `slot`. Constants that are scalars (Clip's bounds, a factor) are folded into a and b.
  bool add(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context);
  std::span<const EpilogueItem> items() const { return items_; }
  bool empty() const { return items_.empty(); }
  // For outputs of any rank up to 8. Of a blocked output, offsets and rows are those of [N, C / block, spatial..., block].
  EpiloguePlan plan(PlanBuilder& builder) const;

 private:
  std::vector<EpilogueItem> items_;
};

// Applies all items to x[0, n), the elements [offset, offset + n) of the dense output; longer ranges than one row (last dim)
// may be given. Vectorised for the machine.
void apply_epilogue(const EpiloguePlan& plan, const StepContext& context, float* x, std::int64_t offset, std::int64_t n);
// The same for one item on its own: used by tests, by plain paths and as the oracle (scalar code).
float apply_unary(Unary f, float a, float b, float x);
float apply_binary(Binary f, float x, float y);

// ---- for elementwise ops, which are epilogues with an input in front ----

// Appends the work of node on its input slot, as Epilogue::add does, but says nothing of shapes. first_input TENON_NO_VALUE: the
// other operands are the node's own inputs. False (and items unchanged) where there is no item for it.
bool append_items(const NodeView& node, std::uint32_t slot, std::uint32_t first_input, CompileContext& context,
                  std::vector<EpilogueItem>& items);
// Whether two values are known to have the same shape in every run.
bool same_shape(const tenon_value& a, const tenon_value& b);
// Plans items for the memory of output 0, blocked or not. head: one more operand, placed like the y of an item. Throws Failure.
EpiloguePlan plan_items(PlanBuilder& builder, std::span<const EpilogueItem> items, PlannedItem* head = nullptr);
// Elements [offset, offset + n) of a planned operand, broadcast to the output.
void expand_operand(const EpiloguePlan& plan, const PlannedItem& operand, const float* y, std::int64_t offset, std::int64_t n, float* out);
// out[0, n) = all items of x[0, n). out may be the memory of x and of operands that have the output's size; n <= tile_size.
inline constexpr std::int64_t tile_size = 1024;
void apply_tile(const EpiloguePlan& plan, const StepContext& context, const float* x, float* out, std::int64_t offset, std::int64_t n);

}  // namespace tenon::cpu
