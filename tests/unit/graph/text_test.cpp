#include "core/graph/text.h"

#include <gtest/gtest.h>

#include "core/base/float16.h"

namespace tenon {
namespace {

std::string again(const char* text) {
  auto model = parse_graph(text);
  if (!model.ok()) return std::string(model.status().text());
  return graph_text((*model)->graph, (*model)->symbols);
}

TEST(GraphText, ReadsWhatItWrites) {
  const char* text = R"(graph main(x: float32[N,3,?], m: bool[]) -> (y, "a b")
  w: float32[3,1] = {1.0, -2.5, 0.1}
  big: float16[3,8] = const
  axes: int64[1] = {-1}
  s: string[2] = {"p, q", ""}
  y: float32[N,3,?] = Mul(x, w)  # y
  _, t: float32[...] = com.acme.Twin(y, _, big, s) {alpha=0.5, axes=[1, -2], form="a\"b", names=["u", "v"], rates=[1.0, 2.5], value=int64[1]{7}}  # t
  "a b": float32[N,3] = If(m)  # a b
    else_branch: graph e() outer(t) -> (u)
      u = Identity(t)  # u
    then_branch: graph t() outer(z = y, axes) -> (r)
      r: float32[N,3] = ReduceSum(z, axes) {keepdims=0}  # r
)";
  EXPECT_EQ(again(text), text);
}

TEST(GraphText, BodiesOfOperatorsAreApart) {
  const char* text = R"(graph _(x: float32[4]) -> (y)
  y: float32[4] = Swish(x) {alpha=1.0}  # y
    body: graph Swish(x: float32[4]) -> (y)
      s: float32[4] = Sigmoid(x)  # s
      y: float32[4] = Mul(x, s)  # y
)";
  EXPECT_EQ(again(text), text);
}

TEST(GraphText, ErrorsNameTheLine) {
  EXPECT_EQ(again("graph g(x: float31[2]) -> (x)\n"), "line 1: expected an element type, found \"[2]) -> (x)\"");
  EXPECT_EQ(again("graph g() -> (y)\n  y = Relu(\n"), "line 2: expected the name of an input, found \"\"");
  EXPECT_EQ(again("graph g() -> (y)\n"), "graph \"g\": nothing makes its output \"y\"");
  EXPECT_EQ(again(""), "the text holds no graph");
}

TEST(Float16, RoundTripAndRounding) {
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    const auto bits = static_cast<std::uint16_t>(h);
    const float f = half_to_float(bits);
    if (f == f) EXPECT_EQ(float_to_half(f), bits);
    else EXPECT_EQ(float_to_half(f) & 0x7c00, 0x7c00);
  }
  EXPECT_EQ(float_to_half(65519.0f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(1.0f + 0x1p-11f), 0x3c00);          // ties to even
  EXPECT_EQ(float_to_half(1.0f + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(float_to_half(0x1p-25f), 0x0000);
  EXPECT_EQ(float_to_half(0x1.8p-25f), 0x0001);
  EXPECT_EQ(float_to_bfloat(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(float_to_bfloat(1.0f + 3 * 0x1p-8f), 0x3f82);
}

}  // namespace
}  // namespace tenon
