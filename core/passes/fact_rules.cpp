#include "core/passes/fact_rules.h"

#include <algorithm>
#include <unordered_map>

#include "core/graph/elements.h"
#include "core/ops/value_reads.h"
#include "core/passes/edit.h"

namespace tenon {
namespace {

enum class Rule { same, broadcast, matmul, gemm, transpose, gather, indices, concat, squeeze, unsqueeze, reshape, expand, slice, split,
                  reduce, arg, windows, flatten, shape_input };

const std::unordered_map<std::string_view, Rule>& table() {
  static const std::unordered_map<std::string_view, Rule> rows = [] {
    std::unordered_map<std::string_view, Rule> t;
    for (std::string_view op :
         {"Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BatchNormalization", "BitwiseNot", "Cast", "CastLike", "Ceil", "Celu",
          "Clip", "Cos", "Cosh", "CumSum", "DequantizeLinear", "Dropout", "DynamicQuantizeLinear", "Elu", "Erf", "Exp", "Floor", "Gelu",
          "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "InstanceNormalization", "IsInf", "IsNaN", "LRN",
          "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "Mish", "Neg", "Not",
          "QuantizeLinear", "RMSNormalization", "Reciprocal", "Relu", "RotaryEmbedding", "Round", "ScatterElements", "ScatterND", "Selu",
          "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
          "ThresholdedRelu", "Trilu"})
      t[op] = Rule::same;
    for (std::string_view op :
         {"Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "Equal", "Less", "LessOrEqual", "Greater",
          "GreaterOrEqual", "And", "Or", "Xor", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Where"})
      t[op] = Rule::broadcast;
    for (std::string_view op :
         {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
          "ReduceLogSumExp"})
      t[op] = Rule::reduce;
    for (std::string_view op :
         {"Conv", "ConvTranspose", "ConvInteger", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"})
      t[op] = Rule::windows;
    t["MatMul"] = t["MatMulInteger"] = Rule::matmul;
    t["Gemm"] = Rule::gemm;
    t["Transpose"] = Rule::transpose;
    t["Gather"] = Rule::gather;
    t["GatherElements"] = Rule::indices;
    t["Concat"] = Rule::concat;
    t["Squeeze"] = Rule::squeeze;
    t["Unsqueeze"] = Rule::unsqueeze;
    t["Reshape"] = Rule::reshape;
    t["Expand"] = Rule::expand;
    t["Slice"] = Rule::slice;
    t["Split"] = Rule::split;
    t["ArgMax"] = t["ArgMin"] = Rule::arg;
    t["Flatten"] = Rule::flatten;
    t["ConstantOfShape"] = Rule::shape_input;
    return t;
  }();
  return rows;
}

bool control_flow(const Node& n) { return !n.subgraphs().empty(); }

}  // namespace

void FactRules::trust(ValueId v) {
  for (std::size_t d = 0; d < rank(v); ++d) {
    const Dim& c = claim(v, d);
    if (c.fixed()) {
      set(v, d, c.value);
      continue;
    }
    std::uint32_t own = 0;
    std::uint32_t& variable = c.symbol ? of_symbol_[c.symbol] : own;
    if (!variable) variable = fresh();
    set(v, d, Size{-1, variable});
  }
}

void FactRules::fill(ValueId v) {
  for (Size& s : facts_.sizes_[v])
    if (!s.known()) s = {-1, fresh()};
}

void FactRules::apply(const Node& node) {
  if (node.outputs.empty()) return;
  if (node.domain.empty() && !control_flow(node)) {
    if (evaluate_node(node)) return;
    if (node.outputs[0] != none && !node.inputs.empty() && node.inputs[0] != none) follow_list(node);
  }
  sizes(node);
}

// A rule that contradicts the type is not believed.
void FactRules::set(ValueId v, std::size_t d, Size size) {
  if (v == none || d >= rank(v) || !size.known()) return;
  if (size.fixed() && claim(v, d).fixed() && claim(v, d).value != size.number) return;
  facts_.sizes_[v][d] = size;
}
void FactRules::carry_all(ValueId out, ValueId in) {
  if (in == none || out == none || rank(out) != rank(in)) return;
  for (std::size_t d = 0; d < rank(out); ++d) carry(out, d, in, d);
}

std::optional<std::size_t> FactRules::axis(std::int64_t raw, std::size_t rank) const {
  if (raw < 0) raw += static_cast<std::int64_t>(rank);
  if (raw < 0 || raw >= static_cast<std::int64_t>(rank)) return std::nullopt;
  return static_cast<std::size_t>(raw);
}

std::optional<FactRules::Numbers> FactRules::numbers(const Node& node, std::size_t i) const {
  const ValueId v = input(node, i);
  if (v == none || !facts_.known_[v]) return std::nullopt;
  return integer_list(*facts_.known_[v]);
}

// Inference saw nothing that another run would change.
bool FactRules::exact(const Node& node) const {
  if (!node.domain.empty() || data_dependent(node) || control_flow(node)) return false;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId v = node.inputs[i];
    if (v == none) continue;
    if (!facts_.fixed_dims(v)) return false;
    if (inference_reads(node, i) && !facts_.known_[v]) return false;
  }
  return !node.inputs.empty();
}

void FactRules::broadcast(ValueId out, const std::vector<ValueId>& in, std::size_t drop_last) {
  const std::size_t r = rank(out);
  for (std::size_t back = drop_last; back < r; ++back) {  // counted from the last dim
    Size result{1, 0};
    const Dim* named = nullptr;  // the type of the size that stands in result
    bool certain = true;
    for (ValueId v : in) {
      if (v == none) continue;
      if (!ranked(v)) {
        certain = false;
        break;
      }
      if (back >= rank(v)) continue;
      const std::size_t d = rank(v) - 1 - back;
      const Size s = facts_.size(v, d);
      if (s == Size{1, 0} || s == result) continue;
      if (result == Size{1, 0}) {
        result = s;
        named = &claim(v, d);
      } else if (s.fixed() && !result.fixed()) {  // the other one is it, or 1
        result = s;
      } else if (!s.fixed() && !result.fixed()) {
        // Two variables that inference found equal: they are, unless the run fails or one of them is 1. The older one is
        // a size of an input, or nearer to it.
        if (!(*named == claim(v, d)) || !named->symbol) certain = false;
        result.variable = std::min(result.variable, s.variable);
      }
    }
    if (certain) set(out, r - 1 - back, result);
  }
}

void FactRules::sizes(const Node& node) {
  const ValueId out = node.outputs[0];
  if (exact(node)) {
    for (ValueId v : node.outputs)
      for (std::size_t d = 0; v != none && d < rank(v); ++d)
        if (claim(v, d).fixed()) set(v, d, claim(v, d).value);
    return;
  }
  if (out == none || !ranked(out)) return;
  if (node.is("MatMulNBits", "com.microsoft")) {
    const ValueId x = input(node, 0);
    if (x == none || rank(x) != rank(out) || rank(out) == 0) return;
    for (std::size_t d = 0; d + 1 < rank(out); ++d) carry(out, d, x, d);
    set(out, rank(out) - 1, node.int_or("N", -1));
    return;
  }
  if (!node.domain.empty()) return;
  const auto row = table().find(node.op_type);
  if (row == table().end()) {
    if (node.is("Shape") && facts_.list(out)) set(out, 0, static_cast<std::int64_t>(facts_.list(out)->elements.size()));
    return;
  }
  switch (row->second) {
    case Rule::same: return carry_all(out, input(node, 0));
    case Rule::indices: return carry_all(out, input(node, 1));
    case Rule::broadcast: return broadcast(out, node.inputs);
    case Rule::matmul: return matmul(node);
    case Rule::transpose: return transpose(node);
    case Rule::gather: return gather(node);
    case Rule::concat: return concat(node);
    case Rule::squeeze: return squeeze(node, false);
    case Rule::unsqueeze: return squeeze(node, true);
    case Rule::reshape: return reshape(node);
    case Rule::expand: return expand(node);
    case Rule::slice: return slice(node);
    case Rule::split: return split(node);
    case Rule::reduce: return reduce(node, false);
    case Rule::arg: return reduce(node, true);
    case Rule::windows: return windows(node);
    case Rule::gemm:
      carry(out, 0, input(node, 0), node.int_or("transA", 0) ? 1 : 0);
      carry(out, 1, input(node, 1), node.int_or("transB", 0) ? 0 : 1);
      return;
    case Rule::flatten:
      if (node.int_or("axis", 1) == 1) {
        carry(out, 0, input(node, 0), 0);
        Checked rest = 1;
        for (std::size_t d = 1; d < rank(input(node, 0)); ++d) rest *= Checked(facts_.fixed(input(node, 0), d).value_or(-1));
        if (rest.valid()) set(out, 1, rest.value());
      }
      return;
    case Rule::shape_input:
      if (const Facts::List* list = facts_.list(input(node, 0)); list && list->elements.size() == rank(out))
        for (std::size_t d = 0; d < rank(out); ++d) {
          const Facts::Element& e = list->elements[d];
          set(out, d, e.known ? Size{e.number, 0} : Size{-1, e.variable});
        }
      return;
    default: return;
  }
}

void FactRules::matmul(const Node& node) {
  const ValueId a = input(node, 0), b = input(node, 1), out = node.outputs[0];
  if (!ranked(a) || !ranked(b) || rank(a) < 2 || rank(b) < 2 || rank(out) < 2) return;
  carry(out, rank(out) - 1, b, rank(b) - 1);
  carry(out, rank(out) - 2, a, rank(a) - 2);
  broadcast(out, {a, b}, 2);
}

void FactRules::transpose(const Node& node) {
  const ValueId x = input(node, 0), out = node.outputs[0];
  const auto* perm = node.ints("perm");
  const std::size_t r = rank(out);
  if (rank(x) != r || (perm && perm->size() != r)) return;
  for (std::size_t d = 0; d < r; ++d) {
    const std::int64_t from = perm ? (*perm)[d] : static_cast<std::int64_t>(r - 1 - d);
    if (from >= 0) carry(out, d, x, static_cast<std::size_t>(from));
  }
}

void FactRules::gather(const Node& node) {
  const ValueId x = input(node, 0), index = input(node, 1), out = node.outputs[0];
  if (!ranked(x) || !ranked(index)) return;
  const auto at = axis(node.int_or("axis", 0), rank(x));
  if (!at || rank(out) != rank(x) + rank(index) - 1) return;
  for (std::size_t d = 0; d < *at; ++d) carry(out, d, x, d);
  for (std::size_t d = 0; d < rank(index); ++d) carry(out, *at + d, index, d);
  for (std::size_t d = *at + 1; d < rank(x); ++d) carry(out, rank(index) + d - 1, x, d);
}

void FactRules::concat(const Node& node) {
  const ValueId out = node.outputs[0];
  const auto at = axis(node.int_or("axis", 0), rank(out));
  if (!at) return;
  Facts::Element total{true, 0, 0};
  for (ValueId v : node.inputs) {
    if (!ranked(v) || rank(v) != rank(out)) return;
    const Size s = facts_.size(v, *at);
    total = sum(total, s.fixed() ? Facts::Element{true, s.number, 0} : Facts::Element{false, 0, s.variable});
    for (std::size_t d = 0; d < rank(out); ++d)
      if (d != *at && !facts_.fixed(out, d)) carry(out, d, v, d);
  }
  set(out, *at, total.known ? Size{total.number, 0} : Size{-1, total.variable});
}

void FactRules::squeeze(const Node& node, bool insert) {
  const ValueId x = input(node, 0), out = node.outputs[0];
  const auto axes = numbers(node, 1);
  if (!axes || !ranked(x)) return;
  const std::size_t wide = insert ? rank(out) : rank(x);
  std::vector<bool> single(wide);
  for (std::int64_t a : *axes) {
    const auto at = axis(a, wide);
    if (!at) return;
    single[*at] = true;
  }
  std::size_t other = 0;
  for (std::size_t d = 0; d < wide; ++d) {
    if (single[d]) {
      if (insert) set(out, d, 1);
    } else {
      insert ? carry(out, d, x, other) : carry(out, other, x, d);
      ++other;
    }
  }
}

}  // namespace tenon
