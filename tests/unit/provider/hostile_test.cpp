// Providers that do wrong: each is refused with a reason that names it, and the process goes on.
#include <gmock/gmock.h>

#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::HasSubstr;

constexpr const char* relu = "g (float[N] x) => (float[N] y) { y = Relu(x) }";

struct Case {
  const char* how;
  const char* text;  // in the error
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.how; }

class RefusedAtLoad : public ::testing::TestWithParam<Case> {};

TEST_P(RefusedAtLoad, WithItsReason) {
  const std::string text = load_failure(graph_bytes(relu), with_providers({GetParam().how}, R"("placement":{"on_unsupported":"error"})"));
  EXPECT_THAT(text, HasSubstr(GetParam().text));
  EXPECT_THAT(text, HasSubstr("hostile"));
  // The process still works.
  auto good = session(graph_bytes(relu), with_providers({"second"}));
  ASSERT_TRUE(good);
  EXPECT_EQ(run(*good, {{"x", tensor<float>({1}, {3})}}).size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Hostile, RefusedAtLoad,
                         ::testing::Values(Case{"throw_in_create", "boom in create"}, Case{"no_devices", "it has no device"},
                                           Case{"null_device", "device_open succeeded without a device"}, Case{"throw_in_query", "boom in query"},
                                           Case{"throw_an_int", "unknown type"}, Case{"fail_in_query", "the device is asleep"},
                                           Case{"claim_outside", "did not answer"}, Case{"silent_query", "did not answer"},
                                           Case{"null_program", "compile succeeded without a program"}, Case{"refuse_compile", "its compile refused this node"},
                                           Case{"refuse_host", "only on Sundays"}, Case{"wrong_major", "made for ABI 2.0"},
                                           Case{"wrong_sanitizer", "sanitizer"}, Case{"short_table", "its table of functions has 40 bytes"},
                                           Case{"wrong_id", "the library says it is \"somebody_else\""}, Case{"unknown_feature", "requires features"},
                                           Case{"short_struct", "its description has 12 bytes"}, Case{"missing_function", "lacks required functions: execute"},
                                           Case{"no_table", "no table of functions"}, Case{"plan_destroy_missing", "program_plan without plan_destroy"},
                                           Case{"no_symbol", "does not export tenon_provider_query"}),
                         [](const auto& info) { return std::string(info.param.how); });

class FailsInRun : public ::testing::TestWithParam<Case> {};

TEST_P(FailsInRun, WithItsReason) {
  auto s = session(graph_bytes(relu), with_providers({GetParam().how}, R"("placement":{"on_unsupported":"error"})"));
  ASSERT_TRUE(s);
  for (int again = 0; again < 2; ++again) {
    const std::string text = run_failure(*s, {{"x", tensor<float>({2}, {1, 2})}});
    EXPECT_THAT(text, HasSubstr(GetParam().text));
    EXPECT_THAT(text, HasSubstr("provider hostile"));
  }
}

INSTANTIATE_TEST_SUITE_P(Hostile, FailsInRun,
                         ::testing::Values(Case{"throw_in_kernel", "boom in a kernel"}, Case{"fail_in_kernel", "does not like its data"},
                                           Case{"operand_outside", "a step names operand 1000"}, Case{"stages_fall", "stages fall from 2 to 1"}),
                         [](const auto& info) { return std::string(info.param.how); });

TEST(Hostile, OtherHeadersOfTheSameMajorAreNoReason) {
  auto s = session(graph_bytes(relu), with_providers({"wrong_hash"}, R"("placement":{"on_unsupported":"error"})"));
  ASSERT_TRUE(s);
  EXPECT_EQ(run(*s, {{"x", tensor<float>({2}, {-1, 2})}}).size(), 1u);
}

TEST(Hostile, AProviderThatIsNotRequiredIsLeftOutWithANote) {
  const std::string folder = std::string(TENON_BINARY_DIR) + "/test_providers/";
  auto s = session(graph_bytes(relu), config(R"({"providers":[{"use":"hostile","required":false},{"use":"second"}],"provider_paths":[")" + folder + "wrong_sanitizer\",\"" + folder + "second\"]}"));
  ASSERT_TRUE(s);
  ASSERT_FALSE(s->placement().notes.empty());
  EXPECT_THAT(s->placement().notes[0], HasSubstr("both must be the same"));
}

}  // namespace
}  // namespace tenon
