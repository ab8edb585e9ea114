#include "core/passes/facts.h"

#include <algorithm>

#include "core/graph/elements.h"
#include "core/ops/evaluator.h"
#include "core/passes/edit.h"
#include "core/passes/fact_rules.h"

namespace tenon {
namespace {

using Element = Facts::Element;
using List = Facts::List;

constexpr std::size_t list_limit = 64;  // elements followed one by one: ranks and the like

std::optional<List> list_of(const Constant& c) {
  if ((c.dtype != TENON_DTYPE_INT64 && c.dtype != TENON_DTYPE_INT32 && c.dtype != TENON_DTYPE_BOOL) || c.dims.size() > 1 ||
      c.count() > static_cast<std::int64_t>(list_limit))
    return std::nullopt;
  List out;
  out.scalar = c.dims.empty();
  for (std::size_t i = 0; i < static_cast<std::size_t>(c.count()); ++i) out.elements.push_back({true, *integer_element(c, i), 0});
  return out;
}

// The evaluator trusts element types; what a wrong model hands it must not get there.
bool may_evaluate(const Node& node, const std::vector<ConstantPtr>& in) {
  const auto integer = [](const ConstantPtr& c) { return c && (c->dtype == TENON_DTYPE_INT64 || c->dtype == TENON_DTYPE_INT32); };
  const auto from = [&](std::size_t first, auto&& good) {
    for (std::size_t i = first; i < in.size(); ++i)
      if (in[i] && !good(in[i])) return false;
    return true;
  };
  const auto one_element = [&](const ConstantPtr& c) { return integer(c) && c->count() == 1; };
  const std::string& op = node.op_type;
  if (op == "Div" || op == "Mod") {  // dividing by zero is the run's error
    if (in.size() < 2 || !in[1]) return false;
    for (std::size_t i = 0; i < static_cast<std::size_t>(in[1]->count()); ++i)
      if (const auto v = integer_element(*in[1], i); v && *v == 0) return false;
    return true;
  }
  if (op == "Where") return in[0] && in[0]->dtype == TENON_DTYPE_BOOL;
  if (op == "And" || op == "Or" || op == "Not") return from(0, [](const ConstantPtr& c) { return c->dtype == TENON_DTYPE_BOOL; });
  if (op == "Slice") return in.size() >= 3 && from(1, one_element);
  for (std::string_view moves : {"Gather", "Reshape", "Expand", "Split", "Squeeze", "Unsqueeze"})
    if (op == moves) return from(1, integer);
  if (op.starts_with("Reduce")) return from(1, integer);
  if (op == "Range") return in.size() == 3 && in[0] && from(0, [&](const ConstantPtr& c) { return c->dtype == in[0]->dtype; });
  if (op == "ConstantOfShape") return integer(in[0]);
  return true;
}

// Element i of a list that may be one element for all.
const Element& spread(const List& list, std::size_t i) { return list.elements[list.elements.size() == 1 ? 0 : i]; }

}  // namespace

Facts::Facts(const Graph& graph, bool is_body)
    : graph_(graph), sizes_(graph.values.size()), lists_(graph.values.size()), known_(graph.values.size()) {
  FactRules rules(*this, graph);
  for (ValueId v = 0; v < graph.values.size(); ++v) {
    const Value& value = graph.values[v];
    if (value.type.is_tensor() && value.type.dims) sizes_[v].resize(value.type.dims->size());
    if (value.constant) {
      known_[v] = value.constant;
      lists_[v] = list_of(*value.constant);
    }
    if (value.constant || (value.is_input && !is_body)) rules.trust(v);
    else if (value.producer == none) rules.fill(v);
  }
  for (const Node& node : graph.nodes) {
    if (node.op_type.empty()) continue;
    rules.apply(node);
    for (ValueId v : node.outputs)
      if (v != none) rules.fill(v);
  }
}

std::optional<std::int64_t> Facts::fixed(ValueId v, std::size_t d) const {
  const Size s = size(v, d);
  return s.fixed() ? std::optional(s.number) : std::nullopt;
}

std::optional<Dims> Facts::fixed_dims(ValueId v) const {
  if (v >= sizes_.size() || !graph_.values[v].type.is_tensor() || !graph_.values[v].type.dims) return std::nullopt;
  Dims out;
  for (const Size& s : sizes_[v]) {
    if (!s.fixed()) return std::nullopt;
    out.push_back(s.number);
  }
  return out;
}

bool Facts::same_dims(ValueId a, ValueId b) const {
  if (a >= sizes_.size() || b >= sizes_.size()) return false;
  const Type &x = graph_.values[a].type, &y = graph_.values[b].type;
  return x.is_tensor() && y.is_tensor() && x.dims && y.dims && sizes_[a] == sizes_[b];
}

// ---- values ------------------------------------------------------------------------------------------------------------

void FactRules::know(ValueId v, ConstantPtr constant) {
  if (v == none) return;
  facts_.lists_[v] = list_of(*constant);
  if (rank(v) == constant->dims.size())
    for (std::size_t d = 0; d < rank(v); ++d) set(v, d, constant->dims[d]);
  facts_.known_[v] = std::move(constant);
}

void FactRules::know(ValueId v, List list) {
  bool any = list.elements.empty(), all = true;
  for (const Element& e : list.elements) any = any || e.anything(), all = all && e.known;
  if (!any || list.elements.size() > list_limit) return;
  if (all && graph_.values[v].type.dtype == TENON_DTYPE_INT64) {
    Numbers numbers;
    for (const Element& e : list.elements) numbers.push_back(e.number);
    return know(v, int64_constant(numbers, list.scalar));
  }
  if (!list.scalar && rank(v) == 1) set(v, 0, static_cast<std::int64_t>(list.elements.size()));
  facts_.lists_[v] = std::move(list);
}

bool FactRules::evaluate_node(const Node& node) {
  if (!evaluable(node)) return false;
  std::vector<ConstantPtr> in;
  for (ValueId v : node.inputs) {
    in.push_back(v == none ? nullptr : facts_.known_[v]);
    if (v != none && (!in.back() || in.back()->count() > small_elements)) return false;
  }
  if (in.empty() || !may_evaluate(node, in)) return false;
  auto out = evaluate(node, in);
  if (!out || out->size() < node.outputs.size()) return false;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueId v = node.outputs[i];
    if (v == none) continue;
    const DType declared = graph_.values[v].type.dtype;
    if (declared != TENON_DTYPE_UNDEFINED && declared != (*out)[i]->dtype) return false;
  }
  for (std::size_t i = 0; i < node.outputs.size(); ++i) know(node.outputs[i], (*out)[i]);
  return true;
}

void FactRules::follow_list(const Node& node) {
  const std::string& op = node.op_type;
  const ValueId out = node.outputs[0], first = node.inputs[0];
  if (op == "Shape") {
    const std::int64_t dims = rank_of(graph_, first);
    if (dims < 0) return;
    std::int64_t start = node.int_or("start", 0), end = node.int_or("end", dims);
    start = std::clamp<std::int64_t>(start < 0 ? start + dims : start, 0, dims);
    end = std::clamp<std::int64_t>(end < 0 ? end + dims : end, 0, dims);
    List list;
    for (std::int64_t d = start; d < end; ++d) {
      const Size s = facts_.size(first, static_cast<std::size_t>(d));
      list.elements.push_back(s.fixed() ? Element{true, s.number, 0} : Element{false, 0, s.variable});
    }
    return know(out, std::move(list));
  }
  if (op == "Size") {
    if (const auto dims = facts_.fixed_dims(first))
      if (const Checked n = element_count(*dims); n.valid()) know(out, List{std::vector<Element>{{true, n.value(), 0}}, true});
    return;
  }
  if (op == "Concat") {
    List list;
    if (const std::int64_t at = node.int_or("axis", 0); at != 0 && at != -1) return;
    for (ValueId v : node.inputs) {
      const List* part = v == none ? nullptr : facts_.list(v);
      if (part && !part->scalar) {
        list.elements.insert(list.elements.end(), part->elements.begin(), part->elements.end());
      } else {  // unknown elements, but as many in every run
        const auto n = rank(v) == 1 ? facts_.fixed(v, 0) : std::nullopt;
        if (!n || *n > static_cast<std::int64_t>(list_limit)) return;
        list.elements.resize(list.elements.size() + static_cast<std::size_t>(*n));
      }
    }
    return know(out, std::move(list));
  }
  const List* x = facts_.list(first);
  if (!x) return;
  if (op == "Identity" || op == "Cast") {
    const std::int64_t to = op == "Cast" ? node.int_or("to", 0) : TENON_DTYPE_INT64;
    if (graph_.values[first].type.dtype != TENON_DTYPE_BOOL && (to == TENON_DTYPE_INT64 || to == TENON_DTYPE_INT32)) know(out, *x);
  } else if (op == "Gather") {
    const ConstantPtr index = input(node, 1) == none ? nullptr : facts_.known_[input(node, 1)];
    if (x->scalar || !index || index->dims.size() > 1 || index->count() > static_cast<std::int64_t>(list_limit)) return;
    List list{std::vector<Element>{}, index->dims.empty()};
    const auto size = static_cast<std::int64_t>(x->elements.size());
    for (std::size_t i = 0; i < static_cast<std::size_t>(index->count()); ++i) {
      const auto raw = integer_element(*index, i);
      const std::int64_t at = raw && *raw < 0 ? *raw + size : raw.value_or(-1);
      if (at < 0 || at >= size) return;
      list.elements.push_back(x->elements[static_cast<std::size_t>(at)]);
    }
    know(out, std::move(list));
  } else if (op == "Slice") {
    follow_slice(node, *x);
  } else if (op == "Unsqueeze") {
    if (x->scalar && rank_of(graph_, out) == 1) know(out, List{x->elements, false});
  } else if (op == "Squeeze") {
    if (!x->scalar && x->elements.size() == 1 && rank_of(graph_, out) == 0) know(out, List{x->elements, true});
  } else if (op == "Reshape") {
    const std::int64_t dims = rank_of(graph_, out);
    if (x->elements.size() == 1 && (dims == 0 || dims == 1)) know(out, List{x->elements, dims == 0});
  } else if (op == "Equal" || op == "Where") {
    follow_choice(node, *x);
  } else if (op == "Mul" || op == "Div" || op == "Add" || op == "Sub") {
    follow_arithmetic(node, *x);
  }
}

void FactRules::follow_slice(const Node& node, const List& x) {
  const auto whole = [&](std::size_t i) { return input(node, i) == none ? ConstantPtr() : facts_.known_[input(node, i)]; };
  const ConstantPtr starts = whole(1), ends = whole(2), steps = whole(4);
  if (x.scalar || !starts || !ends || starts->count() != 1 || ends->count() != 1 || (input(node, 4) != none && !steps)) return;
  const auto start = integer_element(*starts, 0), end = integer_element(*ends, 0);
  if (!start || !end || (steps && single_number(*steps) != 1.0)) return;
  const auto size = static_cast<std::int64_t>(x.elements.size());
  const auto at = [&](std::int64_t k) { return std::clamp<std::int64_t>(k < 0 ? (k < -size ? 0 : k + size) : k, 0, size); };
  List list;
  for (std::int64_t k = at(*start); k < at(*end); ++k) list.elements.push_back(x.elements[static_cast<std::size_t>(k)]);
  know(node.outputs[0], std::move(list));
}

// Equal and Where: how exporters ask whether a target shape keeps a dim. Sizes are never negative.
void FactRules::follow_choice(const Node& node, const List& x) {
  const List* y = input(node, 1) == none ? nullptr : facts_.list(input(node, 1));
  const List* z = input(node, 2) == none ? nullptr : facts_.list(input(node, 2));
  const bool where = node.op_type == "Where";
  if (!y || (where && !z)) return;
  std::size_t n = std::max(x.elements.size(), y->elements.size());
  if (where) n = std::max(n, z->elements.size());
  for (const List* l : {&x, y, where ? z : y})
    if (l->elements.size() != n && l->elements.size() != 1) return;
  List list{std::vector<Element>{}, x.scalar && y->scalar && (!where || z->scalar)};
  for (std::size_t i = 0; i < n; ++i) {
    const Element &a = spread(x, i), &b = spread(*y, i);
    Element e;
    if (where) {
      const Element& c = spread(*z, i);
      e = a.known ? (a.number ? b : c) : b == c ? b : Element{};
    } else if (a.known && b.known) {
      e = {true, a.number == b.number, 0};
    } else if (a.variable && a == b) {
      e = {true, 1, 0};
    } else if ((a.known && a.number < 0 && b.variable) || (b.known && b.number < 0 && a.variable)) {
      e = {true, 0, 0};
    }
    list.elements.push_back(e);
  }
  know(node.outputs[0], std::move(list));
}

void FactRules::follow_arithmetic(const Node& node, const List& x) {
  const List* y = input(node, 1) == none ? nullptr : facts_.list(input(node, 1));
  if (!y || graph_.values[node.inputs[0]].type.dtype != TENON_DTYPE_INT64) return;
  const std::size_t n = std::max(x.elements.size(), y->elements.size());
  for (const List* l : {&x, y})
    if (l->elements.size() != n && l->elements.size() != 1) return;
  List list{std::vector<Element>{}, x.scalar && y->scalar};
  const std::string& op = node.op_type;
  for (std::size_t i = 0; i < n; ++i) {
    const Element &a = spread(x, i), &b = spread(*y, i);
    Element e;
    if (op == "Add") e = sum(a, b);
    else if (op == "Sub") e = sum(a, b, -1);
    else if (op == "Mul" && b.known) e = sum({true, 0, 0}, a, b.number);
    else if (op == "Mul" && a.known) e = sum({true, 0, 0}, b, a.number);
    else if (op == "Div" && b.known && b.number == 1) e = a;
    list.elements.push_back(e);
  }
  know(node.outputs[0], std::move(list));
}

Element FactRules::sum(const Element& a, const Element& b, std::int64_t factor) {
  constexpr std::int64_t limit = std::int64_t{1} << 40;  // beyond it the products below could overflow
  if (!a.anything() || !b.anything() || factor > limit || factor < -limit) return {};
  Linear total;
  const auto add = [&](const Element& e, std::int64_t by) {
    Linear one;
    if (e.known) one.constant = e.number;
    else if (auto it = linear_.find(e.variable); it != linear_.end()) one = it->second;
    else one.terms[e.variable] = 1;
    const auto accumulate = [by](std::int64_t k, std::int64_t& into) {
      return !__builtin_mul_overflow(k, by, &k) && !__builtin_add_overflow(into, k, &into);
    };
    bool fits = accumulate(one.constant, total.constant);
    for (auto [v, k] : one.terms) fits = fits && accumulate(k, total.terms[v]);
    return fits;
  };
  if (!add(a, 1) || !add(b, factor)) return {};
  std::erase_if(total.terms, [](const auto& t) { return t.second == 0; });
  if (total.terms.empty()) return {true, total.constant, 0};
  if (total.constant == 0 && total.terms.size() == 1 && total.terms.begin()->second == 1) return {false, 0, total.terms.begin()->first};
  std::uint32_t& variable = of_linear_[total];
  if (!variable) linear_[variable = fresh()] = total;
  return {false, 0, variable};
}

}  // namespace tenon
