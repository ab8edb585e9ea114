// The frame around kernels: fusion, aliases, layouts, half types, steps and barriers, with toy operators.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/cpu/packing.h"
#include "tests/unit/cpu/program_harness.h"

namespace tenon::cpu::test {
namespace {

// y = x + add, then + every y that an absorbed Plus brought.
class Increment final : public Op {
 public:
  explicit Increment(float by) : by_(by) {}
  bool absorb(const NodeView& next, std::uint32_t, std::uint32_t first_input, CompileContext&) override {
    if (next.op_type() == "Inc") return by_ += 1, true;
    if (next.op_type() != "Plus") return false;
    others_.push_back(first_input);
    return true;
  }
  bool pull(const NodeView& producer, std::uint32_t, std::uint32_t, CompileContext&) override {
    if (producer.op_type() != "Hundred") return false;
    by_ += 100;
    return true;
  }
  void plan(PlanBuilder& b) const override {
    if (!std::equal(b.out(0).dims.begin(), b.out(0).dims.end(), b.in(0).dims.begin(), b.in(0).dims.end()))
      throw Failure{TENON_UNSUPPORTED_SHAPE, "sizes differ"};
    struct Fn {
      Ref x, y, others[4];
      std::int64_t n;
      float by;
      void operator()(const StepContext& c) const {
        const auto s = c.slice(n, 16);
        for (std::int64_t i = s.begin; i < s.end; ++i) {
          float v = c.ptr<float>(x)[i] + by;
          for (const Ref& o : others)
            if (o.present()) v += c.ptr<float>(o)[i];
          c.ptr<float>(y)[i] = v;
        }
      }
    } fn{b.in_ref(0), b.out_ref(0), {}, b.out(0).count(), by_};
    for (std::size_t i = 0; i < others_.size(); ++i) fn.others[i] = b.in_ref(others_[i]);
    b.inplace(0, 0);
    b.step("inc", fn, {.est_ns = static_cast<double>(b.out(0).count())});
  }

 private:
  float by_;
  std::vector<std::uint32_t> others_;
};

class Plus final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    struct Fn {
      Ref x, y, z;
      std::int64_t n;
      void operator()(const StepContext& c) const {
        const auto s = c.slice(n, 16);
        for (std::int64_t i = s.begin; i < s.end; ++i) c.ptr<float>(z)[i] = c.ptr<float>(x)[i] + c.ptr<float>(y)[i];
      }
    };
    b.inplace(0, 0);
    b.inplace(1, 0);
    b.step("plus", Fn{b.in_ref(0), b.in_ref(1), b.out_ref(0), b.out(0).count()}, {.est_ns = static_cast<double>(b.out(0).count())});
  }
};

class Rename final : public Op {
 public:
  std::int32_t alias_of() const override { return 0; }
  void plan(PlanBuilder& b) const override {
    struct Fn {
      Ref x, y;
      std::int64_t n;
      void operator()(const StepContext& c) const { std::copy_n(c.ptr<float>(x), n, c.ptr<float>(y)); }
    };
    b.step("copy", Fn{b.in_ref(0), b.out_ref(0), b.out(0).count()}, {.spmd = false});
  }
};

// Through a temp in two steps; the temp must hold between them.
class TwoSteps final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    struct Fn {
      Ref x, y;
      std::int64_t n;
      void operator()(const StepContext& c) const {
        for (std::int64_t i = 0; i < n; ++i) c.ptr<float>(y)[i] = c.ptr<float>(x)[i] * 2;
      }
    };
    const Ref t = b.temp(static_cast<std::uint64_t>(b.out(0).count()) * 4);
    const Ref x[] = {b.in_ref(0)}, middle[] = {t}, y[] = {b.out_ref(0)};
    b.step("first", Fn{x[0], t, b.out(0).count()}, {.spmd = false}, x, middle);
    b.step("second", Fn{t, y[0], b.out(0).count()}, {.spmd = false}, middle, y);
  }
};

// Keeps or makes blocks, and says in which layout it ran.
class Blocked final : public Op {
 public:
  explicit Blocked(bool starts) : starts_(starts) {}
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    if (starts_) inputs[0] = machine_block;
    return block_ = inputs[0];
  }
  void plan(PlanBuilder& b) const override {
    if (b.in(0).block != block_ || b.out(0).block != block_) throw Failure{TENON_INTERNAL, "not the layout that was agreed on"};
    struct Fn {
      Ref x, y;
      std::int64_t n;
      void operator()(const StepContext& c) const {
        for (std::int64_t i = 0; i < n; ++i) c.ptr<float>(y)[i] = -c.ptr<float>(x)[i];
      }
    };
    b.step(block_ ? "blocked" : "dense", Fn{b.in_ref(0), b.out_ref(0), b.out(0).count()}, {.spmd = false});
  }

 private:
  bool starts_;
  std::int32_t block_ = 0;
};

class Fails final : public Op {
 public:
  explicit Fails(bool throws) : throws_(throws) {}
  void plan(PlanBuilder& b) const override {
    struct Fn {
      bool throws;
      void operator()(const StepContext& c) const {
        if (throws) throw Failure{TENON_INTERNAL, "thrown"};
        c.fail(TENON_OUT_OF_RANGE, "reported");
      }
    };
    b.step("fails", Fn{throws_}, {.est_ns = 1e6});
  }

 private:
  bool throws_;
};

Support always(const NodeView&) { return Support::yes(); }
std::unique_ptr<Op> make_toy(const NodeView& n, CompileContext&) {
  if (n.op_type() == "Inc" || n.op_type() == "Hundred") return std::make_unique<Increment>(n.op_type() == "Inc" ? 1.f : 100.f);
  if (n.op_type() == "Plus") return std::make_unique<Plus>();
  if (n.op_type() == "Rename") return std::make_unique<Rename>();
  if (n.op_type() == "Two") return std::make_unique<TwoSteps>();
  if (n.op_type() == "Start" || n.op_type() == "Keep") return std::make_unique<Blocked>(n.op_type() == "Start");
  return std::make_unique<Fails>(n.op_type() == "Throw");
}
const OpRow* find_toy(std::string_view, std::string_view op) {
  static const OpRow toys[] = {{"", "Inc", always, make_toy},  {"", "Hundred", always, make_toy}, {"", "Plus", always, make_toy},
                               {"", "Rename", always, make_toy}, {"", "Two", always, make_toy},   {"", "Start", always, make_toy},
                               {"", "Keep", always, make_toy},  {"", "Fail", always, make_toy},   {"", "Throw", always, make_toy}};
  for (const OpRow& row : toys)
    if (op == row.op_type) return &row;
  return nullptr;
}

struct ProgramTest : testing::Test {
  OpTest t{{}};
  void values(std::initializer_list<const char*> names, std::vector<std::int64_t> dims = {4}, std::int32_t dtype = TENON_DTYPE_FLOAT) {
    for (const char* n : names) t.value(n, dtype, dims);
  }
  ProgramResults run(std::vector<std::string> outputs, ProgramOptions o = {}) {
    o.find = find_toy;
    return run_program(t, outputs, o);
  }
};
using testing::ElementsAre;

TEST_F(ProgramTest, AbsorbsAChainAndItsOtherInputs) {
  t.input("x", tensor<float>({4}, {1, 2, 3, 4}));
  t.constant("c", tensor<float>({4}, {10, 20, 30, 40}));
  values({"a", "b", "y"});
  t.node("Inc", {"x"}, {"a"});
  t.node("Plus", {"c", "a"}, {"b"});
  t.node("Inc", {"b"}, {"y"});
  const auto r = run({"y"});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r.step_names(), "inc");
  EXPECT_THAT(r.steps[0].nodes, ElementsAre(0, 1, 2));
  EXPECT_THAT(r["y"].as<float>(), ElementsAre(13, 24, 35, 46));
}

TEST_F(ProgramTest, PlainModeFusesNothing) {
  t.input("x", tensor<float>({4}, {1, 2, 3, 4}));
  values({"a", "y"});
  t.node("Inc", {"x"}, {"a"});
  t.node("Inc", {"a"}, {"y"});
  EXPECT_EQ(run({"y"}, {.plain = true}).step_names(), "inc inc");
}

TEST_F(ProgramTest, DoesNotAbsorbWhatOthersRead) {
  t.input("x", tensor<float>({4}, {1, 2, 3, 4}));
  values({"a", "b", "y"});
  t.node("Inc", {"x"}, {"a"});
  t.node("Inc", {"a"}, {"b"});
  t.node("Plus", {"a", "b"}, {"y"});
  const auto r = run({"y"});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r.step_names(), "inc inc");  // the second takes Plus, and reads a twice
  EXPECT_THAT(r["y"].as<float>(), ElementsAre(5, 7, 9, 11));
  // In place it would overwrite the other reading of a.
  EXPECT_TRUE(r.steps[1].inplace.empty());
  // As an output of the part, a stays as well.
  EXPECT_THAT(run({"y", "a"})["a"].as<float>(), ElementsAre(2, 3, 4, 5));
}

TEST_F(ProgramTest, StandsWhereTheLastAbsorbedStood) {
  t.input("x", tensor<float>({4}, {1, 2, 3, 4}));
  t.input("z", tensor<float>({4}, {1, 1, 1, 1}));
  values({"a", "b", "y"});
  t.node("Inc", {"x"}, {"a"});
  t.node("Two", {"z"}, {"b"});  // made after a, read by Plus
  t.node("Plus", {"a", "b"}, {"y"});
  const auto r = run({"y"});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r.step_names(), "first second inc");
  EXPECT_THAT(r["y"].as<float>(), ElementsAre(6, 7, 8, 9));
}

TEST_F(ProgramTest, PullsItsProducerWhichStaysForOtherReaders) {
  t.input("x", tensor<float>({4}, {1, 2, 3, 4}));
  values({"a", "b", "c", "y"});
  t.node("Hundred", {"x"}, {"a"});
  t.node("Inc", {"a"}, {"b"});
  const auto r = run({"b"});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r.step_names(), "inc");
  EXPECT_THAT(r["b"].as<float>(), ElementsAre(102, 103, 104, 105));
  EXPECT_EQ(run({"a", "b"}).step_names(), "inc inc");
}

TEST_F(ProgramTest, AliasesHaveNoStepUnlessTheyLeave) {
  t.input("x", tensor<float>({4}, {1, 2, 3, 4}));
  values({"a", "c", "d"});
  values({"b"}, {2, 2});
  t.node("Two", {"x"}, {"a"});
  t.node("Rename", {"a"}, {"b"});
  t.node("Two", {"x"}, {"c"});  // a's memory must live beyond this
  t.node("Rename", {"b"}, {"d"});
  t.value("y", TENON_DTYPE_FLOAT, {4});
  t.node("Plus", {"c", "d"}, {"y"});
  const auto r = run({"y"});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r.step_names(), "first second first second plus");
  EXPECT_THAT(r["y"].as<float>(), ElementsAre(8, 16, 24, 32));
  const auto with = run({"y", "b"});
  EXPECT_EQ(with.step_names(), "first second copy first second plus");
  EXPECT_THAT(with["b"].as<float>(), ElementsAre(4, 8, 12, 16));
}

TEST_F(ProgramTest, BlocksStayBetweenOpsThatKeepThem) {
  t.input("x", random_tensor({1, 16, 3, 2}));
  values({"a", "b", "y"}, {1, 16, 3, 2});
  t.node("Start", {"x"}, {"a"});
  t.node("Keep", {"a"}, {"b"});
  t.node("Inc", {"b"}, {"y"});  // wants it dense
  for (const Isa isa : {Isa::avx2, Isa::avx512}) {
    const auto r = run({"y", "a"}, {.isa = isa});
    ASSERT_EQ(r.error, "");
    EXPECT_EQ(r.planned.size(), 6u) << r.step_names();  // in, Start, out of a, Keep, out of b, Inc
    const auto x = random_tensor({1, 16, 3, 2}).as<float>(), y = r["y"].as<float>(), a = r["a"].as<float>();
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(y[i], x[i] + 1);
      EXPECT_EQ(a[i], -x[i]);
    }
  }
  EXPECT_EQ(run({"y"}).step_names(), "dense dense inc");
}

TEST_F(ProgramTest, HalfTypesAreFloatInside) {
  t.input("x", tensor<std::uint16_t>({4}, {0x3c00, 0x4000, 0x4200, 0x0001}, TENON_DTYPE_FLOAT16));  // 1 2 3 2^-24
  t.constant("c", tensor<std::uint16_t>({4}, {0x3f80, 0x4000, 0x4040, 0x0000}, TENON_DTYPE_BFLOAT16));
  values({"a", "y"}, {4}, TENON_DTYPE_FLOAT16);
  t.node("Plus", {"x", "c"}, {"a"});
  t.node("Rename", {"a"}, {"y"});
  const auto r = run({"y"});
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["y"].as<std::uint16_t>(), ElementsAre(0x4000, 0x4400, 0x4600, 0x0001));
}

TEST_F(ProgramTest, SmallStepsAreDoneByOneWorkerWithoutBarriers) {
  t.input("x", random_tensor({4}));
  t.input("big", random_tensor({100000}));
  values({"a", "b"});
  values({"c", "d"}, {100000});
  t.node("Two", {"x"}, {"a"});
  t.node("Inc", {"big"}, {"c"});
  t.node("Plus", {"c", "big"}, {"d"});
  t.node("Two", {"a"}, {"b"});
  const auto one = run({"d", "b"});
  for (const auto& s : one.steps) EXPECT_FALSE(s.spmd);
  const auto r = run({"d", "b"}, {.workers = 3});
  ASSERT_EQ(r.error, "");
  EXPECT_EQ(r.step_names(), "first second inc first second");
  std::string flags;
  for (const Step& s : r.planned) flags += s.spmd ? (s.barrier ? "B" : "b") : (s.barrier ? "W" : "w");
  EXPECT_EQ(flags, "wwBWw");
  EXPECT_EQ(r["d"].bytes, one["d"].bytes);
  EXPECT_EQ(r["b"].bytes, one["b"].bytes);
  // Nothing worth sharing: no step is.
  OpTest small{{}};
  small.input("x", random_tensor({4}));
  small.value("y", TENON_DTYPE_FLOAT, {4});
  small.node("Inc", {"x"}, {"y"});
  EXPECT_FALSE(run_program(small, {"y"}, {.workers = 3, .find = find_toy}).steps[0].spmd);
}

TEST_F(ProgramTest, FailuresOfStepsReachTheRunAndEveryoneLeaves) {
  for (const char* op : {"Fail", "Throw"}) {
    OpTest bad{{}};
    bad.input("x", random_tensor({100000}));
    for (const char* v : {"a", "b", "y"}) bad.value(v, TENON_DTYPE_FLOAT, {100000});
    bad.node("Inc", {"x"}, {"a"});
    bad.node(op, {"a"}, {"b"});
    bad.node("Plus", {"b", "x"}, {"y"});
    for (std::uint32_t workers : {1u, 3u}) {
      const auto r = run_program(bad, {"y"}, {.workers = workers, .find = find_toy});
      EXPECT_EQ(r.error, *op == 'F' ? "11: node \"Fail1\" (Fail): reported" : "13: thrown");
    }
  }
}

TEST_F(ProgramTest, MessagesNameTheNode) {
  t.input("x", tensor<float>({4}, {1, 2, 3, 4}));
  values({"y"}, {5});
  t.node("Inc", {"x"}, {"y"});
  EXPECT_EQ(run({"y"}).error, "101: node \"Inc0\" (Inc): sizes differ");
}

std::vector<std::int64_t> made;  // elements of the constants of nodes, in the order in which these were made
TEST_F(ProgramTest, NodesWithLargeConstantsAreMadeFirst) {
  made.clear();
  std::vector<std::string> outputs;
  for (const std::int64_t n : {2, 8, 1, 4}) {
    const std::string x = "x" + std::to_string(n), c = "c" + std::to_string(n), y = "y" + std::to_string(n);
    t.input(x, tensor<float>({n}, std::vector<float>(static_cast<std::size_t>(n), 1)));
    t.constant(c, tensor<float>({n}, std::vector<float>(static_cast<std::size_t>(n), static_cast<float>(n))));
    t.value(y, TENON_DTYPE_FLOAT, {n});
    t.node("Plus", {x, c}, {y});
    outputs.push_back(y);
  }
  const auto find = [](std::string_view, std::string_view) -> const OpRow* {
    static const OpRow row{"", "Plus", always, [](const NodeView& node, CompileContext&) -> std::unique_ptr<Op> {
                             made.push_back(node.input(1).dims[0]);
                             return std::make_unique<Plus>();
                           }};
    return &row;
  };
  const auto r = run_program(t, outputs, {.find = find});
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(made, ElementsAre(8, 4, 2, 1));
  EXPECT_THAT(r.steps[0].nodes, ElementsAre(0));  // what they do stays in the order of the graph
  EXPECT_THAT(r["y2"].as<float>(), ElementsAre(3, 3));
  EXPECT_THAT(r["y4"].as<float>(), ElementsAre(5, 5, 5, 5));
}

TEST_F(ProgramTest, EmptyValues) {
  t.input("x", tensor<float>({0, 3}, {}));
  values({"a", "y"}, {0, 3});
  t.node("Inc", {"x"}, {"a"});
  t.node("Two", {"a"}, {"y"});
  const auto r = run({"y"}, {.workers = 2});
  EXPECT_EQ(r.error, "");
  EXPECT_TRUE(r["y"].bytes.empty());
}

TEST(Widen, EveryHalfNumber) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    _Float16 h;
    std::memcpy(&h, &half, sizeof h);
    for (const Isa isa : {Isa::plain, detect_isa()}) {
      float wide;
      widen(TENON_DTYPE_FLOAT16, &half, &wide, 1, isa);
      if (h != h) EXPECT_NE(wide, wide) << bits;
      else EXPECT_EQ(wide, static_cast<float>(h)) << bits;
      const std::uint32_t expected = bits << 16;
      widen(TENON_DTYPE_BFLOAT16, &half, &wide, 1, isa);
      EXPECT_EQ(std::memcmp(&wide, &expected, sizeof wide), 0) << bits;
    }
  }
}

}  // namespace
}  // namespace tenon::cpu::test
