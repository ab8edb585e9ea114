// A device that records ranges of steps and replays them (tests/plugins/capturing.cpp): one execute for a range in every
// run, addresses that move told by one binding_update before it.
#include <gmock/gmock.h>

#include "core/provider/registry.h"
#include "tests/plugins/capturing.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::Each;
using ::testing::ElementsAre;

class CapturedGraphs : public ::testing::Test {
 protected:
  CapturedGraphs()
      : provider_(*Registry::instance().open(folder_ + "/capturing.tenon.json")),
        session_(session(graph_bytes("g (float[N] x, float[N] u) => (float[N] y, float[N] z) { a = Neg(x) b = Add(a, u) y = Relu(b) z = Add(b, x) }"),
                         config("{\"providers\":[{\"use\":\"capturing\"}],\"provider_paths\":[\"" + folder_ + "\"]}"))),
        before_(counts()) {}

  const capturing_counts& counts() const { return *static_cast<const capturing_counts*>(provider_->extension("test.capturing", 1)); }
  // Since the test began.
  std::uint32_t since(std::uint32_t capturing_counts::*what) const { return counts().*what - before_.*what; }
  // Runs at this size and checks what comes out; feeds lie at addresses of their own.
  void run_once(std::int64_t n, float x, float u) {
    const auto count = static_cast<std::size_t>(n);
    held_.push_back({{"x", tensor<float>({n}, std::vector<float>(count, x))}, {"u", tensor<float>({n}, std::vector<float>(count, u))}});
    const auto out = run(*session_, held_.back());
    ASSERT_EQ(out.size(), 2u);
    EXPECT_THAT(values<float>(out[0].datum), Each(std::max(0.0f, u - x)));
    EXPECT_THAT(values<float>(out[1].datum), Each(u));
  }

  const std::string folder_ = std::string(TENON_BINARY_DIR) + "/test_providers/capturing";
  ProviderPtr provider_;
  std::unique_ptr<Session> session_;
  capturing_counts before_;
  std::vector<std::vector<NamedDatum>> held_;
};

TEST_F(CapturedGraphs, OneExecuteForARangeInEveryRunAndFeedsThatMove) {
  ASSERT_TRUE(session_);
  for (int i = 0; i < 6; ++i) run_once(3, static_cast<float>(i), 4);
  EXPECT_EQ(since(&capturing_counts::bound), 1u);
  EXPECT_EQ(since(&capturing_counts::executed), 6u) << "one for all steps of the part";
  EXPECT_EQ(since(&capturing_counts::steps), 24u);
  EXPECT_EQ(since(&capturing_counts::captured), 1u);
  EXPECT_EQ(since(&capturing_counts::replayed), 4u);
  EXPECT_EQ(since(&capturing_counts::updates), 5u) << "one before each run but the first";
  EXPECT_GE(since(&capturing_counts::updated), 10u) << "both feeds have moved each time";
}

TEST_F(CapturedGraphs, ARunWithTheSameMemoryTellsNothing) {
  ASSERT_TRUE(session_);
  const std::vector<NamedDatum> feeds{{"x", tensor<float>({2}, {1, 2})}, {"u", tensor<float>({2}, {5, 5})}};
  std::vector<NamedDatum> out{{"", tensor<float>({2}, {0, 0})}, {"", tensor<float>({2}, {0, 0})}};
  for (int i = 0; i < 4; ++i) {
    const Status status = session_->run(feeds, {}, out);
    ASSERT_TRUE(status.ok()) << status.text();
  }
  EXPECT_THAT(values<float>(out[0].datum), ElementsAre(4, 3));
  EXPECT_EQ(since(&capturing_counts::updates), 0u);
  EXPECT_EQ(since(&capturing_counts::replayed), 2u);
}

TEST_F(CapturedGraphs, EachSizeHasABindingAndARecordOfItsOwn) {
  ASSERT_TRUE(session_);
  for (int i = 0; i < 4; ++i) {
    run_once(3, static_cast<float>(i), 2);
    run_once(8, 1, static_cast<float>(i));
  }
  EXPECT_EQ(since(&capturing_counts::executed), 8u);
  EXPECT_EQ(since(&capturing_counts::captured), 2u);
  EXPECT_EQ(since(&capturing_counts::bound), 3u) << "the first is bound again, as the arena has grown";
}

TEST_F(CapturedGraphs, AProfileRunsStepByStepAndLeavesTheRecordAlone) {
  ASSERT_TRUE(session_);
  for (int i = 0; i < 3; ++i) run_once(3, 1, 4);
  Profile profile;
  RunOptions options;
  options.profile = &profile;
  std::vector<NamedDatum> out;
  ASSERT_TRUE(session_->run(held_.back(), {}, out, options).ok());
  EXPECT_EQ(since(&capturing_counts::executed), 7u) << "four steps, one by one";
  EXPECT_EQ(since(&capturing_counts::replayed), 1u);
  run_once(3, 2, 4);
  EXPECT_EQ(since(&capturing_counts::replayed), 2u);
}

}  // namespace
}  // namespace tenon
