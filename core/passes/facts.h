// facts: what holds of sizes and small integer values in every run, whatever the inputs.
//
// The types of a load are found by trying numbers, so a size that only seemed fixed (a slice clamped to 8, a division that
// rounded twice to the same) may be wrong for others. Here every size is a number or a variable with a number of its own:
// an operator passes it on, or makes a new variable. Equal variables are equal sizes. Built by one sweep over a sorted
// graph; read-only afterwards; of values that were added since nothing is known.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "core/passes/pass.h"

namespace tenon {

// A number or a variable; {-1, 0} is nothing.
struct Size {
  std::int64_t number = -1;
  std::uint32_t variable = 0;

  bool fixed() const { return variable == 0 && number >= 0; }
  bool known() const { return variable != 0 || number >= 0; }
  bool operator==(const Size&) const = default;
};

class Facts {
 public:
  // An element of an integer value: any number, or a variable, or nothing.
  struct Element {
    bool known = false;  // number is the value
    std::int64_t number = 0;
    std::uint32_t variable = 0;

    bool anything() const { return known || variable; }
    bool operator==(const Element&) const = default;
  };
  struct List {
    std::vector<Element> elements;
    bool scalar = false;
  };

  Facts(const Graph& graph, bool is_body);

  // Size d of v; nothing when the rank is not known or smaller.
  Size size(ValueId v, std::size_t d) const { return v < sizes_.size() && d < sizes_[v].size() ? sizes_[v][d] : Size{}; }
  // The number, if there is one.
  std::optional<std::int64_t> fixed(ValueId v, std::size_t d) const;
  // Dims of a value whose sizes are all numbers.
  std::optional<Dims> fixed_dims(ValueId v) const;
  // Both values are tensors of the same sizes in every run.
  bool same_dims(ValueId a, ValueId b) const;
  // Elements of an int64, int32 or bool value of rank 0 or 1; null when nothing is known of them.
  const List* list(ValueId v) const { return v < lists_.size() && lists_[v] ? &*lists_[v] : nullptr; }
  // The whole value: a constant of the graph, or computed from such (core/ops/evaluator.h), or a list of numbers.
  const ConstantPtr& known(ValueId v) const { return known_[v]; }

 private:
  friend class FactRules;
  const Graph& graph_;
  std::vector<std::vector<Size>> sizes_;  // per value and dim
  std::vector<std::optional<List>> lists_;
  std::vector<ConstantPtr> known_;
};

}  // namespace tenon
