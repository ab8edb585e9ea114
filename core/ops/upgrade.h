// upgrade: every ai.onnx opset becomes one canonical form, the newest form of each operator.
//
// Attributes that became inputs, defaults that changed, operators that were renamed: one function a family. A provider
// therefore implements one form per operator. Pure rewrites of a graph under construction; any thread.
#pragma once

#include <functional>

#include "core/graph/graph.h"

namespace tenon {

// Where upgraded nodes go: an operator may become several.
struct Upgrade {
  Graph& graph;
  std::vector<Node>& out;   // nodes in order
  std::int64_t version;     // opset of the node's domain in the model
  std::function<Status(Node&)> finish;  // fills in what the newest schema says: for nodes of a body; those in out get it later

  ValueId constant(const std::string& base, std::vector<std::int64_t> values, bool scalar = false);
  ValueId constant(const std::string& base, ConstantPtr value) { return graph.add_constant(base, std::move(value)); }
  // A node that the upgrade of `node` needs; add appends it and gives its output, named after node's own.
  static Node derived(const Node& node, const char* op, std::vector<ValueId> inputs, std::vector<ValueId> outputs);
  ValueId add(const Node& node, const char* op, std::vector<ValueId> inputs, const std::string& name);
};

// Appends node, or what it becomes, to u.out. Errors: UNIMPLEMENTED for forms that cannot be expressed.
Status upgrade_node(Upgrade& u, Node node);

}  // namespace tenon
