#include <gtest/gtest.h>

#include "tests/unit/passes/rewrite.h"

namespace tenon {
namespace {

const TextOptions flat{.types = false, .names = false, .bodies = false};

TEST(OutlineGelu, ErfInAnyOrder) {
  const char* expected = R"(graph _(x: float32[N,8]) -> (y)
  y = Gelu(x) {approximate="none"}
)";
  EXPECT_EQ(rewrite("outline_gelu", R"(graph _(x: float32[N,8]) -> (y)
  r: float32[] = {1.4142135}
  one: float32[] = {1}
  half: float32[] = {0.5}
  d = Div(x, r)
  e = Erf(d)
  a = Add(e, one)
  m = Mul(x, a)
  y = Mul(m, half)
)", flat), expected);
  EXPECT_EQ(rewrite("outline_gelu", R"(graph _(x: float32[N,8]) -> (y)
  r: float32[1] = {0.70710678}
  one: float32[] = {1}
  half: float32[] = {0.5}
  d = Mul(r, x)
  e = Erf(d)
  a = Add(one, e)
  h = Mul(half, x)
  y = Mul(h, a)
)", flat), expected);
}

TEST(OutlineGelu, TanhInAnyOrder) {
  const char* expected = R"(graph _(x: float32[N,8]) -> (y)
  y = Gelu(x) {approximate="tanh"}
)";
  EXPECT_EQ(rewrite("outline_gelu", R"(graph _(x: float32[N,8]) -> (y)
  three: float32[] = {3}
  k: float32[] = {0.044715}
  r: float32[] = {0.7978846}
  one: float32[] = {1}
  half: float32[] = {0.5}
  h = Mul(x, half)
  p = Pow(x, three)
  q = Mul(p, k)
  s = Add(x, q)
  z = Mul(s, r)
  t = Tanh(z)
  a = Add(t, one)
  y = Mul(h, a)
)", flat), expected);
  EXPECT_EQ(rewrite("outline_gelu", R"(graph _(x: float32[N,8]) -> (y)
  k: float32[] = {0.044715}
  r: float32[] = {0.7978846}
  one: float32[] = {1}
  two: float32[] = {2}
  sq = Mul(x, x)
  kx = Mul(sq, k)
  in = Add(one, kx)
  rx = Mul(x, r)
  z = Mul(rx, in)
  t = Tanh(z)
  a = Add(one, t)
  m = Mul(x, a)
  y = Div(m, two)
)", flat), expected);
}

TEST(OutlineGelu, KeepsTheOriginalNodesAsBody) {
  EXPECT_EQ(rewrite("outline_gelu", R"(graph _(x: float32[8]) -> (z)
  r: float32[] = {0.70710678}
  one: float32[] = {1}
  half: float32[] = {0.5}
  d = Mul(x, r)
  e = Erf(d)
  a = Add(e, one)
  m = Mul(x, a)
  y = Mul(m, half)
  z = Relu(y)
)"), R"(graph _(x: float32[8]) -> (z)
  y = Gelu(x) {approximate="none"}
    body: graph Gelu(x: float32[8]) -> (y)
      r: float32[] = {0.70710677}
      one: float32[] = {1.0}
      half: float32[] = {0.5}
      d = Mul(x, r)
      e = Erf(d)
      a = Add(e, one)
      m = Mul(x, a)
      y = Mul(m, half)
  z = Relu(y)
)");
}

TEST(OutlineGelu, LeavesWhatIsReadElsewhereOrIsAnotherFunction) {
  const std::string shared = R"(graph _(x: float32[8]) -> (y, e)
  r: float32[] = {0.70710677}
  one: float32[] = {1.0}
  half: float32[] = {0.5}
  d = Mul(x, r)
  e = Erf(d)
  a = Add(e, one)
  m = Mul(x, a)
  y = Mul(m, half)
)";
  EXPECT_EQ(rewrite("outline_gelu", shared), shared);
  const std::string other = R"(graph _(x: float32[8]) -> (y)
  r: float32[] = {0.5}
  one: float32[] = {1.0}
  d = Mul(x, r)
  e = Erf(d)
  a = Add(e, one)
  m = Mul(x, a)
  y = Mul(m, r)
)";
  EXPECT_EQ(rewrite("outline_gelu", other), other);
  const std::string widened = R"(graph _(x: float32[8]) -> (y)
  r: float32[1,1] = {0.70710677}
  one: float32[] = {1.0}
  half: float32[] = {0.5}
  d = Mul(x, r)
  e = Erf(d)
  a = Add(e, one)
  m = Mul(x, a)
  y = Mul(m, half)
)";
  EXPECT_EQ(rewrite("outline_gelu", widened), widened);
}

TEST(OutlineActivation, Swish) {
  EXPECT_EQ(rewrite("outline_activation", R"(graph _(x: float16[N,8]) -> (y, z)
  k: float16[] = {1.702}
  s = Sigmoid(x)
  y = Mul(s, x)
  kx = Mul(x, k)
  t = Sigmoid(kx)
  z = Mul(x, t)
)", flat), R"(graph _(x: float16[N,8]) -> (y, z)
  y = Swish(x) {alpha=1.0}
  z = Swish(x) {alpha=1.7021484}
)");
}

TEST(OutlineActivation, HardSwishHardSigmoidMish) {
  EXPECT_EQ(rewrite("outline_activation", R"(graph _(x: float32[N,8]) -> (a, b, c, d)
  zero: float32[] = {0}
  three: float32[] = {3}
  six: float32[] = {6}
  p = Add(x, three)
  q = Clip(p, zero, six)
  r = Mul(x, q)
  a = Div(r, six)
  h = HardSigmoid(x) {alpha=0.16666667, beta=0.5}
  b = Mul(x, h)
  p2 = Add(three, x)
  q2 = Clip(p2, zero, six)
  c = Div(q2, six)
  sp = Softplus(x)
  th = Tanh(sp)
  d = Mul(th, x)
)", flat), R"(graph _(x: float32[N,8]) -> (a, b, c, d)
  a = HardSwish(x)
  b = HardSwish(x)
  c = HardSigmoid(x) {alpha=0.16666667, beta=0.5}
  d = Mish(x)
)");
}

TEST(OutlineActivation, GateOfAnotherValueStays) {
  const std::string gate = R"(graph _(x: float32[N,8], g: float32[N,8]) -> (y)
  s = Sigmoid(g)
  y = Mul(x, s)
)";
  EXPECT_EQ(rewrite("outline_activation", gate), gate);
}

TEST(OutlineNorm, LayerNormalizationOfTorch) {
  EXPECT_EQ(rewrite("outline_norm", R"(graph _(x: float32[N,S,8]) -> (y)
  axes: int64[1] = {-1}
  two: float32[] = {2}
  eps: float32[] = {1e-5}
  w: float32[8] = const
  b: float32[8] = const
  mean = ReduceMean(x, axes) {keepdims=1}
  d = Sub(x, mean)
  sq = Pow(d, two)
  var = ReduceMean(sq, axes) {keepdims=1}
  ve = Add(var, eps)
  sd = Sqrt(ve)
  n = Div(d, sd)
  s = Mul(n, w)
  y = Add(s, b)
)", flat), R"(graph _(x: float32[N,S,8]) -> (y)
  w: float32[8] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}
  b: float32[8] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}
  y = LayerNormalization(x, w, b) {axis=-1, epsilon=1e-05, stash_type=1}
)");
}

TEST(OutlineNorm, LayerNormalizationOverTwoAxesWithoutParameters) {
  EXPECT_EQ(rewrite("outline_norm", R"(graph _(x: float32[N,2,3]) -> (y)
  axes: int64[2] = {2, 1}
  eps: float32[1] = {0.001}
  one: float32[] = {1}
  mean = ReduceMean(x, axes)
  d = Sub(x, mean)
  d2 = Sub(x, mean)
  sq = Mul(d2, d2)
  var = ReduceMean(sq, axes)
  ve = Add(eps, var)
  sd = Sqrt(ve)
  inv = Div(one, sd)
  y = Mul(inv, d)
)", flat), R"(graph _(x: float32[N,2,3]) -> (y)
  y/ones: float32[2,3] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0}
  y = LayerNormalization(x, y/ones) {axis=-2, epsilon=0.001, stash_type=1}
)");
}

TEST(OutlineNorm, RmsNormalization) {
  EXPECT_EQ(rewrite("outline_norm", R"(graph _(x: float32[N,4], w: float32[4]) -> (y)
  axes: int64[1] = {1}
  two: float32[] = {2}
  eps: float32[] = {1e-6}
  sq = Pow(x, two)
  ms = ReduceMean(sq, axes)
  e = Add(ms, eps)
  r = Sqrt(e)
  i = Reciprocal(r)
  n = Mul(x, i)
  y = Mul(w, n)
)", flat), R"(graph _(x: float32[N,4], w: float32[4]) -> (y)
  y = RMSNormalization(x, w) {axis=-1, epsilon=1e-06, stash_type=1}
)");
}

TEST(OutlineNorm, HalfComputedInFloatIsWhatStashTypeSays) {
  EXPECT_EQ(rewrite("outline_norm", R"(graph _(x: float16[N,4]) -> (y)
  w: float16[1,4] = {1, 2, 3, 4}
  axes: int64[1] = {-1}
  eps: float32[] = {1e-6}
  f = Cast(x) {to=1}
  sq = Mul(f, f)
  ms = ReduceMean(sq, axes)
  e = Add(ms, eps)
  r = Sqrt(e)
  n = Div(f, r)
  h = Cast(n) {to=10}
  y = Mul(h, w)
)", flat), R"(graph _(x: float16[N,4]) -> (y)
  w/flat: float16[4] = {1.0, 2.0, 3.0, 4.0}
  y = RMSNormalization(x, w/flat) {axis=-1, epsilon=1e-06, stash_type=1}
)");
}

TEST(OutlineNorm, OtherAxesAndScalesStay) {
  const std::string channels = R"(graph _(x: float32[N,4,8]) -> (y)
  axes: int64[1] = {1}
  eps: float32[] = {1e-06}
  sq = Mul(x, x)
  ms = ReduceMean(sq, axes)
  e = Add(ms, eps)
  r = Sqrt(e)
  y = Div(x, r)
)";
  EXPECT_EQ(rewrite("outline_norm", channels), channels);
}

}  // namespace
}  // namespace tenon
