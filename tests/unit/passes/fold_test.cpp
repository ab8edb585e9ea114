#include <cmath>

#include <gtest/gtest.h>

#include "core/graph/elements.h"
#include "tests/unit/passes/rewrite.h"

namespace tenon {
namespace {

TEST(ConstantFolding, ArithmeticOfConstants) {
  EXPECT_EQ(rewrite("constant_folding", R"(graph _(x: float32[N]) -> (y)
  a: int64[2] = {3, 4}
  b: int64[] = {5}
  c = Add(a, b)
  d = Cast(c) {to=1}
  s: int64[1] = {1}
  t: int64[1] = {9}
  e = Slice(d, s, t)
  y = Mul(x, e)
)"), R"(graph _(x: float32[N]) -> (y)
  e: float32[1] = {9.0}
  y = Mul(x, e)
)");
}

TEST(ConstantFolding, DivisionByZeroIsTheRunsError) {
  const std::string text = R"(graph _() -> (c)
  a: int64[1] = {1}
  b: int64[1] = {0}
  c = Div(a, b)
)";
  EXPECT_EQ(rewrite("constant_folding", text), text);
}

TEST(ConstantFolding, FixedSizesOfAnInput) {
  EXPECT_EQ(rewrite("constant_folding", R"(graph _(x: float32[N,3,8]) -> (y)
  one: int64[] = {1}
  zero: int64[1] = {0}
  m: int64[1] = {-1}
  s = Shape(x)
  c = Gather(s, one)
  u = Unsqueeze(c, zero)
  t = Concat(m, u) {axis=0}
  y = Reshape(x, t)
)"), R"(graph _(x: float32[N,3,8]) -> (y)
  t: int64[2] = {-1, 3}
  s = Shape(x)
  y = Reshape(x, t)
)");
}

TEST(ConstantFolding, ASizeThatOnlySeemedFixedStays) {
  const std::string text = R"(graph _(x: float32[N]) -> (s)
  zero: int64[1] = {0}
  eight: int64[1] = {8}
  c = Slice(x, zero, eight)
  s = Shape(c)
)";
  EXPECT_EQ(rewrite("constant_folding", text), text);
}

TEST(ConstantFolding, LargeConstantsKeepTheirBytes) {
  auto model = parse_graph(R"(graph _(x: float32[N,2048]) -> (y)
  w: float32[64,32] = {1, 2, 3}
  s: int64[1] = {-1}
  f = Reshape(w, s)
  y = Add(x, f)
)");
  Graph& g = (*model)->graph;
  ASSERT_TRUE(infer_types(**model, g, nullptr).ok());
  const std::byte* data = nullptr;
  for (const Value& v : g.values)
    if (v.name == "w") data = v.constant->data;
  ASSERT_TRUE(run_passes(**model, g, Optimize::basic).ok());
  ASSERT_EQ(g.nodes.size(), 1u);
  const ConstantPtr& c = g.values[g.nodes[0].inputs[1]].constant;
  ASSERT_TRUE(c);
  EXPECT_EQ(c->data, data);
  EXPECT_EQ(c->dims, Dims{2048});
}

TEST(ConstantFolding, LargeTransposeAndCast) {
  auto model = parse_graph(R"(graph _(x: float32[N,40]) -> (y)
  w: float16[70,40] = {1, 2, 3, 4, 5, 6, 7}
  f = Cast(w) {to=1}
  t = Transpose(f) {perm=[1, 0]}
  y = MatMul(x, t)
)");
  Graph& g = (*model)->graph;
  ASSERT_TRUE(infer_types(**model, g, nullptr).ok());
  ASSERT_TRUE(run_passes(**model, g, Optimize::basic).ok());
  ASSERT_EQ(g.nodes.size(), 1u);
  const ConstantPtr& c = g.values[g.nodes[0].inputs[1]].constant;
  ASSERT_TRUE(c);
  ASSERT_EQ(c->dims, (Dims{40, 70}));
  for (std::size_t i = 0; i < 40; ++i)
    for (std::size_t j = 0; j < 70; ++j) EXPECT_EQ(load_bits<float>(c->data, i * 70 + j), static_cast<float>((j * 40 + i) % 7 + 1));
}

TEST(ConstantFolding, TransposeOfThreeAxes) {
  auto model = parse_graph(R"(graph _(x: float32[6,30,10]) -> (y)
  w: float32[10,6,30] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
  t = Transpose(w) {perm=[1, 2, 0]}
  y = Add(x, t)
)");
  Graph& g = (*model)->graph;
  ASSERT_TRUE(infer_types(**model, g, nullptr).ok());
  ASSERT_TRUE(run_passes(**model, g, Optimize::basic).ok());
  const ConstantPtr& c = g.values[g.nodes[0].inputs[1]].constant;
  ASSERT_TRUE(c);
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t j = 0; j < 30; ++j)
      for (std::size_t k = 0; k < 10; ++k)
        EXPECT_EQ(load_bits<float>(c->data, (i * 30 + j) * 10 + k), static_cast<float>((k * 180 + i * 30 + j) % 11));
}

TEST(ConstantFolding, NeverDequantizes) {
  const std::string text = R"(graph _(x: float32[N,2]) -> (y)
  q: int8[2] = {1, 2}
  s: float32[] = {0.5}
  w = DequantizeLinear(q, s)
  y = Add(x, w)
)";
  EXPECT_EQ(rewrite("constant_folding", text), text);
}

TEST(ConvNorm, LargeWeightsAreMadeWhenTheyAreRead) {
  auto model = parse_graph(R"(graph _(x: float32[N,64,4,4]) -> (y)
  w: float32[64,64,3,3] = {1, 2, 3, 4, 5, 6, 7}
  scale: float32[64] = {2, 4}
  zero: float32[64] = {0}
  one: float32[64] = {1}
  factor: float32[64,1,1] = {0.5, 3}
  c = Conv(x, w) {kernel_shape=[3, 3]}
  n = BatchNormalization(c, scale, zero, zero, one) {epsilon=0.0}
  y = Mul(n, factor)
)");
  Graph& g = (*model)->graph;
  ASSERT_TRUE(infer_types(**model, g, nullptr).ok());
  ASSERT_TRUE(run_passes(**model, g, Optimize::all).ok());
  ASSERT_EQ(g.nodes.size(), 1u);
  const ConstantPtr& c = g.values[g.nodes[0].inputs[1]].constant;
  ASSERT_TRUE(c && c->recipe);
  EXPECT_EQ(c->data, nullptr);
  EXPECT_EQ(c->bytes, 64u * 64 * 9 * sizeof(float));
  const auto made = with_bytes(c);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ((*made)->id, c->id);
  EXPECT_FALSE((*made)->recipe);
  for (std::size_t i = 0; i < 64 * 64 * 9; ++i) {
    const double by = i / (64 * 9) % 2 ? 12 : 1;
    ASSERT_EQ(load_bits<float>((*made)->data, i), static_cast<float>(static_cast<double>(i % 7 + 1) * by)) << i;
  }
}

// Packed forms on disk are found by the name of what they were made of: never by that of other factors.
TEST(ConvNorm, MadeWeightsAreNamedByTheirPlaceInTheFileAndTheFactors) {
  const auto name = [](const std::string& factor, std::uint64_t offset) {
    auto model = parse_graph(R"(graph _(x: float32[N,64,4,4]) -> (y)
  w: float32[64,64,3,3] = {1}
  factor: float32[64,1,1] = {)" + factor + R"(}
  c = Conv(x, w) {kernel_shape=[3, 3]}
  y = Mul(c, factor)
)");
    Graph& g = (*model)->graph;
    for (Value& v : g.values) {
      if (!v.constant || v.name != "w") continue;
      auto mapped = std::make_shared<Constant>(*v.constant);
      mapped->file = "a.onnx";
      mapped->offset = offset;
      v.constant = std::move(mapped);
    }
    EXPECT_TRUE(infer_types(**model, g, nullptr).ok());
    EXPECT_TRUE(run_passes(**model, g, Optimize::all).ok());
    return place_of(*g.values[g.nodes[0].inputs[1]].constant);
  };
  const std::string one = name("0.5, 3", 64);
  EXPECT_EQ(one.find("a.onnx@64+147456 by "), 0u) << one;
  EXPECT_EQ(one, name("0.5, 3", 64));
  EXPECT_NE(one, name("0.5, 4", 64));
  EXPECT_NE(one, name("0.5, 3", 128));
}

TEST(ConvNorm, BatchNormalizationGoesIntoTheWeights) {
  EXPECT_EQ(rewrite("conv_norm", R"(graph _(x: float32[N,1,4,4]) -> (y)
  w: float32[2,1,1,1] = {1, 2}
  b: float32[2] = {1, 1}
  scale: float32[2] = {2, 3}
  shift: float32[2] = {0.5, 0}
  mean: float32[2] = {1, 2}
  var: float32[2] = {4, 1}
  c = Conv(x, w, b) {kernel_shape=[1, 1]}
  n = BatchNormalization(c, scale, shift, mean, var) {epsilon=0.0}
  y = Relu(n)
)"), R"(graph _(x: float32[N,1,4,4]) -> (y)
  n/weight: float32[2,1,1,1] = {1.0, 6.0}
  n/bias: float32[2] = {0.5, -3.0}
  n = Conv(x, n/weight, n/bias) {kernel_shape=[1, 1]}
  y = Relu(n)
)");
}

TEST(ConvNorm, PerChannelMulAndAdd) {
  EXPECT_EQ(rewrite("conv_norm", R"(graph _(x: float32[N,1,4]) -> (y)
  w: float32[2,1,1] = {1, 2}
  m: float32[2,1] = {2, 3}
  a: float32[] = {1}
  c = Conv(x, w)
  n = Mul(m, c)
  y = Add(n, a)
)"), R"(graph _(x: float32[N,1,4]) -> (y)
  n/weight: float32[2,1,1] = {2.0, 6.0}
  y/bias: float32[2] = {1.0, 1.0}
  y = Conv(x, n/weight, y/bias)
)");
}

TEST(ConvNorm, GroupedTransposedConvolution) {
  // [C = 4, M / group = 1, 1, 1] in two groups: the first two rows make channel 0, the others channel 1.
  EXPECT_EQ(rewrite("conv_norm", R"(graph _(x: float32[N,4,2,2]) -> (y)
  w: float32[4,1,1,1] = {1, 2, 3, 4}
  m: float32[2,1,1] = {10, 100}
  c = ConvTranspose(x, w) {group=2}
  y = Mul(c, m)
)"), R"(graph _(x: float32[N,4,2,2]) -> (y)
  y/weight: float32[4,1,1,1] = {10.0, 20.0, 300.0, 400.0}
  y/bias: float32[2] = {0.0, 0.0}
  y = ConvTranspose(x, y/weight, y/bias) {group=2}
)");
}

TEST(ConvNorm, GemmWithBothLayouts) {
  EXPECT_EQ(rewrite("conv_norm", R"(graph _(x: float32[N,2]) -> (y, z)
  w: float32[2,2] = {1, 2, 3, 4}
  c: float32[2] = {1, 1}
  scale: float32[2] = {10, 100}
  zero: float32[2] = {0, 0}
  one: float32[2] = {1, 1}
  g = Gemm(x, w, c) {beta=2.0}
  y = BatchNormalization(g, scale, zero, zero, one) {epsilon=0.0}
  t = Gemm(x, w) {transB=1}
  z = BatchNormalization(t, scale, zero, zero, one) {epsilon=0.0}
)"), R"(graph _(x: float32[N,2]) -> (y, z)
  y/weight: float32[2,2] = {10.0, 200.0, 30.0, 400.0}
  y/bias: float32[2] = {20.0, 200.0}
  z/weight: float32[2,2] = {10.0, 20.0, 300.0, 400.0}
  z/bias: float32[2] = {0.0, 0.0}
  y = Gemm(x, y/weight, y/bias) {beta=1.0}
  z = Gemm(x, z/weight, z/bias) {beta=1.0, transB=1}
)");
}

TEST(ConvNorm, AConvolutionReadTwiceOrAPlaneStays) {
  const std::string twice = R"(graph _(x: float32[N,1,4]) -> (y, c)
  w: float32[1,1,1] = {2.0}
  m: float32[] = {3.0}
  c = Conv(x, w)
  y = Mul(c, m)
)";
  EXPECT_EQ(rewrite("conv_norm", twice), twice);
  const std::string plane = R"(graph _(x: float32[N,1,2]) -> (y)
  w: float32[1,1,1] = {2.0}
  m: float32[1,2] = {3.0, 4.0}
  c = Conv(x, w)
  y = Mul(c, m)
)";
  EXPECT_EQ(rewrite("conv_norm", plane), plane);
}

TEST(QuantizePairs, DequantizeThenQuantizeIsNothing) {
  EXPECT_EQ(rewrite("quantize_pairs", R"(graph _(q: int8[N,4]) -> (y)
  s: float32[] = {0.1}
  z: int8[] = {3}
  f = DequantizeLinear(q, s, z)
  r = QuantizeLinear(f, s, z)
  y = DequantizeLinear(r, s, z)
)"), R"(graph _(q: int8[N,4]) -> (y)
  s: float32[] = {0.1}
  z: int8[] = {3}
  f = DequantizeLinear(q, s, z)
  y = DequantizeLinear(q, s, z)
)");
}

TEST(QuantizePairs, OtherParametersStay) {
  const std::string text = R"(graph _(q: int8[N,4]) -> (r)
  s: float32[] = {0.1}
  t: float32[] = {0.2}
  z: int8[] = {3}
  f = DequantizeLinear(q, s, z)
  r = QuantizeLinear(f, t, z)
)";
  EXPECT_EQ(rewrite("quantize_pairs", text), text);
}

}  // namespace
}  // namespace tenon
