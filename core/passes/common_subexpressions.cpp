#include <unordered_map>

#include "core/passes/edit.h"
#include "core/passes/list.h"

namespace tenon {
namespace {

// Random operators differ each time; providers fuse Q/DQ into every reader, so each keeps its own.
bool mergeable(const Node& n) {
  static constexpr std::string_view kept[] = {"QuantizeLinear", "DequantizeLinear",  "RandomNormal", "RandomNormalLike", "RandomUniform",
                                              "Multinomial",    "RandomUniformLike", "Bernoulli",    "Dropout",          "If",
                                              "Loop",           "Scan",              "SequenceMap"};
  if (!n.domain.empty() && n.domain != "ai.onnx.ml") return false;
  for (std::string_view op : kept)
    if (op == n.op_type) return false;
  return !n.inputs.empty();
}

std::size_t key(Edit& edit, const Node& n) {
  std::size_t h = std::hash<std::string>()(n.op_type);
  const auto mix = [&](std::size_t x) { h = h * 1000003 ^ x; };
  for (std::size_t i = 0; i < n.inputs.size(); ++i) mix(edit.input(n, i));
  for (const Attribute& a : n.attributes) {
    mix(a.value.index());
    if (const auto* v = std::get_if<std::int64_t>(&a.value)) mix(static_cast<std::size_t>(*v));
    if (const auto* vs = std::get_if<std::vector<std::int64_t>>(&a.value))
      for (std::int64_t v : *vs) mix(static_cast<std::size_t>(v));
  }
  return h;
}

}  // namespace

Status common_subexpressions(PassContext& context) {
  Edit edit(context);
  Graph& g = context.graph;
  std::unordered_multimap<std::size_t, NodeId> seen;
  const auto equal = [&](const Node& a, const Node& b) {
    if (a.op_type != b.op_type || a.domain != b.domain || a.since_version != b.since_version) return false;
    if (a.inputs.size() != b.inputs.size()) return false;
    for (std::size_t i = 0; i < a.inputs.size(); ++i)
      if (edit.input(a, i) != edit.input(b, i)) return false;
    return same_attributes(a, b);
  };
  // The later node's outputs are all made by the earlier one.
  const auto covered = [&](const Node& first, const Node& second) {
    for (std::size_t i = 0; i < second.outputs.size(); ++i) {
      if (second.outputs[i] == none) continue;
      if (i >= first.outputs.size() || first.outputs[i] == none) return false;
      const Type &x = g.values[first.outputs[i]].type, &y = g.values[second.outputs[i]].type;
      if (x.kind != y.kind || x.dtype != y.dtype || !edit.can_replace(second.outputs[i], first.outputs[i])) return false;
    }
    return true;
  };
  for (NodeId n = 0; n < g.nodes.size(); ++n) {
    if (g.nodes[n].op_type.empty() || !mergeable(g.nodes[n])) continue;
    const std::size_t k = key(edit, g.nodes[n]);
    bool merged = false;
    for (auto [it, end] = seen.equal_range(k); it != end && !merged; ++it) {
      const Node& first = g.nodes[it->second];
      if (!equal(first, g.nodes[n]) || !covered(first, g.nodes[n])) continue;
      for (std::size_t i = 0; i < g.nodes[n].outputs.size(); ++i)
        if (g.nodes[n].outputs[i] != none) edit.replace(g.nodes[n].outputs[i], first.outputs[i]);
      edit.remove(n);
      merged = true;
    }
    if (!merged) seen.emplace(k, n);
  }
  return {};
}

}  // namespace tenon
