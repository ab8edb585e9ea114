// Elementwise operators between quantized tensors: tables and combinations of bytes against the plain path, which computes every
// operator in float32. Both do the same arithmetic and must agree in every bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cpu/family_check.h"
#include "tests/unit/cpu/program_harness.h"

namespace tenon::cpu::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using Dims = std::vector<std::int64_t>;

// x, y and gate from outside as bytes; x comes out of a pool that lays its channels last, where pooled.
class Elementwise {
 public:
  Elementwise(Dims dims, bool is_signed, bool pooled) : dims_(std::move(dims)), signed_(is_signed) {
    bytes("x_outside", dims_);
    if (!pooled) {
      test.node("Identity", {"x_outside"}, {value("x")});
    } else {
      dequantize("x_outside", "x_before");
      test.node("MaxPool", {"x_before"}, {real("x_max")}, {{"kernel_shape", Dims{1, 1}}});
      quantize("x_max", "x", 0.05f, 3);
    }
  }

  void bytes(const std::string& name, const Dims& dims) {
    Tensor t{signed_ ? TENON_DTYPE_INT8 : TENON_DTYPE_UINT8, dims, {}, {}};
    for (std::int64_t i = 0; i < t.count(); ++i) t.bytes.push_back(static_cast<char>(i * 37 + seed_));
    seed_ += 11;
    test.input(name, t);
  }
  std::string real(const std::string& name, const Dims& dims = {}) {
    test.value(name, TENON_DTYPE_FLOAT, dims.empty() ? dims_ : dims);
    return name;
  }
  std::string value(const std::string& name, const Dims& dims = {}) {
    test.value(name, signed_ ? TENON_DTYPE_INT8 : TENON_DTYPE_UINT8, dims.empty() ? dims_ : dims);
    return name;
  }
  // to: a real value of x_outside's, x's or another's dims.
  void dequantize(const std::string& from, const std::string& to, float scale = 0.05f, int zero = 3, const Dims& dims = {}) {
    parameters(to, scale, zero);
    test.node("DequantizeLinear", {from, to + "_scale", to + "_zero"}, {real(to, dims)});
  }
  void quantize(const std::string& from, const std::string& to, float scale, int zero, const Dims& dims = {}) {
    parameters(to, scale, zero);
    test.node("QuantizeLinear", {from, to + "_scale", to + "_zero"}, {value(to, dims)});
  }
  void number(const std::string& name, float x) { test.constant(name, tensor<float>({}, {x})); }

  // What runs on every instruction set, and what must not.
  void check(const std::string& steps, const std::string& none) {
    const ProgramResults expected = run_program(test, {"last"}, {.plain = true});
    ASSERT_EQ(expected.error, "");
    for (Isa isa : {Isa::avx2, Isa::avx512_vnni})
      for (std::uint32_t workers : {1u, 3u}) {
        if (isa > detect_isa()) continue;
        const IsaScope scope(isa);
        const ProgramResults found = run_program(test, {"last"}, {.isa = isa, .workers = workers});
        ASSERT_EQ(found.error, "");
        EXPECT_THAT(found.step_names(), HasSubstr(steps));
        EXPECT_THAT(found.step_names(), Not(HasSubstr(none)));
        EXPECT_EQ(expected["last"].bytes, found["last"].bytes) << "isa " << static_cast<int>(isa) << ", workers " << workers;
      }
  }

  OpTest test{{}};

 private:
  void parameters(const std::string& name, float scale, int zero) {
    number(name + "_scale", scale);
    test.constant(name + "_zero", Tensor{signed_ ? TENON_DTYPE_INT8 : TENON_DTYPE_UINT8, {}, {static_cast<char>(zero)}, {}});
  }

  Dims dims_;
  bool signed_;
  int seed_ = 5;
};

class QuantizedElementwise : public testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  bool is_signed() const { return std::get<0>(GetParam()); }
  bool pooled() const { return std::get<1>(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Cpu, QuantizedElementwise, testing::Combine(testing::Bool(), testing::Bool()), [](const auto& info) {
  return std::string(std::get<0>(info.param) ? "int8" : "uint8") + (std::get<1>(info.param) ? "_channels_last" : "_dense");
});

// x * sigmoid(x) with every step quantized: one table.
TEST_P(QuantizedElementwise, SwishIsOneTable) {
  Elementwise e({2, 35, 5, 7}, is_signed(), pooled());
  e.dequantize("x", "a");
  e.test.node("Sigmoid", {"a"}, {e.real("b")});
  e.quantize("b", "c", 1.0f / 256, is_signed() ? -128 : 0);
  e.dequantize("c", "d", 1.0f / 256, is_signed() ? -128 : 0);
  e.dequantize("x", "a_again");
  e.test.node("Mul", {"d", "a_again"}, {e.real("f")});
  e.quantize("f", "last", 0.03f, 7);
  e.check("bytes.map", "Sigmoid");
}
TEST_P(QuantizedElementwise, NumbersFoldIntoTheTable) {
  Elementwise e({1, 20, 3, 33}, is_signed(), pooled());
  e.dequantize("x", "a");
  e.number("three", 3), e.number("low", 0), e.number("high", 6), e.number("six", 6);
  e.test.node("Add", {"a", "three"}, {e.real("b")});
  e.test.node("Clip", {"b", "low", "high"}, {e.real("c")});
  e.test.node("Div", {"c", "six"}, {e.real("d")});
  e.test.node("Mul", {"a", "d"}, {e.real("f")});
  e.test.node("LeakyRelu", {"f"}, {e.real("g")}, {{"alpha", 0.1f}});
  e.quantize("g", "last", 0.02f, -3);
  e.check("bytes.map", "Clip");
}
// What is read twice is followed twice.
TEST_P(QuantizedElementwise, OperandsThatShareAnOrigin) {
  Elementwise e({1, 16, 4, 4}, is_signed(), pooled());
  e.dequantize("x", "a");
  e.test.node("Tanh", {"a"}, {e.real("b")});
  e.quantize("b", "c", 1.0f / 128, 0);
  e.dequantize("c", "d", 1.0f / 128, 0);
  e.test.node("Exp", {"d"}, {e.real("f")});
  e.quantize("f", "g", 0.02f, 0);
  e.dequantize("g", "h", 0.02f, 0);
  e.test.node("Add", {"h", "b"}, {e.real("i")});
  e.quantize("i", "last", 0.03f, 0);
  e.check("bytes.map", "Exp");
}
TEST_P(QuantizedElementwise, TwoTensors) {
  for (const char* op : {"Add", "Sub", "Mul"}) {
    Elementwise e({2, 19, 5, 4}, is_signed(), pooled());
    e.bytes("y", {2, 19, 5, 4});
    e.dequantize("x", "a"), e.dequantize("y", "b", 0.07f, -9);
    e.test.node(op, {"a", "b"}, {e.real("c")});
    e.test.node("Relu", {"c"}, {e.real("d")});
    e.quantize("d", "last", 0.11f, 21);
    e.check("bytes.combine", op);
  }
}
TEST_P(QuantizedElementwise, AGateOfOnePixel) {
  for (std::int64_t images : {1, 3}) {
    Elementwise e({3, 19, 5, 4}, is_signed(), pooled());
    e.bytes("gate", {images, 19, 1, 1});
    e.dequantize("gate", "g", 1.0f / 256, 0, {images, 19, 1, 1}), e.dequantize("x", "a");
    e.test.node("Mul", {"g", "a"}, {e.real("c")});
    e.quantize("c", "last", 0.04f, 0);
    e.check("bytes.combine", "Mul");
  }
}
// One input is quantized as the result is, one otherwise; one has a single channel.
TEST_P(QuantizedElementwise, ConcatOfChannels) {
  Elementwise e({2, 19, 5, 4}, is_signed(), pooled());
  e.bytes("y", {2, 70, 5, 4}), e.bytes("z", {2, 1, 5, 4});
  e.dequantize("x", "a"), e.dequantize("y", "b", 0.07f, -9, {2, 70, 5, 4}), e.dequantize("z", "c", 0.05f, 3, {2, 1, 5, 4});
  e.test.node("Concat", {"b", "a", "c", "a"}, {e.real("d", {2, 109, 5, 4})}, {{"axis", 1}});
  e.quantize("d", "last", 0.05f, 3, {2, 109, 5, 4});
  e.check("bytes.concat", "DequantizeLinear");
}
TEST_P(QuantizedElementwise, ConcatOfBytes) {
  Elementwise e({1, 8, 3, 65}, is_signed(), pooled());
  e.bytes("y", {1, 33, 3, 65});
  e.test.node("Concat", {"x", "y"}, {e.value("last", {1, 41, 3, 65})}, {{"axis", -3}});
  e.check(pooled() ? "bytes.concat" : "concat", pooled() ? "concat concat" : "bytes.concat");
}
// Other shapes are none of ours, and values that leave in between are real.
TEST_P(QuantizedElementwise, WhatBroadcastsOtherwiseStays) {
  Elementwise e({2, 8, 5, 4}, is_signed(), pooled());
  e.bytes("row", {1, 1, 1, 4});
  e.dequantize("row", "r", 0.01f, 0, {1, 1, 1, 4}), e.dequantize("x", "a");
  e.test.node("Mul", {"a", "r"}, {e.real("c")});
  e.quantize("c", "last", 0.04f, 0);
  e.check("Mul", "bytes.combine");
}

}  // namespace
}  // namespace tenon::cpu::test
