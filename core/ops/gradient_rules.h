// gradient_rules: what flows back through one node of each operator, as nodes.
//
// A rule takes the gradient of the outputs and gives that of each input that wants one. One object a node; one thread.
#pragma once

#include <span>
#include <string_view>

#include "core/graph/graph.h"
#include "core/ops/upgrade.h"

namespace tenon {

// Makes nodes for one Gradient node and remembers what it made.
class GradientBuilder {
 public:
  GradientBuilder(Graph& graph, std::vector<Node>& fresh, const Node& gradient) : graph(graph), fresh_(fresh), gradient_(gradient) {}

  Graph& graph;

  using Attributes = std::vector<Attribute>;
  ValueId add(const char* op, std::vector<ValueId> inputs, Attributes attributes = {});
  std::vector<ValueId> add_many(const char* op, std::vector<ValueId> inputs, std::size_t outputs, Attributes attributes = {});
  void end(const char* op, std::vector<ValueId> inputs, ValueId output);

  // A scalar of the type of `like`; a list of int64.
  ValueId number(double value, ValueId like);
  ValueId ints(std::vector<std::int64_t> values);
  // Every element of a tensor of v's shape and type.
  ValueId filled(double value, ValueId v);
  ValueId shape(ValueId v) { return add("Shape", {v}); }
  ValueId reshaped(ValueId v, ValueId like) { return add("Reshape", {v, shape(like)}, {{"allowzero", std::int64_t{1}}}); }
  // The last two dimensions swapped.
  ValueId turned(ValueId v, std::int64_t rank);

  DType dtype(ValueId v) const { return graph.values[v].type.dtype; }

 private:
  std::string fresh_name();
  Node make(const char* op, std::vector<ValueId> inputs, std::vector<ValueId> outputs, Attributes attributes) const;

  std::vector<Node>& fresh_;
  const Node& gradient_;
  int count_ = 0;
};

class Backward {
 public:
  Backward(GradientBuilder& builder, const Node& node, std::vector<ValueId> output_gradients, std::vector<bool> wanted)
      : b(builder),
        node(node),
        gradients(node.inputs.size(), none),
        output_gradients_(std::move(output_gradients)),
        wanted_(std::move(wanted)) {}

  GradientBuilder& b;
  const Node& node;
  std::vector<ValueId> gradients;  // of the inputs; none where nobody wants it

  ValueId x(std::size_t i = 0) const { return i < node.inputs.size() ? node.inputs[i] : none; }
  ValueId y() const { return node.outputs[0]; }
  bool wants(std::size_t i) const { return i < wanted_.size() && wanted_[i]; }
  // The gradient of an output; zeros where nothing flows back through it.
  ValueId dy(std::size_t o = 0);

  void give(std::size_t i, ValueId gradient) { gradients[i] = gradient; }
  // For an input that was broadcast to the shape of the output: the gradient has that shape and is summed.
  Status give_summed(std::size_t i, ValueId gradient);
  // The same, where the gradient has other dims than the output.
  Status give_summed(std::size_t i, ValueId gradient, const std::vector<Dim>& dims);

  // Dims of a value. Errors: UNIMPLEMENTED where its rank is not known.
  Result<std::vector<Dim>> dims(ValueId v) const;

 private:
  std::vector<ValueId> output_gradients_;
  std::vector<bool> wanted_;
};

// Dims of two shapes stretched to each other; unknown where only the run knows.
std::vector<Dim> broadcast_dims(const std::vector<Dim>& p, const std::vector<Dim>& q);

struct GradientRule {
  std::string_view op_type;
  Status (*run)(Backward& b);
  bool all_outputs = false;  // it takes gradients of other outputs than the first
};

// One table a file.
std::span<const GradientRule> elementwise_gradients();  // gradient_elementwise.cpp
std::span<const GradientRule> tensor_gradients();       // gradient_tensors.cpp: products, movement, reductions

// null: the operator has none.
const GradientRule* find_gradient_rule(const Node& node);
// The operators that have one, for messages.
std::string gradient_operators();

}  // namespace tenon
