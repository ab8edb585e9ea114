// Graph: nodes and values of a model or of a body inside it, flat and index-based.
//
// Nodes stand in topological order. A value has at most one producer. A body (of If, Loop, Scan or a function op) is a
// graph of its own with its own value table; values that it takes from the graph around it are listed in `outer`.
// Owned by the model or by the attribute that holds it. Threads: readable by all once the load is done; no locks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/graph/attribute.h"

namespace tenon {

using NodeId = std::uint32_t;
using ValueId = std::uint32_t;
inline constexpr std::uint32_t none = 0xffffffffu;  // omitted input or output; no producer

struct Value {
  std::string name;
  Type type;
  ConstantPtr constant;     // set: the value is this constant and has no producer
  NodeId producer = none;   // none: input, constant or outer value
  bool is_input = false;
  bool is_output = false;
  bool sized = false;       // its dims are what inference gave at load; false: perhaps only what the model says of them
};

// Where a node came from, for reports.
struct Source {
  std::string name;
  std::string op_type;
  std::int32_t opset = 0;
};

struct Node {
  std::string domain;  // "" is ai.onnx
  std::string op_type;
  std::string name;
  std::int32_t since_version = 0;
  std::int32_t form = 1;
  std::vector<ValueId> inputs;  // none where omitted; trailing omitted inputs are removed
  std::vector<ValueId> outputs;
  std::vector<Attribute> attributes;  // sorted by name, defaults filled in after canonicalisation
  std::vector<Source> sources;
  GraphPtr body;                // the op spelled out in other ops: schema function, local function or outlined pattern
  bool host_evaluated = false;  // core evaluates it itself (shape arithmetic)

  const Attribute* find(std::string_view attribute) const;
  // The attribute's value, or the fallback when it is absent or has another type.
  std::int64_t int_or(std::string_view attribute, std::int64_t fallback) const;
  float float_or(std::string_view attribute, float fallback) const;
  std::string string_or(std::string_view attribute, std::string_view fallback) const;
  const std::vector<std::int64_t>* ints(std::string_view attribute) const;  // null when absent
  GraphPtr graph(std::string_view attribute) const;                         // null when absent
  void set(std::string_view attribute, AttributeValue value);               // keeps the order
  void erase(std::string_view attribute);
  bool is(std::string_view op, std::string_view in_domain = "") const { return op_type == op && domain == in_domain; }
  // If, Loop, Scan, SequenceMap: core runs their bodies.
  bool control_flow() const { return is("If") || is("Loop") || is("Scan") || is("SequenceMap"); }
  // `node "name" (Op)`: how errors name it.
  std::string label() const;
  // The bodies held by its attributes (then_branch, body, ...), not `body`.
  std::vector<GraphPtr> subgraphs() const;
};

struct OuterValue {
  ValueId inner;   // in this graph
  ValueId parent;  // in the graph around it
};

struct Graph {
  std::string name;
  std::vector<Node> nodes;
  std::vector<Value> values;
  std::vector<ValueId> inputs;   // in the model's order; an initializer that is also an input is an input (with default)
  std::vector<ValueId> outputs;
  std::vector<OuterValue> outer;
  std::unordered_map<ValueId, ConstantPtr> input_defaults;  // initializers that are also inputs

  ValueId add_value(std::string name, Type type = {});
  ValueId add_constant(std::string name, ConstantPtr constant);
  const ConstantPtr* constant(ValueId v) const {  // null unless v is a constant
    return v != none && values[v].constant ? &values[v].constant : nullptr;
  }

  // Readers of each value: node ids, ascending; one entry per reading node. Bodies read through `outer`.
  std::vector<std::vector<NodeId>> readers() const;
  // Sets Value::producer from the nodes.
  void index_producers();
  // Sorts the nodes topologically, stable. Errors: INVALID_ARGUMENT that names the nodes of a cycle.
  Status sort();
  // Drops values that nothing mentions and nodes marked by an empty op_type; renumbers. Ids change.
  void compact();
};

struct OpsetImport {
  std::string domain;
  std::int64_t version = 0;
};

struct Model {
  Graph graph;
  SymbolTable symbols;
  std::vector<OpsetImport> opsets;
  std::int64_t ir_version = 0;
  std::string producer_name, producer_version, domain, description, graph_description;
  std::int64_t model_version = 0;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::string path;  // canonical; empty for bytes
};

// The first of these nodes by their labels, for messages: node "a" (Relu), node "b" (Add) and 7 more.
std::string nodes_text(const Graph& graph, const std::vector<NodeId>& nodes);

}  // namespace tenon
