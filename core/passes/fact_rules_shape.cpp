// The rules for operators that make new sizes.
#include <algorithm>

#include "core/passes/fact_rules.h"

namespace tenon {

void FactRules::reshape(const Node& node) {
  const ValueId x = input(node, 0), out = node.outputs[0];
  const Facts::List* list = input(node, 1) == none ? nullptr : facts_.list(input(node, 1));
  if (!list || list->elements.size() != rank(out)) return;
  // The size that -1 stands for: what is left of the input when the sizes that both have are taken away.
  std::vector<Size> left = facts_.sizes_[x];
  Checked numbers = 1;
  bool open = false;
  std::size_t inferred = rank(out);
  for (std::size_t d = 0; d < rank(out); ++d) {
    const Facts::Element& e = list->elements[d];
    if (e.known && e.number == -1) {
      inferred = d;
      continue;
    }
    if (e.known && e.number == 0 && !node.int_or("allowzero", 0)) carry(out, d, x, d);
    else set(out, d, e.known ? Size{e.number, 0} : Size{-1, e.variable});
    const Size s = facts_.size(out, d);
    if (s.fixed()) numbers *= Checked(s.number);
    else if (auto it = std::find(left.begin(), left.end(), s); s.known() && it != left.end()) left.erase(it);
    else open = true;
  }
  if (inferred == rank(out) || open || !numbers.valid() || numbers.value() == 0) return;
  Checked rest = 1;
  Size variable;
  for (const Size& s : left) {
    if (s.fixed()) rest *= Checked(s.number);
    else if (variable.known()) return;
    else variable = s;
  }
  if (!rest.valid()) return;
  if (!variable.known() && rest.value() % numbers.value() == 0) set(out, inferred, rest.value() / numbers.value());
  else if (variable.known() && rest.value() == numbers.value()) set(out, inferred, variable);
}

void FactRules::expand(const Node& node) {
  const ValueId x = input(node, 0), out = node.outputs[0];
  const Facts::List* list = input(node, 1) == none ? nullptr : facts_.list(input(node, 1));
  if (!list || !ranked(x)) return;
  const std::size_t n = list->elements.size(), r = rank(out);
  for (std::size_t back = 0; back < r; ++back) {
    const std::size_t d = r - 1 - back;
    const Facts::Element e = back < n ? list->elements[n - 1 - back] : Facts::Element{true, 1, 0};
    const Size own = back < rank(x) ? facts_.size(x, rank(x) - 1 - back) : Size{1, 0};
    if (e.known && e.number > 1) set(out, d, e.number);
    else if (e.known && e.number == 1) set(out, d, own);
    else if (e.variable && (own == Size{1, 0} || own == Size{-1, e.variable})) set(out, d, Size{-1, e.variable});
    else if (own.fixed() && own.number > 1) set(out, d, own);
    else if (e.variable && back < rank(x) && claim(out, d).symbol && claim(x, rank(x) - 1 - back) == claim(out, d))
      set(out, d, Size{-1, e.variable});  // inference found both equal, as in broadcast
  }
}

void FactRules::slice(const Node& node) {
  const ValueId x = input(node, 0), out = node.outputs[0];
  if (rank(x) != rank(out)) return;
  auto axes = numbers(node, 3);
  const auto starts = numbers(node, 1), ends = numbers(node, 2), steps = numbers(node, 4);
  if (input(node, 3) == none) {  // the first axes, as many as there are starts
    const auto n = facts_.fixed(input(node, 1), 0);
    if (!n || *n > static_cast<std::int64_t>(rank(x))) return;
    axes.emplace();
    for (std::int64_t a = 0; a < *n; ++a) axes->push_back(a);
  }
  if (!axes) return;
  std::vector<int> cut(rank(x), -1);
  for (std::size_t i = 0; i < axes->size(); ++i) {
    const auto at = axis((*axes)[i], rank(x));
    if (!at) return;
    cut[*at] = static_cast<int>(i);
  }
  const bool constant = starts && ends && (steps || input(node, 4) == none);
  for (std::size_t d = 0; d < rank(x); ++d) {
    if (cut[d] < 0) {
      carry(out, d, x, d);
      continue;
    }
    const auto i = static_cast<std::size_t>(cut[d]);
    if (!constant || i >= starts->size() || i >= ends->size() || (steps && i >= steps->size())) continue;
    const std::int64_t step = steps ? (*steps)[i] : 1;
    if (facts_.fixed(x, d)) {
      if (claim(out, d).fixed()) set(out, d, claim(out, d).value);
    } else if ((*starts)[i] == 0 && (*ends)[i] >= INT32_MAX && step == 1) {
      carry(out, d, x, d);
    }
  }
}

void FactRules::split(const Node& node) {
  const ValueId x = input(node, 0);
  if (!ranked(x)) return;
  const auto at = axis(node.int_or("axis", 0), rank(x));
  const auto sizes = numbers(node, 1);
  for (std::size_t i = 0; at && i < node.outputs.size(); ++i) {
    const ValueId out = node.outputs[i];
    if (out == none || rank(out) != rank(x)) continue;
    for (std::size_t d = 0; d < rank(x); ++d)
      if (d != *at) carry(out, d, x, d);
    if (sizes && i < sizes->size()) set(out, *at, (*sizes)[i]);
    else if (!sizes && input(node, 1) == none && facts_.fixed(x, *at) && claim(out, *at).fixed()) set(out, *at, claim(out, *at).value);
  }
}

void FactRules::reduce(const Node& node, bool axis_attribute) {
  const ValueId x = input(node, 0), out = node.outputs[0];
  if (!ranked(x)) return;
  std::vector<bool> gone(rank(x));
  std::vector<std::int64_t> axes;
  if (axis_attribute) axes = {node.int_or("axis", 0)};
  else if (const auto given = numbers(node, 1)) axes = *given;
  else if (input(node, 1) != none) return;
  if (axes.empty()) {
    if (node.int_or("noop_with_empty_axes", 0)) return carry_all(out, x);
    gone.assign(gone.size(), true);
  }
  for (std::int64_t a : axes) {
    const auto at = axis(a, rank(x));
    if (!at) return;
    gone[*at] = true;
  }
  const bool keep = node.int_or("keepdims", 1) != 0;
  std::size_t next = 0;
  for (std::size_t d = 0; d < rank(x); ++d) {
    if (!gone[d]) carry(out, next++, x, d);
    else if (keep) set(out, next++, 1);
  }
}

// [N, C, spatial...]: what a window makes of a size is exact when the size is.
void FactRules::windows(const Node& node) {
  const ValueId x = input(node, 0), out = node.outputs[0];
  if (rank(x) != rank(out) || rank(out) < 2) return;
  const bool conv = node.op_type.starts_with("Conv"), global = node.op_type.starts_with("Global");
  carry(out, 0, x, 0);
  const ValueId w = conv ? input(node, 1) : none;
  const bool weights = !conv || (w != none && facts_.fixed_dims(w));
  if (!conv) carry(out, 1, x, 1);
  else if (weights && claim(out, 1).fixed()) set(out, 1, claim(out, 1).value);
  for (std::size_t d = 2; d < rank(out); ++d)
    if (global) set(out, d, 1);
    else if (weights && facts_.fixed(x, d) && claim(out, d).fixed()) set(out, d, claim(out, d).value);
  for (std::size_t i = 1; i < node.outputs.size(); ++i) carry_all(node.outputs[i], out);
}

}  // namespace tenon
