// outline: what recognition shares: walking up a spelled-out operator, and putting one node in its place that keeps the
// original nodes as its body.
// Used by one pass at a time.
#pragma once

#include "core/passes/edit.h"

namespace tenon {

// Looks upwards from one node and remembers what it passed.
class Pattern {
 public:
  explicit Pattern(Edit& edit) : edit_(edit), graph_(edit.graph) {}

  // A product as a number and the factors that are no plain numbers: Mul of anything, Div by a number.
  struct Product {
    double number = 1;
    std::vector<ValueId> factors;
  };

  // The maker of v when it is `op`, which becomes part of the pattern; null otherwise.
  const Node* take(ValueId v, std::string_view op);
  // v = a `op` b with the number on either side: the other side. none when v is something else.
  ValueId beside(ValueId v, std::string_view op, double number);
  // v = x raised to the second power; x.
  ValueId squared(ValueId v);
  // The factors of v, through products that nothing else reads. `like` gives the rank that numbers must not widen.
  Product product(ValueId v, const Type& like);
  // The number is about the expected one, by the precision of the element type.
  bool near(double number, double expected, DType dtype) const;

  std::size_t mark() const { return nodes_.size(); }
  void back_to(std::size_t mark) { nodes_.resize(mark); }
  Edit& edit() { return edit_; }

  // An input of the new node, and the value of the pattern that it stands for; none when the pattern has no such value.
  struct Input {
    ValueId given, inside;
  };
  // Replaces the pattern by `node` at the place of `last`. False, with nothing changed, when something else reads a value
  // inside. node needs op, attributes and nothing more; inputs are distinct in `inside`.
  bool replace(NodeId last, Node node, const std::vector<Input>& inputs);

 private:
  void factors_of(ValueId v, bool top, const Type& like, Product& out);

  Edit& edit_;
  Graph& graph_;
  std::vector<NodeId> nodes_;
};

}  // namespace tenon
