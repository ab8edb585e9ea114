// Providers that do not come back from a call (tests/plugins: hostile's hang_in_*, async): whoever waits for them gets an error that
// names the call, soon after his limit; what they may touch stays; others are told, or served by other providers; and once they do
// come back all is as before.
#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <unistd.h>

#include "core/provider/watch.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr const char* relu = "g (float[N] x) => (float[N] y) { [first] y = Relu(x) }";
constexpr const char* alone = R"("placement":{"on_unsupported":"error"})";
constexpr auto limit = 400ms;  // a loaded machine gets as far as the call in it
// A caller is to be back 100 ms after its limit; a machine that does other things is given some more. What hangs does so for ever.
constexpr auto soon = limit + 100ms + 2s;

void wait_for_all() {
  for (int i = 0; i < 2000 && Watch::outstanding() > 0; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(Watch::outstanding(), 0u) << "what was let go on did not end";
}

// A copy of the provider that does wrong in this way, for this process alone, and the file that lets it go on.
class Hanging {
 public:
  explicit Hanging(const std::string& way) : root_(fs::temp_directory_path() / ("tenon_watch_" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
    const fs::path built = fs::path(TENON_BINARY_DIR) / "test_providers" / way;
    if (fs::exists(built)) fs::copy(built, root_ / way);
    way_ = root_ / way;
  }
  ~Hanging() {
    go_on();
    fs::remove_all(root_);
  }
  void go_on() const {
    std::ofstream(way_ / "return") << "go on";
    wait_for_all();
  }
  // Of sessions with it; `more` follows the lists of providers.
  Config with(const std::string& more, const std::string& others = "", const std::string& entry = "") const {
    return config(R"({"providers":[{"use":"hostile")" + entry + "}" + others + R"(],"provider_paths":[")" + way_.string() + "\",\"" + TENON_BINARY_DIR +
                  R"(/test_providers/second"],"trust":{"probe":"never"},)" + more + "}");
  }
  std::string cache() const {
    fs::create_directories(root_ / "cache");
    fs::permissions(root_ / "cache", fs::perms::owner_all);
    return (root_ / "cache").string();
  }
  std::string file() const { return (way_ / "return").string(); }

 private:
  fs::path root_, way_;
};

// Devices are set aside at once.
std::string limits(const std::string& key, const std::string& more = alone) { return R"("limits":{)" + (key.empty() ? "" : key + ",") + R"("late":"0s"},)" + more; }

Status run_for(const Session& s, std::chrono::milliseconds time, std::shared_ptr<CancelToken> cancel = nullptr) {
  RunOptions options;
  options.deadline = Clock::now() + time;
  options.cancel = std::move(cancel);
  std::vector<NamedDatum> out;
  return s.run(std::vector<NamedDatum>{{"x", tensor<float>({2}, {-3, 3})}}, {}, out, options);
}
void runs(const Session& s) { EXPECT_EQ(values<float>(run(s, {{"x", tensor<float>({2}, {-3, 3})}})[0].datum), (std::vector<float>{0, 3})); }

void others_still_serve() {
  auto good = session(graph_bytes(relu), with_providers({"second"}));
  ASSERT_TRUE(good);
  runs(*good);
}

// ---- while a model is loaded ---------------------------------------------------------------------------------------------------

class HangsInLoad : public ::testing::TestWithParam<const char*> {};

TEST_P(HangsInLoad, AndIsLeftBehind) {
  const std::string call = GetParam();
  const Hanging provider("hang_in_" + call);
  const std::string more = R"("placement":{"on_unsupported":"error","costs":")" + provider.cache() + "\"}";  // costs are kept by fingerprint
  const auto start = Clock::now();
  const auto first = load(graph_bytes(relu), provider.with(limits(R"("load":"400ms")", more)));
  EXPECT_LT(Clock::now() - start, soon);
  EXPECT_EQ(first.status().code(), TENON_DEADLINE_EXCEEDED);
  EXPECT_THAT(std::string(first.status().text()),
              AllOf(HasSubstr("provider hostile"), HasSubstr(call), ContainsRegex("has not returned after [0-9]+\\.[0-9]"), HasSubstr("/limits/load is over")));
  // Whoever comes next is told, and does not wait.
  const auto second = load(graph_bytes(relu), provider.with(more));
  EXPECT_EQ(second.status().code(), TENON_UNAVAILABLE);
  EXPECT_THAT(std::string(second.status().text()), AllOf(HasSubstr("provider hostile"), HasSubstr(call), HasSubstr("set aside until it does")));
  EXPECT_EQ(Watch::outstanding(), 1u);
  others_still_serve();
  // Where it is not required it is left out, with a note.
  auto without = session(graph_bytes(relu), provider.with("\"x-a\":0", R"(,{"use":"second"})", R"(,"required":false)"));
  ASSERT_TRUE(without);
  runs(*without);
  ASSERT_FALSE(without->placement().notes.empty());
  EXPECT_THAT(without->placement().notes[0], HasSubstr("set aside"));
  provider.go_on();
  auto again = session(graph_bytes(relu), provider.with(more));
  ASSERT_TRUE(again);
  runs(*again);
}

INSTANTIATE_TEST_SUITE_P(Watch, HangsInLoad,
                         ::testing::Values("create", "enumerate", "device_open", "get_extension", "query", "fingerprint", "compile"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Watch, OneCallHasALimitOfItsOwn) {
  const Hanging provider("hang_in_compile");
  const auto start = Clock::now();
  const std::string text = load_failure(graph_bytes(relu), provider.with(limits(R"("call":"400ms")")));
  EXPECT_LT(Clock::now() - start, soon);
  EXPECT_THAT(text, AllOf(HasSubstr("provider hostile: device \"hostile\": compile of part 0: node \"first\" (Relu)"), HasSubstr("/limits/call is over"),
                          HasSubstr("the device is set aside until it returns")));
}

TEST(Watch, ACancelEndsALoadThatHangs) {
  const Hanging provider("hang_in_query");
  LoadOptions options;
  options.config = provider.with(alone);
  options.cancel = std::make_shared<CancelToken>();
  std::thread other([token = options.cancel] {
    std::this_thread::sleep_for(limit);
    token->cancel();
  });
  const auto start = Clock::now();
  const std::string bytes = graph_bytes(relu);
  const auto s = Session::load_bytes({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, std::move(options));
  EXPECT_LT(Clock::now() - start, soon);
  EXPECT_EQ(s.status().code(), TENON_CANCELLED);
  EXPECT_THAT(std::string(s.status().text()), AllOf(HasSubstr("provider hostile"), HasSubstr("query has not returned"), HasSubstr("the caller has cancelled")));
  other.join();
}

TEST(Watch, ProgressIsReportedOnTheThreadThatLoads) {
  LoadOptions options;
  options.config = with_providers({"second"});
  std::vector<std::string> seen;
  bool here = true;
  options.progress = [&, me = std::this_thread::get_id()](double, const char* what) {
    here = here && std::this_thread::get_id() == me;
    seen.push_back(what);
  };
  const std::string bytes = graph_bytes(relu);
  ASSERT_TRUE(Session::load_bytes({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, std::move(options)).ok());
  EXPECT_TRUE(here);
  EXPECT_THAT(seen, ::testing::IsSupersetOf({"loading providers", "compiling", "done"}));
}

// ---- while it runs --------------------------------------------------------------------------------------------------------------

class HangsInRun : public ::testing::TestWithParam<const char*> {};

TEST_P(HangsInRun, AndIsLeftBehind) {
  const std::string call = GetParam();
  const Hanging provider("hang_in_" + call);
  auto s = session(graph_bytes(relu), provider.with(limits("")));
  ASSERT_TRUE(s);
  {
    // Memory of the caller's, in and out, that is gone as soon as the run has returned.
    std::vector<float> x(4096, -1), y(4096, 7);
    Datum in, out;
    in.dtype = out.dtype = TENON_DTYPE_FLOAT;
    in.dims = out.dims = {4096};
    in.data = reinterpret_cast<std::byte*>(x.data()), out.data = reinterpret_cast<std::byte*>(y.data());
    in.bytes = out.bytes = 4096 * sizeof(float);
    std::vector<NamedDatum> results{{"y", out}};
    RunOptions options;
    options.deadline = Clock::now() + limit;
    const auto start = Clock::now();
    const Status status = s->run(std::vector<NamedDatum>{{"x", in}}, std::vector<std::string>{"y"}, results, options);
    EXPECT_LT(Clock::now() - start, soon);
    EXPECT_EQ(status.code(), TENON_DEADLINE_EXCEEDED);
    EXPECT_THAT(std::string(status.text()), AllOf(HasSubstr("provider hostile: device \"hostile\": " + call + " of node \"first\" (Relu) has not returned after 0."),
                                                  HasSubstr("one is so in this process")));
  }
  // Neither the next run nor the next session waits for it, deadline or not.
  EXPECT_THAT(run_failure(*s, {{"x", tensor<float>({2}, {-3, 3})}}), AllOf(HasSubstr(call), HasSubstr("the device is set aside")));
  EXPECT_THAT(load_failure(graph_bytes(relu), provider.with(alone)), HasSubstr("the device is set aside"));
  EXPECT_THAT(s->placement().notes.back(), HasSubstr("set aside"));
  others_still_serve();
  s.reset();  // closes at once, and frees nothing that the thread may touch
  EXPECT_EQ(Watch::outstanding(), 1u);
}

TEST_P(HangsInRun, AndTheSessionGoesOnWhenItReturns) {
  const Hanging provider(std::string("hang_in_") + GetParam());
  auto s = session(graph_bytes(relu), provider.with(limits(R"("run":"400ms")")));
  ASSERT_TRUE(s);
  EXPECT_THAT(run_failure(*s, {{"x", tensor<float>({2}, {-3, 3})}}), HasSubstr("/limits/run"));
  provider.go_on();
  runs(*s);
  for (const std::string& note : s->placement().notes) EXPECT_THAT(note, ::testing::Not(HasSubstr("set aside")));
}

INSTANTIATE_TEST_SUITE_P(Watch, HangsInRun, ::testing::Values("program_plan", "execute"), [](const auto& info) { return std::string(info.param); });

TEST(Watch, RunsThatWaitForTheSameAreToldToo) {
  const Hanging provider("hang_in_program_plan");
  auto s = session(graph_bytes(relu), provider.with(limits("")));
  ASSERT_TRUE(s);
  std::thread other([&] { EXPECT_EQ(run_for(*s, limit).code(), TENON_DEADLINE_EXCEEDED); });
  std::this_thread::sleep_for(limit / 3);
  // It has no deadline, and waits behind the other to have its sizes planned.
  EXPECT_THAT(run_failure(*s, {{"x", tensor<float>({2}, {-3, 3})}}), HasSubstr("program_plan of node \"first\" (Relu) has not returned"));
  other.join();
}

TEST(Watch, APlacementComesWithoutMemoryWhereNobodyPlansIt) {
  const Hanging provider("hang_in_program_plan");
  auto s = session(graph_bytes(relu), provider.with(limits(R"("call":"1s")")));
  ASSERT_TRUE(s);
  const PlacementReport& r = s->placement();
  ASSERT_EQ(r.nodes.size(), 1u);
  EXPECT_EQ(r.nodes[0].provider, "hostile");
  EXPECT_THAT(r.memory.note, AllOf(HasSubstr("placement"), HasSubstr("program_plan of node \"first\" (Relu) has not returned")));
  EXPECT_TRUE(r.memory.domains.empty());
  EXPECT_THAT(s->placement().notes, ::testing::Contains(HasSubstr("set aside")));
  provider.go_on();
  EXPECT_EQ(s->placement().memory.note, "");
  EXPECT_FALSE(s->placement().memory.domains.empty() && s->placement().memory.steps.empty());
  EXPECT_THAT(r.memory.note, HasSubstr("program_plan")) << "a report that was given out stays";
}

TEST(Watch, ACancelEndsARunThatHangs) {
  const Hanging provider("hang_in_execute");
  auto s = session(graph_bytes(relu), provider.with(alone));
  ASSERT_TRUE(s);
  const auto token = std::make_shared<CancelToken>();
  std::thread other([&] {
    std::this_thread::sleep_for(limit);
    token->cancel();
  });
  const auto start = Clock::now();
  EXPECT_EQ(run_for(*s, 1h, token).code(), TENON_CANCELLED);
  EXPECT_LT(Clock::now() - start, soon);
  other.join();
}

TEST(Watch, ADeviceThatIsMerelyLateIsStillUsed) {
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y) { a = Relu(x) y = Relu(a) }"), with_providers({"slow_kernel"}));
  ASSERT_TRUE(s);
  EXPECT_EQ(run_for(*s, 30ms).code(), TENON_DEADLINE_EXCEEDED);  // 300 ms a kernel: it is left behind
  EXPECT_EQ(Watch::outstanding(), 1u);
  runs(*s);
  wait_for_all();
}

TEST(Watch, AModelMayBePlacedAnewWithoutTheDevice) {
  const Hanging provider("hang_in_execute");
  auto s = session(graph_bytes(relu), provider.with(limits("", R"("placement":{"on_device_lost":"replace"})")));
  ASSERT_TRUE(s);
  EXPECT_EQ(run_for(*s, limit).code(), TENON_DEADLINE_EXCEEDED);
  runs(*s);
  EXPECT_EQ(s->placement().nodes[0].provider, "cpu");
}

TEST(Watch, ResultsWithADeadlineAreThoseWithout) {
  auto s = session(graph_bytes("g (float[N] x, float[N] z) => (float[N] y, float[N] w) { y = Relu(x) w = Add(x, z) }"), with_providers({"second"}));
  ASSERT_TRUE(s);
  std::vector<float> x{-1, 2, -3}, y(3, 9);
  Datum in, out;
  in.dtype = out.dtype = TENON_DTYPE_FLOAT;
  in.dims = out.dims = {3};
  in.data = reinterpret_cast<std::byte*>(x.data()), out.data = reinterpret_cast<std::byte*>(y.data());
  in.bytes = out.bytes = 12;
  RunOptions options;
  Profile profile;
  options.profile = &profile;
  for (int again = 0; again < 3; ++again) {
    std::vector<NamedDatum> results{{"y", out}, {"w", {}}};
    options.deadline = Clock::now() + 1min;
    const Status status = s->run(std::vector<NamedDatum>{{"x", in}, {"z", tensor<float>({3}, {1, 1, 1})}}, std::vector<std::string>{"y", "w"}, results, options);
    ASSERT_TRUE(status.ok()) << status.text();
    EXPECT_EQ(y, (std::vector<float>{0, 2, 0}));
    EXPECT_EQ(results[0].datum.data, reinterpret_cast<std::byte*>(y.data()));
    EXPECT_EQ(values<float>(results[1].datum), (std::vector<float>{0, 3, -2}));
    EXPECT_FALSE(profile.events.empty());
  }
}

// ---- a device with a memory and streams of its own ------------------------------------------------------------------------------

class HangsInDevice : public ::testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { ::unsetenv("TENON_TEST_ASYNC_HANG"); }
};

TEST_P(HangsInDevice, AndIsLeftBehind) {
  const Hanging provider("async");  // its copy is not used: its file is
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y) { a = Relu(x) b = Sin(a) y = Relu(b) }"),
                   config("{\"providers\":[{\"use\":\"async\",\"device\":\"0\"}],\"provider_paths\":[\"" + std::string(TENON_BINARY_DIR) +
                          "/test_providers/async\"],\"limits\":{\"late\":\"0s\"},\"trust\":{\"probe\":\"never\"}}"));
  ASSERT_TRUE(s);
  ::setenv("TENON_TEST_ASYNC_HANG", (std::string(GetParam()) + ":" + provider.file()).c_str(), 1);
  const auto start = Clock::now();
  const Status status = run_for(*s, limit);
  EXPECT_LT(Clock::now() - start, soon);
  EXPECT_EQ(status.code(), TENON_DEADLINE_EXCEEDED);
  EXPECT_THAT(std::string(status.text()), HasSubstr("provider async: device \"async:lazy\": " + std::string(GetParam())));
  EXPECT_THAT(run_failure(*s, {{"x", tensor<float>({2}, {-3, 3})}}), HasSubstr("the device is set aside"));
  provider.go_on();
  EXPECT_EQ(values<float>(run(*s, {{"x", tensor<float>({2}, {-3, 0})}})[0].datum), (std::vector<float>{0, 0}));
}

INSTANTIATE_TEST_SUITE_P(Watch, HangsInDevice, ::testing::Values("buffer_alloc", "copy", "stream_create", "execute", "stream_sync"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace tenon
