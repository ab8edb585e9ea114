// Many threads on one session, several sessions on one pool, cancelling from elsewhere.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;

constexpr const char* products = "g (float[N,32] x) => (float[N,N] y) { t = Transpose<perm = [1,0]>(x) p = MatMul(x, t) y = Softmax(p) }";

std::vector<float> ramp(std::int64_t n) {
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = 0.01f * static_cast<float>(i % 37) - 0.2f;
  return v;
}

TEST(Concurrency, SixteenThreadsRunOneSession) {
  auto s = session(graph_bytes(products), with_providers({"cpu"}, R"("session":{"threads":2})"));
  ASSERT_TRUE(s);
  std::vector<std::vector<float>> expected;
  for (std::int64_t n = 1; n <= 4; ++n) expected.push_back(values<float>(run(*s, {{"x", tensor<float>({n * 8, 32}, ramp(n * 8 * 32))}}).at(0).datum));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const std::int64_t n = (t + i) % 4 + 1;
        std::vector<NamedDatum> out;
        const Status status = s->run(std::vector<NamedDatum>{{"x", tensor<float>({n * 8, 32}, ramp(n * 8 * 32))}}, {}, out);
        wrong += !status.ok() || values<float>(out[0].datum) != expected[static_cast<std::size_t>(n - 1)];
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(Concurrency, SessionsShareThePool) {
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < 3; ++i) sessions.push_back(session(graph_bytes(products), with_providers({"cpu"}, R"("session":{"threads":4})")));
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (auto& s : sessions)
    threads.emplace_back([&] {
      for (int i = 0; i < 30; ++i) {
        std::vector<NamedDatum> out;
        failures += !s->run(std::vector<NamedDatum>{{"x", tensor<float>({64, 32}, ramp(64 * 32))}}, {}, out).ok();
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(failures.load(), 0);
}

TEST(Concurrency, ACancelledLoopEnds) {
  auto s = session(graph_bytes(R"(g (float[1] x) => (float[1] y) {
    n = Constant<value = int64 {9223372036854775807}>()
    t = Constant<value = bool {1}>()
    y = Loop(n, t, x) <body = b (int64 i, bool c, float[1] a) => (bool d, float[1] e) { d = Identity(c) e = Sin(a) }>
  })"), with_providers({"cpu"}));
  ASSERT_TRUE(s);
  RunOptions options;
  options.cancel = std::make_shared<CancelToken>();
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    options.cancel->cancel();
  });
  std::vector<NamedDatum> out;
  const Status cancelled = s->run(std::vector<NamedDatum>{{"x", tensor<float>({1}, {1})}}, {}, out, options);
  stopper.join();
  EXPECT_EQ(cancelled.code(), TENON_CANCELLED);
  RunOptions late;
  late.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  EXPECT_EQ(s->run(std::vector<NamedDatum>{{"x", tensor<float>({1}, {1})}}, {}, out, late).code(), TENON_DEADLINE_EXCEEDED);
}

TEST(Concurrency, ACancelledLoadEnds) {
  LoadOptions options;
  options.config = with_providers({"cpu"});
  options.cancel = std::make_shared<CancelToken>();
  options.progress = [&](double, const char* what) {
    if (std::string_view(what) == "placing nodes") options.cancel->cancel();
  };
  const std::string bytes = graph_bytes(products);
  auto s = Session::load_bytes({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, options);
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.status().code(), TENON_CANCELLED);
}

}  // namespace
}  // namespace tenon
