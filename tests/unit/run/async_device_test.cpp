// Devices that work later than they are asked to, with a memory of their own in small slabs (tests/plugins/async.cpp).
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "tests/support/async_device.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(AsyncDevice, RunsAWholeModel) {
  agrees(graph_bytes("g (float[N,M] x) => (float[N,M] y, float[N,M] z) { a = Relu(x) b = Neg(a) y = Exp(b) c = Add(y, x) z = Mul(c, a) }"), "0",
         {{3, 2}, {8, 8}, {3, 2}, {1, 1}, {0, 4}});
}

TEST(AsyncDevice, HostPartsInBetweenWaitForWhatTheyRead) {
  // Sin, Cos and Softmax are the CPU's; both directions several times, and memory of both sides used again and again.
  agrees(graph_bytes(R"(g (float[N,M] x) => (float[N,M] y, float[N,M] z) {
    a = Relu(x) b = Sin(a) c = Exp(b) d = Cos(c) e = Neg(d) f = Softmax(e) g1 = Abs(f) h = Sin(g1) i = Add(h, a)
    j = Cos(b) k = Add(j, i) l = Sin(k) m = Sin(l) n = Cos(m) y = Exp(n) o = Cos(y) p = Sin(o) z = Mul(p, c) })"),
         "0", {{4, 5}, {16, 16}, {4, 5}, {2, 2}});
}

TEST(AsyncDevice, DevicesOfOneFamilyMeetByEventsOthersByTheHost) {
  const std::string bytes = graph_bytes(R"(g (float[N,M] x) => (float[N,M] y) {
    a = Relu(x)
    [late_1] b = Neg(a)
    [other_1] c = Exp(b)
    d = Add(c, a)
    [late_2] e = Tanh(d)
    f = Abs(e)
    [late_3] g1 = Exp(f)
    [other_2] h = Neg(g1)
    s = Sin(h)
    y = Add(s, b) })");
  agrees(bytes, "*", {{4, 5}, {16, 16}, {4, 5}, {8, 3}, {4, 5}});
  auto s = session(bytes, async_config("*"));
  ASSERT_TRUE(s);
  EXPECT_EQ(device_of(*s, "Tanh"), "async:late");
  (void)run(*s, {{"x", tensor<float>({2, 2}, {1, 2, 3, 4})}});
  const std::string plan = s->plan_text();
  EXPECT_THAT(plan, HasSubstr("wait for queue of async:lazy by queue of async:late"));
  EXPECT_THAT(plan, HasSubstr("wait for queue of async:other by"));
  // b is made in the memory that both name: no copy of it goes to the lazy device.
  std::size_t copies_of_b = 0;
  for (const PlacedCopy& c : s->placement().copies) copies_of_b += c.value == "b";
  EXPECT_EQ(copies_of_b, 1u);  // to async:other
}

TEST(AsyncDevice, ADeviceThatWorksInHostMemoryIsWaitedFor) {
  agrees(graph_bytes(R"(g (float[N,M] x) => (float[N,M] y, float[N,M] z) {
    [host_1] a = Relu(x)
    [host_2] b = Exp(a)
    c = Sin(b)
    [host_3] d = Neg(c)
    [host_4] e = Abs(d)
    [late_1] f = Add(e, c)
    [host_5] g1 = Tanh(f)
    h = Softmax(g1)
    i = Cos(h)
    [host_6] y = Mul(i, a)
    [host_7] z = Sub(y, x) })"), "*", {{4, 5}, {16, 16}, {4, 5}, {2, 2}, {16, 16}});
}

TEST(AsyncDevice, DevicesThatShareAStreamNeedNoEvents) {
  agrees(graph_bytes(R"(g (float[N,M] x) => (float[N,M] y) {
    [host_1] a = Relu(x)
    [other_1] b = Exp(a)
    [host_2] c = Neg(b)
    [other_2] d = Add(c, a)
    e = Sin(d)
    [host_3] f = Tanh(e)
    [other_3] y = Mul(f, d) })"), "*", {{4, 5}, {16, 16}, {4, 5}});
}

TEST(AsyncDevice, MemoryComesInSlabs) {
  // 1,000 floats fill most of a buffer of 4,096 bytes: five values alive at once need five slabs.
  const std::string bytes = graph_bytes("g (float[N] x) => (float[N] y) { a = Relu(x) b = Neg(x) c = Exp(x) d = Abs(x) e = Add(a, b) f = Add(c, d) y = Add(e, f) }");
  agrees(bytes, "0", {{1000}, {10}, {1000}, {1024}});
  auto s = session(bytes, async_config("0"));
  ASSERT_TRUE(s);
  (void)run(*s, {{"x", tensor<float>({1000}, ramp(1000))}});
  EXPECT_THAT(s->plan_text(), HasSubstr("in slabs of 4000 4000 4000"));
  std::vector<NamedDatum> feeds{{"x", tensor<float>({1025}, ramp(1025))}}, out;
  const Status status = s->run(feeds, {}, out);
  EXPECT_EQ(status.code(), TENON_RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.text(), HasSubstr("value \"x\" of 4100 bytes is larger than the largest buffer of memory \"async:memory\", 4096 bytes"));
}

TEST(AsyncDevice, OperandsInHostMemory) {
  // Pow reads its exponent, Reshape its shape and ReduceMax writes its result in host memory; the exponent is made on the
  // device, on the host, and fed.
  const std::string bytes = graph_bytes(R"(g (float[N] x) => (float[N] y, float[N] z, float[1] m) {
    a = Abs(x) m = ReduceMax(a) b = Exp(m) c = Pow(a, m) d = Sin(b) e = Pow(c, b) f = Pow(e, d) y = Mul(f, b) n = Neg(m) z = Add(y, n) })");
  agrees(bytes, "0", {{5}, {9}, {5}});
  auto s = session(bytes, async_config("0"));
  ASSERT_TRUE(s);
  for (const PlacedNode& n : s->placement().nodes) EXPECT_EQ(n.provider, n.op_type == "Sin" ? "cpu" : "async") << n.op_type;
}

TEST(AsyncDevice, SizesThatTheDataDecidesAreMadeOnTheHost) {
  const std::string bytes = graph_bytes(R"(g (float[N] x) => (float[N] r, int64[1,K] i, float[1,K] y) {
    r = Relu(x) i = NonZero(r) f = Cast<to = 1>(i) y = Neg(f) })");
  auto s = session(bytes, async_config("0"));
  ASSERT_TRUE(s);
  EXPECT_EQ(device_of(*s, "NonZero"), "async:lazy");
  const auto out = run(*s, {{"x", tensor<float>({4}, {-1, 2, 0, 3})}});
  EXPECT_THAT(values<std::int64_t>(out.at(1).datum), ElementsAre(1, 3));
  EXPECT_THAT(values<float>(out.at(2).datum), ElementsAre(-1, -3));

  auto refused = session(graph_bytes("g (float[N] x) => (float[K] y) { y = Unique(x) }"), async_config("0"));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->placement().nodes.at(0).provider, "cpu");
  EXPECT_THAT(refused->placement().nodes.at(0).refusals.at(0).text, HasSubstr("needs the operand rule PLACE_HOST"));
}

TEST(AsyncDevice, AClaimThatMustWorkInPlaceIsRefused) {
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y) { y = Erf(x) }"), async_config("0"));
  ASSERT_TRUE(s);
  EXPECT_EQ(s->placement().nodes.at(0).provider, "cpu");
  EXPECT_THAT(s->placement().nodes.at(0).refusals.at(0).text, HasSubstr("share memory with an input"));
}

TEST(AsyncDevice, AValueIsCopiedOnceHoweverManyPartsReadIt) {
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y) { a = Exp(x) b = Sin(a) c = Mul(b, x) d = Cos(c) e = Add(d, x) y = Sin(e) }"), async_config("0"));
  ASSERT_TRUE(s);
  (void)run(*s, {{"x", tensor<float>({2}, {1, 2})}});
  const std::string plan = s->plan_text();
  std::size_t copies = 0;
  for (std::size_t at = plan.find("copy \"x\""); at != std::string::npos; at = plan.find("copy \"x\"", at + 1)) ++copies;
  EXPECT_EQ(copies, 1u) << plan;
}

TEST(AsyncDevice, EvaluatedValuesAreCopiedOnce) {
  const std::string bytes = graph_bytes(R"(g (float[N,M] x) => (float[N,M] y) {
    s = Shape(x) f = Cast<to = 1>(s) m = ReduceMax(f) one = Constant<value = float[1] {1}>() t = Div(f, f) k = ReduceSum<keepdims = 1>(f) y = Add(x, k) })");
  agrees(bytes, "0", {{2, 3}, {4, 4}, {2, 3}});
  auto s = session(bytes, async_config("0"));
  ASSERT_TRUE(s);
  (void)run(*s, {{"x", tensor<float>({2, 3}, ramp(6))}});
  EXPECT_THAT(s->plan_text(), HasSubstr("copied once"));
}

TEST(AsyncDevice, ALateFailureIsTheRunsError) {
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y) { a = Reciprocal(x) b = Exp(a) c = Sin(b) y = Neg(c) }"), async_config("0"));
  ASSERT_TRUE(s);
  for (int round = 0; round < 3; ++round) {
    std::vector<NamedDatum> feeds{{"x", tensor<float>({2}, {1, 0})}}, out;
    const Status status = s->run(feeds, {}, out);
    EXPECT_EQ(status.code(), TENON_INVALID_ARGUMENT);
    EXPECT_THAT(status.text(), HasSubstr("async:lazy"));
    const auto good = run(*s, {{"x", tensor<float>({2}, {1, 2})}});
    EXPECT_NEAR(values<float>(good.at(0).datum)[0], -std::sin(std::exp(1.0f)), 1e-5);
  }
}

TEST(AsyncDevice, ACancelledRunLeavesIdleQueues) {
  auto s = session(graph_bytes(R"(g (float[N] x) => (float[N] y) {
    a = Exp(x) [late_1] b = Neg(a) c = Sin(b) [late_2] d = Exp(c) e = Sin(d) [late_3] y = Neg(e) })"), async_config("*"));
  ASSERT_TRUE(s);
  for (int round = 0; round < 60; ++round) {
    std::vector<NamedDatum> out;
    {
      std::vector<NamedDatum> feeds{{"x", tensor<float>({64}, ramp(64))}};  // gone right after the run
      RunOptions options;
      options.deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(50 * round);
      const Status status = s->run(feeds, {}, out, options);
      EXPECT_TRUE(status.ok() || status.code() == TENON_DEADLINE_EXCEEDED) << status.text();
    }
    if (round % 10) continue;
    const auto good = run(*s, {{"x", tensor<float>({1}, {0})}});
    EXPECT_NEAR(values<float>(good.at(0).datum)[0], -std::sin(std::exp(std::sin(-1.0f))), 1e-5);
  }
}

TEST(AsyncDevice, LimitsHoldForDeviceMemoryToo) {
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y) { a = Exp(x) b = Neg(a) y = Abs(b) }"), async_config("0", false, R"("limits":{"memory":"8KiB"})"));
  ASSERT_TRUE(s);
  std::vector<NamedDatum> feeds{{"x", tensor<float>({1000}, ramp(1000))}}, out;
  const Status status = s->run(feeds, {}, out);
  EXPECT_EQ(status.code(), TENON_RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.text(), HasSubstr("bytes of memory \"async:memory\", over limits.memory"));
  const auto good = run(*s, {{"x", tensor<float>({2}, {0, 1})}});
  EXPECT_NEAR(values<float>(good.at(0).datum)[0], 1, 1e-6);
}

TEST(AsyncDevice, EveryCallMayFailOnce) {
  // Whatever call of the device fails: a status that says so, nothing left behind, and the next run is right.
  const std::string bytes = graph_bytes(R"(g (float[N] x) => (float[N] y) {
    a = Relu(x) [late_1] b = Neg(a) c = Sin(b) [late_2] d = Add(c, a) e = Exp(d) [other_1] f = Tanh(e) s = Shape(x) t = Cast<to = 1>(s) y = Mul(f, t) })");
  const Config c = async_config("*");
  int failed = 0;
  for (int n = 1; n < 45; ++n) {
    auto s = session(bytes, c);
    ASSERT_TRUE(s);
    ::setenv("TENON_TEST_ASYNC_FAIL", std::to_string(n).c_str(), 1);
    std::vector<NamedDatum> feeds{{"x", tensor<float>({3}, {0.1f, 0.1f, 0.1f})}}, out;
    const Status status = s->run(feeds, {}, out);
    ::unsetenv("TENON_TEST_ASYNC_FAIL");
    const auto good = run(*s, {{"x", tensor<float>({3}, {0.1f, 0.1f, 0.1f})}});
    for (float v : values<float>(good.at(0).datum)) ASSERT_NEAR(v, 3 * std::tanh(std::exp(std::sin(-0.1f) + 0.1f)), 1e-5) << "after call " << n;
    if (status.ok()) break;
    ++failed;
    EXPECT_EQ(status.code(), TENON_RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.text(), HasSubstr("was told to fail"));
    EXPECT_THAT(status.text(), HasSubstr("provider async"));
  }
  EXPECT_GT(failed, 25);
}

// placement.on_device_lost: "replace": whichever call of the run finds the device gone, the run is repeated on what is left.
TEST(AsyncDevice, ALostDeviceIsReplacedAndTheRunRepeated) {
  const std::string bytes = graph_bytes("g (float[N] x) => (float[N] y) { a = Exp(x) b = Sin(a) y = Neg(b) }");
  const std::string replace = R"("placement":{"on_device_lost":"replace"})";
  const std::vector<NamedDatum> feeds{{"x", tensor<float>({2}, {0, 0})}};
  int lost = 0;
  for (int n = 1; n <= 12; ++n) {
    auto s = session(bytes, async_config("0", false, replace));
    auto other = session(bytes, async_config("0", false, replace));
    ASSERT_TRUE(s && other);
    EXPECT_EQ(device_of(*s, "Exp"), "async:lazy");
    ::setenv("TENON_TEST_ASYNC_LOST", "1", 1);
    ::setenv("TENON_TEST_ASYNC_FAIL", std::to_string(n).c_str(), 1);
    const auto out = run(*s, feeds);
    ::unsetenv("TENON_TEST_ASYNC_FAIL");
    ::unsetenv("TENON_TEST_ASYNC_LOST");
    ASSERT_EQ(out.size(), 1u) << "call " << n;
    EXPECT_NEAR(values<float>(out[0].datum)[1], -std::sin(1.0f), 1e-5) << "call " << n;
    if (device_of(*s, "Exp") == "async:lazy") break;  // fewer calls than n: nothing was lost
    ++lost;
    EXPECT_THAT(s->placement().notes, ::testing::Contains(HasSubstr("device \"async:lazy\" was lost")));
    // The other session finds out by itself.
    EXPECT_NEAR(values<float>(run(*other, feeds)[0].datum)[0], -std::sin(1.0f), 1e-5);
    EXPECT_NE(device_of(*other, "Exp"), "async:lazy");
    EXPECT_EQ(run(*s, feeds).size(), 1u);
  }
  EXPECT_GE(lost, 3);
}

TEST(AsyncDevice, WhicheverCallOfFourDevicesFindsOneGoneTheRunIsRepeatedWithoutIt) {
  const std::string bytes = graph_bytes(R"(g (float[N] x) => (float[N] y) {
    a = Relu(x) [late_1] b = Neg(a) c = Sin(b) [late_2] d = Add(c, a) e = Exp(d) [other_1] f = Tanh(e) [host_1] g1 = Abs(f) s = Shape(x) t = Cast<to = 1>(s) y = Mul(g1, t) })");
  const Config c = async_config("*", false, R"("placement":{"on_device_lost":"replace"})");
  int lost = 0;
  for (int n = 1; n < 45; ++n) {
    auto s = session(bytes, c);
    ASSERT_TRUE(s);
    ::setenv("TENON_TEST_ASYNC_LOST", "1", 1);
    ::setenv("TENON_TEST_ASYNC_FAIL", std::to_string(n).c_str(), 1);
    const auto out = run(*s, {{"x", tensor<float>({3}, {0.1f, 0.1f, 0.1f})}});
    ::unsetenv("TENON_TEST_ASYNC_FAIL");
    ::unsetenv("TENON_TEST_ASYNC_LOST");
    ASSERT_EQ(out.size(), 1u) << "call " << n;
    for (float v : values<float>(out[0].datum)) ASSERT_NEAR(v, 3 * std::tanh(std::exp(std::sin(-0.1f) + 0.1f)), 1e-5) << "call " << n;
    const auto& notes = s->placement().notes;
    lost += std::any_of(notes.begin(), notes.end(), [](const std::string& note) { return note.find("was lost") != note.npos; });
  }
  EXPECT_GE(lost, 25);
}

TEST(AsyncDevice, ALostDeviceIsReplacedForManyRunsAtOnce) {
  const std::string bytes = graph_bytes("g (float[N] x) => (float[N] y) { a = Exp(x) y = Neg(a) }");
  auto s = session(bytes, async_config("0", false, R"("placement":{"on_device_lost":"replace"})"));
  ASSERT_TRUE(s);
  ::setenv("TENON_TEST_ASYNC_LOST", "1", 1);
  ::setenv("TENON_TEST_ASYNC_FAIL", "40", 1);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        std::vector<NamedDatum> out;
        const Status status = s->run(std::vector<NamedDatum>{{"x", tensor<float>({2}, {0, 0})}}, {}, out);
        if (!status.ok() || values<float>(out[0].datum)[0] != -1.0f) ++wrong;
      }
    });
  for (std::thread& t : threads) t.join();
  ::unsetenv("TENON_TEST_ASYNC_FAIL");
  ::unsetenv("TENON_TEST_ASYNC_LOST");
  EXPECT_EQ(wrong, 0);
  EXPECT_NE(device_of(*s, "Exp"), "async:lazy");
}

TEST(AsyncDevice, WhereNothingIsLeftALostDeviceIsAnError) {
  const std::string bytes = graph_bytes("g (float[N] x) => (float[N] y) { y = Exp(x) }");
  auto s = session(bytes, async_config("0", false, R"("placement":{"on_device_lost":"replace","on_unsupported":"error"})"));
  ASSERT_TRUE(s);
  ::setenv("TENON_TEST_ASYNC_LOST", "1", 1);
  ::setenv("TENON_TEST_ASYNC_FAIL", "2", 1);
  std::vector<NamedDatum> out;
  const Status status = s->run(std::vector<NamedDatum>{{"x", tensor<float>({1}, {0})}}, {}, out);
  ::unsetenv("TENON_TEST_ASYNC_FAIL");
  ::unsetenv("TENON_TEST_ASYNC_LOST");
  EXPECT_EQ(status.code(), TENON_DEVICE_LOST);
  EXPECT_THAT(std::string(status.text()), HasSubstr("cannot be placed anew"));
}

TEST(AsyncDevice, ALostDeviceEndsItsSessionsAndComesBackWithNewOnes) {
  const std::string bytes = graph_bytes("g (float[N] x) => (float[N] y) { a = Exp(x) y = Neg(a) }");
  std::vector<NamedDatum> feeds{{"x", tensor<float>({2}, {0, 0})}}, out;
  for (int n : {1, 2, 3, 4, 5}) {
    auto s = session(bytes, async_config("0"));
    auto other = session(bytes, async_config("0"));
    ASSERT_TRUE(s && other);
    ::setenv("TENON_TEST_ASYNC_LOST", "1", 1);
    ::setenv("TENON_TEST_ASYNC_FAIL", std::to_string(n).c_str(), 1);
    const Status status = s->run(feeds, {}, out);
    ::unsetenv("TENON_TEST_ASYNC_FAIL");
    ::unsetenv("TENON_TEST_ASYNC_LOST");
    EXPECT_EQ(status.code(), TENON_DEVICE_LOST) << "call " << n;
    for (const Session* any : {s.get(), other.get()}) {
      const Status again = any->run(feeds, {}, out);
      EXPECT_EQ(again.code(), TENON_DEVICE_LOST);
      EXPECT_THAT(again.text(), HasSubstr("device \"async:lazy\" was lost"));
    }
    EXPECT_THAT(load_failure(bytes, async_config("0")), HasSubstr("was lost"));
    s.reset();
    other.reset();
    auto fresh = session(bytes, async_config("0"));
    ASSERT_TRUE(fresh);
    EXPECT_THAT(values<float>(run(*fresh, {feeds[0]}).at(0).datum), ElementsAre(-1, -1));
  }
}

TEST(AsyncDevice, ManyRunsAtOnce) {
  auto s = session(graph_bytes(R"(g (float[N,8] x) => (float[N,8] y) {
    a = Relu(x) [late_1] b = Neg(a) c = Sin(b) [late_2] d = Add(c, a) e = Exp(d) [other_1] y = Tanh(e) })"), async_config("*"));
  ASSERT_TRUE(s);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 25; ++round) {
        const std::int64_t n = 1 + (t + round) % 5;
        const float v = 0.1f * static_cast<float>(t + 1);
        std::vector<NamedDatum> feeds{{"x", tensor<float>({n, 8}, std::vector<float>(static_cast<std::size_t>(n) * 8, v))}}, out;
        if (!s->run(feeds, {}, out).ok()) {
          ++wrong;
          continue;
        }
        for (float got : values<float>(out.at(0).datum)) wrong += std::fabs(got - std::tanh(std::exp(std::sin(-v) + v))) > 1e-5;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(AsyncDevice, LoopsFeedAndReadItsBodies) {
  agrees(graph_bytes(R"(g (float[N] x) => (float[N] y) {
    n = Constant<value = int64 {4}>() t = Constant<value = bool {1}>() a = Exp(x)
    b = Loop(n, t, a) <body = inner (int64 i, bool c, float[N] v) => (bool c2, float[N] w) { c2 = Identity(c) s = Sin(v) u = Neg(s) w = Add(u, a) }>
    y = Neg(b) })"), "0", {{3}, {7}, {3}});
}

TEST(AsyncDevice, ProfilesWaitForEachStep) {
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y) { a = Exp(x) b = Neg(a) c = Sin(b) y = Abs(c) }"), async_config("0"));
  ASSERT_TRUE(s);
  Profile profile;
  RunOptions options;
  options.profile = &profile;
  std::vector<NamedDatum> feeds{{"x", tensor<float>({2}, {0, 1})}}, out;
  const Status status = s->run(feeds, {}, out, options);
  ASSERT_TRUE(status.ok()) << status.text();
  std::vector<std::string> ops;
  for (const ProfileEvent& e : profile.events) ops.push_back(e.op_type);
  EXPECT_THAT(ops, ElementsAre("Copy", "Exp", "Neg", "Copy", "Sin", "Copy", "Abs", "Copy"));
}

TEST(AsyncDevice, ABodyThatAListedProviderTakesWhollyBeatsTheFallback) {
  // Softsign's body is Abs, Add and Div, which async has; ThresholdedRelu's is not all its own.
  auto s = session(graph_bytes("g (float[2] x) => (float[2] y) { a = Softsign(x) y = ThresholdedRelu(a) }"), async_config("0"));
  ASSERT_TRUE(s);
  for (const PlacedNode& n : s->placement().nodes) EXPECT_EQ(n.provider, n.op_type == "ThresholdedRelu" ? "cpu" : n.provider == "core" ? "core" : "async") << n.op_type;
  EXPECT_EQ(device_of(*s, "Div"), "async:lazy");
}

TEST(AsyncDevice, ABodyCountsTheBodiesInsideIt) {
  // Mish is Softplus, Tanh and Mul, and Softplus in turn Exp, Add and Log.
  const std::string bytes = graph_bytes("g (float[N] x) => (float[N] y) { y = Mish(x) }");
  auto s = session(bytes, async_config("0"));
  ASSERT_TRUE(s);
  EXPECT_GE(s->placement().nodes.size(), 5u);
  for (const PlacedNode& n : s->placement().nodes) EXPECT_NE(n.provider, "cpu") << n.op_type;
  EXPECT_EQ(device_of(*s, "Log"), "async:lazy");
  agrees(bytes, "0", {{3}, {50}});
}

}  // namespace
}  // namespace tenon
