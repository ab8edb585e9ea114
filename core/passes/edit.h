// edit: what passes share to rewrite a graph: use counts, replacing values, marking nodes dead, and looking upwards.
//
// Replacements are collected and applied in one sweep by commit (or the destructor), so that a pass is linear in the
// graph. Until then the nodes still name the old values: ask `now` what a value has become. One thread.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "core/passes/pass.h"

namespace tenon {

class Edit {
 public:
  explicit Edit(PassContext& context);
  ~Edit() { commit(); }
  Edit(const Edit&) = delete;
  Edit& operator=(const Edit&) = delete;

  PassContext& context;
  Graph& graph;

  // What a value has become by the replacements so far.
  ValueId now(ValueId v);
  // Input i of a node as it is now; none when absent.
  ValueId input(const Node& node, std::size_t i) { return i < node.inputs.size() ? now(node.inputs[i]) : none; }
  // Input i as a constant, or null.
  const Constant* constant(const Node& node, std::size_t i);
  // The live node that makes a value; null for inputs, constants and outer values.
  Node* producer(ValueId v);
  // As producer, when it is of this ai.onnx operator.
  Node* producer(ValueId v, std::string_view op);

  // Slots that read a value: node inputs, bodies and graph outputs. Kept up by replace and remove.
  std::uint32_t uses(ValueId v) const { return uses_[v]; }
  bool is_output(ValueId v) const { return graph.values[v].is_output; }

  // All readers of `from` read `to` from now on; counts as a rewrite. When `from` is an output of the graph, the maker of
  // `to` makes `from` instead; where that cannot be (`to` is an input, a constant or an output itself), nothing happens
  // and the result is false. The maker of `from` must be dead or die.
  bool replace(ValueId from, ValueId to);
  bool can_replace(ValueId from, ValueId to);
  // `v` has this constant value; its producer should be removed.
  void make_constant_value(ValueId v, ConstantPtr constant);
  // Marks a node dead and takes back its uses.
  void remove(NodeId n);
  NodeId id_of(const Node& node) const { return static_cast<NodeId>(&node - graph.nodes.data()); }
  // Changes an input, keeping the counts.
  void set_input(Node& node, std::size_t i, ValueId v);
  // Puts a node in the place of another: same id, uses updated. Its inputs must stand before it or be constants.
  void put(NodeId at, Node node);
  ValueId add_value(std::string name, Type type);
  ValueId add_constant(std::string name, ConstantPtr constant);

  void commit();

 private:
  void count(const Node& node, int step);

  std::vector<std::uint32_t> uses_;
  std::vector<ValueId> replaced_;  // per value: what it became, or itself
  std::vector<NodeId> makers_;     // per value: its producer now
  bool dirty_ = false;
};

// ---- questions about values ------------------------------------------------------------------------------------------------

// The only element of a constant value, whatever its type; nullopt otherwise.
std::optional<double> scalar_of(const Graph& graph, ValueId v);
// True if v is a constant of one element that does not widen a tensor of `type` by broadcasting, about equal to `expected`.
bool is_scalar(const Graph& graph, ValueId v, double expected, const Type& type);
// The elements of a constant int64 list input; nullopt when it is absent or not constant.
std::optional<std::vector<std::int64_t>> ints_of(const Graph& graph, ValueId v);
// Rank, or -1 when unknown.
std::int64_t rank_of(const Graph& graph, ValueId v);
Type tensor_type(DType dtype, const Dims& dims);
// Equal bytes, dims and type; cheap: large ones only when they are the same memory.
bool same_constant(const Constant& a, const Constant& b);
// Attributes equal, constants by content, no graphs.
bool same_attributes(const Node& a, const Node& b);

}  // namespace tenon
