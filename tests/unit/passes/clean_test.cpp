#include <gtest/gtest.h>

#include "tests/unit/passes/rewrite.h"

namespace tenon {
namespace {

TEST(DeadCode, NodesAndOptionalOutputs) {
  EXPECT_EQ(rewrite("dead_code", R"(graph _(x: float32[1,2,4,4]) -> (y)
  a = Relu(x)
  b = Neg(a)
  y, i = MaxPool(x) {kernel_shape=[2, 2]}
)"), R"(graph _(x: float32[1,2,4,4]) -> (y)
  y = MaxPool(x) {kernel_shape=[2, 2]}
)");
}

TEST(DeadCode, WhatABodyReadsLives) {
  const std::string text = R"(graph _(c: bool[], x: float32[2]) -> (y)
  a = Relu(x)
  y = If(c)
    else_branch: graph e() outer(x) -> (n)
      n = Neg(x)
    then_branch: graph t() outer(a) -> (m)
      m = Abs(a)
)";
  EXPECT_EQ(rewrite("dead_code", text), text);
}

TEST(Identities, NodesThatChangeNothing) {
  EXPECT_EQ(rewrite("identities", R"(graph _(x: float32[N,3,4]) -> (y)
  zero: int64[1] = {0}
  end: int64[1] = {9223372036854775807}
  one: int64[3] = {1, 1, 1}
  shape: int64[3] = {0, 3, -1}
  pads: int64[6] = {0, 0, 0, 0, 0, 0}
  unit: float32[1] = {1}
  a = Identity(x)
  b = Cast(a) {to=1}
  c = Transpose(b) {perm=[0, 1, 2]}
  d = Reshape(c, shape)
  e = Slice(d, zero, end)
  f = Expand(e, one)
  g = Pad(f, pads)
  h = Tile(g, one)
  i = Concat(h) {axis=1}
  j = Mul(unit, i)
  k = Div(j, unit)
  l = Neg(k)
  m = Neg(l)
  y = Relu(m)
)"), R"(graph _(x: float32[N,3,4]) -> (y)
  l = Neg(x)
  y = Relu(x)
)");
}

TEST(Identities, AnOutputKeepsItsName) {
  EXPECT_EQ(rewrite("identities", R"(graph _(x: float32[N]) -> (y, z)
  a = Relu(x)
  b = Neg(a)
  y = Identity(a)
  z = Abs(b)
)"), R"(graph _(x: float32[N]) -> (y, z)
  y = Relu(x)
  b = Neg(y)
  z = Abs(b)
)");
  const std::string input = "graph _(x: float32[N]) -> (y)\n  y = Identity(x)\n";
  EXPECT_EQ(rewrite("identities", input), input);
}

TEST(Identities, SignOfZeroAndWideningStay) {
  const std::string text = R"(graph _(x: float32[N], i: int64[N]) -> (a, b, d)
  zero: float32[] = {0.0}
  wide: float32[1,1] = {1.0}
  n: int64[] = {0}
  a = Add(x, zero)
  b = Mul(x, wide)
  c = Add(i, n)
  d = Neg(c)
)";
  EXPECT_EQ(rewrite("identities", text), R"(graph _(x: float32[N], i: int64[N]) -> (a, b, d)
  zero: float32[] = {0.0}
  wide: float32[1,1] = {1.0}
  a = Add(x, zero)
  b = Mul(x, wide)
  d = Neg(i)
)");
}

TEST(Identities, AReversingOrClampingSliceStays) {
  const std::string text = R"(graph _(x: float32[N]) -> (a, b)
  last: int64[1] = {-1}
  zero: int64[1] = {0}
  low: int64[1] = {-9223372036854775807}
  many: int64[1] = {1000}
  a = Slice(x, last, low, zero, last)
  b = Slice(x, zero, many)
)";
  EXPECT_EQ(rewrite("identities", text), text);
}

TEST(ShareConstants, EqualBytesOfEqualTypes) {
  EXPECT_EQ(rewrite("share_constants", R"(graph _(x: float32[N]) -> (y)
  a: float32[] = {2}
  b: float32[] = {2}
  c: float32[1] = {2}
  p = Add(x, a)
  q = Mul(p, b)
  y = Sub(q, c)
)"), R"(graph _(x: float32[N]) -> (y)
  a: float32[] = {2.0}
  c: float32[1] = {2.0}
  p = Add(x, a)
  q = Mul(p, a)
  y = Sub(q, c)
)");
}

TEST(CommonSubexpressions, EqualNodesAreOne) {
  EXPECT_EQ(rewrite("common_subexpressions", R"(graph _(x: float32[N,4]) -> (y, z)
  a = Softmax(x) {axis=-1}
  b = Softmax(x) {axis=-1}
  c = Softmax(x) {axis=0}
  d = Neg(a)
  y = Neg(b)
  z = Add(d, c)
)"), R"(graph _(x: float32[N,4]) -> (y, z)
  a = Softmax(x) {axis=-1}
  c = Softmax(x) {axis=0}
  y = Neg(a)
  z = Add(y, c)
)");
}

TEST(CommonSubexpressions, QuantizationAndChanceStayApart) {
  const std::string text = R"(graph _(x: float32[N]) -> (y, r, t)
  s: float32[] = {0.5}
  z: int8[] = {0}
  a = QuantizeLinear(x, s, z)
  b = QuantizeLinear(x, s, z)
  c = DequantizeLinear(a, s, z)
  d = DequantizeLinear(b, s, z)
  y = Add(c, d)
  r = RandomNormalLike(x)
  t = RandomNormalLike(x)
)";
  EXPECT_EQ(rewrite("common_subexpressions", text), text);
}

TEST(CanonicalNames, CastLikeAndMicrosoft) {
  EXPECT_EQ(rewrite("canonical_names", R"(graph _(x: float32[N,4], h: float16[1], w: float32[4]) -> (a, b, c, d)
  a = CastLike(x, h)
  b = com.microsoft.QuickGelu(x)
  c = com.microsoft.FastGelu(x)
  d = SimplifiedLayerNormalization(x, w) {epsilon=0.01}
)"), R"(graph _(x: float32[N,4], h: float16[1], w: float32[4]) -> (a, b, c, d)
  a = Cast(x) {round_mode="up", saturate=1, to=10}
  b = Swish(x) {alpha=1.702}
  c = Gelu(x) {approximate="tanh"}
  d = RMSNormalization(x, w) {axis=-1, epsilon=0.01, stash_type=1}
)");
}

}  // namespace
}  // namespace tenon
