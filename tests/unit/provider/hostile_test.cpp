// Providers that do wrong (tests/plugins/hostile.cpp): each is refused with a reason that names it at the stage where it went
// wrong, the process goes on, and others still serve.
#include <gmock/gmock.h>

#include <cfenv>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "core/provider/registry.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* relu = "g (float[N] x) => (float[N] y) { y = Relu(x) }";
constexpr const char* alone = R"("placement":{"on_unsupported":"error"})";

// Records of libraries that were tried go to a folder of this process.
class Private : public ::testing::Environment {
 public:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("tenon_hostile_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    ::setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("XDG_CACHE_HOME");
    fs::remove_all(folder_);
  }

 private:
  fs::path folder_;
};
const auto* const set_up = ::testing::AddGlobalTestEnvironment(new Private);

struct Case {
  const char* how;
  const char* text;  // in the error
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.how; }
std::string name_of(const ::testing::TestParamInfo<Case>& info) { return info.param.how; }

void others_still_serve() {
  auto good = session(graph_bytes(relu), with_providers({"second"}));
  ASSERT_TRUE(good);
  EXPECT_EQ(values<float>(run(*good, {{"x", tensor<float>({2}, {-3, 3})}})[0].datum), (std::vector<float>{0, 3}));
}

// ---- found, loaded, created, asked, compiled -------------------------------------------------------------------------------

class RefusedAtLoad : public ::testing::TestWithParam<Case> {};

TEST_P(RefusedAtLoad, WithItsReason) {
  for (int again = 0; again < 2; ++again) {
    const std::string text = load_failure(graph_bytes(relu), with_providers({GetParam().how}, alone));
    EXPECT_THAT(text, HasSubstr(GetParam().text));
    EXPECT_THAT(text, HasSubstr("hostile"));
  }
  others_still_serve();
}

INSTANTIATE_TEST_SUITE_P(Loaded, RefusedAtLoad,
                         ::testing::Values(Case{"no_symbol", "does not export tenon_provider_query"}, Case{"missing_dependency", "libtest_provider_absent.so"},
                                           Case{"refuse_host", "only on Sundays"}, Case{"silent_refusal", "it gives no reason"},
                                           Case{"wrong_major", "made for ABI 2.0"}, Case{"newer_minor", "rebuild the provider"},
                                           Case{"wrong_sanitizer", "sanitizer"},
                                           Case{"wrong_id", "the library says it is \"somebody_else\""}, Case{"no_id", "has no id"},
                                           Case{"unknown_feature", "requires features"}, Case{"short_struct", "its description has 12 bytes"},
                                           Case{"short_table", "its table of functions has"}, Case{"tiny_table", "its table of functions has 4 bytes"},
                                           Case{"missing_function", "lacks required functions: execute"},
                                           Case{"plan_destroy_missing", "program_plan without plan_destroy"}, Case{"half_buffers", "buffer_alloc without"},
                                           Case{"half_streams", "stream_create without"}, Case{"no_table", "no table of functions"}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Created, RefusedAtLoad,
                         ::testing::Values(Case{"throw_in_create", "boom in create"}, Case{"null_provider", "create succeeded without a provider"},
                                           Case{"fail_in_create", "the driver is too old"}, Case{"throw_in_enumerate", "boom in enumerate"},
                                           Case{"no_devices", "it has no device"}, Case{"too_many_devices", "it reports 1099511627776 devices"},
                                           Case{"no_stride", "it has no device"}, Case{"device_without_memory", "has no memory domain"},
                                           Case{"crooked_alignment", "alignment 48"}, Case{"memory_without_alloc", "no buffer_alloc"},
                                           Case{"route_to_nowhere", "a route names a memory domain"}, Case{"null_device", "device_open succeeded without a device"},
                                           Case{"throw_in_open", "boom in device_open"}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Asked, RefusedAtLoad,
                         ::testing::Values(Case{"throw_in_query", "boom in query"}, Case{"throw_an_int", "unknown type"},
                                           Case{"fail_in_query", "the device is asleep"}, Case{"silent_query", "did not answer"},
                                           Case{"claims_none", "not in the mood"}, Case{"claim_outside", "did not answer"},
                                           Case{"claim_twice_the_same", "did not answer"}, Case{"claim_without_nodes", "did not answer"},
                                           Case{"claim_of_nothing", "did not answer"}, Case{"claim_too_short", "did not answer"},
                                           Case{"claim_unknown_flag", "did not answer"}, Case{"rule_outside", "did not answer"}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Compiled, RefusedAtLoad,
                         ::testing::Values(Case{"null_program", "compile succeeded without a program"}, Case{"throw_in_compile", "boom in compile"},
                                           Case{"fail_in_compile", "the code generator fell over"}, Case{"claims_everything", "the code generator fell over"},
                                           Case{"unknown_code", "a code of its own"}, Case{"refuse_compile", "it refused this node when it was compiled or planned"}),
                         name_of);

// ---- what no process survives is tried in another one ------------------------------------------------------------------------

class Quarantined : public ::testing::TestWithParam<Case> {};

TEST_P(Quarantined, BecauseOfWhatItDidInAProcessOfItsOwn) {
  const Config c = with_providers({GetParam().how}, std::string(alone) + R"(,"trust":{"probe_limit":"1s"})");
  for (int again = 0; again < 2; ++again)
    EXPECT_THAT(load_failure(graph_bytes(relu), c), AllOf(HasSubstr("quarantine"), HasSubstr(GetParam().text), HasSubstr("--forget-quarantine hostile")));
  others_still_serve();
  // It is listed so, without being loaded; and once it is forgotten it is tried again.
  const std::vector<std::string> paths{std::string(TENON_BINARY_DIR) + "/test_providers/" + GetParam().how};
  for (const ProviderInfo& info : Registry::instance().list(paths))
    EXPECT_TRUE(info.id != "hostile" || info.state == "quarantined") << info.state << ": " << info.reason;
  const Status forgotten = Registry::instance().forget_quarantine("hostile", paths);
  EXPECT_TRUE(forgotten.ok()) << forgotten.text();
  EXPECT_EQ(Registry::instance().forget_quarantine("hostile", paths).code(), TENON_NOT_FOUND);
  EXPECT_THAT(load_failure(graph_bytes(relu), c), HasSubstr("quarantine"));
}

INSTANTIATE_TEST_SUITE_P(Hostile, Quarantined,
                         ::testing::Values(Case{"constructor_throws", "SIGABRT"}, Case{"constructor_aborts", "SIGABRT"}, Case{"constructor_crashes", "while loading"},
                                           Case{"constructor_exits", "exited with 0 while loading"}, Case{"constructor_hangs", "still running"},
                                           Case{"entry_crashes", "while describing itself"}, Case{"entry_hangs", "still running after 1"}),
                         name_of);

// ---- files that are no libraries -----------------------------------------------------------------------------------------------

class NoLibrary : public ::testing::TestWithParam<const char*> {};

TEST_P(NoLibrary, IsRefused) {
  const std::string way = GetParam();
  const fs::path folder = fs::temp_directory_path() / ("tenon_no_library_" + std::to_string(::getpid()) + "_" + way);
  fs::create_directories(folder);
  const fs::path library = folder / "libhostile.so";
  std::ifstream good(std::string(TENON_BINARY_DIR) + "/test_providers/hostile/libtenon_provider_hostile.so", std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(good)), {});
  ASSERT_GT(bytes.size(), 1000u);
  if (way == "folder") fs::create_directories(library);
  if (way == "text") bytes = "#!/bin/sh\necho no library\n";
  if (way == "empty") bytes.clear();
  if (way == "half") bytes.resize(bytes.size() / 2);
  if (way == "head") bytes.resize(100);
  if (way == "other_machine") bytes[18] = 0x2a, bytes[19] = 0;  // SuperH
  if (way == "other_class") bytes[4] = 1;                       // 32 bits
  if (way == "other_order") bytes[5] = 2;                       // big-endian
  if (way != "folder") std::ofstream(library, std::ios::binary) << bytes;
  std::ofstream(folder / "hostile.tenon.json") << nlohmann::json{{"manifest_version", 1}, {"id", "hostile"}, {"version", "1"},
                                                                 {"abi", {{"major", TENON_ABI_MAJOR}, {"target", TENON_ABI_MINOR}}},
                                                                 {"library", {{platform_key(), "libhostile.so"}}}};
  const std::string text = load_failure(graph_bytes(relu), config(R"({"providers":[{"use":"hostile"}],"provider_paths":[")" + folder.string() + "\"]," + alone + "}"));
  EXPECT_THAT(text, HasSubstr("libhostile.so"));
  others_still_serve();
  fs::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(Hostile, NoLibrary, ::testing::Values("folder", "text", "empty", "half", "head", "other_machine", "other_class", "other_order"),
                         [](const auto& info) { return std::string(info.param); });

// ---- planned and run -------------------------------------------------------------------------------------------------------------

class FailsInRun : public ::testing::TestWithParam<Case> {};

TEST_P(FailsInRun, WithItsReason) {
  auto s = session(graph_bytes(relu), with_providers({GetParam().how}, alone));
  ASSERT_TRUE(s);
  for (int again = 0; again < 2; ++again) {
    const std::string text = run_failure(*s, {{"x", tensor<float>({2}, {1, 2})}});
    EXPECT_THAT(text, HasSubstr(GetParam().text));
  }
  s.reset();
  others_still_serve();
}

INSTANTIATE_TEST_SUITE_P(Planned, FailsInRun,
                         ::testing::Values(Case{"throw_in_plan", "provider hostile: threw an exception across the ABI: boom in plan"},
                                           Case{"refuse_shapes", "no sizes please"}, Case{"operand_outside", "provider hostile: a step names operand 1000"},
                                           Case{"stages_fall", "stages fall from 2 to 1"}, Case{"step_unknown_flag", "flags 0x40000000"},
                                           Case{"temp_in_no_domain", "a temp in domain 9 of 1"}, Case{"temp_crooked", "alignment 3"},
                                           Case{"temp_of_all_memory", "limits.memory"}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Run, FailsInRun,
                         ::testing::Values(Case{"throw_in_kernel", "boom in a kernel"}, Case{"fail_in_kernel", "does not like its data"},
                                           Case{"throw_in_execute", "boom in execute"}, Case{"throw_in_parallel_for", "boom in a worker"},
                                           Case{"alloc_at_will", "alloc_output: operand 77"}),
                         name_of);

TEST(Hostile, SizesThatAProviderRefusesAreRunElsewhere) {
  auto s = session(graph_bytes(relu), with_providers({"refuse_shapes"}));
  ASSERT_TRUE(s);
  for (int again = 0; again < 2; ++again)
    for (std::int64_t n : {2, 3}) {
      const auto out = run(*s, {{"x", tensor<float>({n}, std::vector<float>(static_cast<std::size_t>(n), -1))}});
      ASSERT_EQ(out.size(), 1u);
      EXPECT_EQ(values<float>(out[0].datum), std::vector<float>(static_cast<std::size_t>(n), 0));
    }
}

TEST(Hostile, AFailureThatPassesLeavesTheSessionUsable) {
  auto s = session(graph_bytes(relu), with_providers({"fail_once"}, alone));
  ASSERT_TRUE(s);
  EXPECT_THAT(run_failure(*s, {{"x", tensor<float>({1}, {-2})}}), HasSubstr("only this time"));
  EXPECT_EQ(values<float>(run(*s, {{"x", tensor<float>({1}, {-2})}})[0].datum), std::vector<float>{0});
}

// ---- survived without a word, or with a line in the log --------------------------------------------------------------------------

class Survived : public ::testing::TestWithParam<const char*> {};

TEST_P(Survived, AndItsResultsAreRight) {
  for (int again = 0; again < 2; ++again) {
    auto s = session(graph_bytes(relu), with_providers({GetParam()}, alone));
    ASSERT_TRUE(s);
    EXPECT_EQ(values<float>(run(*s, {{"x", tensor<float>({2}, {-3, 3})}})[0].datum), (std::vector<float>{0, 3}));
    EXPECT_EQ(std::fegetround(), FE_TONEAREST);
  }
  others_still_serve();
}

INSTANTIATE_TEST_SUITE_P(Hostile, Survived,
                         ::testing::Values("mad_costs", "claim_and_reject", "throw_in_close", "throw_in_destroy", "throw_in_extension",
                                           "throw_in_program_destroy", "changes_rounding", "leaves_a_thread", "twin_devices"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Hostile, AClaimAroundAnotherNodeIsNotTaken) {
  const std::string chain = graph_bytes("g (float[N] x) => (float[N] y) { a = Relu(x) b = Relu(a) y = Relu(b) }");
  auto s = session(chain, with_providers({"claim_around_another"}));
  ASSERT_TRUE(s);
  EXPECT_EQ(values<float>(run(*s, {{"x", tensor<float>({2}, {-3, 3})}})[0].datum), (std::vector<float>{0, 3}));
  EXPECT_EQ(s->placement().nodes[1].provider, "hostile");
  EXPECT_NE(s->placement().nodes[0].provider, "hostile");
  EXPECT_THAT(load_failure(chain, with_providers({"claim_around_another"}, alone)), HasSubstr("2 of 3 nodes"));
}

TEST(Hostile, ASlowKernelDoesNotOutrunTheDeadline) {
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y) { a = Relu(x) y = Sin(a) }"), with_providers({"slow_kernel"}));
  ASSERT_TRUE(s);
  std::vector<NamedDatum> out;
  RunOptions options;
  options.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  EXPECT_EQ(s->run(std::vector<NamedDatum>{{"x", tensor<float>({1}, {1})}}, {}, out, options).code(), TENON_DEADLINE_EXCEEDED);
}

TEST(Hostile, OtherHeadersOfTheSameMajorAreNoReason) {
  auto s = session(graph_bytes(relu), with_providers({"wrong_hash"}, alone));
  ASSERT_TRUE(s);
  EXPECT_EQ(run(*s, {{"x", tensor<float>({2}, {-1, 2})}}).size(), 1u);
}

TEST(Hostile, AProviderThatIsNotRequiredIsLeftOutWithANote) {
  const std::string folder = std::string(TENON_BINARY_DIR) + "/test_providers/";
  for (const auto& [way, text] : {std::pair{"wrong_sanitizer", "both must be the same"}, std::pair{"constructor_crashes", "quarantine"}}) {
    auto s = session(graph_bytes(relu), config(R"({"providers":[{"use":"hostile","required":false},{"use":"second"}],"provider_paths":[")" + folder + way + "\",\"" + folder + "second\"]}"));
    ASSERT_TRUE(s);
    ASSERT_FALSE(s->placement().notes.empty());
    EXPECT_THAT(s->placement().notes[0], HasSubstr(text));
  }
}

}  // namespace
}  // namespace tenon
