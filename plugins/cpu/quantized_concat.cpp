#include "plugins/cpu/quantized_concat.h"

#include <algorithm>

#include "plugins/cpu/ops/byte_concat.h"
#include "plugins/cpu/quantized_units.h"

namespace tenon::cpu {
namespace {

class Matcher : UnitGraph {
 public:
  using UnitGraph::UnitGraph;

  void run() {
    for (std::uint32_t u = 0; u < units_.size(); ++u) {
      if (!units_[u].op || units_[u].bytes || !is(u, "Concat") || !joins_channels(node(u))) continue;
      if (node(u).dtype(0) == TENON_DTYPE_FLOAT) real(u);
      else if (node(u).dtype(0) == TENON_DTYPE_UINT8 || node(u).dtype(0) == TENON_DTYPE_INT8) bytes(u);
    }
    std::erase_if(units_, [](const Unit& unit) { return !unit.op; });
  }

 private:
  static bool joins_channels(const NodeView& n) {
    const std::int32_t rank = n.rank(0);
    const std::int64_t axis = n.int_or("axis", 0);
    if (rank < 3 || rank > 5 || (axis != 1 && axis != 1 - rank) || !n.has_output(0)) return false;
    std::int64_t channels = 0;
    for (std::uint32_t i = 0; i < n.input_count(); ++i) {
      if (!n.has_input(i) || n.is_constant(i) || n.rank(i) != rank || n.input(i).dims[1] < 1) return false;
      channels += n.input(i).dims[1];
    }
    return channels <= 1 << 20 && n.output(0).rank == rank && n.output(0).dims[1] == channels;
  }
  std::vector<ByteConcatOp::Input> inputs(const NodeView& n) const {
    std::vector<ByteConcatOp::Input> all(n.input_count());
    for (std::uint32_t i = 0; i < n.input_count(); ++i) all[i].channels = n.input(i).dims[1];
    return all;
  }

  // Of bytes, some of which lie channels last.
  void bytes(std::uint32_t u) {
    const auto last = [&](std::uint32_t v) { return v != no_value && producer_[v] != no_value && units_[producer_[v]].bytes; };
    if (!std::any_of(units_[u].inputs.begin(), units_[u].inputs.end(), last)) return;
    auto op = std::make_unique<ByteConcatOp>(inputs(node(u)));
    Unit unit = std::move(units_[u]);
    unit.op = std::move(op);
    kill_reads(unit, u);
    place(std::move(unit), u, u, {});
  }
  // Between a DequantizeLinear for each input and a QuantizeLinear.
  void real(std::uint32_t u) {
    const std::uint32_t q = only_reader(units_[u].outputs[0]);
    if (q == no_value || !units_[q].op || units_[q].bytes || !is(q, "QuantizeLinear") || input(q, 0) != units_[u].outputs[0]) return;
    const auto to = of_linear(q);
    if (!to) return;
    std::vector<ByteConcatOp::Input> all = inputs(node(u));
    std::vector<std::uint32_t> sources, back;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::uint32_t d = made_by(input(u, i), "DequantizeLinear");
      if (d == no_value || units_[d].bytes || node(d).is_constant(0)) return;
      const auto from = of_linear(d);
      if (!from) return;
      back.push_back(d), sources.push_back(input(d, 0));
      if (*from == *to) continue;
      auto& table = all[i].table.emplace();
      for (std::size_t byte = 0; byte < table.size(); ++byte) table[byte] = to->byte(from->real(static_cast<std::uint8_t>(byte)));
    }
    Unit unit = std::move(units_[u]);
    unit.op = std::make_unique<ByteConcatOp>(std::move(all));
    kill_reads(unit, u);
    unit.inputs = std::move(sources);
    unit.outputs = {units_[q].outputs[0]};
    unit.nodes.insert(unit.nodes.end(), units_[q].nodes.begin(), units_[q].nodes.end());
    kill_reads(units_[q], q);
    units_[q].op.reset();
    place(std::move(unit), u, q, back);
  }
};

}  // namespace

void fuse_quantized_concat(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context) {
  Matcher(graph, values, units, context).run();
}

}  // namespace tenon::cpu
