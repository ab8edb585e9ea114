// Attention spelled out as nodes becomes one step, on every instruction set and with any number of workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/unit/cpu/family_check.h"
#include "tests/unit/cpu/program_harness.h"

namespace tenon::cpu::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using Dims = std::vector<std::int64_t>;

constexpr float infinity = std::numeric_limits<float>::infinity();

enum class Scale { none, of_scores, of_both_sides };
enum class Mask { none, keys, queries, heads };

struct Spelling {
  std::int64_t batch = 2, heads = 3, queries = 9, keys = 9, depth = 16, value_depth = 16;
  Scale scale = Scale::of_scores;
  Mask mask = Mask::none;
  bool zero_for_nan = false;  // Where(IsNaN(p), 0, p)
  bool turned = true;         // operands come as [batch, row, head, depth] and go through Transposes, as does the result
  bool keys_turned = false;   // K comes as [batch, head, depth, key]
  float far = -1e4f;          // what the mask adds to hide
  int hides = 0;              // 1: Where(keep, scores, far), 2: Where(hide, far, scores); keep is [queries, keys]
  float growth = 0;           // of the mask from key to key
  std::int64_t repeat = 1;    // heads of queries that share keys and values, which are repeated by Unsqueeze, Expand and Reshape
  bool hide_all = false;      // from the second query, or from all where they share the mask
};

Tensor mask_of(const Spelling& s) {
  Dims dims = {s.batch, 1, 1, s.keys};
  if (s.mask == Mask::queries) dims = {s.queries, s.keys};
  if (s.mask == Mask::heads) dims = {1, s.heads, s.queries, s.keys};
  Tensor t = random_tensor(dims, 9);
  std::vector<float> x = t.as<float>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / s.keys, key = static_cast<std::int64_t>(i) % s.keys;
    x[i] += s.growth * static_cast<float>(key);
    if (key > 0 && (key * 7 + row * 3) % 5 == 0) x[i] = s.far;
    if (s.hide_all && (s.mask == Mask::keys || row % s.queries == 1)) x[i] = s.far;
  }
  return tensor<float>(dims, x);
}

void spell(OpTest& t, const Spelling& s) {
  const std::int64_t b = s.batch, h = s.heads, q = s.queries, k = s.keys, d = s.depth, e = s.value_depth;
  const auto operand = [&](const std::string& name, std::int64_t rows, std::int64_t depth, std::uint32_t seed) {
    if (s.repeat > 1 && name != "q") {
      const std::int64_t few = h / s.repeat;
      t.input(name + "0", random_tensor({b, few, rows, depth}, seed));
      t.value(name + "1", TENON_DTYPE_FLOAT, {b, few, 1, rows, depth});
      t.value(name + "2", TENON_DTYPE_FLOAT, {b, few, s.repeat, rows, depth});
      t.value(name, TENON_DTYPE_FLOAT, {b, h, rows, depth});
      t.constant(name + "_axis", tensor<std::int64_t>({1}, {2}));
      t.constant(name + "_wide", tensor<std::int64_t>({5}, {b, few, s.repeat, rows, depth}));
      t.constant(name + "_dims", tensor<std::int64_t>({4}, {b, h, rows, depth}));
      t.node("Unsqueeze", {name + "0", name + "_axis"}, {name + "1"});
      t.node("Expand", {name + "1", name + "_wide"}, {name + "2"});
      t.node("Reshape", {name + "2", name + "_dims"}, {name});
      return;
    }
    if (!s.turned) return t.input(name, random_tensor({b, h, rows, depth}, seed));
    t.input(name + "0", random_tensor({b, rows, h, depth}, seed));
    t.value(name, TENON_DTYPE_FLOAT, {b, h, rows, depth});
    t.node("Transpose", {name + "0"}, {name}, {{"perm", Dims{0, 2, 1, 3}}});
  };
  operand("q", q, d, 1);
  operand("v", k, e, 3);
  std::string kt = "kt";
  if (s.keys_turned) {
    t.input(kt, random_tensor({b, h, d, k}, 2));
  } else {
    operand("k", k, d, 2);
    t.value(kt, TENON_DTYPE_FLOAT, {b, h, d, k});
    t.node("Transpose", {"k"}, {kt}, {{"perm", Dims{0, 1, 3, 2}}});
  }
  std::string left = "q";
  t.constant("factor", tensor<float>({}, {s.scale == Scale::of_scores ? 0.25f : 0.5f}));
  if (s.scale == Scale::of_both_sides) {
    t.value("qs", TENON_DTYPE_FLOAT, {b, h, q, d});
    t.value("ks", TENON_DTYPE_FLOAT, {b, h, d, k});
    t.node("Mul", {"q", "factor"}, {"qs"});
    t.node("Mul", {kt, "factor"}, {"ks"});
    left = "qs", kt = "ks";
  }
  std::string last = "s";
  const auto scores = [&](const std::string& name) { t.value(name, TENON_DTYPE_FLOAT, {b, h, q, k}); };
  scores("s");
  t.node("MatMul", {left, kt}, {"s"});
  if (s.scale == Scale::of_scores) {
    scores("scaled");
    t.node("Mul", {last, "factor"}, {"scaled"});
    last = "scaled";
  }
  if (s.hides) {
    std::vector<std::uint8_t> bytes;
    for (std::int64_t i = 0; i < q; ++i)
      for (std::int64_t j = 0; j < k; ++j) bytes.push_back((j <= i + k - q && !(s.hide_all && i == 1)) == (s.hides == 1));
    t.input("chosen", tensor<std::uint8_t>({q, k}, bytes, TENON_DTYPE_BOOL));
    t.constant("far", tensor<float>({}, {s.far}));
    scores("hidden");
    t.node("Where", {"chosen", s.hides == 1 ? last : "far", s.hides == 1 ? "far" : last}, {"hidden"});
    last = "hidden";
  }
  if (s.mask != Mask::none) {
    t.input("mask", mask_of(s));
    scores("masked");
    t.node("Add", {last, "mask"}, {"masked"});
    last = "masked";
  }
  scores("p");
  t.node("Softmax", {last}, {"p"}, {{"axis", -1}});
  last = "p";
  if (s.zero_for_nan) {
    t.constant("zero", tensor<float>({}, {0.0f}));
    t.value("nan", TENON_DTYPE_BOOL, {b, h, q, k});
    scores("safe");
    t.node("IsNaN", {"p"}, {"nan"});
    t.node("Where", {"nan", "zero", "p"}, {"safe"});
    last = "safe";
  }
  t.value("y0", TENON_DTYPE_FLOAT, {b, h, q, e});
  t.node("MatMul", {last, "v"}, {"y0"});
  t.value("y", TENON_DTYPE_FLOAT, {b, q, h, e});
  t.node("Transpose", {"y0"}, {"y"}, {{"perm", Dims{0, 2, 1, 3}}});
}

void check(const Spelling& s) {
  OpTest t({matmul_rows, norm_rows, elementwise_rows, movement_rows});
  spell(t, s);
  const ProgramResults expected = run_program(t, {"y"}, {.plain = true});
  ASSERT_EQ(expected.error, "");
  for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    const IsaScope scope(isa);
    Tensor first;
    for (std::uint32_t workers : {1u, 2u, 3u}) {
      const std::string where = "isa " + std::to_string(static_cast<int>(isa)) + ", workers " + std::to_string(workers);
      const ProgramResults found = run_program(t, {"y"}, {.isa = isa, .workers = workers});
      ASSERT_EQ(found.error, "") << where;
      EXPECT_EQ(found.step_names(), "attention") << where;
      expect_near(expected["y"], found["y"], 1e-5, where);
      if (workers == 1) first = found["y"];
      else EXPECT_EQ(first.bytes, found["y"].bytes) << where;
    }
  }
}

TEST(AttentionFusion, Scales) {
  for (Scale scale : {Scale::none, Scale::of_scores, Scale::of_both_sides}) check({.scale = scale});
}

TEST(AttentionFusion, HeadsThatShareKeysAndValuesReadThemWhereTheyStand) {
  for (std::int64_t repeat : {2, 3, 6})
    for (std::int64_t queries : {1, 7, 40}) check({.heads = 6, .queries = queries, .keys = 21, .mask = Mask::queries, .repeat = repeat});
}

TEST(AttentionFusion, Masks) {
  for (Mask mask : {Mask::keys, Mask::queries, Mask::heads})
    for (std::int64_t queries : {1, 9, 40}) check({.queries = queries, .keys = 21, .mask = mask});
}

TEST(AttentionFusion, Layouts) {
  check({.turned = false});
  check({.keys_turned = true});
  check({.queries = 2, .turned = false, .keys_turned = true});
}

TEST(AttentionFusion, SizesOfEveryKind) {
  check({.batch = 1, .heads = 1, .queries = 70, .keys = 600, .depth = 20, .value_depth = 24});
  check({.batch = 1, .heads = 2, .queries = 5, .keys = 513, .depth = 64, .value_depth = 64});
  check({.batch = 1, .heads = 9, .queries = 130, .keys = 33, .depth = 3, .value_depth = 1});
  check({.batch = 1, .heads = 1, .queries = 29, .keys = 300, .depth = 160, .value_depth = 144});
  check({.queries = 3, .keys = 17, .depth = 8, .value_depth = 40});
  check({.queries = 20, .keys = 1});
}

TEST(AttentionFusion, HiddenRows) {
  for (std::int64_t queries : {3, 12})
    for (Mask mask : {Mask::keys, Mask::queries}) {
      check({.queries = queries, .mask = mask, .far = -3.4028234e38f, .hide_all = true});  // an even mean
      check({.queries = queries, .mask = mask, .far = -infinity, .hide_all = true});       // NaN
      check({.queries = queries, .mask = mask, .zero_for_nan = true, .far = -infinity, .hide_all = true});
    }
}

TEST(AttentionFusion, NumbersForHiddenScores) {
  for (int hides : {1, 2})
    for (std::int64_t queries : {2, 37}) {
      check({.queries = queries, .keys = 40, .hides = hides});
      check({.queries = queries, .keys = 40, .mask = Mask::keys, .hides = hides});
      check({.queries = queries, .keys = 600, .far = -3.4028234e38f, .hides = hides, .hide_all = true});
      check({.queries = queries, .keys = 33, .far = -infinity, .hides = hides, .hide_all = true});
    }
}

// From one block of keys to the next, scores grow by more than the range of exponentials.
TEST(AttentionFusion, GrowingScores) {
  check({.batch = 1, .heads = 1, .queries = 8, .keys = 1100, .mask = Mask::queries, .growth = 0.4f});
  check({.batch = 1, .heads = 1, .queries = 8, .keys = 1100, .mask = Mask::queries, .growth = -0.4f});
}

TEST(AttentionFusion, WantedProbabilitiesStay) {
  OpTest t({matmul_rows, norm_rows, elementwise_rows, movement_rows});
  spell(t, {});
  const ProgramResults expected = run_program(t, {"p", "y"}, {.plain = true}), found = run_program(t, {"p", "y"}, {.isa = detect_isa()});
  EXPECT_THAT(found.step_names(), Not(HasSubstr("attention")));
  expect_near(expected["p"], found["p"], 1e-5, "p");
  expect_near(expected["y"], found["y"], 1e-5, "y");
}

}  // namespace
}  // namespace tenon::cpu::test
