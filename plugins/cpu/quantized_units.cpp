#include "plugins/cpu/quantized_units.h"

#include <algorithm>

namespace tenon::cpu {

UnitGraph::UnitGraph(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context)
    : graph_(graph), values_(values), units_(units), context_(context), producer_(values.size(), no_value), readers_(values.size()) {
  for (std::uint32_t u = 0; u < units.size(); ++u) {
    for (std::uint32_t v : units[u].inputs)
      if (v != no_value) readers_[v].push_back(u);
    for (std::uint32_t v : units[u].outputs)
      if (v != no_value) producer_[v] = u;
  }
}

std::uint32_t UnitGraph::made_by(std::uint32_t v, std::string_view type) const {
  if (v == no_value || producer_[v] == no_value || !units_[producer_[v]].op) return no_value;
  return is(producer_[v], type) ? producer_[v] : no_value;
}

std::uint32_t UnitGraph::only_reader(std::uint32_t v) const {
  return v == no_value || values_[v].is_output || readers_[v].size() != 1 ? no_value : readers_[v][0];
}

std::optional<Quantization> UnitGraph::of_linear(std::uint32_t u) const {
  const NodeView n = node(u);
  const bool back = n.op_type() == "DequantizeLinear";
  const std::int32_t real = back ? n.output(0).dtype : n.input(0).dtype;
  if (real != TENON_DTYPE_FLOAT) return {};
  return byte_quantization(context_, n, linear_places, back ? n.input(0).dtype : n.output(0).dtype);
}

void UnitGraph::kill_reads(const Unit& unit, std::uint32_t u) {
  for (std::uint32_t v : unit.inputs)
    if (v != no_value) std::erase(readers_[v], u);
}

void UnitGraph::place(Unit unit, std::uint32_t from, std::uint32_t to, const std::vector<std::uint32_t>& sources) {
  for (std::uint32_t v : unit.inputs) readers_[v].push_back(to);
  for (std::uint32_t v : unit.outputs) producer_[v] = to;
  for (std::uint32_t s : sources) {
    const std::uint32_t v = units_[s].op ? units_[s].outputs[0] : no_value;
    if (v == no_value || values_[v].is_output || !readers_[v].empty()) continue;
    unit.nodes.insert(unit.nodes.end(), units_[s].nodes.begin(), units_[s].nodes.end());
    kill_reads(units_[s], s);
    units_[s].op.reset();
  }
  if (from != to) units_[from].op.reset();
  units_[to] = std::move(unit);
  units_[to].bytes = true;
}

}  // namespace tenon::cpu
