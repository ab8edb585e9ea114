#include "plugins/opencl/fusion.h"

#include <algorithm>

#include "plugins/opencl/elementwise_op.h"

namespace tenon::opencl {
namespace {

// Where value stands among inputs, at the end if it was not there.
std::uint32_t place_of(std::vector<std::uint32_t>& inputs, std::uint32_t value) {
  const auto at = std::find(inputs.begin(), inputs.end(), value);
  if (at != inputs.end()) return static_cast<std::uint32_t>(at - inputs.begin());
  inputs.push_back(value);
  return static_cast<std::uint32_t>(inputs.size() - 1);
}

constexpr std::size_t max_operands = 12, max_nodes = 96;  // of one kernel

class Fusion {
 public:
  Fusion(const tenon_graph& graph, Program& program) : graph_(graph), program_(program), readers_(program.values.size(), 0), maker_(program.values.size(), none) {
    for (std::size_t u = 0; u < program.units.size(); ++u) {
      for (std::uint32_t v : program.units[u].inputs)
        if (v != no_value) ++readers_[v];
      for (std::uint32_t v : program.units[u].outputs)
        if (v != no_value) maker_[v] = u;
    }
  }

  void run() {
    for (std::size_t u = 0; u < program_.units.size(); ++u) {
      if (!program_.units[u].op) continue;
      if (!program_.units[u].op->expression()) {
        into_prologue(u);
        continue;
      }
      while (merge_producer(u)) {}
      into_epilogue(u);
    }
    std::erase_if(program_.units, [](const Unit& unit) { return !unit.op; });
  }

 private:
  static constexpr std::size_t none = ~std::size_t{0};

  const tenon_value& graph_value(std::uint32_t v) const { return element<tenon_value>(graph_.values, program_.values[v].graph_value); }

  // Equal sizes whatever the inputs' sizes are.
  bool same_dims(std::uint32_t a, std::uint32_t b) const {
    const tenon_value &x = graph_value(a), &y = graph_value(b);
    if (x.rank < 0 || x.rank != y.rank) return false;
    for (std::int32_t d = 0; d < x.rank; ++d) {
      if (x.dims[d] != y.dims[d]) return false;
      if (x.dims[d] < 0 && (x.dim_symbols[d] == 0 || x.dim_symbols[d] != y.dim_symbols[d])) return false;
    }
    return true;
  }
  std::size_t reads_of(const Unit& unit, std::uint32_t v) const { return static_cast<std::size_t>(std::count(unit.inputs.begin(), unit.inputs.end(), v)); }
  // v is read by this unit alone and does not leave the part.
  bool only_here(const Unit& unit, std::uint32_t v) const { return !program_.values[v].is_output && readers_[v] == reads_of(unit, v); }

  // Takes the expression of one elementwise producer into unit u.
  bool merge_producer(std::size_t u) {
    Unit& unit = program_.units[u];
    for (std::size_t i = 0; i < unit.inputs.size(); ++i) {
      const std::uint32_t v = unit.inputs[i];
      if (v == no_value || maker_[v] == none || maker_[v] == u) continue;
      Unit& producer = program_.units[maker_[v]];
      const Expression* first = producer.op ? producer.op->expression() : nullptr;
      if (!first || producer.raw != no_value || producer.outputs.size() != 1 || !only_here(unit, v) || !same_dims(v, unit.outputs[0])) continue;
      const Expression& second = *unit.op->expression();
      if (first->nodes.size() + second.nodes.size() > max_nodes) continue;
      std::vector<std::uint32_t> inputs;
      const auto slot_of = [&](std::uint32_t value) { return place_of(inputs, value); };
      Expression joined;
      const std::vector<std::uint32_t> made = splice(joined, *first, producer.inputs, slot_of, no_value, 0);
      joined.outputs = splice(joined, second, unit.inputs, slot_of, v, made[0]);
      if (inputs.size() > max_operands) continue;
      for (std::uint32_t old : producer.inputs)
        if (old != no_value) --readers_[old];
      for (std::uint32_t old : unit.inputs)
        if (old != no_value) --readers_[old];
      for (std::uint32_t now : inputs) ++readers_[now];
      unit.inputs = std::move(inputs);
      unit.op = std::make_unique<ElementwiseOp>(std::move(joined));
      unit.nodes.insert(unit.nodes.begin(), producer.nodes.begin(), producer.nodes.end());
      producer = Unit{};
      return true;
    }
    return false;
  }

  // Adds e to `to`: its slots are inputs of a unit; the value `inner` is node `node` of `to`.
  template <class SlotOf>
  std::vector<std::uint32_t> splice(Expression& to, const Expression& e, const std::vector<std::uint32_t>& inputs, const SlotOf& slot_of, std::uint32_t inner, std::uint32_t node) {
    std::vector<std::uint32_t> loads(inputs.size(), 0);
    for (const Expression::Node& n : e.nodes)
      if (n.kind == Expression::Kind::load) loads[n.slot] = inputs[n.slot] == inner ? node : to.load(slot_of(inputs[n.slot]), n.dtype);
    return to.splice(e, loads);
  }

  // Puts the elementwise producers of unit u's inputs into u's own kernel where its op takes them.
  void into_prologue(std::size_t u) {
    Unit& unit = program_.units[u];
    for (std::size_t i = 0; i < unit.inputs.size(); ++i) {
      const std::uint32_t v = unit.inputs[i];
      if (v == no_value || maker_[v] == none || maker_[v] == u || !unit.op->takes_prologue(i)) continue;
      Unit& producer = program_.units[maker_[v]];
      const Expression* e = producer.op ? producer.op->expression() : nullptr;
      if (!e || producer.raw != no_value || producer.outputs.size() != 1 || e->nodes.size() > max_nodes / 2) continue;
      if (!only_here(unit, v) || reads_of(unit, v) != 1 || unit.outputs[0] == no_value || !same_dims(v, unit.outputs[0])) continue;
      std::vector<std::uint32_t> inputs = unit.inputs;
      inputs[i] = no_value;
      const auto slot_of = [&](std::uint32_t value) { return place_of(inputs, value); };
      Expression moved;
      moved.outputs = splice(moved, *e, producer.inputs, slot_of, no_value, 0);
      if (inputs.size() > max_operands) continue;
      for (std::uint32_t old : producer.inputs)
        if (old != no_value) --readers_[old];
      for (std::size_t now = 0; now < inputs.size(); ++now)
        if (inputs[now] != no_value && (now >= unit.inputs.size())) ++readers_[inputs[now]];
      --readers_[v];
      unit.inputs = std::move(inputs);
      unit.op->take_prologue(i, std::move(moved));
      unit.nodes.insert(unit.nodes.begin(), producer.nodes.begin(), producer.nodes.end());
      producer = Unit{};
    }
  }

  // Puts elementwise unit u behind the producer of one of its inputs: that unit then stands in u's place.
  void into_epilogue(std::size_t u) {
    Unit& unit = program_.units[u];
    std::size_t best = none;
    std::uint32_t through = no_value;
    for (std::uint32_t v : unit.inputs) {
      if (v == no_value || maker_[v] == none || maker_[v] == u) continue;
      const Unit& producer = program_.units[maker_[v]];
      if (!producer.op || producer.op->expression() || !producer.op->links_epilogue() || producer.outputs[0] != v) continue;
      if (std::count_if(producer.outputs.begin(), producer.outputs.end(), [](std::uint32_t o) { return o != no_value; }) != 1) continue;
      if (!only_here(unit, v) || !same_dims(v, unit.outputs[0])) continue;
      if (best == none || maker_[v] > best) best = maker_[v], through = v;
    }
    if (best == none) return;
    Unit& producer = program_.units[best];
    const Expression& second = *unit.op->expression();
    if (producer.epilogue.nodes.size() + second.nodes.size() > max_nodes) return;
    Expression joined;
    std::vector<std::uint32_t> inputs = producer.epilogue_inputs;
    const auto slot_of = [&](std::uint32_t value) { return place_of(inputs, value) + 1; };  // slot 0: the accumulator
    std::uint32_t acc = joined.load(0, program_.values[producer.raw == no_value ? through : producer.raw].dtype);
    if (!producer.epilogue.nodes.empty()) {
      std::vector<std::uint32_t> loads(producer.epilogue_inputs.size() + 1, acc);
      for (const Expression::Node& n : producer.epilogue.nodes)
        if (n.kind == Expression::Kind::load && n.slot > 0) loads[n.slot] = joined.load(n.slot, n.dtype);
      acc = joined.splice(producer.epilogue, loads)[0];
    }
    joined.outputs = splice(joined, second, unit.inputs, slot_of, through, acc);
    if (inputs.size() > max_operands) return;

    Unit whole = std::move(producer);
    producer = Unit{};
    if (whole.raw == no_value) whole.raw = through;
    whole.epilogue = std::move(joined);
    whole.epilogue_inputs = std::move(inputs);
    whole.outputs = {unit.outputs[0]};
    whole.nodes.insert(whole.nodes.end(), unit.nodes.begin(), unit.nodes.end());
    maker_[unit.outputs[0]] = u;
    unit = std::move(whole);
  }

  const tenon_graph& graph_;
  Program& program_;
  std::vector<std::size_t> readers_, maker_;
};

}  // namespace

void fuse(const tenon_graph& graph, Program& program) { Fusion(graph, program).run(); }

}  // namespace tenon::opencl
