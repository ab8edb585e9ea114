// Quantized models: bytes to bytes against the plain path, which computes in float32. Scales are powers of two and sums small, so
// both are exact and must agree in every bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/cpu/gemm/byte_gemm.h"
#include "tests/unit/cpu/amx_emulator.h"
#include "tests/unit/cpu/family_check.h"
#include "tests/unit/cpu/program_harness.h"

namespace tenon::cpu::test {
namespace {

using Dims = std::vector<std::int64_t>;

std::vector<Isa> byte_isas() {
  std::vector<Isa> all;
  for (Isa isa : {Isa::avx2, Isa::avx512_vnni})
    if (isa <= detect_isa()) all.push_back(isa);
  if (detect_isa() >= Isa::avx512_vnni) all.push_back(Isa::amx);  // tiles are emulated where there are none
  return all;
}

// Bytes from all over the range, in no order.
Tensor bytes(Dims dims, bool is_signed, std::uint32_t seed) {
  Tensor t{is_signed ? TENON_DTYPE_INT8 : TENON_DTYPE_UINT8, std::move(dims), {}, {}};
  for (std::int64_t i = 0; i < t.count(); ++i) {
    seed = seed * 1664525u + 1013904223u;
    t.bytes.push_back(static_cast<char>(seed >> 24));
  }
  return t;
}
Tensor one_byte(int value, bool is_signed) {
  return Tensor{is_signed ? TENON_DTYPE_INT8 : TENON_DTYPE_UINT8, {}, {static_cast<char>(value)}, {}};
}

// Runs fused on every instruction set with one and three workers; step: what must have run.
void check_program(OpTest& test, const std::string& output, const std::string& step) {
  const ProgramResults expected = run_program(test, {output}, {.plain = true});
  ASSERT_EQ(expected.error, "");
  const AmxEmulator emulator;
  for (Isa isa : byte_isas())
    for (std::uint32_t workers : {1u, 3u}) {
      const IsaScope scope(isa);
      const std::string where = "isa " + std::to_string(static_cast<int>(isa)) + ", workers " + std::to_string(workers);
      const ProgramResults found = run_program(test, {output}, {.isa = isa, .workers = workers});
      ASSERT_EQ(found.error, "") << where;
      // Tiles of bytes are faster than Winograd's int16.
      const std::string expected_step = step == "bytes.winograd" && isa >= Isa::amx ? "bytes.conv" : step;
      if (step.empty()) EXPECT_THAT(found.step_names(), testing::Not(testing::HasSubstr("bytes."))) << where;
      else EXPECT_THAT(found.step_names(), testing::HasSubstr(expected_step)) << where;
      ASSERT_EQ(expected[output].dtype, found[output].dtype) << where;
      EXPECT_EQ(expected[output].bytes, found[output].bytes) << where;
    }
}

enum class Bias { none, integer, other_scale, real, huge };
enum class Bound { none, relu, clip };

struct Case {
  const char* name;
  Dims x, w, y;
  std::vector<Attr> attributes = {};
  bool x_signed = false, w_signed = true, y_signed = false, per_channel = false;
  int x_zero = 117, y_zero = 100;
  Bias bias = Bias::none;
  Bound bound = Bound::none;
  bool residual = false;
  const char* op = "Conv";
  const char* step = "bytes.conv";
  int w_zero = 0;  // from the middle
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// DequantizeLinear twice, the operator, what bounds it, QuantizeLinear, and a dequantized addition where asked for.
class Pattern {
 public:
  explicit Pattern(const Case& c) : c_(c) {
    dequantized("x", bytes(c.x, c.x_signed, 1), 0.5f, c.x_zero, false);
    const std::int64_t axis = c.op == std::string("MatMul") ? 1 : 0, columns = c.w[static_cast<std::size_t>(axis)];
    std::vector<float> scales(c.per_channel ? static_cast<std::size_t>(columns) : 1);
    for (std::size_t j = 0; j < scales.size(); ++j) scales[j] = j % 3 == 1 ? 0.25f : 0.125f;
    test.constant("w", bytes(c.w, c.w_signed, 2));
    test.constant("w_scale", tensor<float>(c.per_channel ? Dims{columns} : Dims{}, scales));
    const auto count = static_cast<std::size_t>(c.per_channel ? columns : 1);
    test.constant("w_zero", Tensor{c.w_signed ? TENON_DTYPE_INT8 : TENON_DTYPE_UINT8, c.per_channel ? Dims{columns} : Dims{},
                                   std::vector<char>(count, static_cast<char>(c.w_zero + (c.w_signed ? 0 : 128))), {}});
    test.value("w_real", TENON_DTYPE_FLOAT, c.w);
    test.node("DequantizeLinear", {"w", "w_scale", "w_zero"}, {"w_real"}, {{"axis", axis}});
    std::vector<std::string> inputs{"x_real", "w_real"};
    if (c.bias != Bias::none) inputs.push_back("b_real"), bias(columns, scales);
    test.value("product", TENON_DTYPE_FLOAT, c.y);
    test.node(c.op, inputs, {"product"}, c.attributes);
    quantized(bounded("product", c.bound), "y", 512.0f, c.y_zero, c.y_signed);
    output = "y";
    if (!c.residual) return;
    dequantize("y", 512.0f, c.y_zero, c.y_signed);
    dequantized("other", bytes(c.y, !c.y_signed, 5), 256.0f, 3, false);
    test.value("sum", TENON_DTYPE_FLOAT, c.y);
    test.node("Add", {"other_real", "y_real"}, {"sum"});
    quantized(bounded("sum", Bound::relu), "last", 1024.0f, 7, c.y_signed);
    output = "last";
  }

  OpTest test{{}};
  std::string output;

 private:
  void dequantize(const std::string& name, float scale, int zero, bool is_signed) {
    test.constant(name + "_back_scale", tensor<float>({}, {scale}));
    test.constant(name + "_back_zero", one_byte(zero, is_signed));
    test.value(name + "_real", TENON_DTYPE_FLOAT, name == "x" ? c_.x : c_.y);
    test.node("DequantizeLinear", {name, name + "_back_scale", name + "_back_zero"}, {name + "_real"});
  }
  // A part takes bytes from outside only dense; here another product could have made them as well.
  void dequantized(const std::string& name, Tensor t, float scale, int zero, bool) {
    const bool is_signed = t.dtype == TENON_DTYPE_INT8;
    test.input(name + "_outside", t);
    test.value(name, t.dtype, t.dims);
    test.node("Identity", {name + "_outside"}, {name});
    dequantize(name, scale, zero, is_signed);
  }
  std::string bounded(const std::string& v, Bound bound) {
    if (bound == Bound::none) return v;
    test.value(v + "_bounded", TENON_DTYPE_FLOAT, c_.y);
    if (bound == Bound::relu) {
      test.node("Relu", {v}, {v + "_bounded"});
    } else {
      test.constant("low", tensor<float>({}, {-20000.0f}));
      test.constant("high", tensor<float>({}, {30000.0f}));
      test.node("Clip", {v, "low", "high"}, {v + "_bounded"});
    }
    return v + "_bounded";
  }
  void quantized(const std::string& from, const std::string& to, float scale, int zero, bool is_signed) {
    test.constant(to + "_scale", tensor<float>({}, {scale}));
    test.constant(to + "_zero", one_byte(zero, is_signed));
    test.value(to, is_signed ? TENON_DTYPE_INT8 : TENON_DTYPE_UINT8, c_.y);
    test.node("QuantizeLinear", {from, to + "_scale", to + "_zero"}, {to});
  }
  void bias(std::int64_t columns, const std::vector<float>& scales) {
    std::vector<std::int32_t> numbers;
    std::vector<float> real, bias_scales;
    for (std::int64_t j = 0; j < columns; ++j) {
      numbers.push_back(c_.bias == Bias::huge ? INT32_MAX : static_cast<std::int32_t>(j * 7919 % 40000 - 20000));
      real.push_back(static_cast<float>(j * 512 - 1024));
      bias_scales.push_back(c_.bias == Bias::other_scale ? 2.0f : 0.5f * scales[c_.per_channel ? static_cast<std::size_t>(j) : 0]);
    }
    if (c_.bias == Bias::real) return test.constant("b_real", tensor<float>({columns}, real));
    test.constant("b", tensor<std::int32_t>({columns}, numbers));
    test.constant("b_scale", tensor<float>({columns}, bias_scales));
    test.value("b_real", TENON_DTYPE_FLOAT, {columns});
    test.node("DequantizeLinear", {"b", "b_scale"}, {"b_real"}, {{"axis", 0}});
  }

  const Case& c_;
};

class QuantizedPattern : public testing::TestWithParam<Case> {};

TEST_P(QuantizedPattern, AgreesWithThePlainPath) {
  Pattern p(GetParam());
  check_program(p.test, p.output, GetParam().op == std::string("Conv") ? GetParam().step : "bytes.product");
}

const Attr pads("pads", Dims{1, 1, 1, 1});
INSTANTIATE_TEST_SUITE_P(
    Cpu, QuantizedPattern,
    testing::Values(
        Case{.name = "pointwise", .x = {1, 8, 5, 7}, .w = {70, 8, 1, 1}, .y = {1, 70, 5, 7}},
        Case{.name = "pointwise_odd", .x = {2, 5, 3, 3}, .w = {3, 5, 1, 1}, .y = {2, 3, 3, 3},
             .x_signed = true, .y_signed = true, .per_channel = true, .x_zero = -5, .y_zero = -9, .bias = Bias::integer},
        Case{.name = "padded", .x = {1, 8, 9, 6}, .w = {17, 8, 3, 3}, .y = {1, 17, 9, 6},
             .attributes = {pads}, .per_channel = true, .bias = Bias::integer, .bound = Bound::relu},
        Case{.name = "padded_signed", .x = {2, 12, 5, 5}, .w = {33, 12, 3, 3}, .y = {2, 33, 5, 5},
             .attributes = {pads}, .x_signed = true, .y_signed = true, .x_zero = -7, .y_zero = 11, .bias = Bias::real,
             .bound = Bound::clip},
        Case{.name = "gathered", .x = {1, 3, 11, 10}, .w = {16, 3, 3, 3}, .y = {1, 16, 6, 5},
             .attributes = {pads, {"strides", Dims{2, 2}}}, .per_channel = true, .x_zero = 133, .y_zero = 0,
             .bias = Bias::integer, .bound = Bound::relu},
        Case{.name = "gathered_spread", .x = {1, 3, 11, 11}, .w = {16, 3, 3, 3}, .y = {1, 16, 9, 9},
             .attributes = {pads, {"dilations", Dims{2, 2}}}, .x_signed = true, .w_signed = false, .y_signed = true},
        Case{.name = "spread", .x = {1, 4, 11, 11}, .w = {5, 4, 3, 3}, .y = {1, 5, 9, 9},
             .attributes = {pads, {"dilations", Dims{2, 2}}}, .w_signed = false, .y_signed = true},
        Case{.name = "strided", .x = {1, 64, 8, 8}, .w = {130, 64, 1, 1}, .y = {1, 130, 4, 4},
             .attributes = {{"strides", Dims{2, 2}}}, .per_channel = true},
        Case{.name = "line", .x = {2, 6, 19}, .w = {9, 6, 3}, .y = {2, 9, 17},
             .x_zero = 0, .y_zero = 255, .bias = Bias::other_scale},
        Case{.name = "volume", .x = {1, 4, 3, 4, 5}, .w = {6, 4, 2, 2, 2}, .y = {1, 6, 2, 3, 4}},
        Case{.name = "one_channel", .x = {1, 1, 6, 6}, .w = {1, 1, 3, 3}, .y = {1, 1, 4, 4}},
        Case{.name = "depthwise", .x = {2, 35, 9, 7}, .w = {35, 1, 3, 3}, .y = {2, 35, 9, 7},
             .attributes = {pads, {"group", 35}}, .per_channel = true, .bias = Bias::integer, .bound = Bound::relu,
             .step = "bytes.depthwise"},
        Case{.name = "depthwise_strided", .x = {1, 16, 9, 8}, .w = {16, 1, 5, 5}, .y = {1, 16, 4, 3},
             .attributes = {{"pads", Dims{1, 1, 1, 1}}, {"strides", Dims{2, 2}}, {"group", 16}}, .x_signed = true,
             .y_signed = true, .x_zero = -100, .residual = true, .step = "bytes.depthwise"},
        Case{.name = "depthwise_spread", .x = {2, 18, 9, 8}, .w = {18, 1, 3, 3}, .y = {2, 18, 9, 8},
             .attributes = {{"pads", Dims{2, 2, 2, 2}}, {"dilations", Dims{2, 2}}, {"group", 18}}, .x_signed = true, .per_channel = true,
             .bias = Bias::other_scale, .step = "bytes.depthwise"},
        Case{.name = "depthwise_large", .x = {1, 17, 6, 9}, .w = {17, 1, 7, 7}, .y = {1, 17, 6, 9},
             .attributes = {{"pads", Dims{3, 3, 3, 3}}, {"group", 17}}, .residual = true, .step = "bytes.depthwise"},
        Case{.name = "depthwise_line", .x = {1, 16, 40}, .w = {16, 1, 5}, .y = {1, 16, 18},
             .attributes = {{"strides", Dims{2}}, {"group", 16}}, .step = "bytes.depthwise"},
        Case{.name = "depthwise_volume", .x = {1, 16, 3, 4, 5}, .w = {16, 1, 2, 2, 2}, .y = {1, 16, 2, 3, 4},
             .attributes = {{"group", 16}}, .step = "bytes.depthwise"},
        Case{.name = "depthwise_other_zeros", .x = {1, 20, 6, 7}, .w = {20, 1, 3, 3}, .y = {1, 20, 6, 7},
             .attributes = {pads, {"group", 20}}, .w_signed = false, .per_channel = true, .step = "bytes.depthwise",
             .w_zero = -5},
        Case{.name = "other_zeros", .x = {1, 8, 9, 6}, .w = {70, 8, 3, 3}, .y = {1, 70, 9, 6},
             .attributes = {pads}, .w_signed = false, .per_channel = true, .bias = Bias::integer, .bound = Bound::relu,
             .residual = true, .w_zero = 13},
        Case{.name = "other_zeros_of_colours", .x = {1, 3, 11, 10}, .w = {16, 3, 3, 3}, .y = {1, 16, 6, 5},
             .attributes = {pads, {"strides", Dims{2, 2}}}, .x_signed = true, .x_zero = 33, .y_zero = 0, .w_zero = -100},
        Case{.name = "groups", .x = {1, 24, 6, 5}, .w = {30, 8, 3, 3}, .y = {1, 30, 6, 5},
             .attributes = {pads, {"group", 3}}, .per_channel = true, .bias = Bias::integer},
        Case{.name = "groups_other_zeros", .x = {2, 24, 9, 8}, .w = {51, 8, 3, 3}, .y = {2, 51, 9, 8},
             .attributes = {pads, {"group", 3}}, .x_signed = true, .w_signed = false, .per_channel = true, .x_zero = 17,
             .bias = Bias::integer, .w_zero = 13},
        Case{.name = "groups_pointwise", .x = {2, 8, 3, 5}, .w = {40, 4, 1, 1}, .y = {2, 40, 3, 5},
             .attributes = {{"group", 2}}, .x_signed = true, .per_channel = true, .x_zero = 17, .bias = Bias::real,
             .bound = Bound::clip, .residual = true},
        Case{.name = "added", .x = {1, 8, 5, 7}, .w = {70, 8, 1, 1}, .y = {1, 70, 5, 7},
             .per_channel = true, .bias = Bias::integer, .residual = true},
        Case{.name = "winograd", .x = {2, 16, 22, 25}, .w = {33, 16, 3, 3}, .y = {2, 33, 22, 25},
             .attributes = {pads}, .per_channel = true, .bias = Bias::integer, .bound = Bound::relu, .residual = true,
             .step = "bytes.winograd"},
        Case{.name = "winograd_other_zeros", .x = {1, 32, 27, 24}, .w = {20, 32, 3, 3}, .y = {1, 20, 27, 25},
             .attributes = {{"pads", Dims{0, 1, 2, 2}}}, .x_signed = true, .w_signed = false, .y_signed = true,
             .per_channel = true, .x_zero = -7, .y_zero = 11, .bias = Bias::real, .bound = Bound::clip,
             .step = "bytes.winograd", .w_zero = 13},
        Case{.name = "added_signed", .x = {2, 8, 4, 4}, .w = {37, 8, 3, 3}, .y = {2, 37, 4, 4},
             .attributes = {pads}, .x_signed = true, .y_signed = true, .x_zero = 1, .y_zero = -3, .bound = Bound::relu,
             .residual = true},
        Case{.name = "matrix", .x = {3, 5, 40}, .w = {40, 70}, .y = {3, 5, 70}, .per_channel = true, .op = "MatMul"},
        Case{.name = "matrix_odd", .x = {7, 13}, .w = {13, 3}, .y = {7, 3},
             .x_signed = true, .y_signed = true, .x_zero = -4, .y_zero = 9, .bound = Bound::relu, .residual = true,
             .op = "MatMul"},
        Case{.name = "gemm", .x = {50, 24}, .w = {19, 24}, .y = {50, 19},
             .attributes = {{"transB", 1}}, .per_channel = true, .x_zero = 3, .y_zero = 9, .bias = Bias::integer,
             .bound = Bound::relu, .op = "Gemm"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Quantized, GroupsThatAreNotWholeQuadsStayReal) {
  Case c{.name = "groups", .x = {1, 8, 5, 5}, .w = {8, 2, 3, 3}, .y = {1, 8, 5, 5}, .attributes = {pads, {"group", 4}}};
  Pattern p(c);
  check_program(p.test, p.output, "");
}

// With its corrections for zero points such a bias is no 32-bit number.
TEST(Quantized, BiasThatRunsOverStaysReal) {
  Case c{.name = "huge", .x = {1, 8, 5, 5}, .w = {40, 8, 3, 3}, .y = {1, 40, 5, 5},
         .attributes = {pads}, .x_zero = 255, .bias = Bias::huge};
  Pattern p(c);
  check_program(p.test, p.output, "");
}

// Images go from one operator to the next without being dequantized.
TEST(Quantized, ConvolutionPoolConvolution) {
  OpTest t({});
  t.input("x", bytes({1, 4, 8, 8}, false, 1));
  for (auto [name, value] : {std::pair{"s1", 0.5f}, {"s2", 64.0f}, {"s3", 2048.0f}, {"ws", 0.25f}})
    t.constant(name, tensor<float>({}, {value}));
  t.constant("z", one_byte(90, false));
  t.constant("w1", bytes({20, 4, 3, 3}, true, 2));
  t.constant("w2", bytes({6, 20, 3, 3}, true, 3));
  const auto real = [&](const char* from, const char* scale, const char* to, Dims dims) {
    t.value(to, TENON_DTYPE_FLOAT, dims);
    if (from[0] == 'w') t.node("DequantizeLinear", {from, scale}, {to});
    else t.node("DequantizeLinear", {from, scale, "z"}, {to});
  };
  const auto quantized = [&](const char* from, const char* scale, const char* to, Dims dims) {
    t.value(to, TENON_DTYPE_UINT8, dims);
    t.node("QuantizeLinear", {from, scale, "z"}, {to});
  };
  real("x", "s1", "xr", {1, 4, 8, 8});
  real("w1", "ws", "w1r", {20, 4, 3, 3});
  real("w2", "ws", "w2r", {6, 20, 3, 3});
  t.value("c1", TENON_DTYPE_FLOAT, {1, 20, 6, 6});
  t.node("Conv", {"xr", "w1r"}, {"c1"});
  quantized("c1", "s2", "q1", {1, 20, 6, 6});
  real("q1", "s2", "q1r", {1, 20, 6, 6});
  t.value("p", TENON_DTYPE_FLOAT, {1, 20, 3, 3});
  t.node("MaxPool", {"q1r"}, {"p"}, {{"kernel_shape", Dims{3, 3}}, {"strides", Dims{2, 2}}, {"pads", Dims{1, 1, 0, 0}}});
  quantized("p", "s2", "q2", {1, 20, 3, 3});
  real("q2", "s2", "q2r", {1, 20, 3, 3});
  t.value("c2", TENON_DTYPE_FLOAT, {1, 6, 1, 1});
  t.node("Conv", {"q2r", "w2r"}, {"c2"});
  quantized("c2", "s3", "y", {1, 6, 1, 1});
  check_program(t, "y", "reorder bytes.conv bytes.pool bytes.conv reorder");
}

// Behind the last convolution of a classifier.
TEST(Quantized, MeansOfBytes) {
  for (const char* op : {"ReduceMean", "GlobalAveragePool"})
    for (bool is_signed : {false, true}) {
      Case c{.name = "mean", .x = {2, 8, 4, 8}, .w = {35, 8, 1, 1}, .y = {2, 35, 4, 8}, .y_signed = is_signed};
      Pattern p(c);
      p.test.constant("back_scale", tensor<float>({}, {512.0f}));
      p.test.constant("back_zero", one_byte(c.y_zero, is_signed));
      p.test.value("real", TENON_DTYPE_FLOAT, c.y);
      p.test.node("DequantizeLinear", {"y", "back_scale", "back_zero"}, {"real"});
      p.test.value("mean", TENON_DTYPE_FLOAT, {2, 35, 1, 1});
      if (op == std::string("ReduceMean")) {
        p.test.constant("axes", tensor<std::int64_t>({2}, {-1, 2}));
        p.test.node(op, {"real", "axes"}, {"mean"});
      } else {
        p.test.node(op, {"real"}, {"mean"});
      }
      check_program(p.test, "mean", "bytes.conv bytes.mean");
    }
}

TEST(Quantized, LinearConvolution) {
  OpTest t({});
  t.input("x", bytes({2, 8, 6, 5}, false, 1));
  t.constant("w", bytes({18, 8, 3, 3}, true, 2));
  t.constant("xs", tensor<float>({}, {0.5f}));
  t.constant("ws", tensor<float>({}, {0.25f}));
  t.constant("ys", tensor<float>({}, {512.0f}));
  t.constant("xz", one_byte(120, false));
  t.constant("wz", one_byte(0, true));
  t.constant("yz", one_byte(-3, true));
  t.constant("b", tensor<std::int32_t>({18}, {5, -3000, 2, 0, 1, 7, 900, 5, 5, 5, 20000, 5, 5, 5, 5, -20000, 5, 1}));
  t.value("y", TENON_DTYPE_INT8, {2, 18, 6, 5});
  t.node("QLinearConv", {"x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"}, {"y"}, {pads});
  check_program(t, "y", "bytes.conv");
}

// Both operands of the addition come from convolutions: one takes the addition over, and stays as it is when its turn comes.
TEST(Quantized, TwoLinearConvolutionsAdded) {
  OpTest t({});
  t.input("x", bytes({1, 8, 4, 5}, false, 1));
  t.constant("w1", bytes({18, 8, 1, 1}, true, 2));
  t.constant("w2", bytes({18, 8, 1, 1}, true, 3));
  for (auto [name, value] : {std::pair{"xs", 0.5f}, {"ws", 0.25f}, {"ys", 64.0f}, {"as", 128.0f}}) t.constant(name, tensor<float>({}, {value}));
  t.constant("xz", one_byte(120, false));
  t.constant("wz", one_byte(0, true));
  t.constant("yz", one_byte(128, false));
  for (auto [w, c, real] : {std::tuple{"w1", "c1", "r1"}, {"w2", "c2", "r2"}}) {
    t.value(c, TENON_DTYPE_UINT8, {1, 18, 4, 5});
    t.value(real, TENON_DTYPE_FLOAT, {1, 18, 4, 5});
    t.node("QLinearConv", {"x", "xs", "xz", w, "ws", "wz", "ys", "yz"}, {c});
  }
  for (auto [c, real] : {std::pair{"c1", "r1"}, {"c2", "r2"}}) t.node("DequantizeLinear", {c, "ys", "yz"}, {real});
  t.value("sum", TENON_DTYPE_FLOAT, {1, 18, 4, 5});
  t.value("y", TENON_DTYPE_UINT8, {1, 18, 4, 5});
  t.node("Add", {"r1", "r2"}, {"sum"});
  t.node("QuantizeLinear", {"sum", "as", "yz"}, {"y"});
  check_program(t, "y", "bytes.conv bytes.conv");
}

// ---- MatMulInteger --------------------------------------------------------------------------------------------------------

struct Integer {
  const char* name;
  Dims a, b, y;
  bool a_signed, b_signed;
  int a_zero;
  std::vector<int> b_zeros;  // none, one, or one for each column
};
void PrintTo(const Integer& c, std::ostream* out) { *out << c.name; }

class IntegerProduct : public testing::TestWithParam<Integer> {
 protected:
  void build(OpTest& t) {
    const Integer& c = GetParam();
    t.input("a", bytes(c.a, c.a_signed, 3));
    t.constant("b", bytes(c.b, c.b_signed, 4));
    t.input("az", one_byte(c.a_zero, c.a_signed));
    std::vector<char> zeros(c.b_zeros.begin(), c.b_zeros.end());
    const bool one = zeros.size() == 1;
    if (!zeros.empty()) t.constant("bz", Tensor{c.b_signed ? TENON_DTYPE_INT8 : TENON_DTYPE_UINT8, one ? Dims{} : Dims{c.b[1]}, zeros, {}});
    t.value("sum", TENON_DTYPE_INT32, c.y);
    t.node("MatMulInteger", {"a", "b", "az", zeros.empty() ? "" : "bz"}, {"sum"});
  }
};

TEST_P(IntegerProduct, SumsAreExact) {
  OpTest t({});
  build(t);
  check_program(t, "sum", "bytes.product");
}

TEST_P(IntegerProduct, TakesWhatFollows) {
  OpTest t({});
  build(t);
  const Dims y = GetParam().y;
  t.input("scale", tensor<float>({}, {0.25f}));
  t.constant("bias", random_tensor({y.back()}));
  for (const char* v : {"real", "scaled", "biased"}) t.value(v, TENON_DTYPE_FLOAT, y);
  t.node("Cast", {"sum"}, {"real"}, {{"to", 1}});
  t.node("Mul", {"real", "scale"}, {"scaled"});
  t.node("Add", {"scaled", "bias"}, {"biased"});
  const ProgramResults expected = run_program(t, {"biased"}, {.plain = true});
  ASSERT_EQ(expected.error, "");
  const AmxEmulator emulator;
  for (Isa isa : byte_isas())
    for (std::uint32_t workers : {1u, 3u}) {
      const IsaScope scope(isa);
      const ProgramResults found = run_program(t, {"biased"}, {.isa = isa, .workers = workers});
      ASSERT_EQ(found.error, "");
      EXPECT_EQ(found.step_names(), "bytes.product");
      expect_near(expected["biased"], found["biased"], 1e-6, GetParam().name);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Cpu, IntegerProduct,
    testing::Values(Integer{"usual", {2, 31, 64}, {64, 300}, {2, 31, 300}, false, true, 113, {0}},
                    Integer{"vector", {36}, {36, 5}, {5}, false, true, 255, {}},
                    Integer{"odd_depth", {7, 13}, {13, 17}, {7, 17}, false, true, 3, {0}},
                    Integer{"signed_both", {25, 10}, {10, 16}, {25, 16}, true, true, -128, {5}},
                    Integer{"unsigned_both", {25, 10}, {10, 66}, {25, 66}, false, false, 1, {128}},
                    Integer{"unsigned_zeros", {6, 8}, {8, 3}, {6, 3}, false, false, 77, {0, 255, 130}},
                    Integer{"signed_unsigned", {1, 260}, {260, 3}, {1, 3}, true, false, 12, {}}),
    [](const auto& info) { return std::string(info.param.name); });

// Weights whose sum leaves Winograd's sums too few bits, and some that just fit: the largest numbers there are.
TEST(Quantized, WinogradOfLargeWeights) {
  for (std::int64_t channels : {240, 224}) {
    OpTest t({});
    const auto of = [](Dims dims, std::int32_t dtype, int value) {
      Tensor x{dtype, std::move(dims), {}, {}};
      x.bytes.assign(static_cast<std::size_t>(x.count()), static_cast<char>(value));
      return x;
    };
    t.input("x", of({1, channels, 28, 28}, TENON_DTYPE_UINT8, 255));
    t.constant("w", of({16, channels, 3, 3}, TENON_DTYPE_INT8, -128));
    t.constant("one", tensor<float>({}, {1.0f}));
    t.constant("x_zero", one_byte(0, false));
    t.constant("w_zero", one_byte(0, true));
    t.constant("y_scale", tensor<float>({}, {400000.0f}));
    t.constant("y_zero", one_byte(100, true));
    t.value("y", TENON_DTYPE_INT8, {1, 16, 28, 28});
    t.node("QLinearConv", {"x", "one", "x_zero", "w", "one", "w_zero", "y_scale", "y_zero"}, {"y"}, {pads});
    check_program(t, "y", channels == 240 ? "bytes.conv" : "bytes.winograd");
  }
}

// The largest numbers there are: a kernel that saturates pairs to 16 bits would lose them.
TEST(Quantized, NothingSaturates) {
  OpTest t({});
  Tensor a{TENON_DTYPE_UINT8, {3, 64}, std::vector<char>(192, static_cast<char>(255)), {}};
  Tensor b{TENON_DTYPE_INT8, {64, 20}, std::vector<char>(1280, static_cast<char>(-128)), {}};
  t.input("a", a);
  t.constant("b", b);
  t.value("sum", TENON_DTYPE_INT32, {3, 20});
  t.node("MatMulInteger", {"a", "b"}, {"sum"});
  const AmxEmulator emulator;
  for (Isa isa : byte_isas()) {
    const IsaScope scope(isa);
    const ProgramResults found = run_program(t, {"sum"}, {.isa = isa});
    ASSERT_EQ(found.error, "");
    EXPECT_THAT(found["sum"].as<std::int32_t>(), testing::Each(-255 * 128 * 64));
  }
}

// Mostly small weights, with large ones beside each other here and there: pairs of products that just fit 16 bits, and pairs that do
// not and are cut.
TEST(Quantized, LargePairsAmongSmallWeights) {
  for (std::int64_t k : {64, 37})
    for (int kind : {0, 1}) {
      OpTest t({});
      Tensor a{TENON_DTYPE_UINT8, {9, k}, std::vector<char>(static_cast<std::size_t>(9 * k), static_cast<char>(255)), {}};
      Tensor b = bytes({k, 50}, true, 8);
      for (std::int64_t i = 0; i < b.count(); ++i) {
        char& w = b.bytes[static_cast<std::size_t>(i)];
        w = static_cast<char>(w / 3);
        const std::int64_t row = i / 50;
        if (row / 4 % 5 == 2 && i % 7 == 0) w = row % 2 == kind ? 127 : static_cast<char>(-128);
        if (row / 4 % 5 == 3 && i % 11 == 0) w = i % 2 ? 127 : static_cast<char>(-128);
        if (row / 4 % 5 == 4 && i % 50 == 3) w = row % 2 ? 64 : static_cast<char>(-64);
      }
      t.input("a", a);
      t.constant("b", b);
      t.value("sum", TENON_DTYPE_INT32, {9, 50});
      t.node("MatMulInteger", {"a", "b"}, {"sum"});
      check_program(t, "sum", "bytes.product");
    }
}

TEST(Quantized, NumbersToBytes) {
  for (std::int64_t n : {1, 15, 16, 1000, 4099}) {
    OpTest t({});
    Tensor x = random_tensor({n});
    std::vector<float> numbers = x.as<float>();
    numbers[0] = NAN;
    if (n > 20) numbers[3] = 0.75f, numbers[17] = -0.25f;  // halves of the scale below
    t.input("x", tensor<float>({n}, numbers));
    t.constant("scale", tensor<float>({}, {0.5f}));
    t.constant("zero", one_byte(-1, true));
    t.value("y", TENON_DTYPE_INT8, {n});
    t.node("QuantizeLinear", {"x", "scale", "zero"}, {"y"});
    check_program(t, "y", "QuantizeLinear");
    t.value("d", TENON_DTYPE_UINT8, {n});
    t.value("ds", TENON_DTYPE_FLOAT, {});
    t.value("dz", TENON_DTYPE_UINT8, {});
    t.node("DynamicQuantizeLinear", {"x"}, {"d", "ds", "dz"});
    check_program(t, "d", "DynamicQuantizeLinear");
    check_program(t, "ds", "DynamicQuantizeLinear");
  }
}

}  // namespace
}  // namespace tenon::cpu::test
