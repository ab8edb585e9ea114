// Graphs that a device shares with what ends a segment: what it made and reads again stays in its memory.
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
using ::testing::UnorderedElementsAre;

// What one run copies, after a first one has made the plans.
std::vector<std::string> copies_of(const Session& s, const std::vector<NamedDatum>& feeds) {
  (void)run(s, feeds);
  Profile profile;
  RunOptions options;
  options.profile = &profile;
  std::vector<NamedDatum> out;
  const Status status = s.run(feeds, {}, out, options);
  EXPECT_TRUE(status.ok()) << status.text();
  std::vector<std::string> copies;
  for (const ProfileEvent& e : profile.events)
    if (e.op_type == "Copy") copies.push_back(e.name);
  return copies;
}

const char* two_segments = R"(g (float[N] x) => (float[N] y, float[N] z) {
  a = Exp(x) b = Neg(a) i = NonZero(b) f = Cast<to = 1>(i) m = ReduceMax(f) c = Add(a, m) y = Mul(c, x) z = Abs(b) })";

TEST(AsyncSegments, WhatOnlyItsMakerReadsAgainIsNotCopied) {
  const std::string bytes = graph_bytes(two_segments);
  agrees(bytes, "0", {{3}, {7}, {3}, {700}, {2}});
  auto s = session(bytes, async_config("0"));
  ASSERT_TRUE(s);
  EXPECT_THAT(copies_of(*s, {{"x", tensor<float>({3}, {0, 1, 2})}}), UnorderedElementsAre("copy x", "copy z", "copy f", "copy m", "copy y"));
  EXPECT_THAT(s->plan_text(), HasSubstr("kept"));
}

TEST(AsyncSegments, TheMemoryReportHoldsWhatLaterSegmentsReadOnTheDevice) {
  auto s = session(graph_bytes(two_segments), async_config("0", false, R"("shapes":{"N":{"opt":700}})"));
  ASSERT_TRUE(s);
  const MemoryReport& m = s->placement().memory;
  const auto device = std::find_if(m.domains.begin(), m.domains.end(), [](auto& d) { return d.uid == "async:memory"; });
  ASSERT_NE(device, m.domains.end());
  // a and x are read again by what follows NonZero; nothing else is.
  for (const std::uint64_t live : device->live) {
    EXPECT_GE(live, 2u * 700 * 4);
    EXPECT_LE(live, device->bytes);
  }
  for (const char* name : {"a", "x"}) {
    const auto held = std::find_if(m.at_peak.begin(), m.at_peak.end(), [&](auto& h) { return h.value == name && h.memory == "async:memory"; });
    ASSERT_NE(held, m.at_peak.end()) << name;
    EXPECT_EQ(held->bytes, 700u * 4);
  }
}

TEST(AsyncSegments, AFeedIsCopiedOnceForAllSegments) {
  const std::string bytes = graph_bytes(R"(g (float[N] x) => (float[N] y) {
    i = NonZero(x) f = Cast<to = 1>(i) m = ReduceMax(f) a = Mul(x, m) j = NonZero(a) g1 = Cast<to = 1>(j) n = ReduceMax(g1) y = Add(x, n) })");
  agrees(bytes, "0", {{3}, {7}, {3}});
  auto s = session(bytes, async_config("0"));
  ASSERT_TRUE(s);
  const auto copies = copies_of(*s, {{"x", tensor<float>({3}, {0, 1, 2})}});
  EXPECT_EQ(std::count(copies.begin(), copies.end(), "copy x"), 1);
}

TEST(AsyncSegments, DevicesOfOneMemoryKeepOneCopyOthersAndTheHostGetTheirs) {
  // a stays in the memory that lazy and late name; async:other and Sin read it later through the host.
  const std::string bytes = graph_bytes(R"(g (float[N] x) => (float[N] y) {
    a = Exp(x) i = NonZero(a) f = Cast<to = 1>(i) m = ReduceMax(f)
    [late_1] b = Add(a, m)
    [other_1] c = Mul(a, m)
    d = Sin(a) e = Add(b, d) y = Sub(e, c) })");
  agrees(bytes, "*", {{3}, {7}, {3}, {9}});
  auto s = session(bytes, async_config("*"));
  ASSERT_TRUE(s);
  const auto copies = copies_of(*s, {{"x", tensor<float>({3}, {0, 1, 2})}});
  EXPECT_EQ(std::count(copies.begin(), copies.end(), "copy a"), 2) << "to the host, and from there to async:other";
}

TEST(AsyncSegments, KeptValuesCountAgainstTheLimits) {
  auto s = session(graph_bytes(two_segments), async_config("0", false, R"("limits":{"memory":"10KiB"})"));
  ASSERT_TRUE(s);
  std::vector<NamedDatum> feeds{{"x", tensor<float>({1000}, ramp(1000))}}, out;
  const Status status = s->run(feeds, {}, out);
  EXPECT_EQ(status.code(), TENON_RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.text(), HasSubstr("bytes of memory \"async:memory\", over limits.memory"));
  EXPECT_EQ(run(*s, {{"x", tensor<float>({3}, {0, 1, 2})}}).size(), 2u);
}

TEST(AsyncSegments, ManyRunsAtOnceAndSizesThatChange) {
  auto s = session(graph_bytes(two_segments), async_config("0"));
  ASSERT_TRUE(s);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 25; ++round) {
        const std::int64_t n = 1 + (t * 3 + round) % 7;
        std::vector<NamedDatum> feeds{{"x", tensor<float>({n}, std::vector<float>(static_cast<std::size_t>(n), 0.5f))}}, out;
        if (!s->run(feeds, {}, out).ok()) {
          ++wrong;
          continue;
        }
        for (float got : values<float>(out.at(0).datum)) wrong += std::fabs(got - (std::exp(0.5f) + static_cast<float>(n - 1)) * 0.5f) > 1e-4;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

// a and what the loop carries never leave the device but at the end.
const char* loop = R"(g (float[N] x) => (float[N] y) {
  n = Constant<value = int64 {5}>() t = Constant<value = bool {1}>() a = Exp(x)
  b = Loop(n, t, a) <body = inner (int64 i, bool c, float[N] v) => (bool c2, float[N] w) { c2 = Identity(c) u = Neg(v) p = Tanh(u) w = Add(p, a) }>
  y = Neg(b) })";

TEST(AsyncSegments, WhatALoopCarriesAndCapturesStaysOnTheDevice) {
  agrees(graph_bytes(loop), "0", {{3}, {7}, {3}, {500}});
  auto s = session(graph_bytes(loop), async_config("0"));
  ASSERT_TRUE(s);
  EXPECT_THAT(copies_of(*s, {{"x", tensor<float>({3}, {0, 1, 2})}}), ElementsAre("copy x", "copy what was carried", "copy b", "copy y"));
}

TEST(AsyncSegments, WhatALoopCapturesFromTheHostIsCopiedOnce) {
  const std::string bytes = graph_bytes(R"(g (float[N] x, int64 n) => (float[N] y) {
    t = Constant<value = bool {1}>() a = Sin(x)
    b = Loop(n, t, a) <body = inner (int64 i, bool c, float[N] v) => (bool c2, float[N] w) { c2 = Identity(c) u = Mul(v, x) w = Add(u, a) }>
    y = Sin(b) })");
  auto s = session(bytes, async_config("0"));
  auto reference = session(bytes, with_providers({"cpu"}));
  ASSERT_TRUE(s && reference);
  for (std::int64_t n : {0, 1, 2, 5, 0, 3}) {
    const std::vector<NamedDatum> feeds{{"x", tensor<float>({4}, ramp(4))}, {"n", tensor<std::int64_t>({}, {n})}};
    EXPECT_EQ(values<float>(run(*s, feeds)[0].datum), values<float>(run(*reference, feeds)[0].datum)) << n;
    auto copies = copies_of(*s, feeds);
    if (n == 5) {
      // In the first round all three; then nothing but at the end.
      EXPECT_THAT(copies, UnorderedElementsAre("copy v", "copy x", "copy a", "copy what was carried"));
    }
  }
}

TEST(AsyncSegments, ScansCarryToo) {
  const std::string bytes = graph_bytes(R"(g (float[K,N] x) => (float[N] y, float[K,N] z) {
    a = Constant<value = float[1] {0.5}>() s = Shape<start = 1>(x) z0 = Expand(a, s)
    y, z = Scan<num_scan_inputs = 1, body = inner (float[N] v, float[N] r) => (float[N] w, float[N] o) { w = Add(v, r) o = Neg(w) }>(z0, x) })");
  agrees(bytes, "0", {{3, 2}, {5, 4}, {0, 2}, {3, 2}});
}

TEST(AsyncSegments, ACancelledLoopLeavesIdleQueues) {
  auto s = session(graph_bytes(loop), async_config("0"));
  ASSERT_TRUE(s);
  int stopped = 0;
  for (int round = 0; round < 40; ++round) {
    std::vector<NamedDatum> out;
    {
      std::vector<NamedDatum> feeds{{"x", tensor<float>({64}, ramp(64))}};  // gone right after the run
      RunOptions options;
      options.deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(10 * round);
      const Status status = s->run(feeds, {}, out, options);
      EXPECT_TRUE(status.ok() || status.code() == TENON_DEADLINE_EXCEEDED) << status.text();
      stopped += !status.ok();
    }
    if (round % 10) continue;
    float v = 1;
    for (int trip = 0; trip < 5; ++trip) v = std::tanh(-v) + 1;
    EXPECT_NEAR(values<float>(run(*s, {{"x", tensor<float>({1}, {0})}}).at(0).datum)[0], -v, 1e-5);
  }
  EXPECT_GT(stopped, 0);
}

TEST(AsyncSegments, EveryCallMayFailOnce) {
  const std::string bytes = graph_bytes(R"(g (float[N] x) => (float[N] y) {
    n = Constant<value = int64 {3}>() t = Constant<value = bool {1}>() a = Abs(x)
    b = Loop(n, t, a) <body = inner (int64 i, bool c, float[N] v) => (bool c2, float[N] w) { c2 = Identity(c) w = Add(v, a) }>
    i = NonZero(b) f = Cast<to = 1>(i) m = ReduceMax(f) d = Mul(a, m) y = Add(d, b) })");
  const Config c = async_config("0");
  int failed = 0;
  for (int call = 1; call < 500; ++call) {
    auto s = session(bytes, c);
    ASSERT_TRUE(s);
    const std::vector<NamedDatum> feeds{{"x", tensor<float>({3}, {1, 1, 1})}};
    std::vector<NamedDatum> out;
    ::setenv("TENON_TEST_ASYNC_FAIL", std::to_string(call).c_str(), 1);
    const Status status = s->run(feeds, {}, out);
    ::unsetenv("TENON_TEST_ASYNC_FAIL");
    EXPECT_THAT(values<float>(run(*s, feeds).at(0).datum), ElementsAre(6, 6, 6)) << "after call " << call;
    if (status.ok()) break;
    ++failed;
    EXPECT_EQ(status.code(), TENON_RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.text(), HasSubstr("was told to fail"));
  }
  EXPECT_GT(failed, 20);
}

}  // namespace
}  // namespace tenon
