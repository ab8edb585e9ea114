// Two providers in one session: placement by rule and by cost, copies between memories, outputs.
#include <gmock/gmock.h>

#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* chain = R"(g (float[N,2] x) => (float[N,2] y) {
  a = Relu(x)
  b = Neg(a)
  c = Add(b, a)
  y = Mul(c, x)
})";

std::string provider_of(const Session& s, std::string_view op) {
  for (const PlacedNode& n : s.placement().nodes)
    if (n.op_type == op) return n.provider;
  return "";
}

TEST(TwoProviders, EachNodeRunsWhereItIsTaken) {
  auto s = session(graph_bytes(chain), with_providers({"second", "cpu"}));
  ASSERT_TRUE(s);
  EXPECT_EQ(provider_of(*s, "Add"), "cpu");  // the second provider has no Add
  const auto out = run(*s, {{"x", tensor<float>({3, 2}, {1, -2, 3, -4, 5, -6})}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_THAT(values<float>(out[0].datum), ElementsAre(0, 0, 0, 0, 0, 0));
}

TEST(TwoProviders, RulesComeFirst) {
  auto s = session(graph_bytes(chain), with_providers({"second", "cpu"}, R"("placement":{"rules":[{"match":{"op":"Relu"},"use":"second"},{"match":{"op":"Mul"},"use":"second"},{"match":{"op":"*"},"use":"cpu"}]})"));
  ASSERT_TRUE(s);
  EXPECT_EQ(provider_of(*s, "Relu"), "second");
  EXPECT_EQ(provider_of(*s, "Neg"), "cpu");
  EXPECT_EQ(provider_of(*s, "Mul"), "second");
  const PlacementReport& report = s->placement();
  EXPECT_EQ(report.parts.size(), 3u);
  EXPECT_GE(report.copies.size(), 4u);  // x and c to the second, a back, y to the host
  for (const PlacedNode& n : report.nodes)
    if (n.op_type == "Neg") {
      EXPECT_EQ(n.why, "rule 2");
      ASSERT_FALSE(n.refusals.empty());
      EXPECT_THAT(n.refusals[0].text, HasSubstr("/placement/rules/2"));
    }
  const auto out = run(*s, {{"x", tensor<float>({2, 2}, {1, -2, 3, 4})}});
  EXPECT_THAT(values<float>(out.at(0).datum), ElementsAre(0, 0, 0, 0));
}

TEST(TwoProviders, DenyKeepsAProviderAway) {
  auto s = session(graph_bytes(chain), with_providers({"second", "cpu"}, R"("placement":{"rules":[{"match":{"name":"*"},"deny":["second"]}]})"));
  ASSERT_TRUE(s);
  for (const PlacedNode& n : s->placement().nodes) EXPECT_EQ(n.provider, "cpu") << n.op_type;
  EXPECT_TRUE(s->placement().copies.empty());
}

TEST(TwoProviders, CostDecidesWithoutRules) {
  // Cheap here (50 ns), but every hop costs a copy: a lone Exp between CPU nodes stays on the CPU or goes as one run of nodes.
  auto s = session(graph_bytes("g (float[64,64] x) => (float[64,64] y) { a = Exp(x) b = Neg(a) y = Exp(b) }"), with_providers({"second", "cpu"}));
  ASSERT_TRUE(s);
  std::vector<std::string> used;
  for (const PlacedNode& n : s->placement().nodes) used.push_back(n.provider);
  EXPECT_THAT(used, ::testing::Each(used[0]));
  std::vector<float> x(64 * 64, 0.5f);
  const auto out = run(*s, {{"x", tensor<float>({64, 64}, x)}});
  EXPECT_NEAR(values<float>(out.at(0).datum)[17], std::exp(-std::exp(0.5f)), 1e-6);
}

TEST(TwoProviders, TheFallbackTakesOnlyWhatNoListedProviderClaims) {
  // Exp lies between two nodes of the CPU and is cheaper there; it is listed as second's all the same.
  const std::string bytes = graph_bytes("g (float[2,2] x) => (float[2,2] y) { a = Add(x, x) b = Exp(a) c = Sin(b) d = Softmax(c) y = Neg(d) }");
  auto s = session(bytes, with_providers({"second"}));
  ASSERT_TRUE(s);
  EXPECT_EQ(s->providers(), (std::vector<std::string>{"second", "cpu"}));
  for (const PlacedNode& n : s->placement().nodes) {
    const bool own = n.op_type == "Exp" || n.op_type == "Neg";
    EXPECT_EQ(n.provider, own ? "second" : "cpu") << n.op_type;
    EXPECT_EQ(n.why, own ? "listed" : "fallback: no listed provider takes it");
    EXPECT_EQ(n.refusals.size(), own ? 0u : 1u) << n.op_type;
  }
  EXPECT_THAT(s->placement().notes, ::testing::Contains(HasSubstr("it takes the 3 nodes that no listed provider claims and leaves 2 that it could run")));
  const auto out = run(*s, {{"x", tensor<float>({2, 2}, {0, 0, 0, 0})}});
  EXPECT_THAT(values<float>(out.at(0).datum), ElementsAre(-0.5f, -0.5f, -0.5f, -0.5f));

  // Where both are listed cost decides, and a rule comes before all.
  auto both = session(bytes, with_providers({"second", "cpu"}));
  ASSERT_TRUE(both);
  EXPECT_EQ(provider_of(*both, "Exp"), "cpu");
  auto ruled = session(bytes, with_providers({"second"}, R"("placement":{"rules":[{"match":{"op":"Exp"},"use":"cpu"}]})"));
  ASSERT_TRUE(ruled);
  EXPECT_EQ(provider_of(*ruled, "Exp"), "cpu");
  EXPECT_EQ(provider_of(*ruled, "Neg"), "second");
}

TEST(TwoProviders, TheFallbackTakesWholeWhatAListedProviderTakesInPartOnly) {
  // Of ThresholdedRelu's body second lacks Less and Where.
  auto s = session(graph_bytes("g (float[2] x) => (float[2] y) { y = ThresholdedRelu(x) }"), with_providers({"second"}));
  ASSERT_TRUE(s);
  ASSERT_EQ(s->placement().nodes.size(), 1u);
  EXPECT_EQ(provider_of(*s, "ThresholdedRelu"), "cpu");
}

TEST(TwoProviders, OutputsOnTheOtherMemoryComeBack) {
  auto s = session(graph_bytes("g (float[N] x) => (float[N] y, float[N] z) { y = Relu(x) z = Neg(y) }"),
                   with_providers({"second"}, R"("placement":{"on_unsupported":"error"})"));
  ASSERT_TRUE(s);
  for (int n : {1, 5, 3, 5}) {
    const auto out = run(*s, {{"x", tensor<float>({n}, std::vector<float>(static_cast<std::size_t>(n), 2.0f))}});
    EXPECT_EQ(values<float>(out.at(0).datum), std::vector<float>(static_cast<std::size_t>(n), 2.0f));
    EXPECT_EQ(values<float>(out.at(1).datum), std::vector<float>(static_cast<std::size_t>(n), -2.0f));
  }
}

TEST(TwoProviders, WhatNobodyTakesIsAnErrorWithEveryReason) {
  const std::string text = load_failure(graph_bytes(chain), with_providers({"second"}, R"("placement":{"on_unsupported":"error"})"));
  EXPECT_THAT(text, HasSubstr("no provider of this session runs 1 of 4 nodes"));
  EXPECT_THAT(text, HasSubstr("node Add"));
  EXPECT_THAT(text, HasSubstr("second: no kernel for this operator"));
}

TEST(CustomOperators, SchemaAndKernelComeFromTheProvider) {
  auto s = session(graph_bytes("g (float[N,3] x) => (lo, float[N] hi) { a = test.acme.Affine<scale = 2.0>(x) lo, hi = test.acme.MinMax(a) }"),
                   with_providers({"custom", "cpu"}));
  ASSERT_TRUE(s);
  EXPECT_EQ(s->outputs()[0].type.text(), "tensor(float)");
  const auto out = run(*s, {{"x", tensor<float>({2, 3}, {1, 2, 3, -1, 0, 7})}});
  EXPECT_THAT(values<float>(out.at(0).datum), ElementsAre(3, -1));
  EXPECT_THAT(values<float>(out.at(1).datum), ElementsAre(7, 15));
}

TEST(CustomOperators, RequiredAttributesAndInferenceErrorsNameTheNode) {
  EXPECT_THAT(load_failure(graph_bytes("g (float[N,3] x) => (y) { y = test.acme.Affine(x) }"), with_providers({"custom"})),
              HasSubstr("attribute \"scale\" is required and missing"));
  EXPECT_THAT(load_failure(graph_bytes("g (float[2,2,2] x) => (y, z) { y, z = test.acme.MinMax(x) }"), with_providers({"custom"})),
              HasSubstr("MinMax takes a matrix, found rank 3"));
  EXPECT_THAT(load_failure(graph_bytes("g (float[2] x) => (y) { y = test.acme.Nothing(x) }"), with_providers({"custom"})),
              HasSubstr("no schema for this operator in domain \"test.acme\""));
}

TEST(TwoProviders, MemoryThatTheHostReadsIsNotCopiedForIt) {
  const std::string bytes = graph_bytes("g (float[N] x) => (float[N] y) { a = Exp(x) b = Sin(a) c = Neg(b) d = Neg(a) e = Cos(d) y = Mul(c, e) }");
  const std::vector<NamedDatum> feeds{{"x", tensor<float>({3}, {0, 1, 2})}};
  auto reference = session(bytes, with_providers({"cpu"}));
  ASSERT_TRUE(reference);
  for (const auto& [provider, expected] : {std::pair{"second", 6}, std::pair{"shared", 4}}) {
    auto s = session(bytes, with_providers({provider}));
    ASSERT_TRUE(s);
    Profile profile;
    RunOptions options;
    options.profile = &profile;
    std::vector<NamedDatum> out;
    const Status status = s->run(feeds, {}, out, options);
    ASSERT_TRUE(status.ok()) << status.text();
    EXPECT_THAT(values<float>(out[0].datum), ::testing::Pointwise(::testing::FloatNear(1e-5f), values<float>(run(*reference, feeds)[0].datum)));
    EXPECT_EQ(std::count_if(profile.events.begin(), profile.events.end(), [](const ProfileEvent& e) { return e.op_type == "Copy"; }), expected) << provider;
  }
  auto s = session(bytes, with_providers({"shared"}));
  ASSERT_TRUE(s);
  EXPECT_EQ(s->inputs().at(0).memory, "shared:memory");
  EXPECT_EQ(s->inputs().at(0).dlpack_type, 12);
  EXPECT_EQ(s->outputs().at(0).dlpack_id, 3);
}

}  // namespace
}  // namespace tenon
