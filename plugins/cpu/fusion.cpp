#include "plugins/cpu/fusion.h"

#include <algorithm>

namespace tenon::cpu {
namespace {

class Fuser {
 public:
  Fuser(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context)
      : graph_(graph), values_(values), units_(units), context_(context), state_(units.size()),
        producer_(values.size(), no_value), readers_(values.size()) {
    for (std::uint32_t u = 0; u < units.size(); ++u) {
      state_[u].position = u;
      for (std::uint32_t v : units[u].inputs)
        if (v != no_value) readers_[v].push_back(u);
      for (std::uint32_t v : units[u].outputs)
        if (v != no_value) producer_[v] = u;
    }
  }

  void run() {
    for (std::uint32_t u = 0; u < units_.size(); ++u)
      if (units_[u].op && !units_[u].data_dependent) pulls(u);
    for (std::uint32_t u = 0; u < units_.size(); ++u)
      while (units_[u].op && !units_[u].data_dependent && absorb_next(u)) {}
    std::vector<std::uint32_t> order;
    for (std::uint32_t u = 0; u < units_.size(); ++u)
      if (units_[u].op) order.push_back(u);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return state_[a].position < state_[b].position; });
    std::vector<Unit> sorted;
    sorted.reserve(order.size());
    for (std::uint32_t u : order) sorted.push_back(std::move(units_[u]));
    units_ = std::move(sorted);
  }

 private:
  struct State {
    std::uint32_t position = 0;
    bool plain = true;  // computes its node and nothing else
  };

  bool wanted(std::uint32_t v) const { return v != no_value && (values_[v].is_output || !readers_[v].empty()); }
  void forget_reader(std::uint32_t v, std::uint32_t u) {
    if (v == no_value) return;
    auto it = std::find(readers_[v].begin(), readers_[v].end(), u);
    if (it != readers_[v].end()) readers_[v].erase(it);
  }
  void kill(std::uint32_t u) {
    for (std::uint32_t v : units_[u].inputs) forget_reader(v, u);
    units_[u].op.reset();
  }

  // Where the inputs of another node go: behind this op's own, of which a node may omit the last ones.
  static std::uint32_t first_taken(const Unit& unit) { return std::max(first_absorbed_input, static_cast<std::uint32_t>(unit.inputs.size())); }

  void pulls(std::uint32_t u) {
    for (std::uint32_t slot = 0; slot < units_[u].inputs.size(); ++slot)
      while (pull(u, slot)) {}
  }
  bool pull(std::uint32_t u, std::uint32_t slot) {
    Unit& unit = units_[u];
    const std::uint32_t v = unit.inputs[slot];
    if (v == no_value || producer_[v] == no_value) return false;
    const std::uint32_t p = producer_[v];
    Unit& producer = units_[p];
    if (!producer.op || !state_[p].plain || producer.data_dependent || producer.inputs.empty() || producer.outputs[0] != v) return false;
    if (!unit.op->pull(NodeView(graph_, producer.nodes[0]), slot, first_taken(unit), context_)) return false;
    unit.inputs.resize(first_taken(unit), no_value);
    state_[u].plain = false;
    forget_reader(v, u);
    unit.inputs[slot] = producer.inputs[0];
    unit.inputs.insert(unit.inputs.end(), producer.inputs.begin() + 1, producer.inputs.end());
    for (std::uint32_t i : producer.inputs)
      if (i != no_value) readers_[i].push_back(u);
    const bool dead = std::none_of(producer.outputs.begin(), producer.outputs.end(), [&](std::uint32_t o) { return wanted(o); });
    if (dead) {
      unit.nodes.push_back(producer.nodes[0]);
      kill(p);
    }
    return true;
  }

  // Where a node joins what two of a kind make (a sum of convolutions), the later one takes it: then the other's result need not
  // wait, and in a chain of such sums only one result is alive.
  bool leaves_to_later(std::uint32_t u, std::uint32_t next, std::uint32_t v) const {
    for (std::uint32_t other : units_[next].inputs) {
      if (other == no_value || other == v || producer_[other] == no_value || values_[other].is_output || readers_[other].size() != 1) continue;
      const std::uint32_t p = producer_[other];
      const Unit& later = units_[p];
      if (later.op && state_[p].plain && !later.data_dependent && state_[p].position > state_[u].position && later.outputs[0] == other &&
          NodeView(graph_, later.nodes[0]).op_type() == NodeView(graph_, units_[u].nodes[0]).op_type())
        return true;
    }
    return false;
  }
  bool absorb_next(std::uint32_t u) {
    Unit& unit = units_[u];
    if (unit.outputs.empty()) return false;
    const std::uint32_t v = unit.outputs[0];
    if (v == no_value || values_[v].is_output || readers_[v].size() != 1) return false;
    const std::uint32_t n = readers_[v][0];
    Unit& next = units_[n];
    if (!state_[n].plain || next.data_dependent || next.outputs.empty() || next.outputs[0] == no_value) return false;
    // Nothing else of next may be wanted, and what else this unit makes must be read after next only: the unit moves there,
    // and an input of next that depends on it by another way would be a cycle.
    for (std::size_t o = 1; o < next.outputs.size(); ++o)
      if (wanted(next.outputs[o])) return false;
    for (std::size_t o = 1; o < unit.outputs.size(); ++o)
      if (unit.outputs[o] != no_value)
        for (std::uint32_t r : readers_[unit.outputs[o]])
          if (state_[r].position <= state_[n].position) return false;
    const auto slot = static_cast<std::uint32_t>(std::find(next.inputs.begin(), next.inputs.end(), v) - next.inputs.begin());
    if (leaves_to_later(u, n, v)) return false;
    if (!unit.op->absorb(NodeView(graph_, next.nodes[0]), slot, first_taken(unit), context_)) return false;
    unit.inputs.resize(first_taken(unit), no_value);
    const std::vector<std::uint32_t> inputs = next.inputs;
    kill(n);
    for (std::uint32_t i = 0; i < inputs.size(); ++i) {
      if (i == slot) continue;
      unit.inputs.push_back(inputs[i]);
      if (inputs[i] != no_value) readers_[inputs[i]].push_back(u);
    }
    unit.outputs[0] = next.outputs[0];
    producer_[unit.outputs[0]] = u;
    unit.nodes.insert(unit.nodes.end(), next.nodes.begin(), next.nodes.end());
    state_[u] = {state_[n].position, false};
    return true;
  }

  const tenon_graph& graph_;
  const std::vector<Value>& values_;
  std::vector<Unit>& units_;
  CompileContext& context_;
  std::vector<State> state_;
  std::vector<std::uint32_t> producer_;
  std::vector<std::vector<std::uint32_t>> readers_;
};

}  // namespace

void fuse(const tenon_graph& graph, const std::vector<Value>& values, std::vector<Unit>& units, CompileContext& context) {
  Fuser(graph, values, units, context).run();
}

}  // namespace tenon::cpu
