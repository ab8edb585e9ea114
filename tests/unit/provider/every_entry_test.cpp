// An exception out of any function of a provider's table is caught, named, and leaves the process, the session and other providers
// as they were.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "core/base/log.h"
#include "core/provider/watch.h"
#include "tests/plugins/every_entry.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::HasSubstr;

#define TENON_TEST_NAME(entry) #entry,
const std::vector<std::string> entries{TENON_TEST_ENTRIES(TENON_TEST_NAME)};
#undef TENON_TEST_NAME

// The functions of the table that are described, whoever adds one.
TEST(EveryEntry, IsThatOfTheDescription) {
  const auto abi = nlohmann::json::parse(std::ifstream(std::string(TENON_SOURCE_DIR) + "/plugin-api/abi.json"));
  std::set<std::string> described;
  for (const auto& member : abi.at("structs").at("tenon_provider_api").at("fields"))
    if (member.at("type").get<std::string>().find("(*)") != std::string::npos) described.insert(member.at("name").get<std::string>());
  EXPECT_EQ(std::set<std::string>(entries.begin(), entries.end()), described);
  EXPECT_GE(described.size(), 29u);
}

// What was logged while it lives.
class Logged {
 public:
  Logged() {
    log_set_sink([this](std::int32_t, std::string_view, std::string_view text) {
      std::lock_guard lock(mutex_);
      text_ += std::string(text) + "\n";
    });
  }
  ~Logged() { log_set_sink({}); }
  std::string text() {
    std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

class Throws : public ::testing::TestWithParam<std::string> {
 protected:
  // The late device has no bindings and no fingerprint; "binds" has them.
  static bool bound(const std::string& entry) { return entry.starts_with("bind") || entry == "plan_bind" || entry == "fingerprint" || entry == "get_extension"; }
  const char* variable = bound(GetParam()) ? "TENON_TEST_HOSTILE_THROW" : "TENON_TEST_ASYNC_THROW";
  void TearDown() override { ::unsetenv(variable); }
};

TEST_P(Throws, AndIsCaught) {
  const std::string entry = GetParam();
  // Devices of one family wait for each other by events or share a stream, others wait for the host.
  const std::string bytes = graph_bytes("g (float[N] x) => (float[N] y) { a = Relu(x) [late_1] b = Neg(a) c = Abs(b) d = Sin(c) [other_1] e = Exp(d) [host_1] y = Neg(e) }");
  const auto cache = std::filesystem::temp_directory_path() / ("tenon_every_entry_" + std::to_string(::getpid()));
  std::filesystem::create_directories(cache);
  std::filesystem::permissions(cache, std::filesystem::perms::owner_all);
  const auto with = [&] {
    const bool binds = bound(entry);
    return config("{\"providers\":[{\"use\":\"" + std::string(binds ? "hostile" : "async") + "\",\"device\":\"*\"}],\"provider_paths\":[\"" + TENON_BINARY_DIR +
                  "/test_providers/" + (binds ? "binds" : "async") + "\"],\"placement\":{\"costs\":\"" + cache.string() + "\"},\"trust\":{\"probe\":\"never\"}}");
  };
  std::string said;
  {
    Logged logged;
    ::setenv(variable, entry.c_str(), 1);
    for (int again = 0; again < 2; ++again) {
      auto s = load(bytes, with());
      if (!s.ok()) {
        said += s.status().text();
        continue;
      }
      for (const std::string& note : (*s)->placement().notes) said += note;
      for (std::int64_t n : {3, 3, 5}) {
        std::vector<NamedDatum> out;
        const Status status = (*s)->run(std::vector<NamedDatum>{{"x", tensor<float>({n}, std::vector<float>(static_cast<std::size_t>(n), 0.5f))}}, {}, out);
        said += status.text();
      }
    }
    ::unsetenv(variable);
    said += logged.text();
  }
  EXPECT_THAT(said, HasSubstr(bound(entry) ? "provider hostile" : "provider async"));
  EXPECT_THAT(said, HasSubstr("threw an exception across the ABI: boom in " + entry));
  auto s = session(bytes, with());
  ASSERT_TRUE(s);
  EXPECT_EQ(run(*s, {{"x", tensor<float>({2}, {1, 2})}}).size(), 1u);
  auto other = session(graph_bytes("g (float[N] x) => (float[N] y) { y = Relu(x) }"), with_providers({"second"}));
  ASSERT_TRUE(other);
  EXPECT_EQ(values<float>(run(*other, {{"x", tensor<float>({2}, {-1, 1})}})[0].datum), (std::vector<float>{0, 1}));
  s.reset();
  std::filesystem::remove_all(cache);
}

// The host calls all of them but one: it waits for whole streams (core/README.md).
std::vector<std::string> called() {
  std::vector<std::string> out = entries;
  std::erase(out, "event_host_wait");
  return out;
}
INSTANTIATE_TEST_SUITE_P(EveryEntry, Throws, ::testing::ValuesIn(called()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tenon
