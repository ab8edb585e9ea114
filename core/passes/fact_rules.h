// fact_rules: how Facts follow an operator; private to facts.
#pragma once

#include "core/passes/facts.h"

namespace tenon {

class FactRules {
 public:
  FactRules(Facts& facts, const Graph& graph) : facts_(facts), graph_(graph) {}

  // What the type says of a graph's input or a constant.
  void trust(ValueId v);
  // A variable for every size that has nothing yet.
  void fill(ValueId v);
  void apply(const Node& node);

 private:
  using Numbers = std::vector<std::int64_t>;

  // Values (facts.cpp).
  void know(ValueId v, ConstantPtr constant);
  void know(ValueId v, Facts::List list);
  bool evaluate_node(const Node& node);
  void follow_list(const Node& node);
  void follow_slice(const Node& node, const Facts::List& x);
  void follow_choice(const Node& node, const Facts::List& x);
  void follow_arithmetic(const Node& node, const Facts::List& x);

  // Sizes (fact_rules.cpp, fact_rules_shape.cpp).
  void sizes(const Node& node);
  bool exact(const Node& node) const;
  std::size_t rank(ValueId v) const { return v == none ? 0 : facts_.sizes_[v].size(); }
  bool ranked(ValueId v) const { return v != none && graph_.values[v].type.is_tensor() && graph_.values[v].type.dims.has_value(); }
  const Dim& claim(ValueId v, std::size_t d) const { return (*graph_.values[v].type.dims)[d]; }
  void set(ValueId v, std::size_t d, Size size);
  void set(ValueId v, std::size_t d, std::int64_t number) { set(v, d, Size{number, 0}); }
  void carry(ValueId out, std::size_t d, ValueId in, std::size_t e) { set(out, d, facts_.size(in, e)); }
  void carry_all(ValueId out, ValueId in);
  void broadcast(ValueId out, const std::vector<ValueId>& in, std::size_t drop_last = 0);
  std::optional<std::size_t> axis(std::int64_t raw, std::size_t rank) const;
  std::optional<Numbers> numbers(const Node& node, std::size_t input) const;  // a known int64 list
  ValueId input(const Node& node, std::size_t i) const { return i < node.inputs.size() ? node.inputs[i] : none; }
  // a + factor * b; nothing when either is nothing. Equal sums are the same variable.
  Facts::Element sum(const Facts::Element& a, const Facts::Element& b, std::int64_t factor = 1);
  std::uint32_t fresh() { return ++variables_; }

  void matmul(const Node& node);
  void transpose(const Node& node);
  void gather(const Node& node);
  void concat(const Node& node);
  void squeeze(const Node& node, bool insert);
  void reshape(const Node& node);
  void expand(const Node& node);
  void slice(const Node& node);
  void split(const Node& node);
  void reduce(const Node& node, bool axis_attribute);
  void windows(const Node& node);

  // A constant and variables with factors, by variable.
  struct Linear {
    std::int64_t constant = 0;
    std::map<std::uint32_t, std::int64_t> terms;
    auto operator<=>(const Linear&) const = default;
  };

  Facts& facts_;
  const Graph& graph_;
  std::uint32_t variables_ = 0;
  std::map<std::uint32_t, std::uint32_t> of_symbol_;  // symbols of the graph's inputs
  std::map<std::uint32_t, Linear> linear_;            // variables that are sums
  std::map<Linear, std::uint32_t> of_linear_;
};

}  // namespace tenon
