// A provider that knows an older operator set: it is shown nodes in the form it knows, and not shown what it would misread.
#include <gmock/gmock.h>

#include "core/partition/query.h"
#include "core/provider/registry.h"
#include "tests/support/model_text.h"

namespace tenon {
namespace {

using namespace test;
using ::testing::HasSubstr;

Config with_older(const std::string& more) {
  return config(R"({"providers":[{"use":"older"}],"provider_paths":[")" + std::string(TENON_BINARY_DIR) + "/test_providers/older\"]" + more + "}");
}

TEST(OlderProvider, RunsNewNodesInTheFormItKnows) {
  const std::string model = graph_bytes(R"(g (float[2,3] x) => (float[1,2] y) {
    axes = Constant <value = int64[1] {1}> ()
    front = Constant <value = int64[1] {0}> ()
    s = ReduceSum <keepdims = 0> (x, axes)
    r = Relu(s)
    y = Unsqueeze(r, front)
  })");
  auto s = session(model, with_older(R"(,"session":{"optimize":"none"},"placement":{"on_unsupported":"error"})"));
  ASSERT_TRUE(s);
  const auto out = run(*s, {{"x", tensor<float>({2, 3}, {1, 2, 3, -4, -5, -6})}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(values<float>(out[0].datum), (std::vector<float>{6, 0}));
}

TEST(OlderProvider, DoesNotGetNodesThatItsFormsCannotSay) {
  const std::string model = graph_bytes(R"(g (float[2,3] x, int64[1] axes) => (float[2] y) {
    s = ReduceSum <keepdims = 0> (x, axes)
    y = Relu(s)
  })");
  auto s = session(model, with_older(""));
  ASSERT_TRUE(s);
  const auto out = run(*s, {{"x", tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6})}, {"axes", tensor<std::int64_t>({1}, {1})}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(values<float>(out[0].datum), (std::vector<float>{6, 15}));
  const auto& nodes = s->placement().nodes;
  const auto sum = std::find_if(nodes.begin(), nodes.end(), [](const PlacedNode& n) { return n.op_type == "ReduceSum"; });
  ASSERT_NE(sum, nodes.end());
  EXPECT_EQ(sum->provider, "cpu");
  ASSERT_FALSE(sum->refusals.empty());
  EXPECT_EQ(sum->refusals[0].provider, "older");
  EXPECT_EQ(sum->refusals[0].reason, TENON_REJECT_OPSET);
  EXPECT_THAT(sum->refusals[0].text, HasSubstr("axes is an attribute there, and here it is not constant"));
}

// A query that does not come back by itself, asked with a limit of 20 ms.
TEST(Query, HasATimeLimit) {
  auto provider = Registry::instance().open(std::string(TENON_BINARY_DIR) + "/test_providers/slow/slow.tenon.json");
  ASSERT_TRUE(provider.ok()) << provider.status().text();
  auto device = (*provider)->open_device(0);
  ASSERT_TRUE(device.ok()) << device.status().text();
  Graph graph;
  const auto view = GraphView::build(graph, {}, nullptr);
  LoadContext context;
  context.query_limit = std::chrono::milliseconds(20);
  LoadTask task(context, *device);
  const auto answer = query_device({*device, nullptr, false}, 0, *view, 1, task);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.status().code(), TENON_DEADLINE_EXCEEDED);
  EXPECT_THAT(std::string(answer.status().text()), HasSubstr("provider slow: query of a graph of 0 nodes took too long"));
  EXPECT_FALSE(task.cancelled()) << "the clock is the query's alone";
}

}  // namespace
}  // namespace tenon
