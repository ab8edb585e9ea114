// What a session keeps between runs: the same results as feeding it back, without copying caches.
#include <gmock/gmock.h>

#include <cmath>
#include <thread>

#include "tests/support/small_decoder.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::HasSubstr;

// The attention of a decoder with two heads of keys that serve four heads of queries; rows of the past are read by Shape.
constexpr const char* decoder = R"(
g (float[B,4,S,4] q, float[B,2,P,4] past_k, float[B,2,P,4] past_v, float[B,2,S,4] x, int64[1,T] mask) => (float[B,4,S,4] y, int64[1] before, float[B,2,K,4] k, float[B,2,V,4] v)
<int64[1] two = {2}, float half = {0.5}> {
  k = Concat<axis = -2>(past_k, x)
  xv = Mul(x, half)
  v = Concat<axis = 2>(past_v, xv)
  before = Shape<start = 2, end = 3>(past_v)
  b = Shape<start = 0, end = 1>(x)
  n = Shape<start = 2, end = 3>(k)
  c2 = Constant<value_ints = [2]>()
  c4 = Constant<value_ints = [4]>()
  wide = Concat<axis = 0>(b, c2, c2, n, c4)
  flat = Concat<axis = 0>(b, c4, n, c4)
  k5 = Unsqueeze(k, two)
  kw = Expand(k5, wide)
  k4 = Reshape(kw, flat)
  v5 = Unsqueeze(v, two)
  vw = Expand(v5, wide)
  v4 = Reshape(vw, flat)
  kt = Transpose<perm = [0, 1, 3, 2]>(k4)
  s = MatMul(q, kt)
  s2 = Mul(s, half)
  p = Softmax<axis = -1>(s2)
  y = MatMul(p, v4)
})";
constexpr const char* keeps = R"("session":{"threads":1,"state":{"past_k":"k","past_v":"v"}})";

std::unique_ptr<Session> keeping(const std::string& more = keeps) { return session(graph_bytes(decoder), with_providers({"cpu"}, more)); }

Datum wave(std::vector<std::int64_t> dims, std::int64_t at, float scale) {
  std::vector<float> all(static_cast<std::size_t>(element_count(dims).value()));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = scale * std::sin(0.7f * static_cast<float>(i) + static_cast<float>(at));
  return tensor<float>(std::move(dims), all);
}

std::vector<NamedDatum> fresh(std::int64_t rows, std::int64_t at, std::int64_t batch = 1) {
  return {{"q", wave({batch, 4, rows, 4}, at, 1)}, {"x", wave({batch, 2, rows, 4}, at + 1, 0.8f)},
          {"mask", tensor<std::int64_t>({1, at + rows}, std::vector<std::int64_t>(static_cast<std::size_t>(at + rows), 1))}};
}

// Feeds the caches back, as one does without a state.
class Feeding {
 public:
  explicit Feeding(std::int64_t batch = 1) : k_(tensor<float>({batch, 2, 0, 4}, {})), v_(k_) {}
  std::vector<float> next(const Session& s, std::int64_t rows, std::int64_t batch = 1) {
    std::vector<NamedDatum> feeds = fresh(rows, at, batch);
    feeds.push_back({"past_k", k_});
    feeds.push_back({"past_v", v_});
    const auto out = run(s, feeds);
    if (out.size() != 4) return {};
    k_ = out[2].datum, v_ = out[3].datum;
    at += rows;
    return values<float>(out[0].datum);
  }
  const Datum& k() const { return k_; }
  std::int64_t at = 0;

 private:
  Datum k_, v_;
};

Status step(const Session& s, std::int64_t rows, std::int64_t at, std::vector<float>& y, State* state = nullptr, std::int64_t batch = 1) {
  std::vector<NamedDatum> out;
  RunOptions options;
  options.state = state;
  TENON_TRY(s.run(fresh(rows, at, batch), {}, out, options));
  EXPECT_EQ(out.size(), 2u);
  EXPECT_EQ(values<std::int64_t>(out[1].datum), (std::vector<std::int64_t>{at}));
  y = values<float>(out[0].datum);
  return {};
}

TEST(State, GivesWhatFeedingBackGives) {
  auto plain = session(graph_bytes(decoder), with_providers({"cpu"}, "\"session\":{\"threads\":1}")), kept = keeping();
  ASSERT_TRUE(plain && kept);
  ASSERT_EQ(kept->inputs().size(), 3u);
  ASSERT_EQ(kept->outputs().size(), 2u);
  ASSERT_TRUE(kept->placement().notes.empty()) << kept->placement().notes[0];
  Feeding feeding;
  std::vector<float> y;
  for (std::int64_t rows : {5, 3}) {
    ASSERT_TRUE(step(*kept, rows, feeding.at, y).ok());
    EXPECT_EQ(y, feeding.next(*plain, rows));
  }
  for (int token = 0; token < 600; ++token) {  // beyond what there is room for at first
    const Status s = step(*kept, 1, feeding.at, y);
    ASSERT_TRUE(s.ok()) << s.text();
    ASSERT_EQ(y, feeding.next(*plain, 1)) << token;
  }
  EXPECT_EQ(kept->state()->rows(), 608);
  EXPECT_EQ(kept->state()->capacity(), 768);
  const auto k = kept->state()->value("past_k");
  ASSERT_TRUE(k.ok());
  EXPECT_EQ((*k).dims, feeding.k().dims);
  EXPECT_EQ(values<float>(*k), values<float>(feeding.k()));
  EXPECT_LE(kept->plans_made(), plain->plans_made() + 8);
}

TEST(State, IsAppendedToWhereItIs) {
  auto kept = keeping(R"("session":{"threads":2,"state":{"past_k":"k","past_v":"v"},"state_capacity":1024})");
  ASSERT_TRUE(kept);
  std::vector<float> y;
  ASSERT_TRUE(step(*kept, 8, 0, y).ok());
  EXPECT_EQ(kept->state()->capacity(), 1024);
  const std::string plan = kept->plan_text();
  EXPECT_THAT(plan, HasSubstr("tensor scatter"));
  EXPECT_THAT(plan, ::testing::Not(HasSubstr("slice")));
  EXPECT_THAT(plan, ::testing::Not(HasSubstr("expand")));
  EXPECT_THAT(plan, ::testing::Not(HasSubstr("concat")));
}

TEST(State, GoesBackAndStartsAnew) {
  auto kept = keeping();
  ASSERT_TRUE(kept);
  std::vector<float> first, again, y;
  ASSERT_TRUE(step(*kept, 6, 0, y).ok());
  ASSERT_TRUE(step(*kept, 1, 6, first).ok());
  ASSERT_TRUE(step(*kept, 2, 7, y).ok());
  ASSERT_TRUE(kept->state()->truncate(6).ok());
  ASSERT_TRUE(step(*kept, 1, 6, again).ok());
  EXPECT_EQ(first, again);
  EXPECT_EQ(kept->state()->truncate(8).code(), TENON_OUT_OF_RANGE);
  EXPECT_EQ(kept->state()->truncate(-1).code(), TENON_OUT_OF_RANGE);
  // Another batch needs a new start.
  const Status other = step(*kept, 1, 7, y, nullptr, 2);
  EXPECT_EQ(other.code(), TENON_INVALID_ARGUMENT);
  EXPECT_THAT(std::string(other.text()), HasSubstr("holds [1,2,7,4]"));
  EXPECT_EQ(kept->state()->rows(), 7);
  ASSERT_TRUE(kept->state()->truncate(0).ok());
  auto plain = session(graph_bytes(decoder), with_providers({"cpu"}, "\"session\":{\"threads\":1}"));
  Feeding feeding(2);
  for (std::int64_t rows : {4, 1, 1}) {
    ASSERT_TRUE(step(*kept, rows, feeding.at, y, nullptr, 2).ok());
    EXPECT_EQ(y, feeding.next(*plain, rows, 2));
  }
}

TEST(State, ConversationsDoNotSeeEachOther) {
  auto kept = keeping();
  ASSERT_TRUE(kept);
  auto a = kept->make_state(), b = kept->make_state();
  ASSERT_TRUE(a.ok() && b.ok());
  std::vector<float> of_a, of_b, y;
  ASSERT_TRUE(step(*kept, 3, 0, y, a->get()).ok());
  ASSERT_TRUE(step(*kept, 9, 0, y, b->get()).ok());
  auto fork = (*a)->copy();
  ASSERT_TRUE(fork.ok());
  ASSERT_TRUE(step(*kept, 1, 3, of_a, a->get()).ok());
  ASSERT_TRUE(step(*kept, 1, 9, of_b, b->get()).ok());
  ASSERT_TRUE(step(*kept, 1, 3, y, fork->get()).ok());
  EXPECT_EQ(y, of_a);
  EXPECT_NE(of_a, of_b);
  EXPECT_EQ(kept->state()->rows(), 0);
  // At once, from several threads.
  std::vector<std::thread> threads;
  std::vector<std::vector<float>> last(4);
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      auto own = kept->make_state();
      for (std::int64_t at = 0; at < 40; ++at) EXPECT_TRUE(step(*kept, 1, at, last[t], own->get()).ok());
    });
  for (std::thread& t : threads) t.join();
  for (const auto& l : last) EXPECT_EQ(l, last[0]);
}

TEST(State, MisuseIsNamed) {
  auto kept = keeping(), other = keeping();
  auto plain = session(graph_bytes(decoder), with_providers({"cpu"}));
  ASSERT_TRUE(kept && other && plain);
  std::vector<float> y;
  std::vector<NamedDatum> out, feeds = fresh(1, 0);
  feeds.push_back({"past_k", tensor<float>({1, 2, 0, 4}, {})});
  EXPECT_THAT(std::string(kept->run(feeds, {}, out).text()), HasSubstr("\"past_k\" is kept by the session's state"));
  feeds.back() = {"session/state/rows", tensor<std::int64_t>({1}, {3})};
  EXPECT_THAT(std::string(kept->run(feeds, {}, out).text()), HasSubstr("invalid input name"));
  const std::vector<std::string> names{"k"};
  EXPECT_THAT(std::string(kept->run(fresh(1, 0), names, out).text()), HasSubstr("invalid output name"));
  EXPECT_THAT(std::string(step(*kept, 1, 0, y, other->state()).text()), HasSubstr("another session"));
  std::vector<NamedDatum> none = fresh(1, 0);
  RunOptions options;
  options.state = kept->state();
  EXPECT_THAT(std::string(plain->run(none, {}, out, options).text()), HasSubstr("keeps none"));
  EXPECT_EQ(plain->state(), nullptr);
  EXPECT_EQ(plain->make_state().status().code(), TENON_FAILED_PRECONDITION);
  EXPECT_EQ(kept->state()->value("x").status().code(), TENON_NOT_FOUND);
  EXPECT_EQ(kept->state()->value("past_k").status().code(), TENON_NOT_FOUND);
  ASSERT_TRUE(kept->state()->take());
  EXPECT_EQ(step(*kept, 1, 0, y).code(), TENON_FAILED_PRECONDITION);
  EXPECT_EQ(kept->state()->truncate(0).code(), TENON_FAILED_PRECONDITION);
  kept->state()->give_back();
  EXPECT_TRUE(step(*kept, 1, 0, y).ok());
}

TEST(State, DoesNotGrowOverTheLimit) {
  auto kept = keeping(R"("session":{"threads":1,"state":{"past_k":"k","past_v":"v"}},"limits":{"memory":"24KiB"})");
  ASSERT_TRUE(kept);
  std::vector<float> y;
  for (std::int64_t at = 0; at < 256; ++at) {
    const Status good = step(*kept, 1, at, y);
    ASSERT_TRUE(good.ok()) << good.text();
  }
  const Status s = step(*kept, 1, 256, y);
  EXPECT_EQ(s.code(), TENON_RESOURCE_EXHAUSTED);
  EXPECT_THAT(std::string(s.text()), HasSubstr("limits.memory"));
  EXPECT_EQ(kept->state()->rows(), 256);
  ASSERT_TRUE(kept->state()->truncate(100).ok());
  EXPECT_TRUE(step(*kept, 1, 100, y).ok());
}

// A run that failed has added nothing.
TEST(State, AFailedRunLeavesItAsItWas) {
  auto kept = keeping();
  ASSERT_TRUE(kept);
  std::vector<float> y, expected;
  ASSERT_TRUE(step(*kept, 4, 0, y).ok());
  std::vector<NamedDatum> feeds = fresh(1, 4), out;
  feeds[0].datum = wave({1, 4, 1, 3}, 0, 1);
  EXPECT_FALSE(kept->run(feeds, {}, out).ok());
  EXPECT_EQ(kept->state()->rows(), 4);
  ASSERT_TRUE(step(*kept, 1, 4, y).ok());
  auto other = keeping();
  ASSERT_TRUE(step(*other, 4, 0, expected).ok());
  ASSERT_TRUE(step(*other, 1, 4, expected).ok());
  EXPECT_EQ(y, expected);
}

TEST(State, PatternsAndWhatTheyMayNotSay) {
  const auto fault = [](const std::string& pairs) {
    LoadOptions options;
    auto config = Config::parse("{" + std::string(R"("session":{"state":{)") + pairs + "}}}", "test");
    if (!config.ok()) return std::string(config.status().text());
    options.config = *std::move(config);
    const std::string bytes = graph_bytes(decoder);
    return std::string(Session::load_bytes(std::as_bytes(std::span(bytes)), std::move(options)).status().text());
  };
  EXPECT_THAT(fault(R"("past":"k")"), HasSubstr("the model has no input \"past\""));
  EXPECT_THAT(fault(R"("past_*":"present_*")"), HasSubstr("would become output \"present_k\", which the model does not have"));
  EXPECT_THAT(fault(R"("past_k":"k","past_*":"*")"), HasSubstr("named twice"));
  EXPECT_THAT(fault(R"("past_k":"before")"), HasSubstr("tensors of one type"));
  EXPECT_THAT(fault(R"("past_k":3)"), HasSubstr("/session/state/past_k"));
  auto kept = keeping(R"("session":{"state":{"past_*":"*"}})");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->inputs().size(), 3u);
}

// What is no cache is handed on: zeros to begin with, then what the last run made.
TEST(State, OtherValuesAreHandedOn) {
  auto s = session(graph_bytes("g (float[N,2] x, float[N,2] h) => (float[N,2] y, float[N,2] next) { next = Add(x, h) y = Neg(next) }"),
                   with_providers({"cpu"}, R"("session":{"state":{"h":"next"}})"));
  ASSERT_TRUE(s);
  ASSERT_EQ(s->placement().notes.size(), 1u);
  EXPECT_THAT(s->placement().notes[0], HasSubstr("handed on whole"));
  const std::vector<NamedDatum> feeds{{"x", tensor<float>({1, 2}, {1, 10})}};
  for (float n : {1.0f, 2.0f, 3.0f}) {
    const auto out = run(*s, feeds);
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(values<float>(out[0].datum), (std::vector<float>{-n, -10 * n}));
  }
  std::vector<NamedDatum> out, given = feeds;
  given.push_back({"h", tensor<float>({1, 2}, {100, 100})});
  EXPECT_EQ(values<float>(run(*s, given)[0].datum), (std::vector<float>{-101, -110}));
  EXPECT_EQ(values<float>(run(*s, feeds)[0].datum), (std::vector<float>{-102, -120}));
  ASSERT_TRUE(s->state()->truncate(0).ok());
  EXPECT_EQ(values<float>(run(*s, feeds)[0].datum), (std::vector<float>{-1, -10}));
}

}  // namespace
}  // namespace tenon
