#include <gtest/gtest.h>

#include "core/passes/facts.h"
#include "tests/unit/passes/rewrite.h"

namespace tenon {
namespace {

TEST(SimplifyShapes, ATargetOfSizesNeedsNoComputing) {
  EXPECT_EQ(rewrite("", R"(graph _(x: float32[B,S,768]) -> (y)
  zero: int64[] = {0}
  one: int64[] = {1}
  first: int64[1] = {0}
  heads: int64[2] = {12, 64}
  s = Shape(x)
  b = Gather(s, zero)
  l = Gather(s, one)
  bu = Unsqueeze(b, first)
  lu = Unsqueeze(l, first)
  t = Concat(bu, lu, heads) {axis=0}
  y = Reshape(x, t) {allowzero=1}
)"), R"(graph _(x: float32[B,S,768]) -> (y)
  y/shape: int64[4] = {0, 0, 12, 64}
  y = Reshape(x, y/shape) {allowzero=0}
)");
}

TEST(SimplifyShapes, TwoReshapesAreOne) {
  EXPECT_EQ(rewrite("simplify_shapes", R"(graph _(x: float32[B,4,6]) -> (y)
  a: int64[3] = {0, 6, 4}
  b: int64[2] = {0, -1}
  one: int64[1] = {1}
  p = Reshape(x, a)
  q = Unsqueeze(p, one)
  y = Reshape(q, b)
)"), R"(graph _(x: float32[B,4,6]) -> (y)
  a: int64[3] = {0, 6, 4}
  b: int64[2] = {0, -1}
  one: int64[1] = {1}
  p = Reshape(x, a)
  q = Unsqueeze(p, one)
  y = Reshape(x, b)
)");
}

TEST(SimplifyShapes, PairsThatUndoEachOther) {
  EXPECT_EQ(rewrite("", R"(graph _(x: float32[B,4,6], i: int32[N], m: bool[N]) -> (y, z, k, l)
  one: int64[1] = {1}
  minus: int64[1] = {-3}
  a = Transpose(x) {perm=[1, 2, 0]}
  b = Transpose(a) {perm=[2, 0, 1]}
  c = Unsqueeze(b, one)
  d = Squeeze(c, minus)
  y = Relu(d)
  e = Transpose(x) {perm=[1, 0, 2]}
  f = Transpose(e) {perm=[2, 1, 0]}
  z = Abs(f)
  g = Cast(i) {to=7}
  h = Cast(g) {to=6}
  k = Neg(h)
  n = Cast(m) {to=6}
  o = Cast(n) {to=1}
  l = Neg(o)
)"), R"(graph _(x: float32[B,4,6], i: int32[N], m: bool[N]) -> (y, z, k, l)
  y = Relu(x)
  f = Transpose(x) {perm=[2, 0, 1]}
  z = Abs(f)
  k = Neg(i)
  o = Cast(m) {to=1}
  l = Neg(o)
)");
}

TEST(SimplifyShapes, ACastThatLosesStays) {
  const std::string text = R"(graph _(x: float32[N], i: int32[N]) -> (y, z)
  a = Cast(x) {to=10}
  y = Cast(a) {to=1}
  b = Cast(i) {to=1}
  z = Cast(b) {to=6}
)";
  EXPECT_EQ(rewrite("simplify_shapes", text), text);
}

TEST(SimplifyShapes, TransposeOfFlattenedHeads) {
  EXPECT_EQ(rewrite("", R"(graph _(past: float32[B,12,P,64], x: float32[B,12,S,64]) -> (y)
  zero: int64[1] = {0}
  two: int64[1] = {2}
  three: int64[1] = {3}
  m: int64[1] = {-1}
  d: int64[1] = {64}
  k = Concat(past, x) {axis=2}
  s = Shape(k)
  l = Slice(s, two, three)
  h = Slice(s, zero, two)
  t = Concat(m, l, d) {axis=0}
  f = Reshape(k, t)
  p = Transpose(f) {perm=[0, 2, 1]}
  u = Concat(h, d, l) {axis=0}
  y = Reshape(p, u)
)"), R"(graph _(past: float32[B,12,P,64], x: float32[B,12,S,64]) -> (y)
  k = Concat(past, x) {axis=2}
  y = Transpose(k) {perm=[0, 1, 3, 2]}
)");
}

TEST(Facts, SumsOfSizesAreTheSameVariable) {
  auto model = parse_graph(R"(graph _(past: float32[B,P,4], x: float32[B,S,4]) -> (k, n, c)
  axis: int64[] = {1}
  k = Concat(past, x) {axis=1}
  sp = Shape(past)
  sx = Shape(x)
  p = Gather(sp, axis)
  s = Gather(sx, axis)
  n = Add(s, p)
  zero: int64[1] = {0}
  eight: int64[1] = {8}
  c = Slice(x, zero, eight, axes)
  axes: int64[1] = {1}
)");
  ASSERT_TRUE(model.ok()) << model.status().text();
  Graph& g = (*model)->graph;
  ASSERT_TRUE(infer_types(**model, g, nullptr).ok());
  const Facts facts(g, false);
  const auto id = [&](const char* name) {
    for (ValueId v = 0; v < g.values.size(); ++v)
      if (g.values[v].name == name) return v;
    return none;
  };
  ASSERT_TRUE(facts.list(id("n")));
  EXPECT_EQ(facts.size(id("k"), 1).variable, facts.list(id("n"))->elements[0].variable);
  EXPECT_NE(facts.size(id("k"), 1).variable, 0u);
  EXPECT_EQ(facts.size(id("k"), 0), facts.size(id("x"), 0));
  EXPECT_EQ(facts.fixed(id("k"), 2), 4);
  EXPECT_FALSE(facts.fixed(id("c"), 1));  // min(S, 8)
}

TEST(Passes, ConstantsAndFactsReachBodies) {
  EXPECT_EQ(rewrite("", R"(graph _(c: bool[], x: float32[N,3]) -> (y)
  two: int64[] = {2}
  s = Shape(x)
  one: int64[] = {1}
  n = Gather(s, one)
  m = Mul(n, two)
  y = If(c)
    else_branch: graph e() outer(x, m) -> (r)
      f = Cast(m) {to=1}
      r = Mul(x, f)
    then_branch: graph t() outer(x) -> (i)
      a = Identity(x)
      i = Relu(a)
)"), R"(graph _(c: bool[], x: float32[N,3]) -> (y)
  y = If(c)
    else_branch: graph e() outer(x) -> (r)
      f: float32[] = {6.0}
      r = Mul(x, f)
    then_branch: graph t() outer(x) -> (i)
      i = Relu(x)
)");
}

TEST(Passes, NoneChangesNothing) {
  auto model = parse_graph("graph _(x: float32[N]) -> (y)\n  a = Identity(x)\n  y = Relu(a)\n");
  Graph& g = (*model)->graph;
  ASSERT_TRUE(infer_types(**model, g, nullptr).ok());
  ASSERT_TRUE(run_passes(**model, g, Optimize::none).ok());
  EXPECT_EQ(g.nodes.size(), 2u);
  std::vector<std::string> seen;
  PassOptions options;
  options.dump = [&](const char* pass, const Graph&) { seen.push_back(pass); };
  std::vector<PassReport> report;
  ASSERT_TRUE(run_passes(**model, g, Optimize::basic, options, &report).ok());
  EXPECT_EQ(seen, (std::vector<std::string>{"import", "identities"}));
  EXPECT_EQ(report.size(), passes().size());
}

}  // namespace
}  // namespace tenon
