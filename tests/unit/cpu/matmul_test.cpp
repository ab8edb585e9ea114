// MatMul, Gemm, FusedMatMul, Einsum, MatMulNBits: against numbers, and fast paths against the plain one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {
namespace {

constexpr const char* ms = "com.microsoft";

std::vector<Isa> isas() {
  std::vector<Isa> out{Isa::plain};
  const Isa best = detect_isa();
  if (best >= Isa::avx2) out.push_back(Isa::avx2);
  if (best >= Isa::avx512) out.push_back(Isa::avx512);
  return out;
}

void expect_near(const Tensor& got, const std::vector<float>& want, const std::string& where, float tolerance = 2e-5f) {
  const auto g = got.as<float>();
  ASSERT_EQ(g.size(), want.size()) << where;
  for (std::size_t i = 0; i < g.size(); ++i) {
    if (std::isnan(want[i]) && std::isnan(g[i])) continue;
    ASSERT_TRUE(g[i] == want[i] || std::fabs(g[i] - want[i]) <= tolerance * (1 + std::fabs(want[i])))
        << where << " at " << i << ": " << g[i] << " not " << want[i];
  }
}

// Runs plain, then every instruction set, fused and not, with several workers: all give `out` alike. steps: of the fused run.
void compare(OpTest& t, const std::string& out, std::size_t steps = 0, float tolerance = 2e-5f) {
  const Results plain = t.run({.plain = true});
  ASSERT_EQ(plain.error, "");
  const auto want = plain[out].as<float>();
  for (Isa isa : isas())
    for (std::uint32_t workers : {1u, 3u})
      for (bool fuse : {false, true}) {
        const Results r = t.run({.isa = isa, .workers = workers, .fuse = fuse});
        const std::string where =
            "isa " + std::to_string(static_cast<int>(isa)) + " workers " + std::to_string(workers) + (fuse ? " fused" : "");
        ASSERT_EQ(r.error, "") << where;
        expect_near(r[out], want, where, tolerance);
        if (fuse && steps) {
          EXPECT_EQ(r.steps.size(), steps) << where;
        }
      }
}
// `out` is exactly or nearly these numbers, everywhere.
void expect(OpTest& t, const std::string& out, const std::vector<float>& want) {
  const Results plain = t.run({.plain = true});
  ASSERT_EQ(plain.error, "");
  expect_near(plain[out], want, "plain");
  compare(t, out);
}

std::vector<float> iota(std::int64_t n, float first = 0) {
  std::vector<float> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), first);
  return v;
}

// ---- MatMul ---------------------------------------------------------------------------------------------------------------

struct Shapes {
  std::vector<std::int64_t> a, b, c;
};

TEST(MatMul, RanksAndBroadcast) {
  for (const Shapes& s : std::vector<Shapes>{{{3, 4}, {4, 5}, {3, 5}},
                                             {{4}, {4, 5}, {5}},
                                             {{3, 4}, {4}, {3}},
                                             {{4}, {4}, {}},
                                             {{2, 3, 4}, {4, 5}, {2, 3, 5}},
                                             {{2, 3, 4}, {2, 4, 5}, {2, 3, 5}},
                                             {{3, 4}, {6, 4, 7}, {6, 3, 7}},
                                             {{2, 1, 3, 4}, {5, 4, 17}, {2, 5, 3, 17}},
                                             {{5, 3, 4}, {2, 1, 4, 6}, {2, 5, 3, 6}},
                                             {{4}, {3, 4, 5}, {3, 5}},
                                             {{3, 2, 4}, {4}, {3, 2}},
                                             {{2, 1, 2, 1, 3, 4}, {1, 3, 1, 2, 4, 40}, {2, 3, 2, 2, 3, 40}},
                                             {{0, 4}, {4, 5}, {0, 5}},
                                             {{3, 0}, {0, 5}, {3, 5}},
                                             {{0, 3, 4}, {4, 5}, {0, 3, 5}},
                                             {{2, 3, 4}, {4, 0}, {2, 3, 0}},
                                             {{128, 96}, {96, 70}, {128, 70}},
                                             {{12, 1, 64}, {12, 64, 129}, {12, 1, 129}}})
    for (int constants = 0; constants < 4; ++constants) {
      OpTest t({matmul_rows});
      constants & 1 ? t.constant("a", random_tensor(s.a, 1)) : t.input("a", random_tensor(s.a, 1));
      constants & 2 ? t.constant("b", random_tensor(s.b, 2)) : t.input("b", random_tensor(s.b, 2));
      t.value("c", TENON_DTYPE_FLOAT, s.c);
      t.node("MatMul", {"a", "b"}, {"c"});
      compare(t, "c");
      if (HasFailure()) FAIL() << testing::PrintToString(s.a) << testing::PrintToString(s.b);
    }
}

TEST(MatMul, Numbers) {
  OpTest t({matmul_rows});
  t.input("a", tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  t.input("b", tensor<float>({3, 2}, {7, 8, 9, 10, 11, 12}));
  t.value("c", TENON_DTYPE_FLOAT, {2, 2});
  t.node("MatMul", {"a", "b"}, {"c"});
  expect(t, "c", {58, 64, 139, 154});
}

template <class T>
void exact() {
  OpTest t({matmul_rows});
  t.input("a", tensor<T>({2, 2}, {1, 2, 3, static_cast<T>(-1)}));
  t.constant("b", tensor<T>({2, 3}, {1, 2, 3, 4, 5, 6}));
  t.value("c", dtype_of<T>(), {2, 3});
  t.node("MatMul", {"a", "b"}, {"c"});
  for (bool plain : {true, false}) {
    const Results r = t.run({.isa = detect_isa(), .plain = plain, .workers = 2});
    ASSERT_EQ(r.error, "");
    EXPECT_EQ(r["c"].as<T>(), (std::vector<T>{9, 12, 15, static_cast<T>(-1), 1, 3}));
  }
}
TEST(MatMul, OtherTypes) {
  exact<double>();
  exact<std::int32_t>();
  exact<std::int64_t>();
  exact<std::uint32_t>();
  exact<std::uint64_t>();
}

TEST(MatMul, IntegersWrap) {
  OpTest t({matmul_rows});
  t.input("a", tensor<std::int32_t>({1, 1}, {0x7fffffff}));
  t.input("b", tensor<std::int32_t>({1, 1}, {2}));
  t.value("c", TENON_DTYPE_INT32, {1, 1});
  t.node("MatMul", {"a", "b"}, {"c"});
  EXPECT_EQ(t.run()["c"].as<std::int32_t>(), (std::vector<std::int32_t>{-2}));
}

TEST(MatMul, NotANumberStaysInItsRow) {
  for (bool constant : {false, true}) {
    OpTest t({matmul_rows});
    std::vector<float> a(15 * 7, 1.0f);
    a[2 * 7 + 3] = NAN;
    a[5 * 7] = INFINITY;
    t.input("a", tensor<float>({15, 7}, a));
    const Tensor b = tensor<float>({7, 19}, std::vector<float>(7 * 19, 1.0f));
    constant ? t.constant("b", b) : t.input("b", b);
    t.value("c", TENON_DTYPE_FLOAT, {15, 19});
    t.node("MatMul", {"a", "b"}, {"c"});
    compare(t, "c");
  }
}

TEST(MatMul, Refuses) {
  OpTest t({matmul_rows});
  t.input("a", tensor<std::int16_t>({1, 1}, {1}));
  t.input("b", tensor<std::int16_t>({1, 1}, {2}));
  t.value("c", TENON_DTYPE_INT16, {1, 1});
  t.node("MatMul", {"a", "b"}, {"c"});
  EXPECT_TRUE(t.run().error.starts_with("refused"));
}

TEST(MatMul, SizesThatDoNotFit) {
  OpTest t({matmul_rows});
  t.input("a", random_tensor({2, 3}));
  t.input("b", random_tensor({4, 2}));
  t.value("c", TENON_DTYPE_FLOAT, {2, 2});
  t.node("MatMul", {"a", "b"}, {"c"});
  EXPECT_EQ(t.run({.isa = detect_isa()}).code, TENON_INVALID_ARGUMENT);
}

// ---- fusion ---------------------------------------------------------------------------------------------------------------

TEST(MatMulFusion, BiasActivationResidual) {
  for (std::int64_t m : {1, 5, 40})
    for (bool constant : {true, false}) {
      OpTest t({matmul_rows, elementwise_rows});
      t.input("x", random_tensor({2, m, 60}, 1));
      constant ? t.constant("w", random_tensor({60, 100}, 2)) : t.input("w", random_tensor({60, 100}, 2));
      t.constant("b", random_tensor({100}, 3));
      t.input("r", random_tensor({2, m, 100}, 4));
      for (const char* v : {"p", "q", "s", "y"}) t.value(v, TENON_DTYPE_FLOAT, {2, m, 100});
      t.node("MatMul", {"x", "w"}, {"p"});
      t.node("Add", {"b", "p"}, {"q"});
      t.node("Relu", {"q"}, {"s"});
      t.node("Add", {"s", "r"}, {"y"});
      compare(t, "y", 1);
    }
}

TEST(MatMulFusion, Scale) {
  for (const char* op : {"Mul", "Div"}) {
    OpTest t({matmul_rows, elementwise_rows});
    t.input("x", random_tensor({3, 9, 20}, 1));
    t.input("z", random_tensor({3, 20, 33}, 2));
    t.constant("s", tensor<float>({}, {8}));
    t.value("p", TENON_DTYPE_FLOAT, {3, 9, 33});
    t.value("y", TENON_DTYPE_FLOAT, {3, 9, 33});
    t.node("MatMul", {"x", "z"}, {"p"});
    t.node(op, {"p", "s"}, {"y"});
    compare(t, "y", 1);
  }
}

TEST(MatMulFusion, ScaledOperands) {
  OpTest t({matmul_rows, elementwise_rows});
  t.input("x", random_tensor({9, 20}, 1));
  t.input("z", random_tensor({20, 33}, 2));
  t.constant("s", tensor<float>({1}, {0.25}));
  t.value("xs", TENON_DTYPE_FLOAT, {9, 20});
  t.value("zs", TENON_DTYPE_FLOAT, {20, 33});
  t.value("y", TENON_DTYPE_FLOAT, {9, 33});
  t.node("Mul", {"s", "x"}, {"xs"});
  t.node("Div", {"z", "s"}, {"zs"});
  t.node("MatMul", {"xs", "zs"}, {"y"});
  compare(t, "y", 1);
}

// Attention without its softmax: heads are read and written in place.
TEST(MatMulFusion, Transposes) {
  for (std::int64_t s : {1, 7, 30}) {
    OpTest t({matmul_rows, movement_rows, elementwise_rows});
    t.input("q", random_tensor({2, s, 3, 24}, 1));
    t.input("k", random_tensor({2, 30, 3, 24}, 2));
    t.input("v", random_tensor({2, 30, 3, 24}, 3));
    t.value("qt", TENON_DTYPE_FLOAT, {2, 3, s, 24});
    t.value("kt", TENON_DTYPE_FLOAT, {2, 3, 24, 30});
    t.value("vt", TENON_DTYPE_FLOAT, {2, 3, 30, 24});
    t.value("scores", TENON_DTYPE_FLOAT, {2, 3, s, 30});
    t.value("mixed", TENON_DTYPE_FLOAT, {2, 3, s, 24});
    t.value("moved", TENON_DTYPE_FLOAT, {2, s, 3, 24});
    t.value("y", TENON_DTYPE_FLOAT, {2, s, 3, 24});
    t.node("Transpose", {"q"}, {"qt"}, {{"perm", std::vector<std::int64_t>{0, 2, 1, 3}}});
    t.node("Transpose", {"k"}, {"kt"}, {{"perm", std::vector<std::int64_t>{0, 2, 3, 1}}});
    t.node("Transpose", {"v"}, {"vt"}, {{"perm", std::vector<std::int64_t>{0, 2, 1, 3}}});
    t.node("MatMul", {"qt", "kt"}, {"scores"});
    t.node("MatMul", {"scores", "vt"}, {"mixed"});
    t.node("Transpose", {"mixed"}, {"moved"}, {{"perm", std::vector<std::int64_t>{0, 2, 1, 3}}});
    t.node("Add", {"moved", "q"}, {"y"});
    compare(t, "y", 2);
  }
}

TEST(MatMulFusion, TransposedConstant) {
  OpTest t({matmul_rows, movement_rows});
  t.input("x", random_tensor({4, 20}, 1));
  t.constant("w", random_tensor({33, 20}, 2));
  t.value("wt", TENON_DTYPE_FLOAT, {20, 33});
  t.value("y", TENON_DTYPE_FLOAT, {4, 33});
  t.node("Transpose", {"w"}, {"wt"});
  t.node("MatMul", {"x", "wt"}, {"y"});
  compare(t, "y", 1);
}

// ---- Gemm -----------------------------------------------------------------------------------------------------------------

TEST(GemmOp, AttributesAndC) {
  for (std::vector<std::int64_t> c : std::vector<std::vector<std::int64_t>>{{}, {1}, {19}, {1, 19}, {9, 1}, {1, 1}, {9, 19}})
    for (int flags = 0; flags < 32; ++flags) {
      OpTest t({matmul_rows});
      const bool ta = flags & 1, tb = flags & 2;
      const Tensor a = random_tensor(ta ? std::vector<std::int64_t>{21, 9} : std::vector<std::int64_t>{9, 21}, 1);
      const Tensor b = random_tensor(tb ? std::vector<std::int64_t>{19, 21} : std::vector<std::int64_t>{21, 19}, 2);
      t.input("a", a);
      flags & 4 ? t.constant("b", b) : t.input("b", b);
      flags & 8 ? t.constant("c", random_tensor(c, 3)) : t.input("c", random_tensor(c, 3));
      t.value("y", TENON_DTYPE_FLOAT, {9, 19});
      std::vector<Attr> attributes{{"transA", ta}, {"transB", tb}};
      if (flags & 16) attributes.push_back({"alpha", 0.5}), attributes.push_back({"beta", -2.0});
      t.node("Gemm", {"a", "b", "c"}, {"y"}, attributes);
      compare(t, "y");
      if (HasFailure()) FAIL() << testing::PrintToString(c) << " flags " << flags;
    }
}

TEST(GemmOp, Numbers) {
  OpTest t({matmul_rows});
  t.input("a", tensor<float>({2, 2}, {1, 2, 3, 4}));
  t.input("b", tensor<float>({2, 2}, {5, 6, 7, 8}));
  t.input("c", tensor<float>({2, 1}, {10, 20}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 2});
  t.node("Gemm", {"a", "b", "c"}, {"y"}, {{"transB", 1}, {"alpha", 2.0}, {"beta", 0.5}});
  expect(t, "y", {39, 51, 88, 116});
}

TEST(GemmOp, WithoutC) {
  for (std::vector<std::string> inputs : {std::vector<std::string>{"a", "b"}, {"a", "b", ""}}) {
    OpTest t({matmul_rows});
    t.input("a", random_tensor({5, 6}, 1));
    t.constant("b", random_tensor({6, 40}, 2));
    t.value("y", TENON_DTYPE_FLOAT, {5, 40});
    t.node("Gemm", inputs, {"y"});
    compare(t, "y");
  }
}

TEST(GemmOp, Integers) {
  OpTest t({matmul_rows});
  t.input("a", tensor<std::int64_t>({1, 2}, {3, 4}));
  t.input("b", tensor<std::int64_t>({2, 1}, {5, 6}));
  t.input("c", tensor<std::int64_t>({1}, {7}));
  t.value("y", TENON_DTYPE_INT64, {1, 1});
  t.node("Gemm", {"a", "b", "c"}, {"y"}, {{"beta", 2.0}});
  EXPECT_EQ(t.run({.isa = detect_isa()})["y"].as<std::int64_t>(), (std::vector<std::int64_t>{53}));
}

// ---- FusedMatMul ------------------------------------------------------------------------------------------------------------

TEST(FusedMatMul, TransposesAndAlpha) {
  for (int flags = 0; flags < 16; ++flags) {
    const bool ta = flags & 1, tb = flags & 2, ba = flags & 4, bb = flags & 8;
    // The product is [3, 5, 8] = [3, 5, 7] x [3, 7, 8]; each operand is stored as its flags undo.
    std::vector<std::int64_t> a{3, ta ? 7 : 5, ta ? 5 : 7}, b{3, tb ? 8 : 7, tb ? 7 : 8};
    if (ba) std::swap(a[0], a[1]);
    if (bb) std::swap(b[0], b[1]);
    OpTest t({matmul_rows});
    t.input("a", random_tensor(a, 1));
    t.input("b", random_tensor(b, 2));
    t.value("y", TENON_DTYPE_FLOAT, {3, 5, 8});
    t.node("FusedMatMul", {"a", "b"}, {"y"}, {{"transA", ta}, {"transB", tb}, {"transBatchA", ba}, {"transBatchB", bb}, {"alpha", 0.5}},
           ms);
    compare(t, "y");
    if (HasFailure()) FAIL() << flags;
  }
}

TEST(FusedMatMul, Numbers) {
  OpTest t({matmul_rows});
  t.input("a", tensor<float>({2, 2, 2}, iota(8)));  // transBatchA: [m, batch, k]
  t.input("b", tensor<float>({2, 2, 1}, {1, 2, 3, 4}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 2, 1});
  t.node("FusedMatMul", {"a", "b"}, {"y"}, {{"transBatchA", 1}}, ms);
  // Batch 0: rows (0, 1), (4, 5) times (1, 2); batch 1: rows (2, 3), (6, 7) times (3, 4).
  expect(t, "y", {2, 14, 18, 46});
}

// ---- Einsum -----------------------------------------------------------------------------------------------------------------

struct EinsumCase {
  std::string equation;
  std::vector<std::vector<std::int64_t>> in;
  std::vector<std::int64_t> out;
};

TEST(Einsum, Equations) {
  for (const EinsumCase& c : std::vector<EinsumCase>{{"ij->ji", {{3, 4}}, {4, 3}},
                                                     {"ij->i", {{3, 4}}, {3}},
                                                     {"ij->", {{3, 4}}, {}},
                                                     {"ii->i", {{4, 4}}, {4}},
                                                     {"ii", {{4, 4}}, {}},
                                                     {"iji->j", {{3, 4, 3}}, {4}},
                                                     {"...ii->...i", {{2, 3, 3}}, {2, 3}},
                                                     {"ij,jk->ik", {{30, 40}, {40, 50}}, {30, 50}},
                                                     {"ij,jk->ki", {{30, 40}, {40, 50}}, {50, 30}},
                                                     {"ij,jk", {{3, 4}, {4, 5}}, {3, 5}},
                                                     {"ba,ca", {{3, 4}, {5, 4}}, {3, 5}},
                                                     {"bij,bjk->bik", {{3, 9, 20}, {3, 20, 17}}, {3, 9, 17}},
                                                     {"bij,bkj->bik", {{3, 9, 20}, {3, 17, 20}}, {3, 9, 17}},
                                                     {"bhid,bhjd->bhij", {{2, 3, 9, 20}, {2, 3, 17, 20}}, {2, 3, 9, 17}},
                                                     {"bihd,bjhd->bhij", {{2, 9, 3, 20}, {2, 17, 3, 20}}, {2, 3, 9, 17}},
                                                     {"bhij,bjhd->bihd", {{2, 3, 9, 17}, {2, 17, 3, 20}}, {2, 9, 3, 20}},
                                                     {"abcd,cde->abe", {{2, 3, 4, 5}, {4, 5, 20}}, {2, 3, 20}},
                                                     {"abcd,dce->abe", {{2, 3, 4, 5}, {5, 4, 20}}, {2, 3, 20}},
                                                     {"acbd,dce->eab", {{2, 4, 3, 5}, {5, 4, 20}}, {20, 2, 3}},
                                                     {"nctkv,kvw->nctw", {{2, 3, 4, 3, 5}, {3, 5, 7}}, {2, 3, 4, 7}},
                                                     {"...ij,...jk->...ik", {{2, 1, 4, 5}, {3, 5, 6}}, {2, 3, 4, 6}},
                                                     {"...ij,jk", {{2, 3, 4, 5}, {5, 6}}, {2, 3, 4, 6}},
                                                     {"i...,i...->...", {{6, 2, 3}, {6, 1, 3}}, {2, 3}},
                                                     {"i,j->ij", {{20}, {30}}, {20, 30}},
                                                     {"i,i->", {{100}, {100}}, {}},
                                                     {"bi,bi->b", {{5, 100}, {5, 100}}, {5}},
                                                     {"ij,ij->ij", {{5, 6}, {5, 6}}, {5, 6}},
                                                     {"ij,i->ij", {{50, 6}, {50}}, {50, 6}},
                                                     {"bij,bjk->ikb", {{3, 9, 20}, {3, 20, 17}}, {9, 17, 3}},
                                                     {"ij,kl->", {{3, 4}, {5, 6}}, {}},
                                                     {"ij,jk->k", {{9, 20}, {20, 30}}, {30}},
                                                     {"ij,jk,kl->il", {{9, 20}, {20, 17}, {17, 8}}, {9, 8}},
                                                     {"ai,bi,ci->abc", {{3, 20}, {4, 20}, {5, 20}}, {3, 4, 5}},
                                                     {"i,i,i->i", {{20}, {1}, {20}}, {20}},
                                                     {"bn,anm,bm->ba", {{2, 5}, {3, 5, 7}, {2, 7}}, {2, 3}},
                                                     {"ij,jk->ik", {{3, 0}, {0, 5}}, {3, 5}},
                                                     {"ij,jk->ik", {{0, 3}, {3, 5}}, {0, 5}},
                                                     {"ij,jk,kl->il", {{3, 0}, {0, 5}, {5, 2}}, {3, 2}},
                                                     {"ij->i", {{3, 0}}, {3}},
                                                     {" i j , j k -> i k ", {{3, 4}, {4, 5}}, {3, 5}},
                                                     {"Ab,bC->AC", {{3, 4}, {4, 5}}, {3, 5}},
                                                     {"ij,kj->ik", {{9, 1}, {8, 30}}, {9, 8}}}) {
    OpTest t({matmul_rows});
    std::vector<std::string> names;
    for (std::size_t i = 0; i < c.in.size(); ++i) {
      names.push_back(std::string("x").append(std::to_string(i)));
      t.input(names.back(), random_tensor(c.in[i], static_cast<std::uint32_t>(i + 1)));
    }
    t.value("y", TENON_DTYPE_FLOAT, c.out);
    t.node("Einsum", names, {"y"}, {{"equation", c.equation.c_str()}});
    compare(t, "y");
    if (HasFailure()) FAIL() << c.equation;
  }
}

TEST(Einsum, Numbers) {
  OpTest t({matmul_rows});
  t.input("a", tensor<float>({2, 3, 2}, iota(12)));
  t.input("b", tensor<float>({3, 2, 2}, iota(12, 1)));
  t.value("y", TENON_DTYPE_FLOAT, {2, 2});
  t.node("Einsum", {"a", "b"}, {"y"}, {{"equation", "ijk,jkl->li"}});
  expect(t, "y", {125, 341, 140, 392});
}

TEST(Einsum, OtherTypes) {
  OpTest t({matmul_rows});
  t.input("a", tensor<std::int64_t>({2, 2}, {1, 2, 3, 4}));
  t.input("b", tensor<std::int64_t>({2, 2}, {5, 6, 7, 8}));
  t.value("y", TENON_DTYPE_INT64, {2});
  t.node("Einsum", {"a", "b"}, {"y"}, {{"equation", "ij,ij->j"}});
  EXPECT_EQ(t.run({.isa = detect_isa()})["y"].as<std::int64_t>(), (std::vector<std::int64_t>{26, 44}));
}

TEST(Einsum, RefusesWhatIsNoEquation) {
  for (const char* equation : {"ij", "ij,jk->iz", "i?,jk", "ij,jk->ii", "ij-jk", "ij,jk->ik->k", "....,ij", "..,ij"}) {
    OpTest t({matmul_rows});
    t.input("a", random_tensor({2, 2}));
    t.input("b", random_tensor({2, 2}));
    t.value("y", TENON_DTYPE_FLOAT, {2, 2});
    t.node("Einsum", {"a", "b"}, {"y"}, {{"equation", equation}});
    EXPECT_TRUE(t.run().error.starts_with("refused")) << equation;
  }
}

TEST(Einsum, SizesThatDoNotFit) {
  OpTest t({matmul_rows});
  t.input("a", random_tensor({2, 3}));
  t.input("b", random_tensor({2, 2}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 2});
  t.node("Einsum", {"a", "b"}, {"y"}, {{"equation", "ij,jk->ik"}});
  EXPECT_EQ(t.run({.isa = detect_isa()}).code, TENON_INVALID_ARGUMENT);
}

// ---- MatMulNBits --------------------------------------------------------------------------------------------------------------

Tensor random_bytes(std::vector<std::int64_t> dims, std::uint32_t seed) {
  Tensor shape{TENON_DTYPE_UINT8, dims, {}, {}};
  std::vector<std::uint8_t> v(static_cast<std::size_t>(shape.count()));
  for (auto& x : v) seed = seed * 1664525u + 1013904223u, x = static_cast<std::uint8_t>(seed >> 24);
  return tensor<std::uint8_t>(std::move(dims), v);
}

TEST(MatMulNBits, SizesBitsAndZeroPoints) {
  for (std::int64_t bits : {2, 4, 8})
    for (std::int64_t block : {16, 32, 128})
      for (auto [m, n, k] :
           std::initializer_list<std::array<std::int64_t, 3>>{{1, 33, 64}, {2, 16, 100}, {7, 5, 33}, {30, 70, 400}, {3, 80, 1000}})
        for (int zeros = 0; zeros < 3; ++zeros)
          for (bool groups : {false, true}) {
            if (groups && (m != 7 || block != 16)) continue;
            const std::int64_t blocks = (k + block - 1) / block;
            OpTest t({matmul_rows, elementwise_rows});
            t.input("a", random_tensor({1, m, k}, 1));
            t.constant("b", random_bytes({n, blocks, block * bits / 8}, 2));
            t.constant("s", random_tensor({n * blocks}, 3));
            if (zeros == 1) t.constant("z", random_bytes({n, (blocks * bits + 7) / 8}, 4));
            if (zeros == 2) t.constant("z", random_tensor({n, blocks}, 4));
            if (groups) {
              std::vector<std::int32_t> g;
              for (std::int64_t i = 0; i < k; ++i) g.push_back(static_cast<std::int32_t>(i * 7 % blocks));
              t.constant("g", tensor<std::int32_t>({k}, g));
            }
            t.constant("bias", random_tensor({n}, 5));
            t.value("p", TENON_DTYPE_FLOAT, {1, m, n});
            t.value("y", TENON_DTYPE_FLOAT, {1, m, n});
            t.node("MatMulNBits", {"a", "b", "s", zeros ? "z" : "", groups ? "g" : "", "bias"}, {"p"},
                   {{"K", k}, {"N", n}, {"bits", bits}, {"block_size", block}}, ms);
            t.node("Relu", {"p"}, {"y"});
            compare(t, "y", 1, bits == 8 ? 1e-3f : 5e-5f);
            if (HasFailure())
              FAIL() << bits << " bits, block " << block << ", " << m << "x" << n << "x" << k << " zeros " << zeros << " groups "
                     << groups;
          }
}

TEST(MatMulNBits, Numbers) {
  // One column: weights 0 1 2 ... 15, scale 0.5, zero point 8 by default.
  std::vector<std::uint8_t> packed;
  for (int i = 0; i < 16; i += 2) packed.push_back(static_cast<std::uint8_t>(i | (i + 1) << 4));
  for (int zeros = 0; zeros < 2; ++zeros) {
    OpTest t({matmul_rows});
    std::vector<float> a(16, 0.0f);
    a[0] = 1, a[3] = 10, a[15] = 100;
    t.input("a", tensor<float>({1, 16}, a));
    t.constant("b", tensor<std::uint8_t>({1, 1, 8}, packed));
    t.constant("s", tensor<float>({1}, {0.5}));
    if (zeros) t.constant("z", tensor<std::uint8_t>({1}, {3}));
    t.value("y", TENON_DTYPE_FLOAT, {1, 1});
    t.node("MatMulNBits", {"a", "b", "s", zeros ? "z" : ""}, {"y"}, {{"K", 16}, {"N", 1}, {"bits", 4}, {"block_size", 16}}, ms);
    expect(t, "y", zeros ? std::vector<float>{(-3 + 0 * 10 + 12 * 100) * 0.5f} : std::vector<float>{(-8 - 5 * 10 + 7 * 100) * 0.5f});
  }
}

// Activations that 8 bits hold exactly: whole numbers whose largest is 127 in every block.
TEST(MatMulNBits, EightBitActivationsAreExactWhereTheyFit) {
  if (detect_isa() < Isa::avx512_vnni) GTEST_SKIP() << "no VNNI";
  for (std::int64_t bits : {2, 4, 8})
    for (std::int64_t block : {16, 32, 64})
      for (auto [m, n, k] : std::initializer_list<std::array<std::int64_t, 3>>{{1, 33, 64}, {2, 16, 100}, {5, 100, 160}, {7, 5, 33}, {31, 70, 400}})
        for (int zeros = 0; zeros < 3; ++zeros) {
          const std::int64_t blocks = (k + block - 1) / block;
          OpTest t({matmul_rows, elementwise_rows});
          std::vector<float> a;
          for (std::int64_t i = 0; i < m * k; ++i) a.push_back(i % k % 16 == 0 ? -127.0f : static_cast<float>(i * 37 % 253 - 126));
          t.input("a", tensor<float>({m, k}, a));
          t.constant("b", random_bytes({n, blocks, block * bits / 8}, 2));
          t.constant("s", random_tensor({n * blocks}, 3));
          if (zeros == 1) t.constant("z", random_bytes({n, (blocks * bits + 7) / 8}, 4));
          if (zeros == 2) t.constant("z", random_tensor({n, blocks}, 4));
          t.input("r", random_tensor({m, n}, 5));
          t.constant("bias", random_tensor({n}, 6));
          for (const char* v : {"p", "q", "y"}) t.value(v, TENON_DTYPE_FLOAT, {m, n});
          t.node("MatMulNBits", {"a", "b", "s", zeros ? "z" : ""}, {"p"},
                 {{"K", k}, {"N", n}, {"bits", bits}, {"block_size", block}, {"accuracy_level", 4}}, ms);
          t.node("Add", {"p", "bias"}, {"q"});
          t.node("Add", {"q", "r"}, {"y"});
          const Results plain = t.run({.plain = true});
          for (std::uint32_t workers : {1u, 3u})
            for (bool fuse : {false, true}) {
              const Results r = t.run({.isa = Isa::avx512_vnni, .workers = workers, .fuse = fuse});
              ASSERT_EQ(r.error, "");
              const auto want = plain["y"].as<float>(), got = r["y"].as<float>();
              float largest = 0;
              for (float x : want) largest = std::max(largest, std::fabs(x));
              for (std::size_t i = 0; i < want.size(); ++i)
                ASSERT_NEAR(got[i], want[i], 3e-6f * largest) << bits << " bits, block " << block << ", " << m << "x" << n << "x" << k
                                                              << " zeros " << zeros;
            }
          if (HasFailure()) return;
        }
}

TEST(MatMulNBits, EightBitActivationsComeClose) {
  if (detect_isa() < Isa::avx512_vnni) GTEST_SKIP() << "no VNNI";
  for (std::int64_t m : {1, 20}) {
    OpTest t({matmul_rows});
    const std::int64_t n = 40, k = 256;
    t.input("a", random_tensor({m, k}, 1));
    t.constant("b", random_bytes({n, 8, 16}, 2));
    t.constant("s", random_tensor({n * 8}, 3));
    t.value("y", TENON_DTYPE_FLOAT, {m, n});
    t.node("MatMulNBits", {"a", "b", "s"}, {"y"}, {{"K", k}, {"N", n}, {"bits", 4}, {"block_size", 32}, {"accuracy_level", 4}}, ms);
    const auto want = t.run({.plain = true})["y"].as<float>(), got = t.run({.isa = Isa::avx512_vnni, .workers = 2})["y"].as<float>();
    double error = 0, size = 0;
    for (std::size_t i = 0; i < want.size(); ++i) error += std::pow(want[i] - got[i], 2), size += std::pow(want[i], 2);
    EXPECT_LT(std::sqrt(error / size), 0.01);
    EXPECT_GT(error, 0);
  }
}

// Blocks without a number, with an infinity, of zeros and of tiny numbers.
TEST(MatMulNBits, EightBitActivationsOfSpecialNumbers) {
  if (detect_isa() < Isa::avx512_vnni) GTEST_SKIP() << "no VNNI";
  OpTest t({matmul_rows});
  std::vector<float> a(4 * 16, 0.0f);
  a[3] = NAN;
  a[16 + 5] = -INFINITY;
  a[48] = 1e-40f;
  t.input("a", tensor<float>({4, 16}, a));
  t.constant("b", random_bytes({3, 1, 8}, 2));
  t.constant("s", random_tensor({3}, 3));
  t.value("y", TENON_DTYPE_FLOAT, {4, 3});
  t.node("MatMulNBits", {"a", "b", "s"}, {"y"}, {{"K", 16}, {"N", 3}, {"bits", 4}, {"block_size", 16}, {"accuracy_level", 4}}, ms);
  const auto y = t.run({.isa = Isa::avx512_vnni})["y"].as<float>();
  for (std::size_t i = 0; i < 6; ++i) EXPECT_TRUE(std::isnan(y[i]));
  for (std::size_t i = 6; i < 12; ++i) EXPECT_NEAR(y[i], 0, 1e-30);
}

TEST(MatMulNBits, Refuses) {
  OpTest t({matmul_rows});
  t.input("a", random_tensor({1, 16}));
  t.input("b", random_bytes({1, 1, 8}, 1));
  t.constant("s", random_tensor({1}));
  t.value("y", TENON_DTYPE_FLOAT, {1, 1});
  t.node("MatMulNBits", {"a", "b", "s"}, {"y"}, {{"K", 16}, {"N", 1}, {"bits", 4}, {"block_size", 16}}, ms);
  EXPECT_TRUE(t.run().error.starts_with("refused"));
}

}  // namespace
}  // namespace tenon::cpu::test
