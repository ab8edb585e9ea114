// Reports of a placement: every device's answer, what the other choice costs, memory over the steps; text, JSON, HTML.
#include <algorithm>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "core/partition/claim.h"
#include "core/report/placement.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

constexpr const char* mixed = R"(g (float[N,8] x) => (float[N,8] y) {
  a = Relu(x)
  b = Softmax(a)
  c = Neg(b)
  y = Mul(c, x)
})";

std::unique_ptr<Session> mixed_session(const std::string& more = "") { return session(graph_bytes(mixed), with_providers({"second", "cpu"}, more)); }

const PlacedNode& node(const Session& s, std::string_view op) {
  const auto& nodes = s.placement().nodes;
  return *std::find_if(nodes.begin(), nodes.end(), [&](const PlacedNode& n) { return n.op_type == op; });
}

TEST(PlacementReport, EveryDeviceAnswersForEveryNode) {
  auto s = mixed_session();
  ASSERT_TRUE(s);
  const PlacementReport& r = s->placement();
  ASSERT_EQ(r.devices.size(), 2u);
  EXPECT_EQ(r.devices[0].provider, "second");
  EXPECT_EQ(r.devices[0].memory, "second:memory");
  for (const PlacedNode& n : r.nodes) {
    for (std::uint32_t d = 0; d < 2; ++d) {
      const bool offered = std::any_of(n.offers.begin(), n.offers.end(), [&](const Offer& o) { return o.device == d; });
      const bool refused = std::any_of(n.refusals.begin(), n.refusals.end(), [&](const Refusal& f) { return f.device == d; });
      EXPECT_TRUE(offered || refused) << n.op_type << " on " << d;
    }
    EXPECT_EQ(std::count_if(n.offers.begin(), n.offers.end(), [](const Offer& o) { return o.chosen; }), 1) << n.op_type;
  }
  EXPECT_EQ(node(*s, "Softmax").offers.size(), 1u);
  const PlacedNode& mul = node(*s, "Mul");
  ASSERT_EQ(mul.inputs.size(), 2u);
  EXPECT_EQ(r.values[static_cast<std::size_t>(mul.outputs[0])].name, "y");
  EXPECT_EQ(r.values[static_cast<std::size_t>(mul.outputs[0])].type, "float32[1,8]");
  EXPECT_TRUE(r.values[static_cast<std::size_t>(mul.outputs[0])].output);
  EXPECT_EQ(r.find("y"), r.find(mul.name.empty() ? "y" : mul.name));
  EXPECT_EQ(r.find("nothing"), r.nodes.size());
}

TEST(PlacementReport, TheOtherChoiceCostsNoLess) {
  auto s = mixed_session();
  ASSERT_TRUE(s);
  const PlacementReport& r = s->placement();
  EXPECT_GT(r.cost_ns, 0);
  double sum = 0;
  for (const PlacedPart& p : r.parts)
    for (const PlacedDevice& d : r.devices)
      if (d.provider == p.provider) sum += p.cost_ns + d.launch_ns;
  for (const PlacedCopy& c : r.copies) sum += c.cost_ns;
  EXPECT_NEAR(r.cost_ns, sum, 1e-6);
  for (std::size_t n = 0; n < r.nodes.size(); ++n)
    for (const Offer& o : r.nodes[n].offers) {
      const Result<double> cost = s->cost_if(n, o.device);
      ASSERT_TRUE(cost.ok()) << cost.status().text();
      if (o.chosen) EXPECT_NEAR(*cost, r.cost_ns, 1e-6);
      else EXPECT_GE(*cost, r.cost_ns - 1e-6) << r.nodes[n].op_type;
    }
  EXPECT_EQ(*s->cost_if(r.find("b"), 0), infinite_cost) << "second has no Softmax";
  EXPECT_EQ(s->cost_if(99, 0).status().code(), TENON_OUT_OF_RANGE);
  EXPECT_EQ(s->cost_if(0, 9).status().code(), TENON_OUT_OF_RANGE);
}

TEST(PlacementReport, RulesAndWhatTheyKeepAway) {
  auto s = mixed_session(R"("placement":{"rules":[{"match":{"op":"Neg"},"use":"cpu"}]})");
  ASSERT_TRUE(s);
  const PlacedNode& neg = node(*s, "Neg");
  EXPECT_EQ(neg.rule, 0);
  EXPECT_EQ(neg.provider, "cpu");
  ASSERT_EQ(neg.offers.size(), 2u);
  EXPECT_FALSE(neg.offers[0].allowed);
  EXPECT_TRUE(neg.offers[1].allowed && neg.offers[1].chosen);
  EXPECT_EQ(node(*s, "Mul").rule, -1);
}

TEST(PlacementReport, MemoryIsPlannedForTheSizesOfEstimatesWithoutARun) {
  const std::string bytes = graph_bytes("g (float[N,64] x) => (float[N,64] y) { a = Exp(x) b = Softmax(a) c = Exp(b) y = Softmax(c) }");
  std::uint64_t last = 0;
  for (int n : {10, 1000}) {
    auto s = session(bytes, with_providers({"second", "cpu"}, fmt::format(R"("shapes":{{"N":{{"opt":{}}}}}, "placement":{{"rules":[{{"match":{{"op":"Exp"}},"use":"second"}}]}})", n)));
    ASSERT_TRUE(s);
    const MemoryReport& m = s->placement().memory;
    EXPECT_EQ(m.note, "");
    ASSERT_EQ(m.domains.size(), 2u);  // the host's and the second's
    const std::uint64_t tensor = static_cast<std::uint64_t>(n) * 64 * 4;
    for (const MemoryReport::Domain& d : m.domains) {
      ASSERT_EQ(d.live.size(), m.steps.size());
      EXPECT_GE(*std::max_element(d.live.begin(), d.live.end()), tensor);
      EXPECT_LE(*std::max_element(d.live.begin(), d.live.end()), d.bytes);
    }
    ASSERT_FALSE(m.at_peak.empty());
    EXPECT_GE(m.at_peak[0].bytes, tensor);
    EXPECT_EQ(std::count_if(m.steps.begin(), m.steps.end(), [](const std::string& t) { return t.starts_with("copy "); }), 4);
    EXPECT_GT(m.domains[0].bytes, last);
    last = m.domains[0].bytes;
    EXPECT_EQ(s->plans_made(), 0u) << "the report keeps no plan";
    EXPECT_EQ(s->placement().arena_bytes, 0u);
  }
}

TEST(PlacementReport, SizesThatOnlyARunKnowsAreSaidToBe) {
  auto s = session(graph_bytes("g (float[N] x) => (float[M] y) { i = NonZero(x) t = Transpose(i) g = GatherND(x, t) y = Exp(g) }"), with_providers({"cpu"}));
  ASSERT_TRUE(s);
  EXPECT_THAT(s->placement().memory.note, HasSubstr("first of 2 segments"));
}

TEST(PlacementReport, BodiesAreListedUnderTheirPath) {
  auto s = session(graph_bytes(R"(g (bool c, float[2] x) => (float[2] y) {
    y = If(c) <then_branch = yes () => (float[2] t) { t = Relu(x) }, else_branch = no () => (float[2] e) { e = Neg(x) }>
  })"), with_providers({"cpu"}));
  ASSERT_TRUE(s);
  const PlacementReport& r = s->placement();
  std::vector<std::string> graphs;
  for (const PlacedNode& n : r.nodes)
    if (n.op_type == "Relu" || n.op_type == "Neg") {
      graphs.push_back(n.graph);
      EXPECT_EQ(r.parts[static_cast<std::size_t>(n.part)].provider, "cpu");
      EXPECT_TRUE(r.values[static_cast<std::size_t>(n.outputs[0])].name == "t" || r.values[static_cast<std::size_t>(n.outputs[0])].name == "e");
      EXPECT_EQ(s->cost_if(static_cast<std::size_t>(&n - r.nodes.data()), 0).status().code(), TENON_UNIMPLEMENTED);
    }
  EXPECT_THAT(graphs, ::testing::UnorderedElementsAre("/then_branch", "/else_branch"));
}

TEST(PlacementText, SaysWhatRunsWhereAndWhyNotElsewhere) {
  auto s = mixed_session();
  ASSERT_TRUE(s);
  const std::string text = placement_text(s->model(), s->placement());
  EXPECT_THAT(text, HasSubstr("4 nodes"));
  EXPECT_THAT(text, HasSubstr("runs on"));
  EXPECT_THAT(text, HasSubstr("estimates"));
  EXPECT_THAT(text, HasSubstr("no kernel for this operator"));
  EXPECT_THAT(text, Not(HasSubstr("measured")));
}

TEST(PlacementJson, HoldsTheSameFactsUnderAVersion) {
  auto s = mixed_session();
  ASSERT_TRUE(s);
  const Json j = Json::parse(placement_json(s->model(), s->placement()));
  EXPECT_EQ(j["schema"], "tenon.placement");
  EXPECT_EQ(j["version"], placement_version);
  ASSERT_EQ(j["nodes"].size(), 4u);
  for (const Json& n : j["nodes"])
    for (const char* key : {"inputs", "outputs"})
      for (const Json& v : n[key]) EXPECT_LT(v.get<std::size_t>(), j["values"].size());
  EXPECT_EQ(j["devices"][0]["node_count"].get<int>() + j["devices"][1]["node_count"].get<int>(), 4);
  EXPECT_THAT(j["remedies"]["op"].get<std::string>(), HasSubstr("provider"));
}

TEST(PlacementHtml, StandsAloneAndNamesCannotBreakIt) {
  // Names are the model's: they must end neither an element nor the script.
  const std::string evil = "</script><img src=x onerror=alert(1)>";
  std::string text = graph_bytes("g (float[2] x) => (float[2] y) { a = Relu(x) b = Softmax(a) y = Neg(b) }");
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(text));
  model.mutable_graph()->mutable_node(0)->set_name(evil);
  auto s = session(model.SerializeAsString(), with_providers({"second", "cpu"}));
  ASSERT_TRUE(s);
  const std::string page = placement_html(s->model(), s->placement());
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, Not(HasSubstr("http://")));
  EXPECT_THAT(page, Not(HasSubstr("https://")));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  const auto count = [&](std::string_view what) {
    std::size_t n = 0;
    for (std::size_t at = 0; (at = page.find(what, at)) != std::string::npos; ++at) ++n;
    return n;
  };
  EXPECT_EQ(count("</script>"), 2u);
  EXPECT_EQ(count("<g class=\"n\""), 3u);
  EXPECT_EQ(count("<path class=\"e"), 2u);
  const std::string open = "id=\"data\">";
  const std::size_t from = page.find(open) + open.size();
  const Json data = Json::parse(page.substr(from, page.find("</script>", from) - from));
  EXPECT_EQ(data["nodes"][0]["name"], evil);
}

}  // namespace
}  // namespace tenon
