// Providers of another minor in this host: the one built from the headers that were stored with the candidate, and one built
// from headers as the next minor might have them, every struct longer. And this host's checks as those of the next minor.
#include <gmock/gmock.h>

#include "core/base/dynlib.h"
#include "core/provider/host.h"
#include "core/provider/loader.h"
#include "core/provider/registry.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::HasSubstr;

std::string folder(const std::string& id) { return std::string(TENON_BINARY_DIR) + "/test_providers/" + id; }

std::unique_ptr<Session> relu_on(const std::string& id, const std::string& options = "{}") {
  return session(graph_bytes("g (float[N,3] x) => (float[N,3] y) { t = Relu(x) y = Relu(t) }"),
                 config(R"({"providers":[{"use":")" + id + R"(","options":)" + options + R"(}],"provider_paths":[")" + folder(id) +
                        R"("],"placement":{"on_unsupported":"error"}})"));
}

class OtherMinor : public ::testing::TestWithParam<const char*> {};

TEST_P(OtherMinor, RunsModels) {
  auto s = relu_on(GetParam(), R"({"scale": 0.5})");
  ASSERT_TRUE(s);
  for (const std::int64_t rows : {1, 4, 2}) {
    std::vector<float> x, y;
    for (std::int64_t i = 0; i < rows * 3; ++i) x.push_back(static_cast<float>(i) - 2), y.push_back(std::max(0.0f, x.back()) / 4);
    const auto out = run(*s, {{"x", tensor<float>({rows, 3}, x)}});
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(values<float>(out[0].datum), y);
  }
}

INSTANTIATE_TEST_SUITE_P(Abi, OtherMinor, ::testing::Values("frozen", "next"), [](const auto& info) { return std::string(info.param); });

TEST(OtherMinors, SpeakTheSmallerOne) {
  auto frozen = Registry::instance().open(folder("frozen") + "/frozen.tenon.json");
  ASSERT_TRUE(frozen.ok()) << frozen.status().text();
  EXPECT_EQ((*frozen)->abi_minor(), 0u);
  auto next = Registry::instance().open(folder("next") + "/next.tenon.json");
  ASSERT_TRUE(next.ok()) << next.status().text();
  EXPECT_EQ((*next)->abi_minor(), TENON_ABI_MINOR);
}

// The frozen provider says once that its compile is done: with one part that is the end of compiling.
TEST(OtherMinors, WhatTheyReportOfTheLoadReachesTheApplication) {
  const std::string model = graph_bytes("g (float[2] x) => (float[2] y) { y = Relu(x) }");
  LoadOptions options;
  options.config = config(R"({"providers":[{"use":"frozen"}],"provider_paths":[")" + folder("frozen") + R"("],"placement":{"on_unsupported":"error"}})");
  std::vector<std::pair<double, std::string>> told;
  options.progress = [&](double fraction, const char* what) { told.emplace_back(fraction, what); };
  auto s = Session::load_bytes({reinterpret_cast<const std::byte*>(model.data()), model.size()}, std::move(options));
  ASSERT_TRUE(s.ok()) << s.status().text();
  EXPECT_THAT(told, ::testing::Contains(::testing::Pair(::testing::DoubleEq(0.9), "compiling")));
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end(), [](const auto& a, const auto& b) { return a.first < b.first; }));
}

// The loader with another offer.
Result<LoadedLibrary> negotiated(const std::string& id, const HostOffer& offer) {
  TENON_ASSIGN(const auto library, Dynlib::open(folder(id) + "/libtenon_provider_" + id + ".so"));
  static auto* kept = new std::vector<std::shared_ptr<Dynlib>>;
  kept->push_back(library);
  return negotiate(reinterpret_cast<const tenon_provider_desc* (*)(const tenon_query_args*)>(library->symbol("tenon_provider_query")), id, id, offer);
}

TEST(OtherMinors, AHostOfTheNextMinorTakesTheFrozenProvider) {
  HostOffer next;
  next.minor_max = TENON_ABI_MINOR + 1;
  next.header_hash = ~next.header_hash;
  const auto loaded = negotiated("frozen", next);
  ASSERT_TRUE(loaded.ok()) << loaded.status().text();
  EXPECT_EQ(loaded->abi_minor, 0u);
  EXPECT_NE(loaded->header_hash, next.header_hash);
  EXPECT_EQ(loaded->api.struct_size, sizeof(tenon_provider_api)) << "a table of this host's length";
  EXPECT_EQ(loaded->api.plan_bind, nullptr);
}

// What no header ever had.
TEST(OtherMinors, ShorterThanTheFirstMinorIsRefused) {
  static tenon_provider_api api;
  static tenon_provider_desc desc;
  api = {};
  desc = {};
  desc.struct_size = sizeof desc;
  desc.abi_major = TENON_ABI_MAJOR;
  desc.sanitizer = TENON_SANITIZER;
  desc.id = str("short");
  desc.api = &api;
  const auto refusal = [] {
    const auto made = negotiate([](const tenon_query_args*) -> const tenon_provider_desc* { return &desc; }, "libshort.so", "short");
    return made.ok() ? std::string("taken") : std::string(made.status().text());
  };
  api.struct_size = 40;
  EXPECT_THAT(refusal(), HasSubstr("its table of functions has 40 bytes"));
  api.struct_size = offsetof(tenon_provider_api, execute);
  EXPECT_THAT(refusal(), HasSubstr("its table of functions has"));
  api.struct_size = offsetof(tenon_provider_api, execute) + sizeof(void*);
  EXPECT_THAT(refusal(), HasSubstr("lacks required functions: create, destroy"));
  desc.struct_size = offsetof(tenon_provider_desc, api);
  EXPECT_THAT(refusal(), HasSubstr("its description has"));
}

TEST(OtherMinors, AHostThatHasForgottenAMinorSaysSo) {
  HostOffer later;
  later.minor_min = later.minor_max = TENON_ABI_MINOR + 7;
  const auto refused = negotiated("frozen", later);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), TENON_ABI_MISMATCH);
  EXPECT_THAT(std::string(refused.status().text()), HasSubstr("no longer speaks"));
  later.major = TENON_ABI_MAJOR + 1;
  EXPECT_THAT(std::string(negotiated("frozen", later).status().text()), HasSubstr("another major version"));
}

}  // namespace
}  // namespace tenon
