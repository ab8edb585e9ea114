// UnitGraph: who makes and who reads the values of a list of units, while patterns of units become one.
//
// Made for one pass over the units, which it refers to. One thread.
#pragma once

#include <optional>

#include "plugins/cpu/ops/byte_weights.h"
#include "plugins/cpu/program.h"

namespace tenon::cpu {

class UnitGraph {
 public:
  UnitGraph(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context);

  // The node that a unit began with.
  NodeView node(std::uint32_t u) const { return NodeView(graph_, units_[u].nodes[0]); }
  bool is(std::uint32_t u, std::string_view type) const { return node(u).op_type() == type && node(u).domain().empty(); }
  std::uint32_t input(std::uint32_t u, std::size_t i) const { return i < units_[u].inputs.size() ? units_[u].inputs[i] : no_value; }

  // The unit of that type that makes a value; no_value if there is none.
  std::uint32_t made_by(std::uint32_t v, std::string_view type) const;
  // The only unit that reads a value, which stays inside.
  std::uint32_t only_reader(std::uint32_t v) const;

  // Of a DequantizeLinear or QuantizeLinear of a whole tensor to or from float32.
  std::optional<Quantization> of_linear(std::uint32_t u) const;

  // The unit no longer reads its inputs.
  void kill_reads(const Unit& unit, std::uint32_t u);
  // Puts the new unit, which took over `from`, where its last node was, and takes away the sources that nobody reads any more:
  // readers before what they read.
  void place(Unit unit, std::uint32_t from, std::uint32_t to, const std::vector<std::uint32_t>& sources);

 protected:
  const tenon_graph& graph_;
  const std::vector<Value>& values_;
  std::vector<Unit>& units_;
  CompileContext& context_;
  std::vector<std::uint32_t> producer_;
  std::vector<std::vector<std::uint32_t>> readers_;
};

}  // namespace tenon::cpu
