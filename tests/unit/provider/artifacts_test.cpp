// What providers store of compile: found again by what was compiled, never by what only looks like it.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "core/provider/registry.h"
#include "tests/plugins/artifact.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;

class Artifacts : public ::testing::Test {
 protected:
  Artifacts() : folder_(std::string(::testing::TempDir()) + "/tenon_artifacts_" + ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    std::filesystem::permissions(folder_, std::filesystem::perms::owner_all);
    provider_ = *Registry::instance().open(std::string(TENON_BINARY_DIR) + "/test_providers/artifact/artifact.tenon.json");
  }
  ~Artifacts() override { std::filesystem::remove_all(folder_); }

  // Loads the model, checks that it runs, and says what the provider counted: compiled, found, missed.
  std::vector<std::uint32_t> load(const std::string& graph, const std::string& options = "{}") {
    const artifact_counts before = counts();
    auto s = session(graph_bytes(graph), config(R"({"providers":[{"use":"artifact","options":)" + options + R"(}],"provider_paths":[")" +
                                                std::string(TENON_BINARY_DIR) + R"(/test_providers/artifact"],"session":{"cache":")" + folder_ + "\"}}"));
    if (!s) return {};
    const auto out = run(*s, {{"x", tensor<float>({2}, {-1, 2})}});
    EXPECT_EQ(values<float>(out.at(0).datum), (std::vector<float>{0, 2}));
    const artifact_counts& after = counts();
    return {after.compiled - before.compiled, after.found - before.found, after.missed - before.missed};
  }
  const artifact_counts& counts() const { return *static_cast<const artifact_counts*>(provider_->extension("test.artifact", 1)); }
  std::string key() const { return counts().key; }

  const std::string folder_;
  ProviderPtr provider_;
};

using Counts = std::vector<std::uint32_t>;
constexpr const char* relu = "g (float[2] x) => (float[2] y) { y = Relu(x) }";

TEST_F(Artifacts, AreFoundAgainByTheSamePart) {
  EXPECT_EQ(load(relu), (Counts{1, 0, 1}));
  EXPECT_EQ(load(relu), (Counts{1, 1, 0}));
  const std::string first = key();
  EXPECT_EQ(first.size(), 32u);
  EXPECT_EQ(load("other (float[2] x) => (float[2] z) { z = Relu(x) }"), (Counts{1, 1, 0})) << "names are no part of the key";
  EXPECT_EQ(key(), first);
}

TEST_F(Artifacts, AnotherPartOrOtherOptionsHaveAnotherKey) {
  EXPECT_EQ(load(relu), (Counts{1, 0, 1}));
  EXPECT_EQ(load("g (float[N] x) => (float[N] y) { y = Relu(x) }"), (Counts{1, 0, 1})) << "other dims";
  EXPECT_EQ(load("g (float[2] x) => (float[2] y) { t = Relu(x) y = Relu(t) }"), (Counts{1, 0, 1})) << "other nodes";
  EXPECT_EQ(load("g (float[2] x) => (float[2] y, float[2] t) { t = Relu(x) y = Relu(t) }"), (Counts{1, 0, 1})) << "other outputs";
  EXPECT_EQ(load(relu, R"({"speed": 1})"), (Counts{1, 0, 1})) << "other options";
  EXPECT_EQ(load(relu, R"({"speed": 1})"), (Counts{1, 1, 0}));
}

TEST_F(Artifacts, ThatDoNotFitAreCompiledAgain) {
  EXPECT_EQ(load(relu, R"({"stale": true})"), (Counts{1, 0, 1}));
  EXPECT_EQ(load(relu, R"({"stale": true})"), (Counts{2, 1, 1})) << "found, refused, compiled without";
}

TEST(Trace, EventsOfADeviceStandInsideItsStep) {
  auto s = session(graph_bytes(relu), config(R"({"providers":[{"use":"artifact"}],"provider_paths":[")" + std::string(TENON_BINARY_DIR) + R"(/test_providers/artifact"]})"));
  ASSERT_TRUE(s);
  Profile profile;
  RunOptions options;
  options.profile = &profile;
  std::vector<NamedDatum> out;
  const std::vector<NamedDatum> feeds = {{"x", tensor<float>({2}, {-1, 2})}};
  ASSERT_TRUE(s->run(feeds, {}, out, options).ok());
  ASSERT_EQ(profile.events.size(), 3u) << "a step and what its device did in it";
  const ProfileEvent& step = profile.events[0];
  for (int i = 1; i < 3; ++i) {
    const ProfileEvent& event = profile.events[static_cast<std::size_t>(i)];
    EXPECT_EQ(event.name, "relu kernel");
    EXPECT_EQ(event.op_type, i == 1 ? "queue 0" : "queue 1");
    EXPECT_EQ(event.provider, "artifact");
    EXPECT_GE(event.start_ns, step.start_ns);
    EXPECT_LE(event.start_ns + event.duration_ns, step.start_ns + step.duration_ns);
  }
}

TEST_F(Artifacts, DamagedFilesAreNotHandedOut) {
  EXPECT_EQ(load(relu), (Counts{1, 0, 1}));
  int damaged = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    if (!entry.is_regular_file() || entry.file_size() < 16) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(-1, std::ios::end);
    const char last = static_cast<char>(file.get() ^ 1);
    file.seekp(-1, std::ios::end);
    file.put(last);
    ++damaged;
  }
  EXPECT_EQ(damaged, 1);
  EXPECT_EQ(load(relu), (Counts{1, 0, 1}));
  EXPECT_EQ(load(relu), (Counts{1, 1, 0})) << "put anew";
}

}  // namespace
}  // namespace tenon
