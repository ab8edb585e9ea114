// Conv against plain loops, over shapes, layouts, instruction sets, gangs and what follows.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/cpu/ops/conv_family.h"
#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {
namespace {

using Dims = std::vector<std::int64_t>;

struct Case {
  std::vector<std::int64_t> x, w, strides, dilations, pads;
  std::int64_t group = 1;
  bool bias = true;
  const char* auto_pad = "NOTSET";
};

std::int64_t out_size(const Case& c, std::size_t d) {
  const auto n = c.x.size() - 2;
  const std::int64_t s = c.strides.empty() ? 1 : c.strides[d], dilation = c.dilations.empty() ? 1 : c.dilations[d];
  const std::string pad = c.auto_pad;
  if (pad.starts_with("SAME")) return (c.x[d + 2] + s - 1) / s;
  const std::int64_t pads = c.pads.empty() ? 0 : c.pads[d] + c.pads[d + n];
  return (c.x[d + 2] + pads - ((c.w[d + 2] - 1) * dilation + 1)) / s + 1;
}

std::vector<std::int64_t> out_dims(const Case& c) {
  std::vector<std::int64_t> y{c.x[0], c.w[0]};
  for (std::size_t d = 0; d + 2 < c.x.size(); ++d) y.push_back(out_size(c, d));
  return y;
}

std::vector<Attr> attributes(const Case& c) {
  std::vector<Attr> a{{"group", c.group}, {"auto_pad", c.auto_pad}};
  if (!c.strides.empty()) a.emplace_back("strides", c.strides);
  if (!c.dilations.empty()) a.emplace_back("dilations", c.dilations);
  if (!c.pads.empty()) a.emplace_back("pads", c.pads);
  return a;
}

// "": no difference above what rounding explains.
std::string difference(const Tensor& got, const Tensor& expected, double tolerance = 2e-5) {
  if (got.dims != expected.dims) return "dims differ";
  const auto a = got.as<float>(), b = expected.as<float>();
  double largest = 1e-3;
  for (float f : b)
    if (std::isfinite(f)) largest = std::max<double>(largest, std::abs(f));
  for (std::size_t i = 0; i < b.size(); ++i) {
    const bool same = std::isnan(b[i]) ? std::isnan(a[i]) : std::isinf(b[i]) ? a[i] == b[i] : std::abs(a[i] - b[i]) <= tolerance * largest;
    if (!same) return "element " + std::to_string(i) + " is " + std::to_string(a[i]) + ", expected " + std::to_string(b[i]);
  }
  return "";
}

std::string name(const Case& c) {
  std::string s;
  const auto list = [&](const char* what, const std::vector<std::int64_t>& v) {
    s += what;
    for (std::int64_t i : v) s += std::to_string(i) + ",";
  };
  list("x ", c.x), list(" w ", c.w), list(" strides ", c.strides), list(" dilations ", c.dilations), list(" pads ", c.pads);
  return s + " group " + std::to_string(c.group) + " " + c.auto_pad;
}

// What stands after the convolution.
enum class Tail { none, relu, residual_relu, swish_mul, swish };

void build(OpTest& t, const Case& c, Tail tail, bool constant = true) {
  const auto y = out_dims(c);
  t.input("x", random_tensor(c.x, 1));
  if (constant) t.constant("w", random_tensor(c.w, 2));
  else t.input("w", random_tensor(c.w, 2));
  std::vector<std::string> inputs{"x", "w"};
  if (c.bias) {
    t.constant("b", random_tensor({c.w[0]}, 3));
    inputs.push_back("b");
  }
  t.value("y", TENON_DTYPE_FLOAT, y);
  t.node("Conv", inputs, {tail == Tail::none ? "y" : "a"}, attributes(c));
  t.value("a", TENON_DTYPE_FLOAT, y);
  t.value("m", TENON_DTYPE_FLOAT, y);
  if (tail == Tail::relu) t.node("Relu", {"a"}, {"y"});
  if (tail == Tail::residual_relu) {
    t.input("r", random_tensor(y, 4));
    t.node("Add", {"r", "a"}, {"m"});
    t.node("Relu", {"m"}, {"y"});
  }
  if (tail == Tail::swish_mul) {
    t.value("s", TENON_DTYPE_FLOAT, y);
    t.input("r", random_tensor(y, 4));
    t.node("HardSwish", {"a"}, {"m"});
    t.node("Mul", {"m", "r"}, {"y"});
  }
  if (tail == Tail::swish) t.node("Swish", {"a"}, {"y"});
}

void check(const Case& c, Tail tail, bool constant = true, double tolerance = 2e-5) {
  OpTest t({plain_conv_rows, elementwise_rows});
  build(t, c, tail, constant);
  const Results expected = t.run({.plain = true});
  ASSERT_EQ(expected.error, "") << name(c);
  for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    for (std::int32_t block : {0, 8, 16})
      for (std::uint32_t workers : {1u, 2u, 3u, 5u}) {
        if (workers == 5 && block != 8) continue;
        for (bool inplace : {false, true}) {
          if (inplace && tail == Tail::none) continue;
          const Results r = t.run({.isa = isa, .workers = workers, .fuse = true, .block = block, .inplace = inplace});
          ASSERT_EQ(r.error, "") << name(c);
          const std::string wrong = difference(r["y"], expected["y"], tolerance);
          ASSERT_EQ(wrong, "") << name(c) << " isa " << static_cast<int>(isa) << " block " << block << " workers " << workers << " tail "
                               << static_cast<int>(tail) << " steps " << r.steps.size() << " " << r.steps[0];
        }
      }
  }
}

void check_tails(const Case& c, double tolerance = 2e-5) {
  for (Tail tail : {Tail::none, Tail::relu, Tail::residual_relu, Tail::swish_mul}) {
    check(c, tail, true, tolerance);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(Conv, OneByOne) {
  check_tails({{1, 16, 7, 9}, {32, 16, 1, 1}, {}, {}, {}});
  check_tails({{2, 24, 9, 5}, {40, 24, 1, 1}, {}, {}, {}});
  check_tails({{1, 64, 13, 13}, {48, 64, 1, 1}, {2, 2}, {}, {}});
  check_tails({{1, 17, 5, 5}, {3, 17, 1, 1}, {}, {}, {}});
  check_tails({{3, 8, 20, 20}, {8, 8, 1, 1}, {}, {}, {0, 1, 2, 0}});
}
// Workers share few pixels and tiles of channels in equal parts, however many they are.
TEST(Conv, OneByOneHasTheSameBitsFromAnyNumberOfWorkers) {
  for (const Case& c : {Case{{1, 48, 7, 7}, {208, 48, 1, 1}, {}, {}, {}}, Case{{1, 40, 14, 14}, {100, 40, 1, 1}, {}, {}, {}},
                        Case{{1, 24, 1, 3}, {16, 24, 1, 1}, {}, {}, {}}}) {
    OpTest t({plain_conv_rows, elementwise_rows});
    build(t, c, Tail::residual_relu);
    const Results expected = t.run({.plain = true});
    for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
      if (isa > detect_isa()) continue;
      Results first;
      for (std::uint32_t workers : {1u, 2u, 3u, 4u, 7u, 16u}) {
        const Results r = t.run({.isa = isa, .workers = workers, .fuse = true, .block = isa >= Isa::avx512 ? 16 : 8});
        ASSERT_EQ(r.error, "");
        if (workers == 1) first = r;
        ASSERT_EQ(difference(r["y"], expected["y"]), "") << name(c) << " isa " << static_cast<int>(isa) << " workers " << workers;
        EXPECT_EQ(r["y"].bytes, first["y"].bytes) << name(c) << " isa " << static_cast<int>(isa) << " workers " << workers;
      }
    }
  }
}
TEST(Conv, Kernels) {
  check_tails({{1, 3, 17, 19}, {16, 3, 7, 7}, {2, 2}, {}, {3, 3, 3, 3}});
  check_tails({{1, 16, 9, 9}, {16, 16, 3, 3}, {2, 2}, {}, {1, 1, 1, 1}});
  check_tails({{2, 32, 7, 7}, {64, 32, 3, 3}, {}, {}, {1, 1, 1, 1}});
  check_tails({{1, 24, 8, 11}, {24, 24, 5, 5}, {1, 2}, {}, {2, 1, 0, 3}});
  check_tails({{1, 40, 9, 9}, {24, 40, 1, 7}, {}, {}, {0, 3, 0, 3}});
  check_tails({{1, 37, 6, 6}, {21, 37, 3, 3}, {}, {}, {1, 1, 1, 1}});
  check_tails({{1, 16, 20, 20}, {16, 16, 3, 3}, {}, {6, 6}, {6, 6, 6, 6}});
  check_tails({{1, 16, 5, 5}, {32, 16, 3, 3}, {}, {12, 12}, {12, 12, 12, 12}});
  check_tails({{1, 16, 20, 21}, {40, 16, 3, 3}, {}, {12, 12}, {12, 12, 12, 12}});
  check_tails({{1, 20, 9, 30}, {24, 20, 3, 5}, {1, 2}, {2, 7}, {2, 20, 2, 9}});
  check_tails({{1, 3, 32, 32}, {32, 3, 8, 8}, {8, 8}, {}, {}});
}
TEST(Conv, OtherRanks) {
  check_tails({{1, 16, 50}, {32, 16, 5}, {}, {4}, {16, 0}});
  check_tails({{2, 80, 31}, {24, 80, 3}, {2}, {}, {1, 1}});
  check_tails({{1, 1, 100}, {16, 1, 10}, {5}, {}, {}});
  check_tails({{1, 16, 5, 6, 7}, {16, 16, 3, 3, 3}, {}, {}, {1, 1, 1, 1, 1, 1}});
  check_tails({{1, 3, 8, 9, 10}, {8, 3, 2, 3, 1}, {2, 1, 2}, {2, 1, 1}, {1, 0, 1, 0, 2, 1}});
}
TEST(Conv, Groups) {
  check_tails({{1, 48, 9, 9}, {48, 8, 3, 3}, {2, 2}, {}, {1, 1, 1, 1}, 6});
  check_tails({{2, 32, 7, 7}, {64, 16, 3, 3}, {}, {}, {1, 1, 1, 1}, 2});
  check_tails({{1, 12, 7, 7}, {24, 4, 3, 3}, {}, {}, {1, 1, 1, 1}, 3});
  check_tails({{1, 48, 6, 6}, {48, 24, 1, 1}, {}, {}, {}, 2});
  check_tails({{1, 32, 32}, {32, 2, 16}, {}, {}, {8, 8}, 16});
}
TEST(Conv, OnePixel) {
  for (std::int64_t oc : {3, 8, 24, 48, 96, 130, 200}) {
    check({{1, 40, 1, 1}, {oc, 40, 1, 1}, {}, {}, {}}, Tail::relu);
    check({{3, 17, 1, 1}, {oc, 17, 1, 1}, {}, {}, {}, 1, oc != 48}, Tail::swish_mul);
    if (HasFatalFailure()) return;
  }
  check_tails({{2, 64, 1, 1}, {64, 64, 1, 1}, {2, 2}, {}, {}});
}
TEST(Conv, GroupsOfEight) {
  for (std::int64_t w = 1; w <= 30; w += w < 18 ? 1 : 3)
    for (std::int64_t s : {1, 2}) {
      check({{1, 24, 5, w}, {24, 8, 3, 3}, {s, s}, {}, {1, 1, 1, 1}, 3}, w % 2 ? Tail::swish_mul : Tail::residual_relu);
      if (HasFatalFailure()) return;
    }
  check_tails({{2, 32, 9, 9}, {32, 8, 3, 3}, {2, 2}, {}, {1, 1, 1, 1}, 4});
  check_tails({{1, 48, 8, 10}, {16, 24, 3, 3}, {1, 2}, {}, {0, 1, 1, 0}, 2});
  check_tails({{1, 64, 8, 9}, {32, 16, 5, 3}, {}, {}, {2, 0, 2, 0}, 4});
  check_tails({{1, 16, 8, 9}, {16, 8, 3, 3}, {}, {}, {2, 2, 2, 2}, 2});
}
TEST(Conv, Depthwise) {
  for (std::int64_t c : {16, 24, 40, 5})
    for (std::int64_t k : {3, 5, 7, 4})
      for (std::int64_t s : {1, 2, 3}) {
        check({{2, c, 15, 17}, {c, 1, k, k}, {s, s}, {}, {k / 2, k / 2, k / 2, k / 2}, c}, Tail::residual_relu);
        if (HasFatalFailure()) return;
      }
  check_tails({{1, 32, 7, 7}, {32, 1, 3, 3}, {}, {}, {1, 1, 1, 1}, 32});
  check_tails({{1, 32, 20, 20}, {32, 1, 5, 5}, {}, {2, 2}, {4, 4, 4, 4}, 32});
  check_tails({{1, 32, 3, 2}, {32, 1, 5, 5}, {}, {}, {4, 4, 4, 4}, 32});
  check_tails({{1, 24, 40}, {24, 1, 9}, {}, {}, {8, 0}, 24});
  check_tails({{1, 16, 4, 5, 6}, {16, 1, 3, 3, 3}, {}, {}, {1, 1, 1, 1, 1, 1}, 16});
  check_tails({{1, 16, 9, 9}, {32, 1, 3, 3}, {}, {}, {1, 1, 1, 1}, 16});
}
// Every number of columns that a tile can have, windows over both edges, kernels with more rows than columns and the other way.
TEST(Conv, DepthwiseWidths) {
  for (std::int64_t k : {3, 5, 7})
    for (std::int64_t s : {1, 2})
      for (std::int64_t w = k == 3 ? 1 : k; w <= 18; w += k == 3 ? 1 : 3) {
        const std::int64_t p = k / 2;
        check({{1, 16, 6, w}, {16, 1, 3, k}, {1, s}, {}, {1, p, 1, w % 2 ? p : p - 1}, 16}, Tail::swish);
        check({{1, 24, 6, w}, {24, 1, k, k}, {s, s}, {}, {p, w % 3 ? p : 0, p, p}, 24}, Tail::relu);
        if (HasFatalFailure()) return;
      }
}
// Rows are done two at a time where that goes, whatever a worker's share is.
TEST(Conv, DepthwiseRowsHaveTheSameBits) {
  struct Form {
    Isa isa;
    std::int32_t block;
  };
  for (const Form form : {Form{Isa::avx2, 8}, Form{Isa::avx512, 8}, Form{Isa::avx512, 16}})
    for (std::int64_t height : {1, 2, 7, 12}) {
      if (form.isa > detect_isa()) continue;
      OpTest t({plain_conv_rows, elementwise_rows});
      build(t, {{2, 32, height, 15}, {32, 1, 3, 3}, {}, {}, {1, 1, 1, 1}, 32}, Tail::residual_relu);
      const auto options = [&](std::uint32_t workers) {
        return RunOptions{.isa = form.isa, .workers = workers, .fuse = true, .block = form.block};
      };
      const Results first = t.run(options(1));
      ASSERT_EQ(first.error, "");
      for (std::uint32_t workers : {2u, 3u, 5u, 8u})
        EXPECT_EQ(t.run(options(workers))["y"].bytes, first["y"].bytes)
            << height << " rows, " << workers << " workers, isa " << static_cast<int>(form.isa) << ", block " << form.block;
    }
}
// A basic block of a residual network. What is added lies where the result goes, and the input channels take several passes over it.
TEST(Conv, AddsInPlace) {
  OpTest t({plain_conv_rows, elementwise_rows});
  const Dims x = {1, 512, 7, 7};
  t.input("x", random_tensor(x, 1));
  for (const char* v : {"u", "v", "w"}) t.constant(v, random_tensor({512, 512, 3, 3}, static_cast<std::uint32_t>(v[0])));
  for (const char* v : {"a", "b", "c", "d", "e", "f", "y"}) t.value(v, TENON_DTYPE_FLOAT, x);
  const auto conv = [&](const char* from, const char* weights, const char* to) { t.node("Conv", {from, weights}, {to}, {{"pads", Dims{1, 1, 1, 1}}}); };
  conv("x", "u", "a");
  t.node("Relu", {"a"}, {"b"});
  conv("b", "v", "c");
  t.node("Relu", {"c"}, {"d"});
  conv("d", "w", "e");
  t.node("Add", {"e", "b"}, {"f"});
  t.node("Relu", {"f"}, {"y"});
  const Results expected = t.run({.plain = true});
  ASSERT_EQ(expected.error, "");
  for (Isa isa : {Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    const Results r = t.run({.isa = isa, .fuse = true, .block = isa == Isa::avx2 ? 8 : 16, .inplace = true});
    ASSERT_EQ(r.error, "");
    EXPECT_THAT(r.steps, testing::ElementsAre("conv.direct", "conv.direct", "conv.direct"));
    EXPECT_EQ(difference(r["y"], expected["y"]), "") << static_cast<int>(isa);
  }
}
// A 1x1 convolution and the depthwise one behind it: one step, with the same bits from any number of workers.
TEST(Conv, ExpandedDepthwise) {
  struct Expand {
    std::int64_t n, ic, oc, height, width, kernel, stride;
    const char* between;
    bool residual;
  };
  for (const Expand& c : {Expand{1, 16, 96, 50, 47, 3, 2, "Relu", false}, Expand{2, 24, 144, 40, 31, 3, 1, "HardSwish", true},
                          Expand{1, 40, 240, 28, 28, 5, 1, "Swish", false}, Expand{1, 32, 64, 1, 2700, 3, 1, "", false},
                          Expand{1, 8, 32, 112, 113, 5, 2, "Relu", true}}) {
    const std::int64_t pad = c.kernel / 2, oh = (c.height + 2 * pad - c.kernel) / c.stride + 1, ow = (c.width + pad - c.kernel) / c.stride + 1;
    const Dims middle = {c.n, c.oc, c.height, c.width}, y = {c.n, c.oc, oh, ow};
    OpTest t({plain_conv_rows, elementwise_rows});
    t.input("x", random_tensor({c.n, c.ic, c.height, c.width}, 1));
    t.constant("w", random_tensor({c.oc, c.ic, 1, 1}, 2)), t.constant("b", random_tensor({c.oc}, 3));
    t.constant("dw", random_tensor({c.oc, 1, c.kernel, c.kernel}, 4)), t.constant("db", random_tensor({c.oc}, 5));
    for (const char* v : {"e", "a"}) t.value(v, TENON_DTYPE_FLOAT, middle);
    for (const char* v : {"d", "r", "y"}) t.value(v, TENON_DTYPE_FLOAT, y);
    t.node("Conv", {"x", "w", "b"}, {"e"});
    if (*c.between) t.node(c.between, {"e"}, {"a"});
    t.node("Conv", {*c.between ? "a" : "e", "dw", "db"}, {"d"},
           {{"group", c.oc}, {"strides", Dims{c.stride, c.stride}}, {"pads", Dims{pad, pad, pad, 0}}});
    if (c.residual) t.input("s", random_tensor(y, 6));
    if (c.residual) t.node("Add", {"d", "s"}, {"r"});
    t.node("Swish", {c.residual ? "r" : "d"}, {"y"});
    const Results expected = t.run({.plain = true});
    ASSERT_EQ(expected.error, "");
    for (Isa isa : {Isa::avx2, Isa::avx512}) {
      if (isa > detect_isa()) continue;
      Results first;
      for (std::uint32_t workers : {1u, 2u, 3u, 5u}) {
        const Results r = t.run({.isa = isa, .workers = workers, .fuse = true, .block = isa == Isa::avx2 ? 8 : 16, .inplace = true});
        ASSERT_EQ(r.error, "");
        EXPECT_THAT(r.steps, testing::Contains("conv.expand"));
        ASSERT_EQ(difference(r["y"], expected["y"]), "") << "channels " << c.oc << " isa " << static_cast<int>(isa) << " workers " << workers;
        if (workers == 1) first = r;
        else EXPECT_EQ(r["y"].bytes, first["y"].bytes) << workers << " workers";
      }
    }
  }
}
// Squeeze-excite: the factors of the channels go into the weights of the 1x1 convolution behind them.
TEST(Conv, FactorsOfChannelsGoIntoTheWeights) {
  struct Scaled {
    std::int64_t n, ic, oc, size, gates;
    bool gate_first;
  };
  for (const Scaled& c : {Scaled{2, 48, 40, 14, 2, true}, Scaled{1, 72, 24, 57, 1, false}, Scaled{3, 400, 112, 9, 1, true},
                          Scaled{1, 13, 9, 6, 1, false}}) {
    OpTest t({plain_conv_rows, elementwise_rows});
    const Dims x = {c.n, c.ic, c.size, c.size}, y = {c.n, c.oc, c.size, c.size}, gate = {c.gates, c.ic, 1, 1};
    t.input("x", random_tensor(x, 1)), t.input("g", random_tensor(gate, 2)), t.input("r", random_tensor(y, 3));
    t.constant("w", random_tensor({c.oc, c.ic, 1, 1}, 4)), t.constant("b", random_tensor({c.oc}, 5));
    t.value("s", TENON_DTYPE_FLOAT, gate), t.value("m", TENON_DTYPE_FLOAT, x);
    for (const char* v : {"a", "y"}) t.value(v, TENON_DTYPE_FLOAT, y);
    t.node("HardSigmoid", {"g"}, {"s"});
    t.node("Mul", c.gate_first ? std::vector<std::string>{"s", "x"} : std::vector<std::string>{"x", "s"}, {"m"});
    t.node("Conv", {"m", "w", "b"}, {"a"});
    t.node("Add", {"a", "r"}, {"y"});
    const Results expected = t.run({.plain = true});
    ASSERT_EQ(expected.error, "");
    for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
      if (isa > detect_isa()) continue;
      for (std::int32_t block : {0, 8, 16}) {
        Results first;
        for (std::uint32_t workers : {1u, 2u, 5u}) {
          const Results r = t.run({.isa = isa, .workers = workers, .fuse = true, .block = block, .inplace = true});
          ASSERT_EQ(r.error, "");
          EXPECT_THAT(r.steps, testing::Not(testing::Contains("Mul")));
          ASSERT_EQ(difference(r["y"], expected["y"]), "") << c.ic << " channels, isa " << static_cast<int>(isa) << ", block " << block;
          if (workers == 1) first = r;
          else EXPECT_EQ(r["y"].bytes, first["y"].bytes) << workers << " workers";
        }
      }
    }
  }
}
TEST(Conv, Winograd) {
  check_tails({{1, 32, 12, 12}, {32, 32, 3, 3}, {}, {}, {1, 1, 1, 1}}, 1e-4);
  check_tails({{2, 64, 14, 15}, {48, 64, 3, 3}, {}, {}, {1, 1, 1, 1}}, 1e-4);
  check_tails({{1, 48, 13, 30}, {40, 48, 3, 3}, {}, {}, {0, 1, 2, 0}}, 1e-4);
  check_tails({{1, 20, 18, 17}, {36, 20, 3, 3}, {}, {}, {}}, 1e-4);
}
TEST(Conv, WinogradOfLines) {
  check_tails({{1, 32, 100}, {32, 32, 3}, {}, {}, {1, 1}}, 1e-4);
  check_tails({{2, 20, 301}, {40, 20, 3}, {}, {}, {2, 0}}, 1e-4);    // channels that fill no tile
  check_tails({{1, 64, 3000}, {48, 64, 3}, {}, {}, {0, 3}}, 1e-4);   // several blocks of tiles
  check_tails({{1, 16, 90}, {16, 16, 3}, {}, {3}, {6, 0}}, 1e-4);    // groups of three tiles, the last one short
  check_tails({{2, 48, 1100}, {64, 48, 3}, {}, {32}, {64, 0}}, 1e-4);
  check_tails({{1, 16, 130}, {32, 16, 3}, {}, {16}, {9, 40}}, 1e-4);  // taps that only meet padding
}
TEST(Conv, WinogradOfVolumes) {
  check_tails({{1, 32, 4, 12, 12}, {32, 32, 3, 3, 3}, {}, {}, {1, 1, 1, 1, 1, 1}}, 1e-4);
  check_tails({{2, 20, 5, 13, 9}, {24, 20, 3, 3, 3}, {}, {}, {0, 1, 0, 0, 1, 2}}, 1e-4);      // channels that fill no block
  check_tails({{1, 16, 7, 16, 20}, {40, 16, 2, 3, 3}, {2, 1, 1}, {2, 1, 1}, {3, 1, 1, 4, 1, 1}}, 1e-4);  // slices that only meet padding
  check_tails({{1, 48, 6, 14, 14}, {16, 48, 1, 3, 3}, {}, {}, {}}, 1e-4);
}
TEST(Conv, AutoPadAndNoBias) {
  check({{1, 16, 11, 12}, {16, 16, 4, 4}, {2, 3}, {}, {}, 1, false, "SAME_UPPER"}, Tail::none);
  check({{1, 16, 11, 12}, {16, 16, 4, 4}, {2, 3}, {}, {}, 1, false, "SAME_LOWER"}, Tail::relu);
  check({{1, 16, 11, 12}, {16, 16, 4, 4}, {2, 3}, {}, {}, 1, false, "VALID"}, Tail::residual_relu);
}
TEST(Conv, WeightsThatAreNotConstant) {
  check({{1, 16, 11, 12}, {24, 16, 3, 3}, {}, {}, {1, 1, 1, 1}}, Tail::relu, false);
  check({{1, 16, 11, 12}, {16, 1, 3, 3}, {}, {}, {1, 1, 1, 1}, 16}, Tail::relu, false);
}
TEST(Conv, EmptyBatch) {
  OpTest t({plain_conv_rows});
  build(t, {{0, 16, 5, 5}, {16, 16, 3, 3}, {}, {}, {}}, Tail::none);
  const Results r = t.run({.isa = detect_isa(), .workers = 2, .block = 8});
  EXPECT_EQ(r.error, "");
  EXPECT_TRUE(r["y"].bytes.empty());
}
TEST(Conv, NanAndInfinityPassTheClamp) {
  OpTest t({plain_conv_rows, elementwise_rows});
  std::vector<float> x(16 * 9, 1.0f);
  x[0] = NAN, x[10] = INFINITY, x[20] = -INFINITY;
  t.input("x", tensor<float>({1, 16, 3, 3}, x));
  t.constant("w", random_tensor({16, 16, 1, 1}));
  t.value("a", TENON_DTYPE_FLOAT, {1, 16, 3, 3});
  t.value("y", TENON_DTYPE_FLOAT, {1, 16, 3, 3});
  t.node("Conv", {"x", "w"}, {"a"});
  t.node("Relu", {"a"}, {"y"});
  const Results expected = t.run({.plain = true});
  for (std::int32_t block : {0, 8, 16}) {
    const Results r = t.run({.isa = detect_isa(), .fuse = true, .block = block});
    ASSERT_EQ(r.error, "");
    EXPECT_EQ(difference(r["y"], expected["y"]), "");
  }
}
TEST(Conv, WrongSizesFail) {
  OpTest t({plain_conv_rows});
  t.input("x", random_tensor({1, 6, 5, 5}));
  t.constant("w", random_tensor({4, 4, 3, 3}));
  t.value("y", TENON_DTYPE_FLOAT, {1, 4, 3, 3});
  t.node("Conv", {"x", "w"}, {"y"});
  EXPECT_EQ(t.run({.isa = detect_isa()}).code, TENON_INVALID_ARGUMENT);
}

// ---- ConvTranspose ------------------------------------------------------------------------------------------------------

struct Backward {
  std::vector<std::int64_t> x, w, y;  // w: [input channels, output channels of a group, kernel]
  std::vector<Attr> attributes;
};

void check_transposed(const Backward& c) {
  for (const bool tail : {false, true})
    for (const bool constant : {true, false}) {
      OpTest t({conv_transpose_rows, elementwise_rows});
      t.input("x", random_tensor(c.x, 1));
      if (constant) t.constant("w", random_tensor(c.w, 2));
      else t.input("w", random_tensor(c.w, 2));
      t.constant("b", random_tensor({c.y[1]}, 3));
      t.value("a", TENON_DTYPE_FLOAT, c.y);
      t.value("m", TENON_DTYPE_FLOAT, c.y);
      t.value("y", TENON_DTYPE_FLOAT, c.y);
      t.node("ConvTranspose", {"x", "w", "b"}, {tail ? "a" : "y"}, c.attributes);
      if (tail) {
        t.input("r", random_tensor(c.y, 4));
        t.node("HardSwish", {"a"}, {"m"});
        t.node("Add", {"m", "r"}, {"y"});
      }
      const Results expected = t.run({.plain = true});
      ASSERT_EQ(expected.error, "");
      for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
        if (isa > detect_isa()) continue;
        for (std::int32_t block : {0, 8, 16})
          for (std::uint32_t workers : {1u, 3u}) {
            const Results r = t.run({.isa = isa, .workers = workers, .fuse = true, .block = block, .inplace = tail});
            ASSERT_EQ(r.error, "");
            ASSERT_EQ(difference(r["y"], expected["y"]), "")
                << "isa " << static_cast<int>(isa) << " block " << block << " workers " << workers;
          }
      }
    }
}

using Ints = std::vector<std::int64_t>;

TEST(ConvTranspose, AgreesWithPlainLoops) {
  check_transposed({{1, 32, 5, 6}, {32, 16, 2, 2}, {1, 16, 10, 12}, {{"strides", Ints{2, 2}}}});
  check_transposed({{2, 16, 4, 5},
                    {16, 24, 3, 3},
                    {2, 24, 8, 10},
                    {{"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}, {"output_padding", Ints{1, 1}}}});
  check_transposed({{1, 8, 7, 3}, {8, 5, 4, 3}, {1, 5, 14, 3}, {{"strides", Ints{2, 1}}, {"pads", Ints{1, 1, 1, 1}}}});
  check_transposed({{1, 16, 9}, {16, 16, 16}, {1, 16, 72}, {{"strides", Ints{8}}, {"pads", Ints{4, 4}}}});
  check_transposed({{1, 6, 5, 5}, {6, 2, 3, 3}, {1, 6, 9, 9}, {{"group", 3}, {"dilations", Ints{2, 2}}}});
  check_transposed({{1, 16, 3, 3}, {16, 8, 2, 2}, {1, 16, 8, 8}, {{"group", 2}, {"strides", Ints{3, 3}}}});
  check_transposed({{1, 4, 2, 3, 4}, {4, 8, 3, 2, 3}, {1, 8, 5, 6, 6}, {{"strides", Ints{2, 2, 1}}}});
  check_transposed({{1, 8, 4, 4}, {8, 8, 3, 3}, {1, 8, 8, 8}, {{"strides", Ints{2, 2}}, {"auto_pad", "SAME_UPPER"}}});
  check_transposed({{1, 8, 4, 4}, {8, 8, 3, 3}, {1, 8, 8, 8}, {{"strides", Ints{2, 2}}, {"auto_pad", "SAME_LOWER"}}});
  check_transposed(
      {{1, 8, 5, 5}, {8, 8, 3, 3}, {1, 8, 14, 14}, {{"strides", Ints{4, 4}}, {"dilations", Ints{2, 2}}, {"pads", Ints{3, 3, 4, 4}}}});
}

TEST(ConvTranspose, NumbersOfTheOperatorDocumentation) {
  std::vector<float> x(9);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  for (const bool plain : {true, false}) {
    OpTest t({conv_transpose_rows});
    t.input("x", tensor<float>({1, 1, 3, 3}, x));
    t.constant("w", tensor<float>({1, 1, 3, 3}, std::vector<float>(9, 1)));
    t.value("y", TENON_DTYPE_FLOAT, {1, 1, 5, 5});
    t.value("z", TENON_DTYPE_FLOAT, {1, 1, 7, 3});
    t.value("s", TENON_DTYPE_FLOAT, {1, 1, 10, 8});
    t.node("ConvTranspose", {"x", "w"}, {"y"});
    t.node("ConvTranspose", {"x", "w"}, {"z"}, {{"strides", Ints{3, 2}}, {"pads", Ints{1, 2, 1, 2}}});
    t.node("ConvTranspose", {"x", "w"}, {"s"}, {{"strides", Ints{3, 2}}, {"output_shape", Ints{10, 8}}});
    const Results r = t.run({.isa = detect_isa(), .plain = plain, .workers = 2});
    ASSERT_EQ(r.error, "");
    EXPECT_EQ(r["y"].as<float>(),
              (std::vector<float>{0, 1, 3, 3, 2, 3, 8, 15, 12, 7, 9, 21, 36, 27, 15, 9, 20, 33, 24, 13, 6, 13, 21, 15, 8}));
    EXPECT_EQ(r["z"].as<float>(), (std::vector<float>{1, 1, 3, 1, 1, 3, 7, 4, 9, 7, 4, 9, 7, 4, 9, 13, 7, 15, 13, 7, 15}));
    const auto s = r["s"].as<float>();
    EXPECT_EQ(std::vector<float>(s.begin(), s.begin() + 8), (std::vector<float>{0, 0, 1, 1, 3, 2, 2, 0}));
    EXPECT_EQ(std::vector<float>(s.begin() + 72, s.end()), std::vector<float>(8, 0));
  }
}

// ---- the others ---------------------------------------------------------------------------------------------------------

TEST(Conv, Doubles) {
  OpTest t({plain_conv_rows});
  t.input("x", tensor<double>({1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9}));
  t.constant("w", tensor<double>({1, 1, 2, 2}, {1, 0, 0, 1}));
  t.value("y", TENON_DTYPE_DOUBLE, {1, 1, 2, 2});
  t.node("Conv", {"x", "w"}, {"y"});
  const Results r = t.run({.isa = detect_isa(), .workers = 2, .block = 16});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r["y"].as<double>(), (std::vector<double>{6, 8, 12, 14}));
}

TEST(DeformConv, WithoutOffsetsItIsConvAndHalfAPixelIsAMean) {
  std::vector<float> x(9);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  std::vector<float> offsets(8 * 4, 0.0f);
  OpTest t({deform_conv_rows});
  t.input("x", tensor<float>({1, 1, 3, 3}, x));
  t.constant("w", tensor<float>({1, 1, 2, 2}, {1, 1, 1, 1}));
  t.input("none", tensor<float>({1, 8, 2, 2}, offsets));
  offsets[0] = 0.5f;           // first tap of the first output, down
  offsets[4 + 1] = NAN;        // and of the second, aside
  t.input("some", tensor<float>({1, 8, 2, 2}, offsets));
  t.constant("b", tensor<float>({1}, {1}));
  t.value("y", TENON_DTYPE_FLOAT, {1, 1, 2, 2});
  t.value("z", TENON_DTYPE_FLOAT, {1, 1, 2, 2});
  const std::vector<Attr> a{{"kernel_shape", Ints{2, 2}}};
  t.node("DeformConv", {"x", "w", "none"}, {"y"}, a);
  t.node("DeformConv", {"x", "w", "some", "b"}, {"z"}, a);
  const Results r = t.run({.workers = 2});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r["y"].as<float>(), (std::vector<float>{8, 12, 20, 24}));
  EXPECT_EQ(r["z"].as<float>(), (std::vector<float>{10.5, 12, 21, 25}));
}

TEST(Col2Im, NumbersOfTheOperatorDocumentation) {
  OpTest t({col2im_rows});
  std::vector<float> x(25);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 5 * 5 + i / 5 + 1);  // column j holds 5 j + 1 ...
  t.input("x", tensor<float>({1, 5, 5}, x));
  t.constant("image", tensor<std::int64_t>({2}, {5, 5}));
  t.constant("block", tensor<std::int64_t>({2}, {1, 5}));
  t.value("y", TENON_DTYPE_FLOAT, {1, 1, 5, 5});
  t.node("Col2Im", {"x", "image", "block"}, {"y"});
  const Results r = t.run({.workers = 2});
  ASSERT_EQ(r.error, "");
  std::vector<float> y(25);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(i + 1);
  EXPECT_EQ(r["y"].as<float>(), y);
  OpTest bad({col2im_rows});
  bad.input("x", tensor<float>({1, 5, 5}, x));
  bad.constant("image", tensor<std::int64_t>({2}, {5, 5}));
  bad.constant("block", tensor<std::int64_t>({2}, {2, 5}));
  bad.value("y", TENON_DTYPE_FLOAT, {1, 1, 5, 5});
  bad.node("Col2Im", {"x", "image", "block"}, {"y"});
  EXPECT_EQ(bad.run().code, TENON_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace tenon::cpu::test
