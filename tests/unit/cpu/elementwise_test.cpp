#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {
namespace {

using testing::ElementsAre;
constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
using Dims = std::vector<std::int64_t>;

Dims broadcast(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()), 1);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1, y = i < b.size() ? b[b.size() - 1 - i] : 1;
    out[out.size() - 1 - i] = x == 1 ? y : x;
  }
  return out;
}
std::int64_t count(const Dims& d) { return Tensor{0, d, {}, {}}.count(); }
// Element of a tensor of dims `from` for element i of its broadcast to `to`.
std::size_t source(std::int64_t i, const Dims& from, const Dims& to) {
  std::int64_t at = 0, stride = 1;
  for (std::size_t d = 0; d < to.size(); ++d) {
    const std::int64_t index = i % to[to.size() - 1 - d];
    i /= to[to.size() - 1 - d];
    if (d >= from.size()) continue;
    const std::int64_t n = from[from.size() - 1 - d];
    at += (n == 1 ? 0 : index) * stride;
    stride *= n;
  }
  return static_cast<std::size_t>(at);
}

std::vector<RunOptions> ways() {
  return {{.plain = true},
          {.isa = Isa::avx2, .workers = 3, .inplace = true},
          {.isa = detect_isa()},
          {.isa = detect_isa(), .workers = 3, .fuse = true, .inplace = true}};
}

// Runs one node in every way; attributes and domain as given.
template <class R>
void expect_op(const std::string& op, const std::vector<Tensor>& inputs, const Tensor& expected, const std::vector<Attr>& attributes = {},
               const std::string& domain = "", double tolerance = 0) {
  for (int constant = -1; constant < static_cast<int>(inputs.size()) && constant < 2; ++constant) {
    OpTest t({elementwise_rows});
    std::vector<std::string> names;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      names.push_back(inputs[i].dtype ? std::string(1, static_cast<char>('a' + i)) : "");
      if (!inputs[i].dtype) continue;
      if (static_cast<int>(i) == constant) t.constant(names[i], inputs[i]);
      else t.input(names[i], inputs[i]);
    }
    t.value("y", expected.dtype, expected.dims);
    t.node(op, names, {"y"}, attributes, domain);
    for (const RunOptions& way : ways()) {
      const Results r = t.run(way);
      ASSERT_EQ(r.error, "") << op;
      const auto got = r["y"].as<R>(), want = expected.as<R>();
      ASSERT_EQ(got.size(), want.size()) << op;
      for (std::size_t i = 0; i < got.size(); ++i) {
        if (got[i] == want[i] || (got[i] != got[i] && want[i] != want[i])) continue;
        ASSERT_LE(std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])),
                  tolerance * std::max(1.0, std::abs(static_cast<double>(want[i]))))
            << op << " element " << i << ": " << +got[i] << ", expected " << +want[i] << (way.plain ? " (plain)" : "");
      }
    }
  }
}

template <class T>
std::vector<T> some_numbers(std::int64_t n, std::uint32_t seed, double low, double high) {
  std::vector<T> out;
  for (const float f : random_tensor({n}, seed).as<float>()) out.push_back(static_cast<T>(low + (high - low) * (f + 1) / 2));
  return out;
}

// An operator of two tensors over many shapes, against a function of doubles.
template <class T, class R = T>
void expect_binary(const std::string& op, const std::function<double(double, double)>& f, double low, double high, double tolerance = 0) {
  const std::pair<Dims, Dims> shapes[] = {{{}, {}},
                                          {{5}, {5}},
                                          {{5}, {}},
                                          {{1}, {7}},
                                          {{2, 1}, {1, 3}},
                                          {{0}, {1}},
                                          {{2, 0, 3}, {3}},
                                          {{3000}, {3000}},
                                          {{9, 400}, {400}},
                                          {{9, 400}, {9, 1}},
                                          {{2, 3, 4, 5}, {3, 1, 1}},
                                          {{2, 70, 3}, {70, 1}},
                                          {{2, 1, 40}, {2, 30, 40}},
                                          {{4, 5}, {2, 3, 4, 5}},
                                          {{2, 3, 1, 5, 1}, {1, 3, 4, 1, 6}},
                                          {{600, 3}, {3}},
                                          {{1, 1, 1}, {50}}};
  for (const auto& [a, b] : shapes) {
    const Dims out = broadcast(a, b);
    const auto x = some_numbers<T>(count(a), 1, low, high), y = some_numbers<T>(count(b), 2, low, high);
    std::vector<R> want;
    for (std::int64_t i = 0; i < count(out); ++i)
      want.push_back(static_cast<R>(f(static_cast<double>(x[source(i, a, out)]), static_cast<double>(y[source(i, b, out)]))));
    SCOPED_TRACE(testing::PrintToString(a) + " x " + testing::PrintToString(b));
    expect_op<R>(op, {tensor<T>(a, x), tensor<T>(b, y)}, tensor<R>(out, want), {}, "", tolerance);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(Elementwise, BinaryFloatBroadcasts) {
  expect_binary<float>("Add", [](double x, double y) { return x + y; }, -5, 5, 1e-6);
  expect_binary<float>("Sub", [](double x, double y) { return x - y; }, -5, 5, 1e-6);
  expect_binary<float>("Mul", [](double x, double y) { return x * y; }, -5, 5, 1e-6);
  expect_binary<float>("Div", [](double x, double y) { return x / y; }, 1, 5, 1e-6);
  expect_binary<float>("Pow", [](double x, double y) { return std::pow(x, y); }, 0.1, 3, 1e-6);
  expect_binary<float>("Max", [](double x, double y) { return std::max(x, y); }, -5, 5);
  expect_binary<float>("Min", [](double x, double y) { return std::min(x, y); }, -5, 5);
  expect_binary<float>("Mod", [](double x, double y) { return x - y * std::floor(x / y); }, 1, 50, 1e-4);
  expect_binary<double>("Add", [](double x, double y) { return x + y; }, -5, 5);
  expect_binary<double>("Sum", [](double x, double y) { return x + y; }, -5, 5);
  expect_binary<float>("Mean", [](double x, double y) { return (x + y) / 2; }, -5, 5, 1e-6);
}

TEST(Elementwise, BinaryIntegers) {
  expect_binary<std::int32_t>("Add", [](double x, double y) { return x + y; }, -500, 500);
  expect_binary<std::int64_t>("Mul", [](double x, double y) { return x * y; }, -500, 500);
  expect_binary<std::uint8_t>("Sub", [](double x, double y) { return x - y < 0 ? x - y + 256 : x - y; }, 0, 255);
  expect_binary<std::int16_t>("Div", [](double x, double y) { return std::trunc(x / y); }, 1, 3000);
  expect_binary<std::int8_t>("Max", [](double x, double y) { return std::max(x, y); }, -100, 100);
  expect_binary<std::uint64_t>("Min", [](double x, double y) { return std::min(x, y); }, 0, 1000);
  expect_binary<std::int64_t>("Mod", [](double x, double y) { return x - y * std::floor(x / y); }, 1, 50);
}

TEST(Elementwise, Comparisons) {
  expect_binary<float, bool>("Less", [](double x, double y) { return x < y; }, -2, 2);
  expect_binary<std::int32_t, bool>("LessOrEqual", [](double x, double y) { return x <= y; }, -3, 3);
  expect_binary<std::uint16_t, bool>("Greater", [](double x, double y) { return x > y; }, 0, 5);
  expect_binary<double, bool>("GreaterOrEqual", [](double x, double y) { return x >= y; }, -2, 2);
  expect_binary<std::int64_t, bool>("Equal", [](double x, double y) { return x == y; }, -2, 2);
  expect_binary<bool, bool>("Equal", [](double x, double y) { return x == y; }, 0, 1.9);
  expect_binary<bool, bool>("And", [](double x, double y) { return x && y; }, 0, 1.9);
  expect_binary<bool, bool>("Or", [](double x, double y) { return x || y; }, 0, 1.9);
  expect_binary<bool, bool>("Xor", [](double x, double y) { return x != y; }, 0, 1.9);
}

// ---- corner cases -----------------------------------------------------------------------------------------------------

TEST(Elementwise, IntegerDivisionByZeroFails) {
  for (const char* op : {"Div", "Mod"}) {
    OpTest t({elementwise_rows});
    t.input("a", tensor<std::int32_t>({3}, {1, 2, 3}));
    t.input("b", tensor<std::int32_t>({3}, {1, 0, 3}));
    t.value("y", TENON_DTYPE_INT32, {3});
    t.node(op, {"a", "b"}, {"y"});
    const Results r = t.run({.workers = 3});
    EXPECT_EQ(r.code, TENON_INVALID_ARGUMENT);
    EXPECT_THAT(r.error, testing::HasSubstr("division by zero"));
  }
}

TEST(Elementwise, LowestIntegerByMinusOneWraps) {
  constexpr std::int64_t low = INT64_MIN;
  expect_op<std::int64_t>("Div", {tensor<std::int64_t>({3}, {low, 7, -7}), tensor<std::int64_t>({3}, {-1, -2, 2})},
                          tensor<std::int64_t>({3}, {low, -3, -3}));
  expect_op<std::int64_t>("Mod", {tensor<std::int64_t>({5}, {low, 7, -7, 7, -7}), tensor<std::int64_t>({5}, {-1, -2, 2, 3, -3})},
                          tensor<std::int64_t>({5}, {0, -1, 1, 1, -1}));
  expect_op<std::int64_t>("Mod", {tensor<std::int64_t>({5}, {low, 7, -7, 7, -7}), tensor<std::int64_t>({5}, {-1, -2, 2, 3, -3})},
                          tensor<std::int64_t>({5}, {0, 1, -1, 1, -1}), {{"fmod", 1}});
  expect_op<std::int8_t>("Div", {tensor<std::int8_t>({1}, {-128}), tensor<std::int8_t>({1}, {-1})}, tensor<std::int8_t>({1}, {-128}));
  expect_op<std::int32_t>("Abs", {tensor<std::int32_t>({2}, {INT32_MIN, -4})}, tensor<std::int32_t>({2}, {INT32_MIN, 4}));
  expect_op<std::int16_t>("Neg", {tensor<std::int16_t>({2}, {-32768, 4})}, tensor<std::int16_t>({2}, {-32768, -4}));
  expect_op<std::uint16_t>("Mul", {tensor<std::uint16_t>({1}, {65535}), tensor<std::uint16_t>({1}, {65535})},
                           tensor<std::uint16_t>({1}, {1}));
}

TEST(Elementwise, FloatMod) {
  const auto x = tensor<float>({6}, {5.5f, -5.5f, 5.5f, -5.5f, 3, 1}), y = tensor<float>({6}, {2, 2, -2, -2, inf, -inf});
  expect_op<float>("Mod", {x, y}, tensor<float>({6}, {1.5f, -1.5f, 1.5f, -1.5f, 3, 1}), {{"fmod", 1}});
  expect_op<float>("Mod", {x, y}, tensor<float>({6}, {1.5f, 0.5f, -0.5f, -1.5f, 3, -inf}));
}

TEST(Elementwise, PowMixesTypes) {
  expect_op<std::int32_t>("Pow", {tensor<std::int32_t>({5}, {2, -3, 0, 1, -1}), tensor<std::int64_t>({5}, {10, 3, 0, -5, -3})},
                          tensor<std::int32_t>({5}, {1024, -27, 1, 1, -1}));
  expect_op<std::int64_t>("Pow", {tensor<std::int64_t>({3}, {3, 2, 10}), tensor<float>({3}, {2, 0.5f, -1})},
                          tensor<std::int64_t>({3}, {9, 1, 0}));
  expect_op<float>("Pow", {tensor<float>({4}, {3, -2, 4, -3}), tensor<std::int32_t>({}, {3})}, tensor<float>({4}, {27, -8, 64, -27}));
  expect_op<float>("Pow", {tensor<float>({4}, {3, -2, 4, -3}), tensor<std::uint8_t>({4}, {2, 3, 0, 1})},
                   tensor<float>({4}, {9, -8, 1, -3}));
  expect_op<double>("Pow", {tensor<double>({2}, {2, 9}), tensor<float>({}, {0.5f})}, tensor<double>({2}, {std::sqrt(2.0), 3}));
  const auto odd = tensor<float>({9}, {-2, -2, 0, 0, -0.0f, inf, nan, 1, -8}),
             power = tensor<float>({9}, {3, 0.5f, 0, -1, 3, -1, 0, nan, 1.0f / 3});
  expect_op<float>("Pow", {odd, power}, tensor<float>({9}, {-8, nan, 1, inf, -0.0f, 0, 1, 1, nan}));
  OpTest t({elementwise_rows});
  t.input("a", tensor<std::int32_t>({1}, {0}));
  t.input("b", tensor<std::int32_t>({1}, {-1}));
  t.value("y", TENON_DTYPE_INT32, {1});
  t.node("Pow", {"a", "b"}, {"y"});
  EXPECT_EQ(t.run().code, TENON_INVALID_ARGUMENT);
}

TEST(Elementwise, PowConstantExponents) {
  const auto x = tensor<float>({5}, {0.25f, 1, 2, 9, 3});
  for (const float e : {2.0f, 3.0f, 4.0f, 1.0f, 0.5f, -0.5f, -1.0f, 0.0f, 2.5f}) {
    std::vector<float> want;
    for (float f : x.as<float>()) want.push_back(std::pow(f, e));
    expect_op<float>("Pow", {x, tensor<float>({}, {e})}, tensor<float>({5}, want), {}, "", 3e-7);
  }
}

TEST(Elementwise, Bits) {
  const auto u8 = [](std::vector<std::uint8_t> v) { return tensor<std::uint8_t>({static_cast<std::int64_t>(v.size())}, v); };
  expect_op<std::uint8_t>("BitShift", {u8({16, 255, 1, 1}), u8({1, 4, 7, 8})}, u8({32, 240, 128, 0}), {{"direction", "LEFT"}});
  expect_op<std::uint8_t>("BitShift", {u8({16, 255, 1, 255}), u8({1, 4, 7, 200})}, u8({8, 15, 0, 0}), {{"direction", "RIGHT"}});
  const auto i32 = [](std::vector<std::int32_t> v) { return tensor<std::int32_t>({static_cast<std::int64_t>(v.size())}, v); };
  expect_op<std::int32_t>("BitShift", {i32({-16, -1, 8, -8}), i32({2, 40, -1, -1})}, i32({-4, -1, 0, -1}), {{"direction", "RIGHT"}});
  expect_op<std::int32_t>("BitShift", {i32({-16, 1, 3}), i32({2, 31, 32})}, i32({-64, INT32_MIN, 0}), {{"direction", "LEFT"}});
  expect_op<std::int32_t>("BitwiseAnd", {i32({12, -1}), i32({10, 7})}, i32({8, 7}));
  expect_op<std::int32_t>("BitwiseOr", {i32({12, -1}), i32({10, 7})}, i32({14, -1}));
  expect_op<std::int32_t>("BitwiseXor", {i32({12, -1}), i32({10, 7})}, i32({6, -8}));
  expect_op<std::int32_t>("BitwiseNot", {i32({12, -1})}, i32({-13, 0}));
  expect_op<bool>("Not", {tensor<bool>({2}, {true, false})}, tensor<bool>({2}, {false, true}));
}

TEST(Elementwise, NanWinsInMinMaxClip) {
  const auto x = tensor<float>({4}, {nan, 1, nan, 3}), y = tensor<float>({4}, {1, nan, nan, 2});
  expect_op<float>("Max", {x, y}, tensor<float>({4}, {nan, nan, nan, 3}));
  expect_op<float>("Min", {x, y}, tensor<float>({4}, {nan, nan, nan, 2}));
  expect_op<float>("Clip", {x, tensor<float>({}, {2.0f}), tensor<float>({}, {2.5f})}, tensor<float>({4}, {nan, 2, nan, 2.5f}));
  const auto low = tensor<double>({}, {std::nan("")}), two = tensor<double>({}, {2}), z = tensor<double>({3}, {-inf, 1, 3});
  expect_op<double>("Clip", {z, low, two}, tensor<double>({3}, {nan, nan, nan}));
  expect_op<double>("Clip", {z, two, low}, tensor<double>({3}, {nan, nan, nan}));
  expect_op<float>("Relu", {tensor<float>({4}, {nan, -1, inf, -inf})}, tensor<float>({4}, {nan, 0, inf, 0}));
  expect_op<float>("Sign", {tensor<float>({4}, {nan, -2, 0, 7})}, tensor<float>({4}, {nan, -1, 0, 1}));
}

// What the operators' formulas give, in every type alike: no comparison holds for NaN, 0 times infinity is NaN.
template <class T>
void expect_specials_of_formulas() {
  const T most = std::numeric_limits<T>::max();
  const auto x = tensor<T>({6}, {T{nan}, -T{inf}, T{inf}, -most, most, T{-0.0}});
  expect_op<T>("Shrink", {x}, tensor<T>({6}, {0, -T{inf}, T{inf}, -most, most, 0}));
  const auto gelu = tensor<T>({6}, {T{nan}, T{nan}, T{inf}, 0, most, 0});
  expect_op<T>("Gelu", {x}, gelu, {}, "", 1e-11);
  expect_op<T>("Gelu", {x}, gelu, {{"approximate", "tanh"}}, "", 1e-11);
  expect_op<T>("ThresholdedRelu", {x}, tensor<T>({6}, {0, 0, T{inf}, 0, most, 0}));
}
TEST(Elementwise, SpecialsOfFormulas) {
  expect_specials_of_formulas<float>();
  expect_specials_of_formulas<double>();
}

TEST(Elementwise, ClipBounds) {
  const Tensor none{};
  const auto x = tensor<float>({5}, {-3, -1, 0, 1, 3}), low = tensor<float>({}, {-1.5f}), high = tensor<float>({}, {2});
  expect_op<float>("Clip", {x, none, high}, tensor<float>({5}, {-3, -1, 0, 1, 2}));
  expect_op<float>("Clip", {x, low}, tensor<float>({5}, {-1.5f, -1, 0, 1, 3}));
  expect_op<float>("Clip", {x}, x);
  expect_op<float>("Clip", {x, high, low}, tensor<float>({5}, {-1.5f, -1.5f, -1.5f, -1.5f, -1.5f}));
  expect_op<std::int8_t>("Clip", {tensor<std::int8_t>({3}, {-100, 5, 100}), tensor<std::int8_t>({}, {-7}), tensor<std::int8_t>({}, {50})},
                         tensor<std::int8_t>({3}, {-7, 5, 50}));
  expect_op<double>("Clip", {tensor<double>({2}, {-100, 100}), tensor<double>({1}, {-7})}, tensor<double>({2}, {-7, 100}));
}

TEST(Elementwise, IsNanIsInf) {
  const auto x = tensor<float>({4}, {nan, inf, -inf, 0});
  expect_op<bool>("IsNaN", {x}, tensor<bool>({4}, {true, false, false, false}));
  expect_op<bool>("IsInf", {x}, tensor<bool>({4}, {false, true, true, false}));
  expect_op<bool>("IsInf", {x}, tensor<bool>({4}, {false, true, false, false}), {{"detect_negative", 0}});
  expect_op<bool>("IsInf", {x}, tensor<bool>({4}, {false, false, true, false}), {{"detect_positive", 0}});
  const std::vector<std::uint8_t> bytes = {0x7f, 0xff, 0x80, 0x7c, 0xfc, 0x7e, 0};
  const auto f8 = [&](std::int32_t dtype) { return tensor<std::uint8_t>({7}, bytes, dtype); };
  expect_op<bool>("IsNaN", {f8(TENON_DTYPE_FLOAT8E4M3FN)}, tensor<bool>({7}, {true, true, false, false, false, false, false}));
  expect_op<bool>("IsNaN", {f8(TENON_DTYPE_FLOAT8E5M2)}, tensor<bool>({7}, {true, true, false, false, false, true, false}));
  expect_op<bool>("IsNaN", {f8(TENON_DTYPE_FLOAT8E4M3FNUZ)}, tensor<bool>({7}, {false, false, true, false, false, false, false}));
  expect_op<bool>("IsInf", {f8(TENON_DTYPE_FLOAT8E5M2)}, tensor<bool>({7}, {false, false, false, true, true, false, false}));
}

TEST(Elementwise, WhereOfEveryType) {
  const auto c = tensor<bool>({3, 1}, {true, false, true});
  expect_op<float>("Where", {c, tensor<float>({1, 2}, {1, 2}), tensor<float>({}, {9})}, tensor<float>({3, 2}, {1, 2, 9, 9, 1, 2}));
  expect_op<std::uint8_t>("Where", {c, tensor<std::uint8_t>({3, 1}, {1, 2, 3}), tensor<std::uint8_t>({2}, {7, 8})},
                          tensor<std::uint8_t>({3, 2}, {1, 1, 7, 8, 3, 3}));
  expect_op<std::int64_t>(
      "Where", {tensor<bool>({4}, {true, false, false, true}), tensor<std::int64_t>({4}, {1, 2, 3, 4}), tensor<std::int64_t>({}, {-1})},
      tensor<std::int64_t>({4}, {1, -1, -1, 4}));
  expect_op<double>("Where", {tensor<bool>({}, {false}), tensor<double>({3}, {1, 2, 3}), tensor<double>({3}, {4, 5, 6})},
                    tensor<double>({3}, {4, 5, 6}));
}

TEST(Elementwise, Strings) {
  OpTest t({elementwise_rows});
  t.input("a", tensor<std::string>({3}, {"x", "yy", ""}));
  t.constant("b", tensor<std::string>({1}, {"yy"}));
  t.input("c", tensor<bool>({2, 1}, {true, false}));
  t.value("equal", TENON_DTYPE_BOOL, {3});
  t.value("where", TENON_DTYPE_STRING, {2, 3});
  t.node("Equal", {"a", "b"}, {"equal"});
  t.node("Where", {"c", "a", "b"}, {"where"});
  const Results r = t.run({.workers = 2});
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["equal"].as<bool>(), ElementsAre(false, true, false));
  EXPECT_THAT(r["where"].strings, ElementsAre("x", "yy", "", "yy", "yy", "yy"));
}

TEST(Elementwise, Variadic) {
  for (const char* op : {"Sum", "Max", "Min", "Mean"}) {
    const Dims shapes[] = {{1, 3}, {2, 1}, {}, {2, 3}};
    std::vector<Tensor> f, d;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const Tensor x = random_tensor(shapes[i], i + 1);
      f.push_back(x);
      std::vector<double> wide;
      for (float v : x.as<float>()) wide.push_back(v);
      d.push_back(tensor<double>(shapes[i], wide));
    }
    std::vector<double> want;
    for (std::int64_t i = 0; i < 6; ++i) {
      std::vector<double> v;
      for (std::size_t k = 0; k < 4; ++k) v.push_back(d[k].as<double>()[source(i, shapes[k], {2, 3})]);
      double sum = 0;
      for (double x : v) sum += x;
      const std::string name = op;
      want.push_back(name == "Sum"    ? sum
                     : name == "Mean" ? sum / 4
                     : name == "Max"  ? *std::max_element(v.begin(), v.end())
                                      : *std::min_element(v.begin(), v.end()));
    }
    expect_op<float>(op, f, tensor<float>({2, 3}, std::vector<float>(want.begin(), want.end())), {}, "", 1e-6);
    expect_op<double>(op, d, tensor<double>({2, 3}, want), {}, "", 1e-15);
    expect_op<float>(op, {f[0]}, f[0]);
    expect_op<double>(op, {d[0]}, d[0]);
  }
}

// ---- functions of one number ------------------------------------------------------------------------------------------

struct UnaryCase {
  const char* op;
  double (*f)(double);
  double low, high;
  std::vector<Attr> attributes = {};
  const char* domain = "";
};

double phi(double x) { return 0.5 * std::erfc(x * -std::sqrt(0.5)); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double elu(double x, double a) { return x > 0 ? x : a * std::expm1(x); }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

TEST(Elementwise, UnaryFunctions) {
  const UnaryCase cases[] = {
      {"Abs", [](double x) { return std::abs(x); }, -5, 5},
      {"Neg", [](double x) { return -x; }, -5, 5},
      {"Ceil", [](double x) { return std::ceil(x); }, -5, 5},
      {"Floor", [](double x) { return std::floor(x); }, -5, 5},
      {"Round", [](double x) { return std::nearbyint(x); }, -5, 5},
      {"Sqrt", [](double x) { return std::sqrt(x); }, 0, 500},
      {"Exp", [](double x) { return std::exp(x); }, -80, 5},
      {"Log", [](double x) { return std::log(x); }, 1e-3, 500},
      {"Reciprocal", [](double x) { return 1 / x; }, 0.1, 5},
      {"Sin", [](double x) { return std::sin(x); }, -50, 50},
      {"Cos", [](double x) { return std::cos(x); }, -50, 50},
      {"Tan", [](double x) { return std::tan(x); }, -1, 1},
      {"Asin", [](double x) { return std::asin(x); }, -1, 1},
      {"Acos", [](double x) { return std::acos(x); }, -1, 1},
      {"Atan", [](double x) { return std::atan(x); }, -5, 5},
      {"Sinh", [](double x) { return std::sinh(x); }, -3, 3},
      {"Cosh", [](double x) { return std::cosh(x); }, -3, 3},
      {"Tanh", [](double x) { return std::tanh(x); }, -11, 11},
      {"Asinh", [](double x) { return std::asinh(x); }, -5, 5},
      {"Acosh", [](double x) { return std::acosh(x); }, 1, 5},
      {"Atanh", [](double x) { return std::atanh(x); }, -0.9, 0.9},
      {"Erf", [](double x) { return std::erf(x); }, -5, 5},
      {"Sigmoid", sigmoid, -30, 30},
      {"Relu", [](double x) { return std::max(x, 0.0); }, -5, 5},
      {"LeakyRelu", [](double x) { return x < 0 ? 0.01 * x : x; }, -5, 5},
      {"LeakyRelu", [](double x) { return x < 0 ? 0.5 * x : x; }, -5, 5, {{"alpha", 0.5}}},
      {"Elu", [](double x) { return elu(x, 1); }, -5, 5},
      {"Elu", [](double x) { return elu(x, 2); }, -5, 5, {{"alpha", 2.0}}},
      {"Celu", [](double x) { return std::max(x, 0.0) + std::min(0.0, 2 * std::expm1(x / 2)); }, -5, 5, {{"alpha", 2.0}}},
      {"Selu", [](double x) { return 1.0507009873554805 * elu(x, 1.6732632423543772); }, -5, 5},
      {"Selu", [](double x) { return 3.0 * elu(x, 2); }, -5, 5, {{"alpha", 2.0}, {"gamma", 3.0}}},
      {"ThresholdedRelu", [](double x) { return x > 1 ? x : 0; }, -5, 5},
      {"HardSigmoid", [](double x) { return std::clamp(0.2 * x + 0.5, 0.0, 1.0); }, -5, 5},
      {"HardSwish", [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); }, -5, 5},
      {"Swish", [](double x) { return x * sigmoid(x); }, -30, 30},
      {"Swish", [](double x) { return x * sigmoid(0.5 * x); }, -30, 30, {{"alpha", 0.5}}},
      {"Mish", [](double x) { return x * std::tanh(softplus(x)); }, -30, 30},
      {"Gelu", [](double x) { return x * phi(x); }, -8, 8},
      {"Gelu",
       [](double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); },
       -8,
       8,
       {{"approximate", "tanh"}}},
      {"Gelu", [](double x) { return x * phi(x); }, -8, 8, {}, "com.microsoft"},
      {"QuickGelu", [](double x) { return x * sigmoid(1.702 * x); }, -8, 8, {}, "com.microsoft"},
      {"FastGelu",
       [](double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); },
       -8,
       8,
       {},
       "com.microsoft"},
      {"Softplus", softplus, -30, 30},
      {"Softsign", [](double x) { return x / (1 + std::abs(x)); }, -5, 5},
      {"Shrink", [](double x) { return x < -1.5  ? x + 1.5
                                       : x > 1.5 ? x - 1.5
                                                 : 0; }, -5, 5, {{"lambd", 1.5}, {"bias", 1.5}}},
      {"Sign", [](double x) { return double((x > 0) - (x < 0)); }, -5, 5},
  };
  for (const UnaryCase& c : cases) {
    SCOPED_TRACE(c.op);
    for (const Dims& dims : {Dims{}, Dims{0, 3}, Dims{7}, Dims{41, 67}}) {
      const auto x = some_numbers<float>(count(dims), 3, c.low, c.high);
      std::vector<float> want;
      for (float v : x) want.push_back(static_cast<float>(c.f(v)));
      expect_op<float>(c.op, {tensor<float>(dims, x)}, tensor<float>(dims, want), c.attributes, c.domain, 5e-7);
    }
    const auto x = some_numbers<double>(100, 3, c.low, c.high);
    std::vector<double> want;
    for (double v : x) want.push_back(c.f(v));
    expect_op<double>(c.op, {tensor<double>({100}, x)}, tensor<double>({100}, want), c.attributes, c.domain, 5e-8);
    if (HasFatalFailure()) return;
  }
}

TEST(Elementwise, HalvesRoundToEven) {
  expect_op<float>("Round", {tensor<float>({6}, {0.5f, 1.5f, 2.5f, -0.5f, -2.5f, 2.4f})}, tensor<float>({6}, {0, 2, 2, -0.0f, -2, 2}));
}

TEST(Elementwise, UnaryIntegers) {
  expect_op<std::int8_t>("Sign", {tensor<std::int8_t>({3}, {-7, 0, 5})}, tensor<std::int8_t>({3}, {-1, 0, 1}));
  expect_op<std::uint64_t>("Sign", {tensor<std::uint64_t>({2}, {0, 5})}, tensor<std::uint64_t>({2}, {0, 1}));
  expect_op<std::int32_t>("Relu", {tensor<std::int32_t>({3}, {-7, 0, 5})}, tensor<std::int32_t>({3}, {0, 0, 5}));
  expect_op<std::int32_t>("Erf", {tensor<std::int32_t>({3}, {-7, 0, 7})}, tensor<std::int32_t>({3}, {-1, 0, 1}));
  expect_op<std::uint8_t>("Shrink", {tensor<std::uint8_t>({3}, {1, 2, 9})}, tensor<std::uint8_t>({3}, {0, 2, 9}), {{"lambd", 1.5}});
  expect_op<std::int64_t>("PRelu", {tensor<std::int64_t>({2, 2}, {-7, 1, -5, 2}), tensor<std::int64_t>({2}, {3, 4})},
                          tensor<std::int64_t>({2, 2}, {-21, 1, -15, 2}));
  expect_op<float>("PRelu", {tensor<float>({2, 2}, {-7, 1, -5, -2}), tensor<float>({2, 1}, {3, 0.5f})},
                   tensor<float>({2, 2}, {-21, 1, -2.5f, -1}));
}

TEST(Elementwise, BiasGelu) {
  const auto x = tensor<float>({2, 2}, {-1, 1, 0.5f, 2}), b = tensor<float>({2}, {0.5f, -0.5f});
  std::vector<float> want;
  for (double v : {-0.5, 0.5, 1.0, 1.5}) want.push_back(static_cast<float>(v * phi(v)));
  expect_op<float>("BiasGelu", {x, b}, tensor<float>({2, 2}, want), {}, "com.microsoft", 3e-7);
}

TEST(Elementwise, RefusesWhatItCannotDo) {
  OpTest t({elementwise_rows});
  t.input("a", tensor<bool>({1}, {true}));
  t.value("y", TENON_DTYPE_BOOL, {1});
  t.node("Add", {"a", "a"}, {"y"});
  EXPECT_THAT(t.run().error, testing::StartsWith("refused 3"));
}

// ---- chains -----------------------------------------------------------------------------------------------------------

TEST(Elementwise, ChainsRunAsOneStep) {
  for (const Dims& dims : {Dims{2, 3, 5}, Dims{4, 37, 61}, Dims{0, 3, 5}}) {
    OpTest t({elementwise_rows});
    const auto x = random_tensor(dims, 1), y = random_tensor(dims, 2), row = random_tensor({dims[2]}, 3),
               column = random_tensor({dims[1], 1}, 4);
    t.input("x", x), t.input("y", y), t.input("row", row), t.constant("column", column);
    t.constant("two", tensor<float>({}, {2})), t.constant("one", tensor<float>({1}, {1}));
    for (const char* v : {"a", "b", "c", "d", "e", "f", "g"}) t.value(v, TENON_DTYPE_FLOAT, dims);
    t.node("Mul", {"two", "x"}, {"a"});
    t.node("Add", {"a", "row"}, {"b"});
    t.node("Sigmoid", {"b"}, {"c"});
    t.node("Sub", {"one", "c"}, {"d"});
    t.node("Div", {"y", "d"}, {"e"});
    t.node("Mul", {"e", "column"}, {"f"});
    t.node("Add", {"f", "x"}, {"g"});
    const Results base = t.run({.plain = true});
    ASSERT_EQ(base.error, "");
    EXPECT_EQ(base.steps.size(), 7u);
    for (RunOptions way : ways()) {
      way.fuse = true;
      const Results r = t.run(way);
      ASSERT_EQ(r.error, "");
      EXPECT_EQ(r.steps.size(), 1u);
      const auto want = base["g"].as<float>(), got = r["g"].as<float>();
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-5) << i;
    }
  }
}

TEST(Elementwise, ChainReadsItsInputTwiceInPlace) {
  OpTest t({elementwise_rows});
  const auto x = random_tensor({3000}, 1), y = random_tensor({3000}, 2);
  t.input("x", x), t.input("y", y);
  for (const char* v : {"a", "b", "c"}) t.value(v, TENON_DTYPE_FLOAT, {3000});
  t.node("Tanh", {"x"}, {"a"});
  t.node("Mul", {"a", "y"}, {"b"});
  t.node("Add", {"b", "x"}, {"c"});
  for (const RunOptions& way : ways()) {
    const auto c = t.run(way)["c"].as<float>();
    for (std::size_t i = 0; i < c.size(); ++i) {
      const float a = x.as<float>()[i], b = y.as<float>()[i];
      ASSERT_NEAR(c[i], std::tanh(a) * b + a, 1e-6);
      if (i > 20) break;
    }
  }
}

TEST(Elementwise, DivisionByConstantStaysExact) {
  // 49 * (1 / 49) is not 1.
  OpTest t({elementwise_rows});
  std::vector<float> x;
  for (int i = 1; i < 100; ++i) x.push_back(static_cast<float>(i * 49));
  t.input("x", tensor<float>({99}, x));
  t.constant("c", tensor<float>({}, {49}));
  t.value("q", TENON_DTYPE_FLOAT, {99}), t.value("y", TENON_DTYPE_FLOAT, {99});
  t.node("Div", {"x", "c"}, {"q"});
  t.node("Floor", {"q"}, {"y"});
  const Results r = t.run({.isa = detect_isa(), .fuse = true});
  for (int i = 1; i < 100; ++i) EXPECT_EQ(r["y"].as<float>()[static_cast<std::size_t>(i - 1)], static_cast<float>(i));
}

// Asks for a blocked input and hands it on.
class Blocked final : public Op {
 public:
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override { return inputs[0] = machine_block; }
  void plan(PlanBuilder& builder) const override {
    const auto copy = [from = builder.in_ref(0), to = builder.out_ref(0), n = builder.out(0).count()](const StepContext& c) {
      if (c.worker == 0) std::memcpy(c.ptr<float>(to), c.ptr<const float>(from), static_cast<std::size_t>(n) * sizeof(float));
    };
    builder.step("Blocked", copy);
  }
};
std::span<const OpRow> blocked_rows() {
  static const OpRow rows[] = {{"", "Blocked", [](const NodeView&) { return Support::yes(); },
                                [](const NodeView&, CompileContext&) -> std::unique_ptr<Op> { return std::make_unique<Blocked>(); }}};
  return rows;
}

TEST(Elementwise, BlockedValuesStayBlocked) {
  const Dims dims = {2, 32, 5, 7}, channel = {2, 32, 1, 1}, plane = {2, 1, 5, 7};
  for (const std::int32_t block : {8, 16}) {
    OpTest t({elementwise_rows, blocked_rows});
    t.input("x", random_tensor(dims, 1)), t.input("y", random_tensor(dims, 2)), t.input("s", random_tensor(channel, 3));
    t.input("p", random_tensor(plane, 4)), t.constant("c", random_tensor({32, 1, 1}, 5)), t.constant("whole", random_tensor(dims, 6));
    for (const char* v : {"bx", "a", "b", "d", "e", "f", "g"}) t.value(v, TENON_DTYPE_FLOAT, dims);
    t.value("bs", TENON_DTYPE_FLOAT, channel), t.value("gate", TENON_DTYPE_FLOAT, channel);
    t.node("Blocked", {"x"}, {"bx"});
    t.node("Blocked", {"s"}, {"bs"});
    t.node("HardSigmoid", {"bs"}, {"gate"});
    t.node("Add", {"bx", "y"}, {"a"});
    t.node("Mul", {"gate", "a"}, {"b"});
    t.node("Add", {"b", "p"}, {"d"});
    t.node("Mul", {"c", "d"}, {"e"});
    t.node("HardSwish", {"e"}, {"f"});
    t.node("Max", {"f", "whole"}, {"g"});
    const Results dense = t.run({.plain = true});
    ASSERT_EQ(dense.error, "");
    for (const bool fuse : {false, true}) {
      const Results r = t.run({.isa = detect_isa(), .workers = 2, .fuse = fuse, .block = block, .inplace = true});
      ASSERT_EQ(r.error, "");
      const auto want = dense["g"].as<float>(), got = r["g"].as<float>();
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5) << i;
    }
  }
}

TEST(Elementwise, LayoutFollowsFullInputs) {
  const Dims dims = {2, 32, 5, 7};
  OpTest t({elementwise_rows});
  t.input("x", random_tensor(dims, 1)), t.input("y", random_tensor(dims, 2)), t.input("s", random_tensor({2, 32, 1, 1}, 3));
  t.value("a", TENON_DTYPE_FLOAT, dims), t.value("b", TENON_DTYPE_FLOAT, dims);
  t.node("Add", {"x", "y"}, {"a"});
  t.node("Mul", {"a", "s"}, {"b"});
  class Constants final : public CompileContext {
    const Options& options() const override { return options_; }
    tenon_const_tensor constant(const NodeView&, std::uint32_t) override { return {}; }
    tenon_const_tensor raw_constant(const NodeView&, std::uint32_t) override { return {}; }
    const void* packed(const NodeView&, std::uint32_t, std::string_view, std::uint64_t,
                       const std::function<void(const tenon_const_tensor&, void*)>&) override {
      return nullptr;
    }
    void* alloc(std::uint64_t) override { return nullptr; }
    Options options_;
  } context;
  const OpRow* row = nullptr;
  for (const OpRow& r : elementwise_rows())
    if (std::string_view(r.op_type) == "Add") row = &r;
  auto op = row->make(NodeView(t.graph(), 0), context);
  ASSERT_TRUE(op->absorb(NodeView(t.graph(), 1), 0, 2, context));
  std::int32_t want[] = {16, 0, 16};
  EXPECT_EQ(op->layout(want, 16), 16);
  EXPECT_THAT(want, ElementsAre(16, 16, 16));
  std::int32_t narrow[] = {0, 8, 8};  // channels that fill no larger blocks
  EXPECT_EQ(op->layout(narrow, 16), 8);
  EXPECT_THAT(narrow, ElementsAre(8, 8, 8));
  std::int32_t dense[] = {0, 0, 16};
  EXPECT_EQ(op->layout(dense, 16), 0);
  EXPECT_THAT(dense, ElementsAre(0, 0, 0));
}

}  // namespace
}  // namespace tenon::cpu::test
