#include <algorithm>

#include "core/graph/elements.h"
#include "core/onnx/canonical.h"
#include "core/passes/edit.h"
#include "core/passes/facts.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

using Numbers = std::vector<std::int64_t>;

bool keeps_order(const Node& n) {
  return n.domain.empty() && (n.op_type == "Reshape" || n.op_type == "Flatten" || n.op_type == "Squeeze" || n.op_type == "Unsqueeze");
}

// A target shape that needs no computing: numbers, 0 where the input's dim is kept, -1 for at most one that follows from
// the count. nullopt when some size is neither. Read with allowzero = 0.
std::optional<Numbers> fixed_target(const Facts& facts, const Node& n, ValueId x, ValueId shape) {
  const Facts::List* list = facts.list(shape);
  const ValueId out = n.outputs[0];
  const bool zero_is_zero = n.int_or("allowzero", 0) != 0;
  if (!list || list->scalar) return std::nullopt;
  Numbers target;
  std::size_t open = 0;
  bool plain = true, inferred = false;  // plain: every number is above 0
  for (std::size_t d = 0; d < list->elements.size(); ++d) {
    const Facts::Element& e = list->elements[d];
    const auto number = e.known ? std::optional(e.number) : facts.fixed(out, d);
    if (zero_is_zero && e.known && e.number == 0) return std::nullopt;
    if (number && (e.known || *number > 0)) {
      target.push_back(*number);
      plain = plain && *number > 0;
      inferred = inferred || *number == -1;
    } else if (e.variable && facts.size(x, d) == Size{-1, e.variable}) {
      target.push_back(0);
      plain = false;
    } else {
      target.push_back(-1);
      ++open;
    }
  }
  if (open > 1 || (open == 1 && (inferred || !plain))) return std::nullopt;  // -1 beside a size of 0 would be undefined
  return target;
}

// The target of an outer Reshape when its input is `x` in place of `middle`.
std::optional<Numbers> past(const Facts& facts, const Numbers& target, ValueId middle, ValueId x) {
  Numbers out = target;
  for (std::size_t d = 0; d < out.size(); ++d) {
    if (out[d] != 0) continue;
    const Size kept = facts.size(middle, d);
    if (kept.fixed() && kept.number > 0) out[d] = kept.number;
    else if (!kept.known() || facts.size(x, d) != kept) return std::nullopt;
  }
  return out;
}

class Simplifier {
 public:
  explicit Simplifier(PassContext& context) : facts_(context.graph, context.is_body), edit_(context), graph_(context.graph) {}

  void node(NodeId id) {
    Node& n = graph_.nodes[id];
    if (!n.domain.empty() || n.inputs.empty() || n.inputs[0] == none || n.outputs.empty() || n.outputs[0] == none) return;
    if (n.op_type == "Reshape") reshape(n, id);
    else if (n.op_type == "Transpose") transpose(n, id);
    else if (n.op_type == "Squeeze" || n.op_type == "Unsqueeze") undo(n, id);
    else if (n.op_type == "Cast") cast(n, id);
  }

 private:
  void reshape(Node& n, NodeId id) {
    const ValueId shape = edit_.input(n, 1);
    if (shape == none || swap(n, id)) return;
    if (!graph_.values[shape].constant) {
      const auto target = fixed_target(facts_, n, n.inputs[0], shape);
      if (!target) return;
      set_target(n, *target);
    }
    auto target = ints_of(graph_, edit_.input(n, 1));
    if (!target) return;
    if (n.int_or("allowzero", 0)) {
      if (std::find(target->begin(), target->end(), 0) != target->end()) return;
      n.set("allowzero", std::int64_t{0});  // says the same where no 0 is, and is what providers know best
    }
    bool moved = false;
    for (const Node* inner = edit_.producer(n.inputs[0]); inner && keeps_order(*inner); inner = edit_.producer(n.inputs[0])) {
      const ValueId middle = edit_.input(n, 0), x = edit_.input(*inner, 0);
      const auto better = past(facts_, *target, middle, x);
      if (!better) break;
      target = better;
      edit_.set_input(n, 0, x);
      moved = true;
    }
    if (!moved) return;
    if (ints_of(graph_, edit_.input(n, 1)) != target) set_target(n, *target);
    ++edit_.context.rewrites;
  }

  // [..., S, D] flattened to [M, S, D], transposed and given its leading dims back is a Transpose of the last two.
  bool swap(Node& n, NodeId id) {
    const Node* transpose = edit_.producer(n.inputs[0], "Transpose");
    const Node* flat = transpose ? edit_.producer(transpose->inputs[0]) : nullptr;
    if (!flat || !keeps_order(*flat)) return false;
    const auto* perm = transpose->ints("perm");
    const ValueId x = edit_.input(*flat, 0), middle = edit_.input(*transpose, 0), out = n.outputs[0];
    const std::int64_t rank = rank_of(graph_, x);
    if (!perm || *perm != Numbers{0, 2, 1} || rank < 3 || rank_of(graph_, out) != rank || rank_of(graph_, middle) != 3) return false;
    const auto last = static_cast<std::size_t>(rank - 1);
    const auto same = [&](ValueId a, std::size_t i, ValueId b, std::size_t j) {
      return facts_.size(a, i).known() && facts_.size(a, i) == facts_.size(b, j);
    };
    for (std::size_t d = 0; d + 1 < last; ++d)
      if (!same(x, d, out, d)) return false;
    if (!same(x, last, out, last - 1) || !same(x, last - 1, out, last)) return false;
    if (!same(x, last, middle, 2) || !same(x, last - 1, middle, 1)) return false;
    Node swapped;
    swapped.op_type = "Transpose";
    swapped.name = n.name;
    swapped.inputs = {x};
    swapped.outputs = {out};
    Numbers axes;
    for (std::int64_t d = 0; d < rank; ++d) axes.push_back(d);
    std::swap(axes[last], axes[last - 1]);
    swapped.set("perm", axes);
    for (const Node* part : {flat, transpose, static_cast<const Node*>(&n)})
      swapped.sources.insert(swapped.sources.end(), part->sources.begin(), part->sources.end());
    fill_from_schema(swapped);
    edit_.put(id, std::move(swapped));
    ++edit_.context.rewrites;
    this->transpose(graph_.nodes[id], id);
    return true;
  }

  void set_target(Node& n, const Numbers& target) {
    edit_.set_input(n, 1, edit_.add_constant(graph_.values[n.outputs[0]].name + "/shape", int64_constant(target)));
    n.set("allowzero", std::int64_t{0});
    ++edit_.context.rewrites;
  }

  // Two in a row are one, or none.
  void transpose(Node& n, NodeId id) {
    const Node* inner = edit_.producer(n.inputs[0], "Transpose");
    const std::int64_t rank = rank_of(graph_, n.outputs[0]);
    if (!inner || rank < 0) return;
    const auto order = [&](const Node& t) {
      const auto* perm = t.ints("perm");
      Numbers p = perm ? *perm : Numbers{};
      if (!perm)
        for (std::int64_t d = rank; d-- > 0;) p.push_back(d);
      return p;
    };
    const Numbers outer = order(n), first = order(*inner);
    if (outer.size() != static_cast<std::size_t>(rank) || first.size() != outer.size()) return;
    Numbers both;
    bool same = true;
    for (std::int64_t d : outer) {
      if (d < 0 || d >= rank) return;
      both.push_back(first[static_cast<std::size_t>(d)]);
      same = same && both.back() == static_cast<std::int64_t>(both.size() - 1);
    }
    const ValueId x = edit_.input(*inner, 0);
    if (same) {
      if (edit_.replace(n.outputs[0], x)) edit_.remove(id);
      return;
    }
    n.set("perm", both);
    edit_.set_input(n, 0, x);
    ++edit_.context.rewrites;
  }

  // Squeeze and Unsqueeze of the same axes.
  void undo(Node& n, NodeId id) {
    const Node* inner = edit_.producer(n.inputs[0], n.op_type == "Squeeze" ? "Unsqueeze" : "Squeeze");
    if (!inner || edit_.input(n, 1) == none || edit_.input(*inner, 1) == none) return;
    const ValueId x = edit_.input(*inner, 0), middle = n.inputs[0];
    const std::int64_t wide = n.op_type == "Squeeze" ? rank_of(graph_, middle) : rank_of(graph_, x);
    const auto axes = [&](const Node& s) {
      auto list = ints_of(graph_, edit_.input(s, 1));
      if (!list || wide < 0) return std::optional<Numbers>();
      for (std::int64_t& a : *list) a += a < 0 ? wide : 0;
      std::sort(list->begin(), list->end());
      return list;
    };
    const auto own = axes(n), other = axes(*inner);
    if (!own || !other || *own != *other) return;
    if (edit_.replace(n.outputs[0], x)) edit_.remove(id);
  }

  // The first Cast loses nothing: only the second counts.
  void cast(Node& n, NodeId id) {
    const Node* inner = edit_.producer(n.inputs[0], "Cast");
    if (!inner) return;
    const ValueId x = edit_.input(*inner, 0);
    const DType from = graph_.values[x].type.dtype, to = static_cast<DType>(n.int_or("to", 0));
    const DType middle = static_cast<DType>(inner->int_or("to", 0));
    if (!holds_all_of(middle, from) || !plain(to)) return;
    // Integers wrap into narrower ones; reals that do not fit are undefined there.
    if (integer_bits(from) && !integer_bits(middle) && integer_bits(to) && !holds_all_of(to, from)) return;
    if (from == to) {
      if (edit_.replace(n.outputs[0], x)) edit_.remove(id);
      return;
    }
    edit_.set_input(n, 0, x);
    ++edit_.context.rewrites;
  }

  static bool plain(DType d) { return is_real(d) || integer_bits(d); }
  // Width of an integer type, 0 for others.
  static int integer_bits(DType d) {
    switch (d) {
      case TENON_DTYPE_BOOL: return 1;
      case TENON_DTYPE_INT8:
      case TENON_DTYPE_UINT8: return 8;
      case TENON_DTYPE_INT16:
      case TENON_DTYPE_UINT16: return 16;
      case TENON_DTYPE_INT32:
      case TENON_DTYPE_UINT32: return 32;
      case TENON_DTYPE_INT64:
      case TENON_DTYPE_UINT64: return 64;
      default: return 0;
    }
  }
  static bool is_signed(DType d) {
    return d == TENON_DTYPE_INT8 || d == TENON_DTYPE_INT16 || d == TENON_DTYPE_INT32 || d == TENON_DTYPE_INT64;
  }
  // Every value of `narrow` is a value of `wide`.
  static bool holds_all_of(DType wide, DType narrow) {
    if (wide == narrow) return plain(narrow);
    const int n = integer_bits(narrow), w = integer_bits(wide);
    if (n && w) return w > 1 && (is_signed(narrow) ? is_signed(wide) && w >= n : is_signed(wide) ? w > n : w >= n);
    if (n) return (wide == TENON_DTYPE_DOUBLE && n <= 32) || (wide == TENON_DTYPE_FLOAT && n <= 16);
    if (wide == TENON_DTYPE_DOUBLE) return plain(narrow);
    return wide == TENON_DTYPE_FLOAT && (narrow == TENON_DTYPE_FLOAT16 || narrow == TENON_DTYPE_BFLOAT16);
  }

  Facts facts_;
  Edit edit_;
  Graph& graph_;
};

}  // namespace

Status simplify_shapes(PassContext& context) {
  Simplifier simplifier(context);
  for (NodeId n = 0; n < context.graph.nodes.size(); ++n)
    if (!context.graph.nodes[n].op_type.empty()) simplifier.node(n);
  return {};
}

}  // namespace tenon
