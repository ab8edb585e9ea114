// Forms of operators: the list that is part of the ABI against the onnx library's schemas, and nodes in older forms.
#include "core/ops/forms.h"

#include <map>

#include <gmock/gmock.h>
#include <onnx/defs/schema.h>

#include "core/graph/text.h"
#include "core/onnx/canonical.h"

namespace tenon {
namespace {

namespace onnx = ::ONNX_NAMESPACE;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What decides whether two versions of an operator have one form: attributes with their types and defaults, and arity.
std::string structure(const onnx::OpSchema& s) {
  std::map<std::string, std::string> attributes;
  for (const auto& [name, a] : s.attributes())
    attributes[name] = std::to_string(static_cast<int>(a.type)) + (a.required ? "!" : "") + a.default_value.SerializeAsString();
  std::string out = std::to_string(s.min_input()) + "-" + std::to_string(s.max_input()) + ">" + std::to_string(s.min_output()) + "-" + std::to_string(s.max_output());
  for (const auto& [name, text] : attributes) out += ";" + name + ":" + text;
  return out;
}

TEST(Forms, TheListHasEveryChangeOfStructureThatOnnxMade) {
  std::map<std::pair<std::string, std::string>, std::map<int, onnx::OpSchema>> all;
  for (const onnx::OpSchema& s : onnx::OpSchemaRegistry::get_all_schemas_with_history())
    if (!s.Deprecated() && (s.domain().empty() || s.domain() == "ai.onnx.ml")) all[{s.domain(), s.Name()}].emplace(s.since_version(), s);
  ASSERT_GT(all.size(), 150u);
  int changes = 0;
  for (const auto& [name, versions] : all) {
    // Constants become constants and old resizers Resize before anyone sees them.
    if (name.second == "Constant" || name.second == "Upsample" || name.second == "Scatter") continue;
    const auto listed = form_versions(name.first, name.second);
    const onnx::OpSchema* before = nullptr;
    for (const auto& [version, schema] : versions) {
      if (before && structure(*before) != structure(schema)) {
        ++changes;
        EXPECT_NE(std::find(listed.begin(), listed.end(), version), listed.end())
            << name.second << " changed in opset " << version << ": add it to forms in plugin-api/abi.json, and a step to core/ops/lower.cpp";
      }
      before = &schema;
    }
    EXPECT_TRUE(listed.empty() || listed[0] >= 1) << name.second;
    EXPECT_TRUE(std::is_sorted(listed.begin(), listed.end())) << name.second;
  }
  EXPECT_GT(changes, 100);
}

TEST(Forms, AreNumberedByVersion) {
  EXPECT_THAT(form_versions("", "Squeeze"), ElementsAre(1, 13));
  EXPECT_EQ(form_number("", "Squeeze", 11), 1);
  EXPECT_EQ(form_number("", "Squeeze", 13), 2);
  EXPECT_EQ(form_number("", "Squeeze", 25), 2);
  EXPECT_EQ(form_number("", "MatMul", 13), 1);
  EXPECT_EQ(form_number("com.acme", "Squeeze", 13), 1);
}

// The first node of a graph, canonical, in the form of an older opset; the text of the failure where there is none.
std::string lowered(const char* text, std::int32_t opset) {
  auto model = parse_graph(text);
  if (!model.ok()) return std::string(model.status().text());
  Graph& graph = (*model)->graph;
  Node& node = graph.nodes[0];
  fill_from_schema(node);
  if (!newer_form(node, opset)) return "as it is";
  Result<Node> made = lower_node(graph, node, opset);
  if (!made.ok()) return std::string(made.status().text());
  std::string out = made->op_type + "(";
  for (ValueId v : made->inputs) out += (out.back() == '(' ? "" : ", ") + (v == none ? std::string("_") : graph.values[v].name);
  out += ")";
  node = *std::move(made);
  TextOptions brief;
  brief.types = brief.names = false;
  const std::string all = graph_text(graph, (*model)->symbols, brief);
  const std::size_t from = all.find('{', all.find(" = " + node.op_type)), to = all.find('}', from);
  return from == std::string::npos ? out : out + " " + all.substr(from, to + 1 - from);
}

TEST(Lowering, PutsInputsBackIntoAttributes) {
  EXPECT_EQ(lowered(R"(graph g(x: float32[2,1]) -> (y)
  axes: int64[1] = {1}
  y: float32[2] = Squeeze(x, axes)
)", 12), "Squeeze(x) {axes=[1]}");
  EXPECT_EQ(lowered(R"(graph g(x: float32[4]) -> (y)
  low: float32[] = {-1.5}
  y: float32[4] = Clip(x, low)
)", 10), "Clip(x) {min=-1.5}");
  EXPECT_EQ(lowered(R"(graph g(x: float32[4,4]) -> (y)
  from: int64[1] = {1}
  to: int64[1] = {3}
  axes: int64[1] = {0}
  y: float32[2,4] = Slice(x, from, to, axes)
)", 9), "Slice(x) {axes=[0], ends=[3], starts=[1]}");
  EXPECT_EQ(lowered(R"(graph g(x: float32[4,4]) -> (v, i)
  k: int64[1] = {2}
  v: float32[4,2], i: int64[4,2] = TopK(x, k)
)", 9), "TopK(x) {axis=-1, k=2}");
}

TEST(Lowering, StopsAtTheNewestFormThatIsKnown) {
  const char* top = R"(graph g(x: float32[4,4]) -> (v, i)
  k: int64[1] = {2}
  v: float32[4,2], i: int64[4,2] = TopK(x, k)
)";
  EXPECT_EQ(lowered(top, 10), "TopK(x, k) {axis=-1}");
  EXPECT_EQ(lowered(top, 11), "as it is");
  EXPECT_EQ(lowered(top, 23), "as it is");
}

TEST(Lowering, DropsWhatTheOlderFormMeantAnyway) {
  EXPECT_EQ(lowered("graph g(x: float32[1,1,4,4]) -> (y)\n  y: float32[1,1,2,2] = AveragePool(x) {kernel_shape=[3,3]}\n", 18),
            "AveragePool(x) {auto_pad=\"NOTSET\", ceil_mode=0, count_include_pad=0, kernel_shape=[3, 3]}");
  EXPECT_THAT(lowered("graph g(x: float32[1,1,5,5]) -> (y)\n  y: float32[1,1,1,1] = AveragePool(x) {dilations=[2,2], kernel_shape=[3,3]}\n", 18),
              HasSubstr("it has no dilations"));
  EXPECT_EQ(lowered("graph g(x: float32[2,3]) -> (y)\n  y: float32[2,3] = Softmax(x)\n", 12), "Softmax(x) {axis=1}");
  EXPECT_THAT(lowered("graph g(x: float32[2,3]) -> (y)\n  y: float32[2,3] = Softmax(x) {axis=0}\n", 12), HasSubstr("not the last one"));
}

TEST(Lowering, SaysWhyItCannot) {
  const std::string moving = lowered("graph g(x: float32[2,1], axes: int64[1]) -> (y)\n  y: float32[...] = Squeeze(x, axes)\n", 12);
  EXPECT_THAT(moving, HasSubstr("is of opset 13, the provider knows opset 12"));
  EXPECT_THAT(moving, HasSubstr("axes is an attribute there"));
  EXPECT_THAT(lowered("graph g(x: float32[4]) -> (y)\n  y: float32[4] = Relu(x)\n", 5), HasSubstr("form 2 cannot be written as form 1"));
  EXPECT_THAT(lowered("graph g(a: float32[4], b: float32[1]) -> (y)\n  y: float32[4] = Add(a, b)\n", 6), HasSubstr("does not broadcast"));
}

}  // namespace
}  // namespace tenon
