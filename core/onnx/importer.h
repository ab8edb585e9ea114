// Importer: one ModelProto, or one function body, as a Graph; what import.cpp and function_body are made of.
//
// Members by file: the walk over a graph in import_graph.cpp, one node's attributes in import_node.cpp, checks against schemas in
// import_check.cpp, functions in import_function.cpp. Used by the loading thread for one call; refers to what it was given.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/onnx/import.h"
#include "core/onnx/proto.h"
#include "core/onnx/schemas.h"

namespace tenon {

class Importer {
 public:
  Importer(Model& model, const ImportOptions& options, Payloads& payloads) : model_(model), options_(options), payloads_(payloads) {}
  // The whole model.
  Status run(const onnx::ModelProto& proto);
  // A schema function's body as a graph whose inputs and outputs stand in the node's order.
  Status function_graph(const onnx::FunctionProto& f, const Node& node, const Graph& around, const onnx::NodeProto& call, Graph& out);
  // Opset of each domain, before function_graph.
  std::unordered_map<std::string, std::int64_t> versions;

 private:
  struct Scope {
    Graph& graph;
    Scope* parent = nullptr;
    std::unordered_map<std::string, ValueId> names;
  };
  // Names and attributes that a function body sees in place of its formal ones.
  struct FunctionFrame {
    const onnx::NodeProto* call = nullptr;
    const onnx::FunctionProto* function = nullptr;
    std::string prefix;
    std::unordered_map<std::string, std::string> renamed;
  };

  // ---- import_graph.cpp ----
  Status graph(const onnx::GraphProto& proto, Scope& scope, int depth, const FunctionFrame* frame = nullptr);
  Status node(const onnx::NodeProto& proto, Scope& scope, int depth, std::vector<Node>& nodes, const FunctionFrame* frame);
  static std::string local_name(const std::string& name, const FunctionFrame* frame);
  ValueId make_value(Scope& scope, const std::string& name);
  // The value of a name here or in a graph around this one; outer values are entered at every level on the way.
  ValueId lookup(Scope& scope, const std::string& name);
  // ---- import_node.cpp ----
  Status attribute(const onnx::AttributeProto& given, Node& n, Scope& scope, int depth, const FunctionFrame* frame);
  // A Constant node is a constant value.
  Status constant_node(const Node& n, Scope& scope);
  // What its attributes name becomes inputs: names mean nothing once values are numbers.
  Status gradient_tensors(Node& n, Scope& scope, const FunctionFrame* frame);
  // ---- import_function.cpp ----
  Status inline_function(const onnx::NodeProto& call, const onnx::FunctionProto& f, Scope& scope, int depth,
                         std::vector<Node>& nodes, const FunctionFrame* outer);
  // ---- import_check.cpp ----
  // The node against its operator's schema in the model's own opset, before anything else trusts it.
  Status check_schema(const Node& n, std::int64_t version) const;
  // Only an output that the schema calls optional may be left out: others get a value that nobody reads. Without a schema the
  // first is such, but an operator that is spelled out as others (upgrade_node) may do without it if it makes more.
  void name_outputs(Node& n, Scope& scope, const onnx::OpSchema* schema, bool spelled_out = true) const;
  // Newest schema: since_version and attribute defaults.
  Status finish(Node& n, std::int64_t version) const;
  // All that `unknown_` holds, in one failure.
  Status unknown_operators() const;

  Model& model_;
  const ImportOptions& options_;
  Payloads& payloads_;
  std::unordered_map<std::string, const onnx::FunctionProto*> functions_;
  std::unordered_map<const Graph*, std::unordered_map<std::string, Type>> declared_;
  std::map<std::string, std::pair<std::string, int>> unknown_;  // operator: what is said of its first node, nodes
  std::uint64_t node_count_ = 0;
  int function_depth_ = 0;
};

}  // namespace tenon
