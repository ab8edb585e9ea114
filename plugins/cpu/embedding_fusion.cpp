#include "plugins/cpu/embedding_fusion.h"

#include <algorithm>
#include <optional>

#include "plugins/cpu/ops/row_join.h"

namespace tenon::cpu {
namespace {

class Finder {
 public:
  Finder(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context)
      : graph_(graph), values_(values), units_(units), context_(context), readers_(values.size(), 0), makers_(values.size(), no_value) {
    for (std::uint32_t u = 0; u < units.size(); ++u) {
      for (std::uint32_t v : units[u].inputs)
        if (v != no_value) ++readers_[v];
      for (std::uint32_t v : units[u].outputs)
        if (v != no_value) makers_[v] = u;
    }
  }

  void run() {
    for (Unit& unit : units_)
      if (unit.op) take(unit);
    std::erase_if(units_, [](const Unit& u) { return !u.op; });
  }

 private:
  // The unit that makes v for one reader alone, where it is that operator alone.
  std::uint32_t made_by(std::uint32_t v, std::string_view op) const {
    if (v == no_value || readers_[v] != 1 || values_[v].is_output || makers_[v] == no_value) return no_value;
    const std::uint32_t u = makers_[v];
    return is(units_[u], op) ? u : no_value;
  }
  bool is(const Unit& unit, std::string_view op) const {
    if (!unit.op || unit.nodes.size() != 1 || unit.outputs.size() != 1 || unit.data_dependent) return false;
    const NodeView node(graph_, unit.nodes[0]);
    return node.domain().empty() && node.op_type() == op;
  }

  // The only element of a constant of integers.
  std::optional<std::int64_t> constant_int(const NodeView& node, std::uint32_t i) const {
    if (!node.is_constant(i) || !is_index(node, i)) return std::nullopt;
    const tenon_const_tensor t = context_.constant(node, i);
    const bool wide = node.dtype(i) == TENON_DTYPE_INT64;
    if (t.bytes != (wide ? sizeof(std::int64_t) : sizeof(std::int32_t))) return std::nullopt;
    return wide ? *static_cast<const std::int64_t*>(t.data) : *static_cast<const std::int32_t*>(t.data);
  }
  static bool is_index(const NodeView& node, std::uint32_t i) {
    return node.dtype(i) == TENON_DTYPE_INT64 || node.dtype(i) == TENON_DTYPE_INT32;
  }
  static bool is_axis(std::int64_t axis, std::int64_t wanted, std::int32_t rank) { return axis == wanted || axis + rank == wanted; }

  // What is read for a value of the Concat: its own value, or a table and indices.
  struct Found {
    std::uint32_t data, indices = no_value;
    RowPiece piece;
    std::vector<std::uint32_t> passed;  // units that are not needed any more
  };
  Found look_behind(std::uint32_t v) const {
    Found found{v, no_value, {}, {}};
    std::uint32_t rows = v;
    if (const std::uint32_t u = made_by(v, "Unsqueeze"); u != no_value) {
      const NodeView node(graph_, units_[u].nodes[0]);
      const auto axis = constant_int(node, 1);
      if (!axis || node.rank(0) < 0 || !is_axis(*axis, 1, node.rank(0) + 1)) return found;
      found.passed.push_back(u);
      rows = units_[u].inputs[0];
    }
    const std::uint32_t g = made_by(rows, "Gather");
    if (g == no_value) return {v, no_value, {}, {}};
    const NodeView gather(graph_, units_[g].nodes[0]);
    if (!gather.is_constant(0) || gather.input(0).dtype != TENON_DTYPE_FLOAT || gather.rank(0) < 2 || gather.rank(1) != 1 || !is_index(gather, 1) ||
        !is_axis(gather.int_or("axis", 0), 0, gather.rank(0)))
      return {v, no_value, {}, {}};
    found.passed.push_back(g);
    found.data = units_[g].inputs[0], found.indices = units_[g].inputs[1];
    found.piece.label = "Gather \"" + std::string(gather.name()) + '"';
    pick(found);
    return found;
  }
  // Indices that are a column of a matrix are read there.
  void pick(Found& found) const {
    const std::uint32_t u = made_by(found.indices, "Gather");
    if (u == no_value) return;
    const NodeView node(graph_, units_[u].nodes[0]);
    const auto column = constant_int(node, 1);
    if (!column || node.rank(1) != 0 || node.rank(0) != 2 || !is_index(node, 0) || !is_axis(node.int_or("axis", 0), 1, 2)) return;
    found.passed.push_back(u);
    found.indices = units_[u].inputs[0];
    found.piece.picks = true, found.piece.column = *column;
  }

  void take(Unit& concat) {
    if (!is(concat, "Concat") || concat.outputs[0] == no_value) return;
    const NodeView node(graph_, concat.nodes[0]);
    if (node.output(0).dtype != TENON_DTYPE_FLOAT || node.output(0).rank < 2 || !is_axis(node.int_or("axis", 0), 1, node.output(0).rank)) return;
    Unit made;
    made.outputs = concat.outputs, made.nodes = concat.nodes, made.label = concat.label;
    std::vector<RowPiece> pieces;
    std::vector<std::uint32_t> passed;
    int tables = 0;
    const auto input = [&](std::uint32_t v) {
      made.inputs.push_back(v);
      return static_cast<std::uint32_t>(made.inputs.size()) - 1;
    };
    for (std::uint32_t v : concat.inputs) {
      if (v == no_value) return;
      Found found = look_behind(v);
      found.piece.data = input(found.data);
      if (found.indices != no_value) found.piece.indices = input(found.indices), ++tables;
      pieces.push_back(std::move(found.piece));
      passed.insert(passed.end(), found.passed.begin(), found.passed.end());
    }
    if (tables < 2) return;
    made.op = std::make_unique<RowJoinOp>(std::move(pieces));
    for (std::uint32_t u : passed) {
      made.nodes.insert(made.nodes.end(), units_[u].nodes.begin(), units_[u].nodes.end());
      units_[u].op.reset();
    }
    concat = std::move(made);
  }

  const tenon_graph& graph_;
  const std::vector<Value>& values_;
  std::vector<Unit>& units_;
  CompileContext& context_;
  std::vector<std::uint32_t> readers_, makers_;  // by value: how many, the unit
};

}  // namespace

void fuse_embeddings(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context) {
  Finder(graph, values, units, context).run();
}

}  // namespace tenon::cpu
